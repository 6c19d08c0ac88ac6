"""Replayed predictions: equal to predictions in full, on every kind that allows it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.library import names
from perfmodel.prediction import METRICS, Prediction, replay
from perfmodel.prediction.job import CHUNK, PredictionJob
from perfmodel.prediction.replay import PATIENCE, program_of, replayable

_NETWORKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("llama_3_8b", {"phase": "decode", "batch": 2, "context": 777}),
    ("mixtral_8x7b", {"phase": "decode", "batch": 3, "context": 500}),
    ("mobilenet_v2", {"batch": 3}),
    ("bert_base", {"batch": 2}),
)
_CHANGES = ({"batch": 1.0}, {"batch": 7.0}, {"batch": 64.0, "context": 3000.0})


def _jobs(device: str) -> Iterator[PredictionJob]:
    for network, sizes in _NETWORKS:
        try:
            yield pm.predict(pm.workload(network, **sizes), device).job
        except InputError:
            continue  # a class of operators that this kind does not cost


@pytest.mark.parametrize("part", range(8))
def test_programs_equal_predictions_in_full(part: int) -> None:
    """On a share of the library's devices each: totals at numbers that were not traced."""
    traced = 0
    for device in names("devices")[part::48]:
        for job in filter(replayable, _jobs(device)):
            sizes = job.workload.parameters
            free = [n for n in sizes if n in {"batch", "context"}]
            program = program_of(job, free)
            for change in () if program is None else _CHANGES:
                bound = job.workload.bind({n: v for n, v in change.items() if n in sizes})
                totals = replace(job, workload=bound).opened().totals
                assert program is not None
                got = program.on_floats(*[float(bound.parameters[n]) for n in free])
                assert got.keys() - totals.keys() == {"least row"}
                for name, value in totals.items():
                    number = float(np.asarray(value).reshape(-1)[0])
                    assert got[name] == number, (device, bound, name)  # to the last bit
                traced += 1
    assert traced > 10


@pytest.mark.parametrize(
    "device",
    [
        "tpu_v1",
        "scale_sim_32x32",
        "eyeriss",
        "bit_fusion_apq",
        "aif_ssd",
        "h100",
        "zen4_core",
        "hls4ml_ad08",
        "fpgaconvnet_zc706_vww",
        "hnlpu",
        "tellme",
    ],
)
def test_searches_of_tiles_and_mappings_are_replayed(device: str) -> None:
    job = pm.predict(pm.workload("resnet18", batch=3), device).job
    program = program_of(job, ["batch"])
    assert program is not None
    batches = np.array([1.0, 7.0, 64.0, 1000.0])
    together = program.on_vectors(batches)
    for i, batch in enumerate(batches.tolist()):
        full = job.bind({"batch": batch}).opened().totals
        single = program.on_floats(batch)
        for name, value in full.items():
            number = float(np.asarray(value).reshape(-1)[0])
            assert single[name] == number, name  # to the last bit
            assert np.broadcast_to(together[name], batches.shape)[i] == number, name


def _decode(context: float, batch: int = 1, **options: Any) -> Prediction:
    workload = pm.workload("llama_3_8b", phase="decode", batch=batch, context=context)
    return pm.predict(workload, "h100", precision="fp16", runtime="ideal", **options)


def _same(replayed: Prediction, full: Prediction) -> None:
    for metric in METRICS:
        value, other = getattr(replayed, metric), getattr(full, metric)
        if isinstance(value, float):
            assert value == pytest.approx(other, rel=1e-12, nan_ok=True), metric
        else:
            assert (value is None) == (other is None), metric
    assert replayed.explain() == full.explain()
    assert replayed.feasible == full.feasible


def test_repeated_questions_are_replayed_and_open_as_any_other() -> None:
    for i in range(PATIENCE + 2):
        _decode(1000 + i)
    replayed = _decode(4321.0)
    assert replayed.evaluated is None
    full = replayed.job.opened()
    assert full.evaluated is not None
    _same(replayed, full)
    # A number that was the same so far becomes one that varies.
    other = _decode(4321.0, batch=5)
    assert other.evaluated is not None
    _same(other, other.job.opened())
    for i in range(PATIENCE + 1):
        _decode(1000 + i, batch=1 + i)
    replayed = _decode(777.0, batch=9)
    assert replayed.evaluated is None
    _same(replayed, replayed.job.opened())
    assert replayed.latency_s > _decode(777.0, batch=1).latency_s


def test_questions_with_arrays_or_changed_facts_are_evaluated_in_full() -> None:
    for i in range(PATIENCE + 2):
        _decode(1000 + i)
    assert _decode(500.0).evaluated is None
    workload = pm.workload("llama_3_8b", phase="decode", context=np.array([500.0]))
    array = pm.predict(workload, "h100", precision="fp16", runtime="ideal")
    assert array.latency_s.tolist() == [pytest.approx(_decode(500.0).latency_s, rel=1e-12)]
    slow = _decode(500.0, set={"memories.main.bandwidth": "1 TB/s"})
    assert slow.evaluated is not None
    assert slow.latency_s > 2 * _decode(500.0).latency_s


def test_a_prediction_is_asked_again_for_other_sizes() -> None:
    first = _decode(1000.0)
    for i in range(PATIENCE + 2):
        again = first.bind(context=2000 + i)
        assert again.latency_s == pytest.approx(_decode(2000 + i).latency_s, rel=1e-12)
    again = first.bind(context=3000)
    assert again.evaluated is None
    assert again.workload.parameters["context"] == 3000
    many = first.bind(batch=np.array([1.0, 2.0]))
    assert many.latency_s[0] == first.latency_s
    with pytest.raises(InputError, match=r"contexts.*\n.*batch"):
        first.bind(contexts=1, batch=-1)


