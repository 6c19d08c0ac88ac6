"""How far a prediction may be off, from the confidence of the facts that it used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.arrays import Value

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: Relative half-width by confidence. Not statistics: a declared judgement, wide on purpose. A data
#: sheet's peak or bandwidth is a ceiling that kernels seldom pass, so it is one-sided (see below).
WIDTHS = {"measured": 0.10, "datasheet": 0.30, "fitted": 0.15, "estimated": 0.60}

#: Dimensions of facts that make a machine faster as they grow, and of those that make it slower or
#: dearer. Clocks and units are not shifted: the peaks that follow them are; capacities neither.
_RATES = frozenset({"compute", "bandwidth", "bandwidth_per_clock", "fraction"})
_COSTS = frozenset({"time", "clocks", "energy_per_op", "energy_per_byte", "power"})


class Interval(NamedTuple):
    """A metric at the worst and best of its facts.

    Attributes
    ----------
    low, value, high
        Same unit as the metric.
    basis
        What the width means.
    """

    low: Value
    value: Value
    high: Value
    basis: str = "confidence classes of the facts used, all at once; not a statistical interval"


def interval(prediction: Prediction, metric: str = "latency_s") -> Interval:
    """Return a metric with every fact at its unfavourable and at its favourable end.

    Raises
    ------
    AttributeError
        The prediction has no such metric.
    """
    value = getattr(prediction, metric)
    ends = [getattr(_shifted(prediction, sign), metric) for sign in (-1, 1)]
    if isinstance(value, dict):
        raise TypeError(f"{metric} is one number a memory: ask for latency_s or energy_j")
    stacked = np.stack([np.asarray(v, dtype=float) for v in (*ends, value)])
    low, high = stacked.min(axis=0), stacked.max(axis=0)
    if not prediction.shape:
        return Interval(float(low), value, float(high))
    return Interval(low, value, high)


def _shifted(prediction: Prediction, sign: int) -> Prediction:
    """Return the prediction with rates lower (-1) or higher (+1), costs the other way.

    Which of the two a fact is, its dimension says.
    """
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    machine = job.machine
    changes: dict[str, Value] = {}
    for path, known in machine.provenance.items():
        value = machine.facts.get(path)
        width = WIDTHS.get(known.confidence or "", 0.0)
        dimension = machine.dimension(path)
        cost = dimension in _COSTS
        if value is None or not width or not (cost or dimension in _RATES):
            continue
        if path.startswith("links."):
            continue
        better = sign > 0
        if better and not cost and known.confidence == "datasheet":
            continue  # no kernel passes what a data sheet promises
        changed = value * (1.0 + width) if better != cost else value / (1.0 + width)
        if dimension == "fraction" and "sparse_speedup" not in path:
            changed = np.minimum(changed, np.maximum(value, 1.0))  # a share of a ceiling
        low, high, _ = machine.span(path)
        changes[path] = np.clip(changed, low, high)
    from dataclasses import replace

    return replace(job, machine=machine.vary(changes)).run()
