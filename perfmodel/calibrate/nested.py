"""Nested cross-validation: strength of priors and set of free constants chosen inside the loop.

Each constant is pulled towards the value of its family (partial pooling). The strength of the pull,
and whether constants besides the listed ones are free too, are chosen for each left-out group from
the other groups only: each of those is left out of them in turn, by one Newton step from the fit to
all of them (the infinitesimal jackknife of Giordano et al., "A Swiss Army Infinitesimal Jackknife",
AISTATS 2019; exact for linear least squares with a ridge).
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
    points_of,
    row_weights,
    unseen,
    without_each,
)
from perfmodel.calibrate.rounds import EvaluatePoints, Matrix

#: Strengths of the pull, the default first. At 1 the family's value weighs as much as a further
#: group whose rows are all proportional to the constant.
PULLS: Final = (0.1, 0.3, 0.03, 1.0, 0.0)
#: Candidates whose errors differ by less are ties.
_TIE: Final = 1e-9
#: Ridge, relative to the mean curvature, for constants that neither rows nor a pull determine.
_FLOOR: Final = 1e-9
#: Relative tolerance for a constant to count as unchanged by its fit.
_STAYED: Final = 1e-6


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

    def without_each(self, pull: Vector, moving: int) -> Matrix:
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
        slopes = self.slopes[:, :moving]
        parts = [self.groups == g for g in np.unique(self.groups)]
        curvature, right = (
            each.sum(0) - each
            for each in (
                np.stack([(slopes[at].T * weight[at]) @ slopes[at] for at in parts]),
                np.stack([slopes[at].T @ (weight[at] * target[at]) for at in parts]),
            )
        )
        floor = _FLOOR * np.trace(curvature, axis1=1, axis2=2) / moving + 1e-300
        ridge = (pull[:moving] ** 2 + floor[:, None])[..., None] * np.eye(moving)
        out = np.zeros((len(parts), len(pull)))
        out[:, :moving] = np.linalg.solve(curvature + ridge, right[..., None])[..., 0]
        return np.clip(out, self.low, self.high)

    def error(self, pull: Vector, moving: int) -> float:
        """Return the mean absolute residual with each row's group left out; see `without_each`."""
        steps = self.without_each(pull, moving) - self.offset
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
    trial = _trial(measured, constants, groups, scale, weights)
    results = without_each(forward, constants.constants, groups, trial.fitted)
    fits = {name: fit for name, (fit, _) in results.items()}
    choices = {name: choice for name, (_, choice) in results.items()}
    return NestedFit(unseen(fits, groups), fits, choices)


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
    trial = _trial(measured, constants, groups, scale, weights)
    every = np.ones(len(groups), np.bool_)
    return trial.fitted(every, points_of(forward, constants.constants))


def _trial(
    measured: npt.ArrayLike,
    constants: PulledConstants,
    groups: Sequence[str],
    scale: float,
    weights: npt.ArrayLike | None,
) -> _NestedTrial:
    truth, labels = np.asarray(measured, dtype=np.float64), np.asarray(groups)
    return _NestedTrial(truth, constants, labels, scale, row_weights(weights, truth.size))


@dataclass(frozen=True, slots=True)
class _NestedTrial:
    measured: Vector
    constants: PulledConstants
    labels: npt.NDArray[np.str_]
    scale: float
    weights: Vector

    def fitted(self, seen: Mask, evaluate: EvaluatePoints) -> tuple[Fit, PullChoice]:
        """Return the fit to some rows, and the choice made on them."""
        rows = np.flatnonzero(seen & (self.weights > 0))
        groups, numbers = np.unique(self.labels[rows], return_inverse=True)
        # Unit weight of the pull: that of the rows of one group.
        weight = float(np.sqrt(np.sum(self.weights[rows] ** 2) / len(groups)))
        unit = np.where(self.constants.pulled, weight, 0.0)
        size = len(unit)
        base = self._fitted(evaluate, rows, PULLS[0] * unit, size)
        if len(groups) == 1:
            return base, PullChoice(PULLS[0], True, None)
        near = self._linearised(evaluate, rows, numbers, base)
        sizes = dict.fromkeys((size, size - self.constants.joining))
        candidates = [(pull, moving) for moving in sizes for pull in PULLS]
        errors = [near.error(pull * unit, moving) for pull, moving in candidates]
        best = int(np.argmin(np.round(np.array(errors) / _TIE)))
        pull, moving = candidates[best]
        fit = base if best == 0 else self._fitted(evaluate, rows, pull * unit, moving)
        return fit, PullChoice(pull, moving == size, errors[best])

    def _fitted(
        self, evaluate: EvaluatePoints, rows: npt.NDArray[np.intp], pulls: Vector, moving: int
    ) -> Fit:
        """Return a fit of the first constants, all others at their families' values.

        Where no row is sensitive to a listed constant at its family's value (memory-bound
        attention), the fit continues from that constant's own start, and the better of both is
        kept.
        """
        constants, centre = self.constants.constants, np.exp(self.constants.logs[1])

        def padded(points: Matrix) -> Matrix:
            fixed = np.broadcast_to(centre[moving:], (len(points), len(centre) - moving))
            return evaluate(np.concatenate([points, fixed], axis=1))

        listed = [
            replace(c, start=at, towards=at, prior=pull)
            for c, at, pull in zip(constants, centre.tolist(), pulls.tolist(), strict=True)
        ]
        fixed = {c.name: c.start for c in listed[moving:]}

        def fit_from(start: Mapping[str, float]) -> Fit:
            begun = [replace(c, start=start[c.name]) for c in listed[:moving]]
            fit = fit_points(
                padded, self.measured, begun, rows, self.scale, self.weights, squared_pulls=True
            )
            return replace(fit, constants={**fit.constants, **fixed})

        fit = fit_from({c.name: c.start for c in listed})
        unfelt = {
            c.name: c.start
            for c, family in zip(constants[:moving], listed, strict=False)
            if math.isclose(fit.constants[c.name], family.start, rel_tol=_STAYED)
        }
        if all(fit.constants[name] == start for name, start in unfelt.items()):
            return fit
        again = fit_from({**fit.constants, **unfelt})
        return min(fit, again, key=lambda f: self._loss(f, rows, pulls[:moving]))

    def _loss(self, fit: Fit, rows: npt.NDArray[np.intp], pulls: Vector) -> float:
        """Return the objective of a fit: soft L1 of the rows plus squares of the pulls."""
        offset = (self._logs(fit) - self.constants.logs[1])[: len(pulls)]
        residuals = self._residuals(fit.predicted, rows) / self.scale
        soft = 2.0 * (np.sqrt(1.0 + residuals**2) - 1.0)
        return float(self.scale**2 * np.sum(soft) + np.sum((pulls * offset) ** 2))

    def _logs(self, fit: Fit) -> Vector:
        return np.log([fit.constants[c.name] for c in self.constants.constants])

    def _residuals(self, predicted: Matrix, rows: npt.NDArray[np.intp]) -> Matrix:
        return np.log(predicted[..., rows] / self.measured[rows]) * self.weights[rows]

    def _linearised(
        self,
        evaluate: EvaluatePoints,
        rows: npt.NDArray[np.intp],
        numbers: npt.NDArray[np.intp],
        fit: Fit,
    ) -> LinearisedRows:
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
