"""Nested cross-validation: weights of priors and free constants are chosen inside the loop.

Each constant is shrunk towards the value of its family (partial pooling). For each group that is
left out, the weight of this prior (the *pull*), and whether constants besides the listed ones are
free, are those with the least error on the other groups, each of which is left out in turn. This
inner loop takes one Newton step from the fit to all of them instead of a new fit (the infinitesimal
jackknife of Giordano et al., "A Swiss Army Infinitesimal Jackknife", AISTATS 2019; exact for linear
least squares with a ridge).

`perfmodel.evaluate.nested_refit` provides constants and families for the data sets of the package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate.fit import (
    Constant,
    CrossValidatedFit,
    Fit,
    Forward,
    Mask,
    ResidualsAndSlopes,
    Vector,
    fit_points,
    out_of_sample,
    points_of,
    row_weights,
    without_each,
)
from perfmodel.calibrate.lock_step import EvaluatePoints, Matrix

#: Strengths of the pull, the default first. At 1 the family's value weighs as much as a further
#: group whose rows are all proportional to the constant.
PULL_WEIGHTS: Final = (0.1, 0.3, 0.03, 1.0, 0.0)
#: Candidates whose errors differ by less are ties.
_TIED_ERRORS: Final = 1e-9
#: Ridge, relative to the mean curvature, for constants that neither rows nor a pull determine.
_RELATIVE_RIDGE: Final = 1e-9
#: Relative tolerance for a constant to count as unchanged by its fit.
_UNCHANGED: Final = 1e-6


@dataclass(frozen=True, slots=True)
class PulledConstants:
    """Constants that are free in a nested cross-validation.

    Attributes
    ----------
    constants
        The listed ones first. `Constant.towards` is the value of the family (`Constant.start` if
        left out): the initial value, and the result for a constant that no row determines.
    pulled
        Mask of constants that are pulled to it, shape ``(constants,)``.
    joining
        Number of constants at the end that are free only if the choice says so, and otherwise at
        their family's value.
    """

    constants: Sequence[Constant]
    pulled: npt.NDArray[np.bool_]
    joining: int = 0

    @property
    def logs(self) -> tuple[Vector, Vector, Vector]:
        """Logarithms of lower bounds, family values and upper bounds."""
        low, high = (np.log([getattr(c, at) for c in self.constants]) for at in ("low", "high"))
        return low, np.clip(np.log([c.centre for c in self.constants]), low, high), high


@dataclass(frozen=True, slots=True)
class PullChoice:
    """Choice made without a group.

    Attributes
    ----------
    pull
        Strength, one of `PULLS`.
    joins
        Whether the constants besides the listed ones are free.
    error
        Mean absolute log(predicted / measured) of the other groups, each left out; ``None`` if
        there was only one.
    """

    pull: float
    joins: bool
    error: float | None


@dataclass(frozen=True, slots=True)
class NestedFit(CrossValidatedFit):
    """Predictions of each group with constants, and a pull, determined by all other groups.

    Attributes
    ----------
    choices
        Group -> choice made without it.
    """

    choices: Mapping[str, PullChoice]


@dataclass(frozen=True, slots=True)
class LinearisedRows:
    """Rows of several groups linearised at a fit, for leave-one-group-out without refitting.

    Attributes
    ----------
    residuals
        Log residuals at the fit, shape ``(rows,)``.
    slopes
        Their derivatives by the logarithms of constants, shape ``(rows, constants)``.
    offset
        Logarithms of the fit minus those of the families' values, shape ``(constants,)``.
    groups
        Index of each row's group, shape ``(rows,)``.
    low, high
        Bounds minus the families' values, logarithms.
    scale
        Relative error beyond which a row is down-weighted.
    """

    residuals: Vector
    slopes: Matrix
    offset: Vector
    groups: npt.NDArray[np.intp]
    low: Vector
    high: Vector
    scale: float

    def without_each(self, pull: Vector, free_count: int) -> Matrix:
        """Return the constants without each group, relative to the families' values.

        Rows are weighted by the derivative of the soft L1 loss, as in one step of iteratively
        reweighted least squares.

        Parameters
        ----------
        pull
            Weight of the pull of each constant, shape ``(constants,)``.
        moving
            Number of leading constants that are free; the others have their families' values.

        Returns
        -------
        ndarray
            Shape ``(groups, constants)``.
        """
        weight = (1.0 + (self.residuals / self.scale) ** 2) ** -0.5
        target = self.slopes @ self.offset - self.residuals
        slopes = self.slopes[:, :free_count]
        parts = [self.groups == g for g in np.unique(self.groups)]
        curvature, right = (
            each.sum(0) - each
            for each in (
                np.stack([(slopes[at].T * weight[at]) @ slopes[at] for at in parts]),
                np.stack([slopes[at].T @ (weight[at] * target[at]) for at in parts]),
            )
        )
        floor = _RELATIVE_RIDGE * np.trace(curvature, axis1=1, axis2=2) / free_count + 1e-300
        ridge = (pull[:free_count] ** 2 + floor[:, None])[..., None] * np.eye(free_count)
        out = np.zeros((len(parts), len(pull)))
        out[:, :free_count] = np.linalg.solve(curvature + ridge, right[..., None])[..., 0]
        return np.clip(out, self.low, self.high)

    def error(self, pull: Vector, free_count: int) -> float:
        """Return the mean absolute residual with each row's group left out; see `without_each`."""
        steps = self.without_each(pull, free_count) - self.offset
        moves: Vector = np.sum(self.slopes * steps[self.groups], axis=1)
        return float(np.mean(np.abs(self.residuals + moves)))


