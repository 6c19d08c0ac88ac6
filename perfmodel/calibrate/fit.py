"""Fits of positive constants to measured times, and leave-one-group-out cross-validation.

The objective is the sum over rows of ``rho(log(predicted / measured))``, with ``rho`` the soft L1
loss ``2 s^2 (sqrt(1 + (r / s)^2) - 1)``, plus ``prior * log(value / centre)`` for constants with a
prior. It is minimised within bounds on the logarithms of the constants by scipy's trust-region
reflective least squares (Branch, Coleman and Li, SIAM J. Sci. Comput. 21(1), 1999), with slopes by
finite differences from one batched evaluation. Users call `fit` and `left_out`; refits of data sets
(`perfmodel.evaluate.refit`) are built on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate.lock_step import EvaluatePoints, ManyPoints, run_in_lock_step

T = TypeVar("T")
Vector: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
#: Constants by name -> predictions of all rows, shape ``(rows,)``, positive.
Forward: TypeAlias = Callable[[Mapping[str, float]], Vector]

#: A constant is at a bound if within this share of its logarithmic range.
_NEAR = 1e-3
#: Finite-difference step, relative to a logarithm (absolute below 1).
_STEP = float(np.sqrt(np.finfo(np.float64).eps))
#: Least weight of a prior. Directions in which constants do not change any fitted row are singular,
#: and a solver may move along them to a bound: constants of a device that is left out, for example.
_RIDGE = 1e-5
#: Differences of logarithms up to this size count as rounding.
_ROUNDING = 64.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Constant:
    """A positive constant that is free in a fit.

    Attributes
    ----------
    name
        Path of the fact (``runtime.kernels.gemm.launch``), or a model-specific name.
    start
        Initial value, SI.
    low, high
        Bounds, SI, from physics (a share of a peak is at most 1).
    prior
        Weight of the prior, a residual of ``prior * log(value / towards)``; 0 for a constant that
        only stays at its centre where no row tells it.
    towards
        Centre of the prior, SI; `start` if left out.
    spread
        Factor either way within which the family has the constant (its geometric standard
        deviation); a pull towards the family's value is divided by its logarithm.
    """

    name: str
    start: float
    low: float
    high: float
    prior: float = 0.0
    towards: float | None = None
    spread: float = math.e

    @property
    def centre(self) -> float:
        """Centre of the prior."""
        return self.start if self.towards is None else self.towards


@dataclass(frozen=True, slots=True)
class Fit:
    """Result of a fit.

    Attributes
    ----------
    constants
        Name -> value, SI.
    predicted
        Predictions of every row, in the fit or not, shape ``(rows,)``.
    at_bound
        Constants at a bound: the rows do not determine them.
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
        Out-of-sample prediction of each row, shape ``(rows,)``.
    fits
        Group -> fit that excludes it.
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

    A soft L1 loss beyond `scale` limits the influence of single rows and single priors. Constants
    vary on a logarithmic scale within their bounds.

    Parameters
    ----------
    forward
        Constants -> predictions of all rows. One that evaluates many points at once (`ManyPoints`)
        is called for value and derivatives together.
    measured
        Shape ``(rows,)``, positive.
    constants
        Constants that are free in the fit.
    rows
        Mask or indices of the rows in the fit; all if left out.
    scale
        Relative error beyond which a row is down-weighted.
    weights
        Factors on the residuals of the rows, shape ``(rows,)``.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        Fewer than one row, or measurements that are not positive.
    """
    return fit_points(points_of(forward, constants), measured, constants, rows, scale, weights)


def points_of(forward: Forward, constants: Sequence[Constant]) -> EvaluatePoints:
    """Return a forward function over many points, in a loop if it evaluates only one."""
    names = [c.name for c in constants]
    if isinstance(forward, ManyPoints):
        return lambda points: forward.points(dict(zip(names, points.T, strict=True)))
    return lambda points: np.stack(
        [forward(dict(zip(names, point, strict=True))) for point in points.tolist()]
    )


def fit_points(
    evaluate: EvaluatePoints,
    measured: npt.ArrayLike,
    constants: Sequence[Constant],
    rows: npt.ArrayLike | None = None,
    scale: float = 0.1,
    weights: npt.ArrayLike | None = None,
    *,
    squared_pulls: bool = False,
) -> Fit:
    """Fit constants as `fit` does, with a function that evaluates many points at once.

    With `squared_pulls` priors have a quadratic loss, so that no rows drag a constant far from the
    value of its family.
    """
    solver: Any = import_module("scipy.optimize").least_squares
    truth = np.asarray(measured, dtype=np.float64)
    fitted = np.arange(truth.size)[slice(None) if rows is None else np.asarray(rows)]
    if not fitted.size or not np.all(truth[fitted] > 0):
        raise ValueError("a fit needs at least one row, and measurements above zero")
    logs = np.log(truth[fitted])
    share = row_weights(weights, truth.size)[fitted]
    low, high = (np.log([getattr(c, side) for c in constants]) for side in ("low", "high"))
    start = np.clip(np.log([c.start for c in constants]), low + 1e-9, high - 1e-9)
    prior = np.maximum([c.prior for c in constants], _RIDGE)
    centre = np.log([c.centre for c in constants])

    def residuals_of(x: Vector) -> Vector:
        errors = (np.log(evaluate(np.exp(x))[..., fitted]) - logs) * share
        return np.concatenate([errors, prior * (x - centre)], axis=-1)

    steps = ResidualsAndSlopes(residuals_of, low, high)
    result = solver(
        steps.residuals,
        start,
        jac=steps.slopes,
        bounds=(low, high),
        loss=partial(_soft_l1_and_squares, fitted.size) if squared_pulls else "soft_l1",
        f_scale=scale,
        xtol=1e-7,
        ftol=1e-9,
    )
    x = np.asarray(result.x, dtype=np.float64)
    near = np.minimum(x - low, high - x) < _NEAR * (high - low)
    values = {c.name: value for c, value in zip(constants, np.exp(x).tolist(), strict=True)}
    bound = tuple(name for name, at in zip(values, near.tolist(), strict=True) if at)
    return Fit(values, evaluate(np.exp(x)[None])[0], bound)


def row_weights(weights: npt.ArrayLike | None, rows: int) -> Vector:
    """Return weights of `rows` rows; 1 each if none are stated."""
    return np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)


def _soft_l1_and_squares(rows: int, squares: Vector) -> Vector:
    """Return scipy's loss and its two derivatives: soft L1 for rows, quadratic for priors.

    The linear tail of a soft L1 prior could not hold a constant against rows that drag it along.
    """
    out = np.zeros((3, squares.size))
    out[0], out[1] = squares, 1.0
    root = np.sqrt(1.0 + squares[:rows])
    out[:, :rows] = 2.0 * (root - 1.0), 1.0 / root, -0.5 * root**-3
    return out


class ResidualsAndSlopes:
    """Residuals at a point and their forward differences, from one batched evaluation."""

    def __init__(self, residuals: Callable[[Vector], Vector], low: Vector, high: Vector) -> None:
        self._residuals, self._low, self._high = residuals, low, high
        self._at: Vector | None = None
        self._values = np.empty((0, 0))
        self._steps = np.empty(0)

    def _evaluate(self, x: Vector) -> None:
        """Evaluate a point and its finite differences in one call, unless known."""
        if self._at is not None and np.array_equal(self._at, x):
            return
        steps = _STEP * np.where(x >= 0, 1.0, -1.0) * np.maximum(1.0, np.abs(x))
        outside = (x + steps > self._high) | (x + steps < self._low)
        steps = np.where(outside, -steps, steps)
        self._at, self._steps = x.copy(), (x + steps) - x
        self._values = self._residuals(np.concatenate([x[None], x + np.diag(steps)]))

    def residuals(self, x: Vector) -> Vector:
        """Return the residuals at a point."""
        self._evaluate(x)
        return self._values[0]

    def slopes(self, x: Vector) -> Vector:
        """Return their derivatives, shape ``(residuals, constants)``.

        The derivative is 0 for a residual that changes by no more than rounding: otherwise
        the solver would follow the noise and move an undetermined constant from its start.
        """
        self._evaluate(x)
        changes = self._values[1:] - self._values[0]
        changes[np.abs(changes) <= _ROUNDING] = 0.0
        return (changes / self._steps[:, None]).T


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
        As in `fit`.
    groups
        Group of each row, for example its device; at least two groups.

    Returns
    -------
    LeftOut

    Raises
    ------
    ValueError
        Only one group, or a number of labels other than that of rows.
    """
    truth = np.asarray(measured, dtype=np.float64)
    if len(groups) != truth.size:
        raise ValueError(f"{truth.size} rows and {len(groups)} groups")
    if len(set(groups)) < 2:
        raise ValueError("nothing is left to fit on: all rows are of one group")

    def without(others: Mask, evaluate: EvaluatePoints) -> Fit:
        return fit_points(evaluate, truth, constants, others, scale, weights)

    fits = without_each(forward, constants, groups, without)
    return CrossValidatedFit(out_of_sample(fits, groups), fits)


def without_each(
    forward: Forward,
    constants: Sequence[Constant],
    groups: Sequence[str],
    fit_others: Callable[[Mask, EvaluatePoints], T],
) -> dict[str, T]:
    """Return group -> fit without it, all run in lock step.

    Parameters
    ----------
    fit_others
        Called with the mask of rows of the other groups, and with the function for all rows.
    """
    labels = np.asarray(groups)
    fits = {name: partial(fit_others, labels != name) for name in dict.fromkeys(groups)}
    results = run_in_lock_step(points_of(forward, constants), list(fits.values()))
    return dict(zip(fits, results, strict=True))


def out_of_sample(fits: Mapping[str, Fit], groups: Sequence[str]) -> Vector:
    """Return the prediction of each row by the fit that excludes its group."""
    return np.array([fits[group].predicted[row] for row, group in enumerate(groups)])
