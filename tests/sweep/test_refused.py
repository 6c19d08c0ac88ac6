"""Devices and points that cannot be predicted: rows that say why, and everything else as it is."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.prediction.fault_isolation import isolate_faults
from perfmodel.sweep.executor import Processes
from perfmodel.sweep.plan import REASON, make_plan
from perfmodel.sweep.run import run_plan
from perfmodel.sweep.summary import Summary
from perfmodel.table import Table
from perfmodel.table.table_files import csv_text, with_empty_column

#: A design that folds by 10 what resnet18 has 147 of.
DESIGN = "finn_kws_w3a3"
DEVICES = ["a100", DESIGN, "raspberry_pi_5"]


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have some points refused: with these, any array that holds one of them as well."""
    from perfmodel.sweep import evaluate

    real = evaluate.run_stages

    def run_stages(subject: Any, **more: Any) -> Any:
        batch = np.asarray(subject.workload.parameters["batch"])
        if np.any((batch % 7 == 0) | (batch > 50)):
            raise InputError(f"no batch of {float(np.max(batch)):g}")
        return real(subject, **more)

    monkeypatch.setattr(evaluate, "run_stages", run_stages)


def test_a_device_that_cannot_be_predicted_is_a_row_with_its_reason() -> None:
    table = pm.sweep("resnet18", DEVICES, {"batch": [1, 2]})
    alone = pm.sweep("resnet18", ["a100", "raspberry_pi_5"], {"batch": [1, 2]})
    bad = table["device"] == DESIGN
    assert bad.tolist() == [False, False, True, True, False, False]
    assert all("147" in text for text in table[REASON][bad])
    assert set(table[REASON][~bad]) == {""}
    assert table["batch"].tolist() == [1, 2] * 3
    assert not table["feasible"][bad].any()
    assert np.isnan(table["latency_s"][bad]).all()
    columns = [name for name in table if name != REASON]
    others = table.where(~bad).select(*columns)
    for name in columns:  # and the others have the numbers that they have by themselves
        if name in alone:
            np.testing.assert_array_equal(others[name], alone[name], err_msg=name)
    assert REASON not in alone