def nested_left_out(
    forward: Forward,
    measured: npt.ArrayLike,
    constants: PulledConstants,
    groups: Sequence[str],
    *,
    scale: float = 0.1,
    weights: npt.ArrayLike | None = None,
) -> NestedFit:
    """Predict each group of rows from all other groups, which also choose the pull.

    Parameters
    ----------
    forward, measured, groups, scale, weights
        As in `perfmodel.calibrate.left_out`.
    constants
        Free constants, and the values towards which they are pulled.

    Returns
    -------
    NestedFit
        With two groups there is no inner cross-validation: all constants are free then, under the
        first of `PULLS`.
    """
    trial = _cross_validation(measured, constants, groups, scale, weights)
    results = without_each(forward, constants.constants, groups, trial.fit_and_choice)
    fits = {name: fit for name, (fit, _) in results.items()}
    choices = {name: choice for name, (_, choice) in results.items()}
    return NestedFit(out_of_sample(fits, groups), fits, choices)


def pooled_fit(
    forward: Forward,
    measured: npt.ArrayLike,
    constants: PulledConstants,
    groups: Sequence[str],
    *,
    scale: float = 0.1,
    weights: npt.ArrayLike | None = None,
) -> tuple[Fit, PullChoice]:
    """Fit constants to all rows, with the pull chosen by leaving out each group.

    Parameters
    ----------
    forward, measured, constants, groups, scale, weights
        As in `nested_left_out`.

    Returns
    -------
    Fit, PullChoice
        Constants for a device without measurements, and the choice.
    """
    trial = _cross_validation(measured, constants, groups, scale, weights)
    every = np.ones(len(groups), np.bool_)
    return trial.fit_and_choice(every, points_of(forward, constants.constants))


def _cross_validation(
    measured: npt.ArrayLike,
    constants: PulledConstants,
    groups: Sequence[str],
    scale: float,
    weights: npt.ArrayLike | None,
) -> _NestedCrossValidation:
    """Return the nested cross-validation of some rows, with inputs as arrays."""
    truth, labels = np.asarray(measured, dtype=np.float64), np.asarray(groups)
    return _NestedCrossValidation(truth, constants, labels, scale, row_weights(weights, truth.size))


