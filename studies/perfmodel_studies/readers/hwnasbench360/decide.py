"""What predicted costs decide among the measured cells: fronts, and the best cell under a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from perfmodel.evaluate.result import errors

from perfmodel_studies.decisions import (
    PERCENTILES,
    LimitScore,
    factor,
    front_score,
    limit_score,
    limits,
    random_front,
    random_limit,
    top_recall,
)
from perfmodel_studies.readers.hwnasbench360.rows import Bench

Floats: TypeAlias = npt.NDArray[np.float64]

#: Measured cells that the one factor of a calibration is from, and how often they are drawn anew.
CALIBRATED: Final = 10
DRAWS: Final = 20

#: The measured column of each cost.
TARGETS: Final = ("latency_s", "energy_j")


def decided(bench: Bench, costs: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the scores of a bench by target, on rows that no constant was fitted on.

    Parameters
    ----------
    costs
        Metric -> predictions of shape ``(n,)``: ``latency_s`` and ``macs``, may be ``energy_j``.

    Returns
    -------
    dict
        Target -> ``rows``, ``errors``, ``top_recall`` (of the hundredth part), ``front``,
        ``limits``, and the same of MACs as a proxy (``macs``) and of random searches with as many
        measurements as the predicted front has cells, and ten more (``random``).
    """
    unseen = ~bench.fitted
    selected = bench.select(unseen)
    out: dict[str, Any] = {}
    for target in TARGETS:
        measured: Floats = getattr(selected, target)
        numbers = np.concatenate([measured, selected.quality])
        if not numbers.size or not np.isfinite(numbers).all():
            continue
        # Where no power is known, energy is taken to go with time.
        predicted = costs.get(target, costs["latency_s"])[unseen]
        macs = costs["macs"][unseen]
        budget = front_score(predicted, measured, selected.quality).size + CALIBRATED
        out[target] = {
            "rows": len(measured),
            "errors": errors(predicted.tolist(), measured.tolist()),
            **_scores(predicted, measured, selected.quality, absolute=target in costs),
            "macs": _scores(macs, measured, selected.quality, absolute=False),
            "random": _random(measured, selected.quality, budget),
        }
    return out


def _scores(predicted: Floats, measured: Floats, quality: Floats, *, absolute: bool) -> Any:
    out: dict[str, Any] = {
        "spearman": errors(predicted.tolist(), measured.tolist())["spearman"],
        "top_recall": top_recall(predicted, measured, max(1, len(measured) // 100)),
        "front": asdict(front_score(predicted, measured, quality)),
        "limits": [],
    }
    rng = np.random.default_rng(0)
    few = min(CALIBRATED, len(measured))
    drawn = [rng.choice(len(measured), few, replace=False) for _ in range(DRAWS)]
    scales = [factor(predicted[i], measured[i]) for i in drawn]
    for percentile, limit in zip(PERCENTILES, limits(measured).tolist(), strict=True):
        one: dict[str, Any] = {"percentile": percentile, "limit": limit}
        if absolute:
            one["as_predicted"] = _mean([limit_score(predicted, measured, quality, limit)])
        one["calibrated"] = _mean(
            [limit_score(scale * predicted, measured, quality, limit) for scale in scales]
        )
        out["limits"].append(one)
    return out


def _mean(scores: list[LimitScore]) -> dict[str, float]:
    """Return means over draws of the calibration, and the worst regret of a cell that meets it."""
    return {
        "regret": float(np.mean([s.regret for s in scores])),
        "broken": float(np.mean([s.broken for s in scores])),
        "excess": float(np.mean([s.excess for s in scores])),
        "regret_met": float(np.mean([s.regret_met for s in scores])),
        "regret_met_worst": max(s.regret_met for s in scores),
        "tried": float(np.mean([s.tried for s in scores])),
    }


def _random(measured: Floats, quality: Floats, budget: int) -> dict[str, Any]:
    worst, nadir = random_front(measured, quality, budget)
    return {
        "measurements": budget,
        "hypervolume": worst,
        "hypervolume_nadir": nadir,
        "regret": [random_limit(measured, quality, at, budget) for at in limits(measured).tolist()],
    }
