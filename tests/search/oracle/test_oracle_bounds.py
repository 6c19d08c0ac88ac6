"""Bounds of partial choices against all or many completions; expectations against members."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.search.oracle import Oracle
from perfmodel.search.oracle.metric_reader import METRICS
from tests.draws import draws

AFFINE = (
    "latency_s",
    "energy_j",
    "peak_memory_bytes",
    "weight_bytes",
    "kv_bytes",
    "activation_bytes",
    "macs",
    "bit_operations",
)


def _small(device: str, **options: Any) -> Oracle:
    choices = {
        "weight_bits": {"*": [4, 8], "stem": [2, 4, 8]},
        "channels": [0.25, 0.5, 1],
        "batch": [1, 4],
    }
    space = pm.space(pm.workload("tiny_cnn"), choices, precision="w8a8")
    return Oracle(device, space, AFFINE, **options)


SMALL: list[tuple[str, dict[str, Any]]] = [
    ("zen4_core", {}),
    ("zen4_core", {"warm": True}),
    ("tpu_v1", {}),
    ("raspberry_pi_5", {"runtime": "litert"}),
    ("a100", {"model": "roofline"}),
    ("eyeriss", {}),
    ("stm32h743", {}),
]


@pytest.fixture(scope="module", params=range(len(SMALL)), ids=lambda i: SMALL[i][0])
def small(request: pytest.FixtureRequest) -> Oracle:
    device, options = SMALL[request.param]
    return _small(device, **options)


def _not_above(bound: dict[str, float], found: dict[str, Any]) -> None:
    for name, value in bound.items():
        if name == "feasible":
            assert value >= found[name].max()
        elif not np.isnan(value):
            assert value <= found[name].min() * (1 + 1e-12), name


def _completions(sizes: list[int], partial: list[int | None]) -> Any:
    return np.array(
        list(
            product(*(range(n) if p is None else [p] for n, p in zip(sizes, partial, strict=True)))
        )
    )


def test_no_completion_is_below_its_bound(small: Oracle) -> None:
    sizes = [len(d.options) for d in small.space.decisions]
    rng = np.random.default_rng(1)
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        for _ in range(4):
            partial: list[int | None] = [
                None if rng.random() > share else int(rng.integers(n)) for n in sizes
            ]
            rows = _completions(sizes, partial)
            if len(rows) > 20_000:
                rows = rows[rng.integers(0, len(rows), 20_000)]
            _not_above(small.lower_bound(partial), small.batch(rows))


def test_deciding_more_never_lowers_a_bound(small: Oracle) -> None:
    sizes = [len(d.options) for d in small.space.decisions]
    rng = np.random.default_rng(2)
    partial: list[int | None] = [None] * len(sizes)
    before = small.lower_bound(partial)
    for i in rng.permutation(len(sizes)).tolist():
        partial[i] = int(rng.integers(sizes[i]))
        after = small.lower_bound(partial)
        for name in AFFINE:
            if not np.isnan(before[name]):
                assert before[name] <= after[name] * (1 + 1e-12), name
        before = after


def test_bytes_and_work_of_a_complete_choice_are_their_bound(small: Oracle) -> None:
    # They depend on no residency; latency and traffic may.
    exact = ("weight_bytes", "activation_bytes", "peak_memory_bytes", "macs", "bit_operations")
    for choice in small.space.sample(8, seed=3).tolist():  # pyright: ignore[reportAttributeAccessIssue]
        bound, value = small.lower_bound(choice), small(choice)
        for name in exact:
            assert bound[name] == pytest.approx(value[name], rel=1e-12), name


@pytest.mark.parametrize("space", ["fbnet", "ofa_mobilenet_v3"])
def test_without_caches_a_complete_choice_is_its_bound(space: str) -> None:
    members = pm.space(space)
    oracle = Oracle("rtx_4090", members, AFFINE, model="roofline")
    for choice in members.sample(6, seed=4).tolist():
        assert oracle.lower_bound(choice) == pytest.approx(oracle(choice), rel=1e-12)


@pytest.mark.parametrize(
    ("space", "device", "runtime"),
    [
        ("fbnet", "zen4_core", None),
        ("ofa_mobilenet_v3", "raspberry_pi_5", "litert"),
        ("nas_bench_201", "zen4_core", None),
        ("fbnet", "tpu_v1", None),
    ],
)
def test_no_sampled_architecture_is_below_its_bound(
    space: str, device: str, runtime: str | None
) -> None:
    members = pm.space(space)
    oracle = Oracle(device, members, AFFINE, runtime=runtime)
    rng = np.random.default_rng(5)
    for share in (0.0, 0.3, 0.7, 1.0):
        rows = members.sample(300, seed=int(10 * share))
        keep = rng.random(rows.shape[1]) < share
        rows[:, keep] = rows[0, keep]
        partial = [int(c) if k else None for c, k in zip(rows[0], keep, strict=True)]
        _not_above(oracle.lower_bound(partial), oracle.batch(rows))


def test_decided_hardware_has_bounds_too() -> None:
    choices = {
        "weight_bits": [2, 8],
        "memories.dram.bandwidth": [1e10, 4e10],
        "precision": ["w8a8", "w16a16"],
    }
    space = pm.space(pm.workload("tiny_cnn"), choices, share="kind")
    oracle = Oracle("zen4_core", space, AFFINE)
    sizes = [len(d.options) for d in space.decisions]
    for partial in (
        [None] * len(sizes),
        [0, *[None] * (len(sizes) - 1)],
        [*[None] * (len(sizes) - 1), 1],
    ):
        _not_above(oracle.lower_bound(partial), oracle.batch(_completions(sizes, partial)))


def test_bounds_are_refused_where_none_are_known() -> None:
    members = pm.space("fbnet")
    with pytest.raises(pm.InputError, match="no bound"):
        Oracle("a100", members, METRICS).lower_bound([None] * 22)
    with pytest.raises(pm.InputError, match="predicted separately"):
        Oracle("zen4_core", members, runtime="onnxruntime_cpu_blocks").lower_bound([None] * 22)


@pytest.fixture(scope="module")
def cells() -> Oracle:
    return Oracle("a100", pm.space("fbnet"))


@pytest.mark.parametrize(
    "partial",
    [
        None,
        3,
        "abc",
        [],
        [0] * 21,
        [9] + [None] * 21,
        ["a"] + [None] * 21,
        [True] + [None] * 21,
        [-1] + [None] * 21,
        [0.5] + [None] * 21,
    ],
)
def test_bad_partial_choices_are_refused(cells: Oracle, partial: Any) -> None:
    with pytest.raises(pm.InputError):
        cells.lower_bound(partial)


# expectations


def _one_hot(sizes: list[int], choice: list[int]) -> list[Any]:
    return [np.eye(n)[c] for n, c in zip(sizes, choice, strict=True)]


def test_certainty_is_the_member_and_slopes_are_single_swaps(small: Oracle) -> None:
    sizes = [len(d.options) for d in small.space.decisions]
    for choice in small.space.sample(3, seed=6).tolist():  # pyright: ignore[reportAttributeAccessIssue]
        values, slopes = small.gradient(_one_hot(sizes, choice))
        own = small(choice)
        for name in AFFINE:
            assert values[name] == pytest.approx(own[name], rel=1e-12, nan_ok=True)
            for i, n in enumerate(sizes):
                assert slopes[name][i].shape == (n,)
                for option in range(n):
                    swapped = [*choice]
                    swapped[i] = option
                    assert slopes[name][i][option] == pytest.approx(
                        small(swapped)[name] - own[name],
                        rel=1e-9,
                        abs=1e-12 * abs(own[name]),
                        nan_ok=True,
                    )


def test_where_costs_add_the_expectation_is_the_mean_over_members() -> None:
    # Weights of different layers share nothing: bytes and, without caches, seconds add.
    space = pm.space(pm.workload("tiny_cnn"), {"weight_bits": [2, 4, 8]}, precision="w8a8")
    oracle = Oracle("a100", space, ["latency_s", "weight_bytes"], model="roofline")
    sizes = [len(d.options) for d in space.decisions]
    rng = np.random.default_rng(7)
    weights = [rng.random(n) for n in sizes]
    every = _completions(sizes, [None] * len(sizes))
    chance = np.ones(len(every))
    for i, w in enumerate(weights):
        chance *= (w / w.sum())[every[:, i]]
    values, _ = oracle.gradient(weights)
    found = oracle.batch(every)
    for name in ("latency_s", "weight_bytes"):
        assert values[name] == pytest.approx(float(chance @ found[name]), rel=1e-12)


@given(st.data())
@settings(max_examples=draws(20))
def test_weights_need_not_be_normalised(data: st.DataObject) -> None:
    oracle = _cached()
    sizes = [len(d.options) for d in oracle.space.decisions]
    positive = st.floats(0.01, 1.0)
    weights = [np.array(data.draw(st.lists(positive, min_size=n, max_size=n))) for n in sizes]
    factor = data.draw(st.floats(0.1, 50.0))
    values, _ = oracle.gradient(weights)
    scaled, _ = oracle.gradient([w * factor for w in weights])
    for name, value in values.items():
        assert scaled[name] == pytest.approx(value, rel=1e-9, nan_ok=True)


_ORACLES: list[Oracle] = []


def _cached() -> Oracle:
    if not _ORACLES:
        _ORACLES.append(_small("a100"))
    return _ORACLES[0]


def test_bad_weights_are_named_each() -> None:
    oracle = _cached()
    good = [np.ones(len(d.options)) for d in oracle.space.decisions]
    names = [d.name for d in oracle.space.decisions]
    bad: list[Any] = [*good]
    bad[0], bad[1], bad[-1] = -good[0], good[1] * np.nan, ["a", "b"]
    with pytest.raises(pm.InputError) as error:
        oracle.gradient(bad)
    assert {f.path for f in error.value.faults} == {names[0], names[1], names[-1]}
    for weights in (
        None,
        3,
        "abc",
        good[:-1],
        [good[0] * 0, *good[1:]],
        [good[0][:-1], *good[1:]],
        [good[0] * np.inf, *good[1:]],
    ):
        with pytest.raises(pm.InputError):
            oracle.gradient(weights)  # type: ignore[arg-type]