@dataclass(frozen=True, slots=True)
class _NestedCrossValidation:
    """Rows and constants of a nested cross-validation; fits with any rows left out."""

    measured: Vector
    constants: PulledConstants
    labels: npt.NDArray[np.str_]
    scale: float
    weights: Vector

    def fit_and_choice(self, seen: Mask, evaluate: EvaluatePoints) -> tuple[Fit, PullChoice]:
        """Return the fit to some rows, and the choice made on them."""
        rows = np.flatnonzero(seen & (self.weights > 0))
        groups, numbers = np.unique(self.labels[rows], return_inverse=True)
        # Unit weight of the pull: that of the rows of one group, for a spread by a factor of e.
        weight = float(np.sqrt(np.sum(self.weights[rows] ** 2) / len(groups)))
        spread = np.log([c.spread for c in self.constants.constants])
        unit = np.where(self.constants.pulled, weight / spread, 0.0)
        size = len(unit)
        base = self._fit_leading(evaluate, rows, PULL_WEIGHTS[0] * unit, size)
        if len(groups) == 1:
            return base, PullChoice(PULL_WEIGHTS[0], True, None)
        near = self._linearised_rows(evaluate, rows, numbers, base)
        sizes = dict.fromkeys((size, size - self.constants.joining))
        candidates = [(pull, free_count) for free_count in sizes for pull in PULL_WEIGHTS]
        errors = [near.error(pull * unit, free_count) for pull, free_count in candidates]
        best = int(np.argmin(np.round(np.array(errors) / _TIED_ERRORS)))
        pull, free_count = candidates[best]
        fit = base if best == 0 else self._fit_leading(evaluate, rows, pull * unit, free_count)
        return fit, PullChoice(pull, free_count == size, errors[best])

    def _fit_leading(
        self, evaluate: EvaluatePoints, rows: npt.NDArray[np.intp], pulls: Vector, free_count: int
    ) -> Fit:
        """Return a fit of the first constants, all others at their families' values.

        Where no row is sensitive to a listed constant at its family's value (memory-bound
        attention), the fit continues from that constant's own start, and the better of both is
        kept.
        """
        constants, centre = self.constants.constants, np.exp(self.constants.logs[1])

        def padded(points: Matrix) -> Matrix:
            fixed = np.broadcast_to(centre[free_count:], (len(points), len(centre) - free_count))
            return evaluate(np.concatenate([points, fixed], axis=1))

        listed = [
            replace(c, start=at, towards=at, prior=pull)
            for c, at, pull in zip(constants, centre.tolist(), pulls.tolist(), strict=True)
        ]
        fixed = {c.name: c.start for c in listed[free_count:]}

        def fit_from(start: Mapping[str, float]) -> Fit:
            started = [replace(c, start=start[c.name]) for c in listed[:free_count]]
            fit = fit_points(
                padded, self.measured, started, rows, self.scale, self.weights, squared_pulls=True
            )
            return replace(fit, constants={**fit.constants, **fixed})

        fit = fit_from({c.name: c.start for c in listed})
        insensitive = {
            c.name: c.start
            for c, family in zip(constants[:free_count], listed, strict=False)
            if math.isclose(fit.constants[c.name], family.start, rel_tol=_UNCHANGED)
        }
        if all(fit.constants[name] == start for name, start in insensitive.items()):
            return fit
        refitted = fit_from({**fit.constants, **insensitive})
        return min(fit, refitted, key=lambda f: self._loss(f, rows, pulls[:free_count]))

    def _loss(self, fit: Fit, rows: npt.NDArray[np.intp], pulls: Vector) -> float:
        """Return the objective of a fit: soft L1 of the rows plus squares of the pulls."""
        offset = (self._logs(fit) - self.constants.logs[1])[: len(pulls)]
        residuals = self._residuals(fit.predicted, rows) / self.scale
        soft = 2.0 * (np.sqrt(1.0 + residuals**2) - 1.0)
        return float(self.scale**2 * np.sum(soft) + np.sum((pulls * offset) ** 2))

    def _logs(self, fit: Fit) -> Vector:
        """Return the logarithms of the fitted constants."""
        return np.log([fit.constants[c.name] for c in self.constants.constants])

    def _residuals(self, predicted: Matrix, rows: npt.NDArray[np.intp]) -> Matrix:
        """Return weighted log residuals of some rows."""
        return np.log(predicted[..., rows] / self.measured[rows]) * self.weights[rows]

    def _linearised_rows(
        self,
        evaluate: EvaluatePoints,
        rows: npt.NDArray[np.intp],
        numbers: npt.NDArray[np.intp],
        fit: Fit,
    ) -> LinearisedRows:
        """Return residuals and slopes of some rows at a fit."""
        x = self._logs(fit)
        low, centre, high = self.constants.logs
        steps = ResidualsAndSlopes(
            lambda at: self._residuals(evaluate(np.exp(at)), rows), low, high
        )
        return LinearisedRows(
            steps.residuals(x),
            steps.slopes(x),
            x - centre,
            numbers,
            low - centre,
            high - centre,
            self.scale,
        )
