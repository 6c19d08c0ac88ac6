"""A summary of pieces, merged in their order, is that of all rows at once."""

import numpy as np
import pytest

from perfmodel.sweep.plan import REASON
from perfmodel.sweep.summary import Summary
from perfmodel.table import Table


def random_rows(count: int, seed: int, refused: float, fitting: float) -> Table:
    rng = np.random.default_rng(seed)
    reasons = np.where(
        rng.random(count) < refused, rng.choice(["no room", "no runtime"], count), ""
    )
    energy = np.round(rng.random(count), 2)
    energy[rng.random(count) < 0.2] = np.nan
    return Table(
        {
            "device": rng.choice(["a100", "h100", "stm32h743"], count).astype(object),
            "batch": rng.choice([1.0, 2.0, 4.0], count),
            "latency_s": np.round(rng.random(count), 2),
            "energy_j": energy,
            "feasible": rng.random(count) < fitting,
            "basis": rng.choice(["measured", "transferred", "bound"], count).astype(object),
            REASON: reasons.astype(object),
        }
    )


def described(summary: Summary) -> dict[str, object]:
    tables = (summary.top, summary.front, summary.best_per)
    return {
        "counts": (summary.points, summary.rows, summary.feasible, summary.refused),
        "tables": [None if table is None else table.to_json() for table in tables],
        "unfit": summary.unfit.to_json() if summary.unfit and summary.top is None else None,
        "best": repr(summary.best),
        "devices": summary.unfit_devices,
        "reasons": {k: (r.points, set(r.devices)) for k, r in summary.reasons.items()},
        "lacking": {k: (r.points, set(r.devices)) for k, r in summary.unnumbered.items()},
        "bounds": None if summary.bounds is None else described(summary.bounds),
    }


@pytest.mark.parametrize("fitting", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("cuts", [[1], [5, 6, 40], list(range(3, 80, 7))])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_give_what_all_rows_give(seed: int, cuts: list[int], fitting: float) -> None:
    rows = random_rows(80, seed, 0.1 * (seed % 2), fitting)
    questions = Summary("energy_j", ("latency_s", "energy_j"), 5, ("batch",))

    def of(part: Table) -> Summary:
        summary = questions.empty_copy()
        summary.refuse(part, int((part[REASON] != "").sum()))
        summary.add(part, len(part))
        return summary

    merged = questions.empty_copy()
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        merged.merge(of(rows[start:stop]))
    expected = of(rows)
    merged.settle()
    expected.settle()
    assert described(merged) == described(expected)


@pytest.mark.parametrize("metric", ["area_mm2", "usd_per_inference", "steady_celsius"])
def test_rows_of_metrics_on_request_alone_are_listed_best_first(metric: str) -> None:
    summary = Summary(top=5)
    rows = Table({"device": np.array(["b", "a"], dtype=object), metric: np.array([2.0, 1.0])})
    summary.add(rows, 2)
    assert summary.top is not None
    assert summary.top[metric].tolist() == [1.0, 2.0]
