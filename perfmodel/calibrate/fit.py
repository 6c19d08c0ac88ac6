"""Fit positive constants to measured times, and predict groups of rows that no fit has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Constant", "CrossValidatedFit", "Fit", "Forward", "fit", "left_out"]

Vector: TypeAlias = npt.NDArray[np.float64]
#: Constants by name -> predictions of all rows, shape ``(rows,)``, positive.
Forward: TypeAlias = Callable[[Mapping[str, float]], Vector]

#: Within this share of the range (on a logarithmic scale) of a bound, a constant sits at it.
_NEAR = 1e-3


@dataclass(frozen=True, slots=True)
class Constant:
    """A positive constant that a fit may move.

    Attributes
    ----------
    name
        Path of the fact (``runtime.kernels.gemm.launch``), or a word of the model's own.
    start
        Where the search begins, SI.
    low, high
        Bounds, SI; physics sets them (a share of a peak is at most 1).
    prior
        Weight of a pull towards `towards` (a residual of ``prior * log(value / towards)``); 0 for
        none.
    towards
        Where a prior pulls, SI; `start` where left out.
    """

    name: str
    start: float
    low: float
    high: float
    prior: float = 0.0
    towards: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit found.

    Attributes
    ----------
    constants
        Name -> value, SI.
    predicted
        Of every row, fitted on or not, shape ``(rows,)``.
    at_bound
        Constants that sit at a bound: the rows do not determine them.
    """

    constants: Mapping[str, float]
    predicted: Vector
    at_bound: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CrossValidatedFit:
    """Predictions of each group by a fit to all other groups.

    Attributes
    ----------
    predicted
        Shape ``(rows,)``.
    fits
        Group -> the fit that did not see it.
    """

    predicted: Vector
    fits: Mapping[str, Fit] = field(repr=False)


def fit(
    forward: Forward,
    measured: npt.ArrayLike,
    constants: Sequence[Constant],
    *,
    rows: npt.ArrayLike | None = None,
    scale: float = 0.1,
    weights: npt.ArrayLike | None = None,
) -> Fit:
    """Fit constants by least squares on the logarithm of predicted over measured.

    A soft L1 loss beyond `scale` keeps single rows from deciding. Constants move on a logarithmic
    scale within their bounds.

    Parameters
    ----------
    forward
        Constants -> predictions of all rows.
    measured
        Shape ``(rows,)``, positive.
    constants
        What may move.
    rows
        Mask or indices of the rows to fit on; all where left out.
    scale
        Relative error from which on a row counts less.
    weights
        Of the rows, shape ``(rows,)``; residuals are multiplied by them.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        Fewer than one row, or measurements that are not positive.
    """
    solver: Any = import_module("scipy.optimize").least_squares
    truth = np.asarray(measured, dtype=np.float64)
    kept = np.arange(truth.size) if rows is None else np.arange(truth.size)[np.asarray(rows)]
    if not kept.size or not np.all(truth[kept] > 0):
        raise ValueError("a fit needs at least one row, and measurements above zero")
    logs = np.log(truth[kept])
    share = np.ones(truth.size) if weights is None else np.asarray(weights, dtype=np.float64)
    names = [c.name for c in constants]
    low, high = (np.log([getattr(c, side) for c in constants]) for side in ("low", "high"))
    start = np.clip(np.log([c.start for c in constants]), low + 1e-9, high - 1e-9)
    prior = np.array([c.prior for c in constants])
    centre = np.log([c.start if c.towards is None else c.towards for c in constants])
    pulled = np.flatnonzero(prior)

    def named(x: Vector) -> dict[str, float]:
        return dict(zip(names, np.exp(x).tolist(), strict=True))

    def residuals(x: Vector) -> Vector:
        off = (np.log(forward(named(x))[kept]) - logs) * share[kept]
        return np.concatenate([off, prior[pulled] * (x - centre)[pulled]]) if pulled.size else off

    found = solver(
        residuals, start, bounds=(low, high), loss="soft_l1", f_scale=scale, xtol=1e-7, ftol=1e-9
    )
    x = np.asarray(found.x, dtype=np.float64)
    near = (x - low < _NEAR * (high - low)) | (high - x < _NEAR * (high - low))
    bound = tuple(name for name, at in zip(names, near.tolist(), strict=True) if at)
    values = named(x)
    return Fit(values, forward(values), bound)


def left_out(
    forward: Forward,
    measured: npt.ArrayLike,
    constants: Sequence[Constant],
    groups: Sequence[str],
    *,
    scale: float = 0.1,
    weights: npt.ArrayLike | None = None,
) -> CrossValidatedFit:
    """Predict each group of rows from constants fitted to all other groups.

    Parameters
    ----------
    forward, measured, constants, scale, weights
        As `fit` takes them.
    groups
        Of each row, such as its device; at least two differ.

    Returns
    -------
    LeftOut

    Raises
    ------
    ValueError
        Only one group, or as many labels as rows are not given.
    """
    truth = np.asarray(measured, dtype=np.float64)
    labels = np.asarray(groups)
    if labels.size != truth.size:
        raise ValueError(f"{truth.size} rows and {labels.size} groups")
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise ValueError("nothing is left to fit on: all rows are of one group")
    predicted = np.empty(truth.size)
    fits: dict[str, Fit] = {}
    for name in names:
        mine = labels == name
        fits[name] = found = fit(
            forward, truth, constants, rows=~mine, scale=scale, weights=weights
        )
        predicted[mine] = found.predicted[mine]
    return CrossValidatedFit(predicted, fits)
