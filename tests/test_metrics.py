"""Every declared metric in every answer that has it; refused with a reason where it is not."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.columns import more_is_better
from perfmodel.metrics import METRIC_ROWS, MetricRow

_OF_A_DESIGN = ("interval_s", "samples_per_s", "lut", "ff", "dsp", "bram")


class Case(NamedTuple):
    """A cheap network on a device that has a metric."""

    workload: Any
    device: Any
    precision: str | None = None


@cache
def _board(**facts: str) -> Case:
    paths = {path.replace("__", "."): value for path, value in facts.items()}
    board = pm.hardware("raspberry_pi_5")
    return Case(pm.workload("resnet8"), board.vary(paths) if paths else board)


@cache
def _model(**sizes: Any) -> Case:
    return Case(pm.workload("llama_3_2_1b", layers=2, **sizes), "rtx_4090", "w4a16")


@cache
def _on(device: str, network: str) -> Case:
    return Case(pm.workload(network), pm.hardware(device))


def case_of(name: str) -> Case:
    """Return a network on a device that has the metric."""
    if "token" in name or name in ("tpot_s", "kv_bytes"):
        return _model(phase="decode", context=64)
    if name == "ttft_s":
        return _model(phase="prefill", prompt=16)
    if name in ("area_mm2", "leakage_w"):
        return _on("eyeriss", "resnet8")
    if name.startswith("uram"):
        return _on("kv260", "jet_tagger")
    if name.rpartition("_")[0] in (*_OF_A_DESIGN, "resource") or name in _OF_A_DESIGN:
        return _on("hls4ml_ad08", "jet_tagger")
    if any(word in name for word in ("period", "average", "battery")):
        return _board(use__period="1 min", power__battery="20 Wh")
    if name == "burst_s":
        return _board(power__ambient="60 degC")
    return _board()


def value_of(name: str) -> float:
    """Return the metric of its case."""
    case = case_of(name)
    value = pm.predict(case.workload, case.device, precision=case.precision).metric(name)
    assert value is not None, name
    return float(value)


def names(word: str = "") -> list[Any]:
    """Return the rows of an answer, or all, as parameters."""
    rows = [row for row in METRIC_ROWS if not word or word in row.answers.split()]
    return [pytest.param(row, id=row.name) for row in rows]


@pytest.mark.parametrize("row", names())
def test_a_metric_is_a_number_in_the_json_of_a_prediction(row: MetricRow) -> None:
    case = case_of(row.name)
    p = pm.predict(case.workload, case.device, precision=case.precision)
    known = json.loads(json.dumps(p.to_dict()))[row.name]
    number = known[p.machine.main_memory] if isinstance(known, dict) else known
    assert number == pytest.approx(value_of(row.name))
    assert np.isfinite(number)


@pytest.mark.parametrize("row", names())
def test_a_metric_is_swept_limited_ranked_and_on_a_front(row: MetricRow) -> None:
    case, value, name = case_of(row.name), value_of(row.name), row.name
    shared: Any = {"precision": case.precision} if case.precision else {}
    subject = (case.workload, case.device)
    swept = pm.sweep(*subject, metrics=[name, "latency_s"], **shared)
    assert float(swept[name][0]) == pytest.approx(value)
    above, below = (f"{name} {sign} {value:.6g}" for sign in (">= 0.9 *", "> 1.1 *"))
    assert len(pm.sweep(*subject, metrics=[name], where=above, **shared)) == 1
    assert len(pm.sweep(*subject, metrics=[name], where=below, **shared)) == 0
    assert len(pm.sweep(*subject, metrics=["macs"], where=above, **shared)) == 1
    assert float(swept.best(name)[name]) == pytest.approx(value)
    assert len(swept.pareto(name, "latency_s")) == 1


@pytest.mark.parametrize("row", names("search"))
def test_a_metric_is_searched_for_and_limited(row: MetricRow) -> None:
    case, name = case_of(row.name), row.name
    # A limit that nothing breaks: the best configuration is that of an exhaustive enumeration.
    options: Any = {"precision": case.precision} if case.precision else {}
    choices: Any = {"weight_bits": [4, 8]}
    subject = (case.workload, case.device)
    few = {"constraints": f"{name} >= 0", "evaluations": 40}
    answer = pm.search(*subject, choices=choices, objective=name, **few, **options)
    assert answer.prediction is not None
    reached = answer.prediction.metric(name)
    assert float(reached) == pytest.approx(abs(answer.value), rel=1e-9)
    # Either all weights of 4 or all of 8 bits is a configuration of the space.
    for bits in (4, 8):
        settings = {"choices": {"weight_bits": [bits]}, "objective": name, **options}
        other = pm.search(*subject, **settings).prediction
        assert other is not None
        least, most = sorted([float(reached), float(other.metric(name))])
        best = most if more_is_better(name) else least
        assert float(reached) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("row", names())
def test_a_metric_that_is_not_searched_for_is_refused_with_its_reason(row: MetricRow) -> None:
    has = "search" in row.answers.split()
    assert has == (row.unsearched is None)
    if row.unsearched is None:
        return
    reason, instead = row.unsearched
    case = case_of(row.name)
    for asked in ({"objective": row.name}, {"constraints": f"{row.name} <= 1e9"}):
        with pytest.raises(pm.InputError, match=f"{row.name}, as {reason}; expected {instead}"):
            pm.search(case.workload, case.device, choices={"weight_bits": [4, 8]}, **asked)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("battery_hours", "no battery is stated"),
        ("interval_s", "no such design"),
        ("usd_per_million_tokens", "yields frames"),
        ("tpot_s", "no decoding"),
        ("average_power_w", "no period is set"),
        ("area_mm2", "no structure"),
    ],
)
def test_a_metric_that_a_device_or_network_lacks_is_refused_with_the_reason(
    name: str, reason: str
) -> None:
    board = pm.hardware("raspberry_pi_5")
    assert reason in pm.predict("resnet8", board).missing_reason(name)
    with pytest.raises(pm.InputError, match=reason):
        pm.search("resnet8", board, choices={"weight_bits": [4, 8]}, objective=name)
    with pytest.raises(pm.InputError, match=reason):
        pm.solve("resnet8", board, "batch", f"{name} <= 1")


@pytest.mark.parametrize("row", names())
def test_a_metric_is_compared_and_solved_until(row: MetricRow) -> None:
    case, value, name = case_of(row.name), value_of(row.name), row.name
    p = pm.predict(case.workload, case.device, precision=case.precision)
    rows = {each["metric"]: each for each in pm.compare(p, p).metrics.to_records()}
    assert rows[name]["a"] == rows[name]["b"] == pytest.approx(value)
    solved = pm.solve(
        case.workload,
        case.device,
        "runtime.per_run",
        f"{name} <= {2.0 * value + 1e-30:.9g}",
        precision=case.precision,
    )
    assert solved.to_dict()


@pytest.mark.parametrize("name", ["latency_s", "tpot_s", "area_mm2", "interval_s", "battery_hours"])
def test_predictions_that_have_the_metrics_are_explained_cited_and_reported(
    name: str, tmp_path: Path
) -> None:
    case = case_of(name)
    p = pm.predict(case.workload, case.device, precision=case.precision)
    assert "latency_s = " in p.explain()
    assert p.cite().cited
    p.report(tmp_path / "report.html")
    assert "<html" in (tmp_path / "report.html").read_text()
