"""Sweeps against predictions one by one; in memory, in other processes, sampled, filtered."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.sweep.executor import Processes, Serial, executor_named
from perfmodel.sweep.pilot import dry_run
from perfmodel.sweep.plan import METRICS, make_plan
from perfmodel.sweep.run import run_plan
from perfmodel.sweep.summary import Summary
from perfmodel.table import Table

GRID = {
    "batch": [1, 7, 64],
    "context": "2**7..2**9",
    "memories.main.bandwidth": ["100 GB/s", 2e12],
    "precision": ["w16a16", "w4a16kv8"],
    "kv_bits": [8, 16],
}


def one(row: Any, setting_names: list[str], **options: Any) -> Any:
    settings = {name: row[name] for name in setting_names}
    return pm.predict(row["workload"], row["device"], set=settings, **options)


def check_row(row: Any, found: Any) -> None:
    main = found.machine.main_memory
    for name in METRICS:
        expected = getattr(found, name)
        if name == "traffic_bytes":
            expected = expected[main]
        elif name == "bandwidth_bytes_per_s":
            expected = found.bandwidth_bytes_per_s[main]
        if isinstance(expected, str | bool):
            assert row[name] == expected, name
        else:
            value = np.nan if expected is None else expected
            assert_allclose(row[name], value, rtol=1e-12, err_msg=name)
    assert row["precision"] == found.precision
    assert row["runtime"] == found.machine.runtime.name


def test_a_sweep_of_n_points_is_n_predictions() -> None:
    table = pm.sweep("llama_3_8b", ["a100", "raspberry_pi_5"], GRID)
    assert len(table) == 2 * 3 * 3 * 2 * 2 * 2
    assert len({tuple(str(row[n]) for n in table.axes) for row in table.rows()}) == len(table)
    for row in table.rows():
        check_row(row, one(row, list(GRID)))


def test_a_sweep_of_networks_over_devices() -> None:
    table = pm.sweep(
        ["resnet18", "mobilenet_v2"],
        ["tag:phone", "stm32h743"],
        {"batch": [1, 4], "height": [160, 224], "precision": ["int8"]},
    )
    for row in table.rows():
        check_row(row, one(row, ["batch", "height", "precision"]))
    assert not table["feasible"][table["device"] == "stm32h743"].any()


def test_structure_phase_and_options_go_through() -> None:
    table = pm.sweep(
        "llama_3_8b",
        "a100",
        {"phase": "prefill,decode", "layers": [4, 32], "prompt": [64], "context": [64]},
        model="roofline",
        warm=True,
    )
    assert len(table) == 4
    for row in table.rows():
        length = {"prefill": "prompt", "decode": "context"}[row["phase"]]
        assert np.isnan(row[{"prompt": "context", "context": "prompt"}[length]])
        settings = {"phase": row["phase"], "layers": int(row["layers"]), length: 64}
        check_row(row, pm.predict("llama_3_8b", "a100", set=settings, model="roofline", warm=True))


def test_objects_and_arrays_from_python() -> None:
    device = pm.hardware("a100").vary({"memories.main.bandwidth": "1 TB/s"})
    workload = pm.workload("resnet18", height=160)
    table = pm.sweep(workload, device, {"batch": np.arange(1, 5)}, precision="int8")
    singles = [
        pm.predict(workload.bind({"batch": b}), device, precision="int8") for b in range(1, 5)
    ]
    assert_allclose(table["latency_s"], [p.latency_s for p in singles], rtol=1e-12)
    listed = pm.sweep(workload, device, precision=["int8", "fp16"])
    assert listed["precision"].tolist() == ["int8", "fp16"]


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pm.sweep("llama_3_8b", "a100,h100", GRID)
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 5)
    assert len(make_plan("llama_3_8b", "a100,h100", GRID).chunks) > 20
    pieces = pm.sweep("llama_3_8b", "a100,h100", GRID)
    for name in whole:
        if whole[name].dtype.kind == "f":
            assert_allclose(pieces[name], whole[name], rtol=1e-12)
        else:
            assert pieces[name].tolist() == whole[name].tolist()


def test_where_keeps_what_the_table_would() -> None:
    condition = "tpot_s <= 20 ms and batch > 1 and precision == 'w4a16kv8'"
    whole = pm.sweep("llama_3_8b", ["a100", "raspberry_pi_5"], GRID)
    kept = pm.sweep("llama_3_8b", ["a100", "raspberry_pi_5"], GRID, where=condition)
    assert 0 < len(kept) < len(whole)
    assert kept == whole.where(condition)
    nothing = pm.sweep("llama_3_8b", "a100", GRID, where="latency_s > 1 h")
    assert len(nothing) == 0
    assert nothing.columns == whole.columns


def test_bad_questions_are_faults_beside_bad_axes(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        pm.sweep(
            "llama_3_8b",
            "a1000",
            {"batch": "x..y"},
            where="tpt < 1",
            executor="threads",
            output=tmp_path / "a.txt",
        )
    text = str(caught.value)
    for part in ("tpt", "a1000", "batch", "a.txt", "threads"):
        assert part in text
    assert list(tmp_path.iterdir()) == []


def test_other_processes_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 10)
    serial = pm.sweep("llama_3_8b", "a100,h100", GRID)
    parallel = pm.sweep("llama_3_8b", "a100,h100", GRID, executor="process:2")
    assert parallel == serial


def test_other_processes_write_the_same_bytes_of_a_replayed_sweep(tmp_path: Path) -> None:
    grid = {"batch": np.arange(1.0, 401.0), "context": np.arange(1.0, 331.0)}
    paths = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for path, executor in zip(paths, ("serial", "process:2"), strict=True):
        pm.sweep("llama_3_8b", "a100", grid, metrics=["tpot_s"], executor=executor, output=path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_executors_by_name() -> None:
    assert isinstance(executor_named("serial"), Serial)
    found = executor_named("process:3")
    assert isinstance(found, Processes)
    assert found.workers == 3
    for bad in ("process:0", "process:999", "process:x", "serail", ""):
        with pytest.raises(InputError, match="no executor"):
            executor_named(bad)


def test_the_summary_is_that_of_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 7)
    plan = make_plan("llama_3_8b", "a100,raspberry_pi_5", GRID)
    summary = Summary("energy_j", ("latency_s", "tokens_per_s"), top=5)
    seen: list[tuple[int, int]] = []
    outcome = run_plan(
        plan, summary=summary, progress=lambda done, total: seen.append((done, total))
    )
    assert outcome.table is not None
    table = outcome.table
    assert (summary.points, summary.rows) == (plan.points, len(table))
    assert summary.feasible == int(table["feasible"].sum())
    best = table.best("energy_j")
    assert best is not None
    assert summary.best is not None
    assert {k: v for k, v in summary.best.items() if v == v} == {
        k: v for k, v in best.items() if v == v
    }
    front = table.pareto("latency_s", "tokens_per_s")
    assert summary.front is not None
    assert sorted(summary.front["latency_s"]) == sorted(front["latency_s"])
    fitting = table.where("feasible").sort("energy_j")
    assert summary.top is not None
    assert summary.top["energy_j"].tolist() == fitting["energy_j"][:5].tolist()
    assert seen[-1] == (plan.points, plan.points)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_only_the_metrics_asked_for() -> None:
    table = pm.sweep("llama_3_8b", "a100", {"batch": [1, 2]}, metrics=["latency_s", "energy_j"])
    assert table.columns[-2:] == ("latency_s", "energy_j")
    assert "feasible" not in table
    assert table.best("energy_j") is not None


def test_a_dry_run_counts_without_writing(tmp_path: Path) -> None:
    plan = make_plan("llama_3_8b", "a100", {"batch": "1..100", "context": "1..1000"})
    found = dry_run(plan, output=tmp_path / "x.csv", budget_s=0.0)
    assert (found.points, found.cases) == (100_000, 1)
    assert 0 < found.pilot_points < 100_000
    assert found.seconds > 0
    assert list(tmp_path.iterdir()) == []
    # The size is that of a real file within a fifth: digits differ from point to point.
    small = make_plan("llama_3_8b", "a100", {"batch": "1..10", "context": "1..200"})
    guess = dry_run(small, output=tmp_path / "x.csv")
    run_plan(small, output=tmp_path / "x.csv")
    assert guess.bytes == pytest.approx((tmp_path / "x.csv").stat().st_size, rel=0.2)


def test_the_bottleneck_of_each_point() -> None:
    table = pm.sweep(
        "llama_3_8b",
        "a100",
        {"batch": [1, 512], "memories.main.bandwidth": [1e11, 1e14], "context": [16]},
    )
    assert set(table["bottleneck"]) >= {"hbm", "matrix"}


def test_a_table_keeps_its_axes() -> None:
    table = pm.sweep("llama_3_8b", "a100", {"batch": [1, 2], "context": [1, 2, 4]})
    assert table.axes == ("batch", "context")
    assert isinstance(table, Table)
    assert table["latency_s"].reshape(2, 3)[0, 0] < table["latency_s"].reshape(2, 3)[1, 2]