def test_what_nothing_can_be_predicted_for_is_a_fault(tmp_path: Path) -> None:
    output = tmp_path / "points.csv"
    with pytest.raises(InputError, match="147") as alone:
        pm.predict("resnet18", DESIGN)
    for where in (None, "latency_s < 1 s"):
        with pytest.raises(InputError) as swept:
            pm.sweep("resnet18", DESIGN, {"batch": [1, 2]}, where=where, output=output)
        assert str(swept.value) == str(alone.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("refusing")
def test_a_point_that_is_refused_leaves_those_around_it() -> None:
    context = [16, 32]
    table = pm.sweep("llama_3_8b", "a100", {"batch": "1..60", "context": context})
    batches = np.repeat(np.arange(1, 61), 2)
    bad = (batches % 7 == 0) | (batches > 50)
    np.testing.assert_array_equal(table["batch"], batches)
    np.testing.assert_array_equal(np.isnan(table["latency_s"]), bad)
    np.testing.assert_array_equal(table[REASON] != "", bad)
    for row in table.rows():
        if row[REASON]:
            assert row[REASON] == f"no batch of {row['batch']:g}"
        else:
            one = pm.predict(
                "llama_3_8b", "a100", set={"batch": row["batch"], "context": row["context"]}
            )
            assert row["latency_s"] == pytest.approx(one.latency_s, rel=1e-12)


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("group", [1, 2, 16])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_with_and_without_reasons_in_their_parts(
    suffix: str, group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 4)
    monkeypatch.setattr("perfmodel.sweep.store._GROUP", group)
    plan = make_plan("resnet18", "a100,raspberry_pi_5", {"batch": "1..20"})
    output = tmp_path / f"points{suffix}"
    done = run_plan(plan, output=output)
    memory = run_plan(plan).table
    assert done.table == memory == Table.read(output)
    manifest = json.loads((tmp_path / f"points{suffix}.manifest.json").read_text())
    assert manifest["refused"] == 4
    assert manifest["rows"] == 40
    expected = output.read_bytes()

    class Stop(Exception):
        pass

    def stop(points: int, _total: int) -> None:
        if points == 24:
            raise Stop

    with pytest.raises(Stop):
        run_plan(plan, output=output, progress=stop)
    again = run_plan(plan, output=output, resume=True)
    assert output.read_bytes() == expected
    assert again.summary.refused == 4
    assert sum(why.points for why in again.summary.reasons.values()) == 4


def test_other_processes_refuse_the_same_points() -> None:
    plan = make_plan("resnet18", DEVICES, {"batch": [1, 2]})
    assert run_plan(plan, executor=Processes(2)).table == run_plan(plan).table


@pytest.mark.usefixtures("refusing")
def test_conditions_leave_out_what_has_no_numbers() -> None:
    table = pm.sweep("resnet18", "a100", {"batch": "1..20"}, where="latency_s > 0 s")
    assert len(table) == 18
    assert REASON not in table


@pytest.mark.usefixtures("refusing")
def test_a_summary_counts_apart_what_is_refused() -> None:
    plan = make_plan("resnet18", "a100", {"batch": "1..60"}, metrics=["latency_s"])
    summary = Summary("batch", ("latency_s", "batch"))
    run_plan(plan, summary=summary)
    assert (summary.points, summary.rows, summary.refused) == (60, 60, 7 + 10)
    assert summary.feasible == 60 - 17
    assert summary.best is not None
    assert summary.front is not None
    assert not np.isnan(summary.front["latency_s"]).any()
    assert summary.top is not None
    assert REASON not in summary.top


def test_a_fact_that_only_some_devices_have() -> None:
    table = pm.sweep("resnet18", ["a100", "raspberry_pi_5"], {"memories.l3.bandwidth": [1e11]})
    assert ["no such fact" in text for text in table[REASON]] == [True, False]
    for fact in ("memories.l4.bandwidth", "memories.hbm.bandwith"):  # no device has it
        with pytest.raises(InputError, match=r"no such fact|did you mean"):
            pm.sweep("resnet18", ["a100", "raspberry_pi_5"], {fact: [1e11]})


def test_an_engine_that_only_some_devices_have() -> None:
    table = pm.sweep("resnet18", ["a100", "raspberry_pi_5"], engine="gpu")
    assert ["has no engine 'gpu'" in text for text in table[REASON]] == [False, True]
    with pytest.raises(InputError, match="has no engine 'npu'"):
        pm.sweep("resnet18", ["a100", "raspberry_pi_5"], engine="npu")


def told(shape: tuple[int, ...], bad: np.ndarray) -> tuple[dict[int, str], dict[int, float], int]:
    """What is said of each point: its reason or its number; and how many predictions it took."""
    calls = 0

    def predicted(points: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if bad[points].any():
            raise InputError("refused")
        return {"value": points.astype(float)}

    steps = np.unravel_index(np.arange(math.prod(shape)), shape)
    reasons: dict[int, str] = {}
    values: dict[int, float] = {}
    for points, columns, reason in isolate_faults(steps, predicted, InputError("refused")):
        for i, point in enumerate(points.tolist()):
            assert point not in reasons
            assert point not in values
            if columns is None:
                reasons[point] = reason
            else:
                values[point] = columns["value"][i]
    return reasons, values, calls


@pytest.mark.parametrize("shape", [(1,), (2,), (64,), (8, 8), (3, 5, 4)])
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_each_point_has_a_number_or_a_reason_against_brute_force(
    shape: tuple[int, ...], share: float
) -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        bad = random.random(math.prod(shape)) < share
        bad[random.integers(len(bad))] = True
        reasons, values, _ = told(shape, bad)
        assert sorted([*reasons, *values]) == list(range(len(bad)))
        assert all(value == point for point, value in values.items())
        assert all(bad[point] for point in reasons)  # none is refused for its neighbours
        if share < 1.0:
            assert set(values) == set(np.flatnonzero(~bad).tolist())


@pytest.mark.parametrize("axis", [0, 1])
def test_a_threshold_on_one_axis_is_found_exactly_in_a_whole_chunk(axis: int) -> None:
    shape = (128, 64)
    steps = np.unravel_index(np.arange(math.prod(shape)), shape)
    bad = steps[axis] < 5
    reasons, values, calls = told(shape, bad)
    assert set(values) == set(np.flatnonzero(~bad).tolist())
    assert set(reasons) == set(np.flatnonzero(bad).tolist())
    assert calls < 2_500


def test_where_nothing_can_be_predicted_the_search_ends_soon_and_says_so() -> None:
    shape = (128, 64)
    reasons, values, calls = told(shape, np.ones(math.prod(shape), dtype=bool))
    assert not values
    assert len(reasons) == math.prod(shape)
    assert calls < 400
    together = {text for text in reasons.values() if text != "refused"}
    assert all("points that are refused together: refused" in text for text in together)


def test_an_empty_column_keeps_every_cell() -> None:
    table = Table({"a": ["x", 'y "z"', "u,v", "w\nw", "r\r\nr"], "b": [1.0, 2.0, np.nan, 4, 5]})
    wider = Table({**dict(table), "c": ["", "", "", "", ""]})
    assert with_empty_column(csv_text(table).encode()) == csv_text(wider).encode()
    plain = table.where(np.array([True, False, False, False, False]))
    assert with_empty_column(csv_text(plain).encode()) == b"x,1,\n"


def test_sizes_that_a_network_does_not_take_are_rows_among_those_that_it_does() -> None:
    heights = list(range(1, 60))
    table = pm.sweep("squeezenet1_1", ["a100", "raspberry_pi_5"], {"height": heights})
    bad = table[REASON] != ""
    np.testing.assert_array_equal(bad, table["height"] < 17)  # the least that it states itself
    assert all(f"height={row.height:g}" in row[REASON] for row in table.where(bad).rows())
    for row in table.where(~bad)[::20].rows():
        one = pm.predict("squeezenet1_1", row.device, set={"height": row.height})
        assert row.latency_s == pytest.approx(one.latency_s, rel=1e-12)