def test_an_unsound_replay_is_evaluated_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(PATIENCE + 2):
        _decode(1000 + i)
    good = _decode(500.0)
    assert good.evaluated is None
    answered = good.job.lowered.questions.values()
    histories = [each for each in answered if each.replay is not None]
    assert histories

    def negative(*numbers: float) -> dict[str, float]:
        return {**good.totals, "latency_s": -1.0, "least row": 0.0}

    def undefined(*numbers: float) -> dict[str, float]:
        raise ZeroDivisionError

    for broken in (negative, undefined):
        for history in histories:
            assert history.replay is not None
            monkeypatch.setattr(history, "replay", history.replay._replace(function=broken))
        full = _decode(500.0)
        assert full.evaluated is not None
        assert full.latency_s == pytest.approx(good.latency_s, rel=1e-12)


def test_threads_that_ask_different_questions_share_no_numbers() -> None:
    """Programs are replaced while others ask; each answer is that of its own question."""
    first = _decode(1000.0)

    def ask(i: int) -> tuple[int, float, float]:
        batch, context = 1 + i % 5, 1000.0 + i
        return batch, context, first.bind(batch=batch, context=context).latency_s

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(400)))
    for batch, context, seconds in answers[::7]:
        full = first.job.bind({"batch": batch, "context": context}).opened()
        assert seconds == full.latency_s


@pytest.mark.parametrize("model", [None, "roofline"])
def test_large_sweeps_are_replayed(model: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, context = np.arange(1.0, 8.0), np.linspace(1.0, 9000.0, 600)
    bits, bandwidth = np.array([4.0, 8.0, 16.0]), np.array([5e11, 1e12, 2e12])

    def sweep() -> Prediction:
        workload = pm.workload(
            "llama_3_8b",
            phase="decode",
            batch=batch[:, None, None, None],
            context=context[:, None, None],
        )
        settings = {"weight_bits": bits[:, None], "memories.main.bandwidth": bandwidth}
        return pm.predict(workload, "a100", precision="w4a16", model=model, set=settings)

    plain = sweep()
    assert plain.latency_s.size > 4 * CHUNK
    calls: list[int] = []
    vectors = replay.replayed_vectors

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        # As if a part were unsound: it is evaluated in full, beside the others.
        return None if len(calls) == 3 else vectors(*arguments)

    monkeypatch.setattr("perfmodel.prediction.job.replayed_vectors", counted)
    monkeypatch.setattr("perfmodel.prediction.job.MANY_POINTS", 1)
    replayed = sweep()
    assert len(calls) == -(-plain.latency_s.size // CHUNK)
    for metric in ("latency_s", "energy_j", "peak_memory_bytes", "weight_bytes", "macs"):
        value = getattr(replayed, metric)
        np.testing.assert_allclose(value, getattr(plain, metric), rtol=1e-12, err_msg=metric)


@pytest.mark.parametrize("device", ["a100", "raspberry_pi_5", "edge_tpu", "eyeriss"])
def test_parts_of_a_large_sweep_equal_those_of_a_small_one(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every column, those that are read off the rows among them; Eyeriss has no replay."""

    def rows() -> pm.Table:
        grid = {"batch": np.arange(1.0, 40.0), "memories.main.bandwidth": np.logspace(9, 12, 11)}
        return pm.sweep("mobilenet_v2", device, grid)

    plain = rows()
    monkeypatch.setattr("perfmodel.prediction.job.MANY_POINTS", 1)
    replayed = rows()
    assert [*replayed] == [*plain]
    for name, column in plain.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(replayed[name], column, rtol=1e-12, err_msg=name)
        else:
            assert (replayed[name] == column).all(), name


def test_replayed_arrays_open_all_of_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmodel.prediction.job.MANY_POINTS", 1)
    workload = pm.workload("llama_3_8b", phase="decode", context=np.array([500.0, 5000.0]))
    replayed = pm.predict(workload, "h100")
    assert replayed.evaluated is None
    assert replayed.opened[1].row_s.shape[1] == 2
    assert replayed.unsupported == replayed.job.opened().unsupported


@pytest.mark.parametrize(
    ("device", "network", "path", "values"),
    [
        ("hls4ml_ad08", "resnet18", "engines.fabric.design.reuse_factor", (1.0, 7.0, 63.0, 100.0)),
        ("finn_kws_w3a3", "kws_mlp_w3a3", "engines.fabric.design.layers.1.pe", (1.0, 2.0, 3.0)),
        ("finn_kws_w3a3", "kws_mlp_w3a3", "engines.fabric.design.layers.1.simd", (7.0, 10.0, 49.0)),
    ],
)
def test_foldings_are_checked_in_programs_too(
    device: str, network: str, path: str, values: tuple[float, ...]
) -> None:
    """What a design rounds is rounded; what it refuses gives no number, and is refused in full."""
    job = pm.predict(pm.workload(network), device).job
    assert path in job.machine.facts
    program = program_of(job, [], [path])
    assert program is not None
    for value in values:
        facts = {**job.machine.facts, path: value}
        number = program.on_vectors(np.array([value]))["latency_s"]
        try:
            rows = job.rows(job.workload.parameters, facts, job.precision, 1)
        except InputError:
            assert np.isnan(number).all(), value
            continue
        full = replay.checked_sums(*rows, job.workload.parameters)["latency_s"]
        assert np.all(number == full), value
