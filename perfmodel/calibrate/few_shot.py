"""A device from a few measured rows: multipliers of the seconds of each class, pulled towards 1.

What a model has wrong on a device is mostly wrong for a class of work: its convolutions, its
launches, its main memory. Ten measured networks tell those factors; a ridge prior on their
logarithms keeps at 1 what the rows do not determine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import first_number
from perfmodel.calibrate.fit import Constant, fit
from perfmodel.hardware.runtime import SCALE_CLASSES
from perfmodel.kinds.scaled import class_of
from perfmodel.prediction import Prediction

Vector = npt.NDArray[np.float64]

#: Weight of the pull of a multiplier's logarithm towards 0, beside one row's relative error.
PRIOR = 0.2
#: No class is off by more than this factor.
_MOST = 10.0
#: Relative error from which on a row counts less.
_SCALE = 0.05


@dataclass(frozen=True, slots=True)
class Trial:
    """Errors of calibrations on `k` rows, over draws of them.

    Attributes
    ----------
    k, draws
        Rows fitted on, and how often they were drawn.
    mape
        Of the other rows, the mean over all draws.
    low, high
        Between which 90 % of the draws lie.
    before
        Of all rows without a calibration.
    """

    k: int
    draws: int
    mape: float
    low: float
    high: float
    before: float


def class_seconds(prediction: Prediction) -> dict[str, float]:
    """Return class of seconds -> those of a prediction (one point); they add up to its latency.

    A row belongs to the class of its operator, or to ``memory`` where main memory bounds it; cold
    weights are ``memory``, dispatch is ``launch``; ``fixed`` is what no class multiplies.
    """
    columns = prediction._opened  # pyright: ignore[reportPrivateUsage]
    table, terms = columns
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    n = len(table.rows)

    def column(value: object) -> Vector:
        array = np.asarray(value, dtype=float)
        return np.broadcast_to(array if array.ndim else array.reshape(1, 1), (n, 1))[:, 0]

    count, whole = column(table.count), column(terms.row_s)
    out = dict.fromkeys((*SCALE_CLASSES, "fixed"), 0.0)
    overhead = np.zeros(n)
    for name, value in terms.overhead.items():
        seconds = column(value)
        overhead = overhead + seconds
        out["memory" if name == "cold_weights" else "launch"] += float(count @ seconds)
    cold = np.zeros(n) if terms.cold is None else column(terms.cold)
    out["memory"] += float(count @ cold)
    body = whole - overhead - cold
    arithmetic = sum((column(v) for v in terms.compute.values()), np.zeros(n))
    main = {setting.levels[-1], setting.weights_memory}
    others = [column(v) for level, v in terms.memory.items() if level not in main]
    last = [column(v) for level, v in terms.memory.items() if level in main]
    far = np.max(np.stack([*last, np.zeros(n)]), axis=0) - cold
    bound = far > np.max(np.stack([arithmetic, *others]), axis=0)
    for i, row in enumerate(table.rows):
        name = "memory" if bound[i] else class_of(row.kind)
        out[name] += float(count[i] * body[i])
    latency = first_number(prediction.latency_s)
    out["fixed"] = latency - sum(v for k, v in out.items() if k != "fixed")
    return out


def multipliers(
    seconds: npt.ArrayLike, measured: npt.ArrayLike, *, rows: npt.ArrayLike | None = None,
    prior: float = PRIOR,
) -> dict[str, float]:  # fmt: skip
    """Return class of seconds -> multiplier that fits measured rows best.

    Least squares on the logarithm of predicted over measured, with a soft L1 loss, plus
    ``prior * log(multiplier)`` for each class.

    Parameters
    ----------
    seconds
        Shape ``(rows, classes + 1)``: of `SCALE_CLASSES` and what is fixed.
    measured
        Seconds, shape ``(rows,)``.
    rows
        Mask or indices of the rows to fit on; all where left out.

    Raises
    ------
    ValueError
        No row, or measurements that are not positive.
    """
    parts = np.asarray(seconds, dtype=float)
    truth = np.asarray(measured, dtype=float)
    chosen = np.arange(truth.size) if rows is None else np.arange(truth.size)[np.asarray(rows)]
    constants = [
        Constant(name, 1.0, 1.0 / _MOST, _MOST, prior)
        for i, name in enumerate(SCALE_CLASSES)
        if (parts[chosen, i] > 0).any()
    ]

    found = fit(_Multiplied(parts[chosen]), truth[chosen], constants, scale=_SCALE)
    return {c.name: found.constants[c.name] for c in constants}


class _Multiplied:
    """Seconds of rows with the classes multiplied; a `perfmodel.calibrate.rounds.ManyPoints`."""

    def __init__(self, seconds: Vector) -> None:
        self._seconds = seconds

    def __call__(self, constants: Mapping[str, float]) -> Vector:
        return predicted(self._seconds, constants)

    def points(self, constants: Mapping[str, Vector]) -> Vector:
        """Return the seconds under many multipliers, ``(points, rows)``."""
        one = np.ones(len(next(iter(constants.values()))))
        weights = [*(constants.get(name, one) for name in SCALE_CLASSES), one]
        return np.stack(weights, axis=1) @ self._seconds.T


def predicted(seconds: npt.ArrayLike, scale: Mapping[str, float]) -> Vector:
    """Return seconds of rows with the classes multiplied, ``(rows,)``."""
    weights = np.array([*(scale.get(name, 1.0) for name in SCALE_CLASSES), 1.0])
    return np.asarray(seconds, dtype=float) @ weights


def trial(
    seconds: npt.ArrayLike, measured: Sequence[float] | Vector, k: int = 10, *, draws: int = 200,
    seed: int = 0, prior: float = PRIOR,
) -> Trial:  # fmt: skip
    """Calibrate on `k` random rows and judge on the others, many times.

    Raises
    ------
    ValueError
        No row would be left to judge on.
    """
    parts = np.asarray(seconds, dtype=float)
    truth = np.asarray(measured, dtype=float)
    if not 0 < k < truth.size:
        raise ValueError(f"{k} of {truth.size} rows leave none to judge on")
    rng = np.random.default_rng(seed)
    found = np.empty(draws)
    for i in range(draws):
        chosen = rng.choice(truth.size, k, replace=False)
        rest = np.setdiff1d(np.arange(truth.size), chosen)
        scale = multipliers(parts, truth, rows=chosen, prior=prior)
        found[i] = np.abs(predicted(parts[rest], scale) / truth[rest] - 1.0).mean()
    before = float(np.abs(predicted(parts, {}) / truth - 1.0).mean())
    low, high = np.quantile(found, [0.05, 0.95])
    return Trial(k, draws, float(found.mean()), float(low), float(high), before)
