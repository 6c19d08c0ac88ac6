"""What an outer loop may rely on: one or many, anywhere, silently, the same."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.search.oracle import Oracle
from perfmodel.search.oracle.metric_reader import METRICS

AFFINE = ("latency_s", "energy_j", "peak_memory_bytes", "weight_bytes", "macs")


def _configured() -> Any:
    network = pm.workload("tiny_cnn")
    choices = {"weight_bits": [4, 8], "channels": [0.5, 1], "batch": [1, 4]}
    return pm.space(network, choices, precision="w8a8")


@pytest.fixture(
    scope="module",
    params=[
        "whole",
        "blocks",
        "configurations",
        "facts",
        "ways",
        pytest.param("cells", marks=pytest.mark.exhaustive),
    ],
)
def oracle(request: pytest.FixtureRequest) -> Oracle:
    metrics = AFFINE
    if request.param == "whole":
        return Oracle("raspberry_pi_5", pm.space("nas_bench_201"), metrics)
    if request.param == "cells":
        return Oracle("zen4_core", pm.space("fbnet"), METRICS, warm=True)
    if request.param == "blocks":
        return Oracle("a100", pm.space("ofa_mobilenet_v3"), metrics)
    if request.param == "facts":
        choices = {"weight_bits": [2, 4, 8], "memories.dram.bandwidth": [2e10, 4e10]}
        space = pm.space(pm.workload("mlperf_tiny_ic"), choices, precision="w8a8")
        return Oracle("zen4_core", space, metrics)
    if request.param == "ways":
        return Oracle("tpu_v1", _configured(), metrics)
    return Oracle("jetson_agx_orin", _configured(), METRICS)


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


def test_one_is_a_row_of_many(oracle: Oracle) -> None:
    choices = oracle.space.sample(40, seed=2)  # pyright: ignore[reportAttributeAccessIssue]
    many = oracle.batch(choices)
    assert {v.shape for v in many.values()} == {(40,)}
    for i, choice in enumerate(choices.tolist()):
        one = oracle(choice)
        for name, value in one.items():
            assert value == pytest.approx(many[name][i], rel=1e-12, nan_ok=True), name
            assert type(value) is float


def test_ways_of_naming_a_member_agree(oracle: Oracle) -> None:
    choice = oracle.space.sample(1, seed=3)[0]  # pyright: ignore[reportAttributeAccessIssue]
    as_tuple = tuple(choice.tolist())
    named = oracle.space.decode(as_tuple)  # pyright: ignore[reportAttributeAccessIssue]
    wanted = oracle(as_tuple)
    for given in (choice, choice.tolist(), named):
        assert oracle(given) == pytest.approx(wanted, rel=1e-12, nan_ok=True)
    both = oracle.batch([as_tuple, named])
    assert all(v[0] == pytest.approx(v[1], nan_ok=True) for v in both.values())


def test_no_members_cost_nothing(oracle: Oracle) -> None:
    n = len(oracle.space.decisions)
    for none in ([], np.zeros((0, n), dtype=int)):
        found = oracle.batch(none)
        assert {v.shape for v in found.values()} == {(0,)}
        assert set(found) == {*oracle.metrics, "feasible"}


def test_it_is_deterministic_and_leaves_no_trace(oracle: Oracle) -> None:
    choices = oracle.space.sample(20, seed=4)  # pyright: ignore[reportAttributeAccessIssue]
    first = oracle.batch(choices)
    for values in first.values():
        values[:] = -1.0  # what was handed out is the caller's
    again = oracle.batch(choices)
    order = np.random.default_rng(0).permutation(len(choices))
    mixed = oracle.batch(choices[order])
    for name, values in again.items():
        assert not np.any(values == -1.0)
        # Another place in the array may change the last bit of a sum.
        np.testing.assert_allclose(mixed[name], values[order], rtol=1e-12)


def test_eight_threads_say_the_same(oracle: Oracle) -> None:
    choices = oracle.space.sample(160, seed=6)  # pyright: ignore[reportAttributeAccessIssue]
    fresh = pickle.loads(pickle.dumps(oracle))  # nothing tabled on the way yet
    parts = np.split(choices, 16)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fresh.batch, parts))
        ones = list(pool.map(fresh, choices[:32].tolist()))
    for part, values in zip(parts, found, strict=True):
        assert _same(values, oracle.batch(part))
    for choice, one in zip(choices[:32].tolist(), ones, strict=True):
        assert _same(one, oracle(choice))


def test_pickled_it_is_small_and_the_same(oracle: Oracle) -> None:
    text = pickle.dumps(oracle)
    assert len(text) < 1_000_000
    back = pickle.loads(text)
    assert back == oracle
    assert hash(back) == hash(oracle)
    choices = oracle.space.sample(20, seed=7)  # pyright: ignore[reportAttributeAccessIssue]
    assert _same(back.batch(choices), oracle.batch(choices))


def _in_a_process(given: tuple[Oracle, list[list[int]]]) -> dict[str, Any]:
    oracle, choices = given
    return oracle.batch(choices)


# JAX, where another test has loaded it, warns of every fork.
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_process_pool_says_the_same(way: str) -> None:
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {way} on this system")
    oracle = Oracle("jetson_agx_orin", _configured(), AFFINE)
    parts = [p.tolist() for p in np.split(oracle.space.sample(30, seed=8), 3)]  # pyright: ignore[reportAttributeAccessIssue]
    with ProcessPoolExecutor(2, multiprocessing.get_context(way)) as pool:
        found = list(pool.map(_in_a_process, [(oracle, part) for part in parts]))
    for part, values in zip(parts, found, strict=True):
        assert _same(values, oracle.batch(part))


def test_it_is_frozen(oracle: Oracle) -> None:
    with pytest.raises(AttributeError, match="frozen"):
        oracle.metrics = ()
    with pytest.raises(AttributeError, match="frozen"):
        oracle.other = 1  # type: ignore[attr-defined]


def test_equality_is_of_content() -> None:
    def make(device: str = "a100", network: str = "tiny_cnn", **options: Any) -> Oracle:
        choices = options.pop("choices", {"weight_bits": [4, 8]})
        space = pm.space(pm.workload(network), choices, precision="w8a8", share="network")
        return Oracle(device, space, options.pop("metrics", ("latency_s",)), **options)

    base = make()
    assert make() == base
    assert hash(make()) == hash(base)
    others = [
        make("h100"),
        make(network="mlperf_tiny_ic"),
        make(choices={"weight_bits": [2, 8]}),
        make(metrics=("latency_s", "macs")),
        make(warm=True),
        make(runtime="ideal"),
        make(settings={"batch": 2}),
        make(model="roofline"),
        Oracle(pm.hardware("a100").vary({"memories.hbm.bandwidth": 1e12}), base.space),
    ]
    assert all(other != base for other in others)
    assert len({base, make(), *others}) == 1 + len(others)
    assert base != "a100"
    cells = Oracle("a100", pm.space("fbnet"), model="roofline")
    assert cells == Oracle(pm.hardware("a100"), pm.space("fbnet"), model="roofline")
    assert cells != Oracle("a100", pm.space("fbnet", classes=10), model="roofline")


def test_it_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    space = _configured()
    oracle = Oracle("tpu_v1", space, METRICS)
    oracle(space.sample(1)[0])
    oracle.batch(space.sample(10))
    oracle.gradient([np.ones(len(d.options)) for d in space.decisions])
    bounded = Oracle("tpu_v1", space, AFFINE)
    bounded.lower_bound([None] * len(space.decisions))
    assert capfd.readouterr() == ("", "")


def test_what_does_not_fit_is_a_value() -> None:
    space = pm.space("nas_bench_201")
    device = pm.hardware("stm32h743")
    oracle = Oracle(device, space, ["latency_s", "peak_memory_bytes"])
    found = oracle.batch(space.sample(400))
    wanted = [pm.predict(space.workload(c), device).feasible for c in space.sample(60).tolist()]
    assert found["feasible"][:60].tolist() == [float(w) for w in wanted]
    assert np.isfinite(found["latency_s"]).all()


FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"metrics": ["latency", "joules"]}, ["latency", "joules"]),
    ({"metrics": []}, ["no metric"]),
    ({"metrics": [3]}, ["3"]),
    ({"metrics": ["traffic_bytes.l9"]}, ["traffic_bytes.l9"]),
    ({"settings": {"batches": 2, "widht": 1}}, ["batches", "widht"]),
    (
        {"metrics": ["joules"], "settings": {"batches": 2}, "runtime": "none"},
        ["joules", "batches", "none"],
    ),
    ({"precision": "w99"}, ["w99"]),
    ({"engine": "dsp"}, ["dsp"]),
    ({"model": "rooflines"}, ["rooflines"]),
]


@pytest.mark.parametrize(("given", "named"), FAULTS)
def test_bad_arguments_are_named_all_at_once(given: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(pm.InputError) as error:
        Oracle("a100", pm.space("fbnet"), **given)
    for word in named:
        assert word in str(error.value)


def test_bad_devices_and_spaces_are_named() -> None:
    with pytest.raises(pm.InputError, match="a1000"):
        Oracle("a1000", pm.space("fbnet"))
    with pytest.raises(pm.InputError, match="not a space"):
        Oracle("a100", "fbnet")  # type: ignore[arg-type]
    with pytest.raises(pm.InputError, match="traffic_bytes"):
        # The bare roofline has no caches.
        Oracle("zen4_core", pm.space("fbnet"), ["traffic_bytes.l1"], model="roofline")


@pytest.fixture(scope="module")
def cells() -> Oracle:
    return Oracle("a100", pm.space("fbnet"))


@pytest.mark.parametrize(
    "member", [None, 3, 2.5, "nonsense", [], [1], [9] * 22, [0] * 21 + [True], [0.5] * 22, object()]
)
def test_what_is_no_member_is_refused(cells: Oracle, member: Any) -> None:
    with pytest.raises(pm.InputError):
        cells(member)
    with pytest.raises(pm.InputError):
        cells.batch([member])


def test_bad_members_are_named_each(cells: Oracle) -> None:
    good = [0] * 22
    with pytest.raises(pm.InputError) as error:
        cells.batch([good, [9] + good[1:], good[1:], [0, -1, 99] + good[3:]])
    text = str(error.value)
    assert "[0]" not in text
    for place in ("[1]", "[2]", "[3]"):
        assert place in text
    assert len(error.value.faults) == 4
    for rows in (5, None, "abc", {"a": 1}, np.full((2, 22), 99), np.zeros((2, 3), dtype=int)):
        with pytest.raises(pm.InputError):
            cells.batch(rows)


def test_bad_configurations_are_named_each() -> None:
    oracle = Oracle("a100", _configured())
    with pytest.raises(pm.InputError) as error:
        oracle({"stem.weight": "int4", "batch": 3})
    assert len(error.value.faults) == 2
    assert "stem" in str(error.value)
    assert "batch" in str(error.value)
