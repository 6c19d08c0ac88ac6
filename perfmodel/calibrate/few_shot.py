"""Few-shot calibration of a device: multipliers of the seconds of each class, fitted to a few rows.

A model of random effects: the logarithm of measured over predicted time is partly an effect of the
device, partly one of each class of work (convolutions, launches, main memory). The multiplier of a
class is a factor of the device times one of the class. Both have a prior centred at 1, whose width
is that of the errors on other measured devices (`perfmodel.evidence.scatter`), so that a single row
already moves all predictions in the right direction without overfitting.
`perfmodel.evaluate.calibration.calibrate` calls `few_shot`; `trial` measures how well it works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate.fit import Constant, Vector, fit_points
from perfmodel.calibrate.lock_step import EvaluatePoints, ManyPoints, run_in_lock_step
from perfmodel.evidence import Scatter
from perfmodel.hardware.calibration_posterior import Posterior
from perfmodel.hardware.runtime import SCALE_CLASSES

#: Name of the factor that all classes share.
DEVICE = "device"
#: Names of the fitted factors, in the order of its points.
NAMES = (DEVICE, *SCALE_CLASSES)
#: Bound on all factors: at most this, at least its inverse.
_MOST = 100.0
#: Matrix from logarithms of factors to those of multipliers, shape ``(classes, factors)``.
_JOINED = np.hstack([np.ones((len(SCALE_CLASSES), 1)), np.eye(len(SCALE_CLASSES))])
#: Number of fits, with prior deviations updated in between.
_ROUNDS = 3
#: Residuals beyond this many standard deviations are down-weighted.
_FAR = 2.0
#: Step in the logarithm of a multiplier for finite differences.
_STEP = 1e-5


@dataclass(frozen=True, slots=True)
class FewShotFit:
    """Multipliers fitted to measured rows, and their posterior covariance.

    Attributes
    ----------
    scale
        Class of seconds -> multiplier.
    predicted
        Predictions of every row, in the fit or not, shape ``(rows,)``.
    slopes
        Derivatives of log predictions by log multipliers, shape ``(rows, classes)``.
    covariance
        Posterior covariance of the logarithms of the multipliers, shape ``(classes, classes)``.
    noise, freedom
        Standard deviation of the logarithm of a row, and its degrees of freedom.
    rows
        Number of rows in the fit.
    """

    scale: Mapping[str, float]
    predicted: Vector
    slopes: Vector
    covariance: Vector
    noise: float
    freedom: float
    rows: int

    def posterior(self, workloads: Sequence[str]) -> Posterior:
        """Return the posterior, for predictions of some classes of workloads."""
        return Posterior(
            rows=self.rows,
            workloads=list(workloads),
            noise=self.noise,
            freedom=self.freedom,
            covariance=dict(zip(SCALE_CLASSES, self.covariance.tolist(), strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """Errors of calibrations on `k` rows, over random draws of the rows.

    Attributes
    ----------
    k, draws
        Number of rows in the fit, and number of draws.
    mape
        Mean absolute percentage error of the other rows, over all draws, as a fraction.
    low, high
        Central 90 % interval of `mape` over the draws.
    before
        The error of all rows without a calibration.
    inside
        Share of the other rows within their 90 % intervals.
    """

    k: int
    draws: int
    mape: float
    low: float
    high: float
    before: float
    inside: float


def multipliers(constants: Mapping[str, Any]) -> dict[str, Any]:
    """Return class of seconds -> multiplier: the device's factor times that of the class."""
    return {name: constants[DEVICE] * constants[name] for name in SCALE_CLASSES}


def spreads(pool: Scatter) -> Vector:
    """Return the prior standard deviations of the logarithms of the factors (`NAMES`).

    The bias of a device is the logarithm of its own factor plus those of the classes, weighted by
    their shares of the time. Half of the variance of biases is assigned to the device's factor; the
    other half is left to the classes, each with the full variance, because the squared shares of a
    network sum to about one half.
    """
    return pool.bias * np.array([np.sqrt(0.5), *[1.0] * len(SCALE_CLASSES)])


def prior(pool: Scatter) -> Vector:
    """Return the prior covariance of the logarithms of the multipliers."""
    return _JOINED @ np.diag(spreads(pool) ** 2) @ _JOINED.T


def unmeasured(pool: Scatter) -> FewShotFit:
    """Return the prior alone as a fit to no rows."""
    scale = dict.fromkeys(SCALE_CLASSES, 1.0)
    none = np.zeros((0, len(SCALE_CLASSES)))
    return FewShotFit(scale, none[:, 0], none, prior(pool), pool.noise, pool.freedom, 0)


def few_shot(
    forward: ManyPoints, measured: npt.ArrayLike, pool: Scatter, rows: Sequence[npt.ArrayLike]
) -> list[FewShotFit]:
    """Fit multipliers to each of several selections of rows, all in one batch.

    Least squares on the logarithm of predicted over measured, with a soft L1 loss, and a ridge of
    weight ``sigma_noise / sigma_prior`` on the logarithm of each factor; ``sigma_prior`` is that of
    `spreads`. ``sigma_noise`` starts at `pool.noise` and is updated by the rows, each with its
    residual times its leave-one-out residual ``r / (1 - h)``, where ``h`` is the leverage in the
    linearised fit (Allen, Technometrics 16(1), 1974)::

        noise ** 2 = (freedom * pool.noise ** 2 + sum(r ** 2 / (1 - h))) / (freedom + rows)

    Some devices deviate far more than most, so that the prior is Student's t, with the same degrees
    of freedom: all ``sigma_prior`` are multiplied by one number, from the logarithms ``x`` of the
    factors and their posterior variances ``v`` (one step of expectation maximisation; Lange, Little
    and Taylor, Journal of the American Statistical Association 84(408), 1989)::

        times ** 2 = (freedom + sum((x ** 2 + v) / sigma_prior ** 2)) / (freedom + factors)

    and the fit is repeated. The covariance is ``inv(inv(prior) + slopes.T @ slopes / noise ** 2)``.

    Parameters
    ----------
    forward
        Factors of the device and of each class (`NAMES`) -> predictions.
    measured
        Seconds, shape ``(rows,)``.
    pool
        Errors of predictions of this kind, from the evidence on other devices.
    rows
        Masks or indices of the rows in each fit.

    Raises
    ------
    ValueError
        No row, or measurements that are not positive.
    """
    truth = np.asarray(measured, dtype=float)
    numbers = [np.arange(truth.size)[np.asarray(one, dtype=None)] for one in rows]
    return run_in_lock_step(
        lambda points: forward.points(dict(zip(NAMES, points.T, strict=True))),
        [partial(_fit_few_shot, measured=truth, pool=pool, rows=one) for one in numbers],
    )


def _fit_few_shot(
    evaluate: EvaluatePoints, measured: Vector, pool: Scatter, rows: npt.NDArray[np.intp]
) -> FewShotFit:
    """Fit multipliers to some rows, with noise and widths of the prior re-estimated in rounds."""
    noise, spread, factors = pool.noise, spreads(pool), np.ones(len(NAMES))
    result = unmeasured(pool)
    for _ in range(_ROUNDS):
        constants = [
            Constant(name, start, 1.0 / _MOST, _MOST, noise / deviation, 1.0)
            for name, start, deviation in zip(NAMES, factors.tolist(), spread.tolist(), strict=True)
        ]
        best = fit_points(evaluate, measured, constants, rows, _FAR * noise)
        factors = np.array([best.constants[name] for name in NAMES])
        predicted, slopes = _linearised(evaluate, factors)
        seen = slopes[rows] @ _JOINED
        residuals = np.log(measured[rows] / predicted[rows])
        left = _posterior_covariance(seen, np.diag(spread**2), noise)
        free = 1.0 - np.einsum("ri,ij,rj->r", seen, left, seen) / noise**2
        freedom = pool.freedom + rows.size
        noise = np.sqrt((pool.freedom * pool.noise**2 + (residuals**2 / free).sum()) / freedom)
        standardised = (np.log(factors) ** 2 + np.diag(left)) / spreads(pool) ** 2
        spread = spreads(pool) * np.sqrt(
            (pool.freedom + standardised.sum()) / (pool.freedom + standardised.size)
        )
        result = FewShotFit(
            multipliers(dict(zip(NAMES, factors.tolist(), strict=True))),
            predicted,
            slopes,
            _JOINED @ _posterior_covariance(seen, np.diag(spread**2), noise) @ _JOINED.T,
            float(noise),
            float(freedom),
            rows.size,
        )
    return result


def _linearised(evaluate: EvaluatePoints, factors: Vector) -> tuple[Vector, Vector]:
    """Return predictions, and derivatives of their logarithms by those of the multipliers."""
    points = np.tile(factors, (len(NAMES), 1))
    points[1:, 1:] *= np.exp(_STEP * np.eye(len(SCALE_CLASSES)))
    seconds = evaluate(points)
    return seconds[0], (np.log(seconds[1:] / seconds[0]) / _STEP).T


def _posterior_covariance(slopes: Vector, before: Vector, noise: float) -> Vector:
    """Return the posterior covariance after measuring rows with the given derivatives."""
    seen = before @ slopes.T
    rows = slopes @ seen + noise**2 * np.eye(len(slopes))
    after = before - seen @ np.linalg.solve(rows, seen.T)
    return (after + after.T) / 2.0


def trial(
    forward: ManyPoints,
    measured: npt.ArrayLike,
    pool: Scatter,
    k: int = 10,
    *,
    draws: int = 200,
    seed: int = 0,
) -> Trial:
    """Calibrate on `k` random rows and evaluate on the others, many times.

    Raises
    ------
    ValueError
        No row would remain for evaluation.
    """
    truth = np.asarray(measured, dtype=float)
    if not 0 < k < truth.size:
        raise ValueError(f"{k} of {truth.size} rows leave none to judge on")
    rng = np.random.default_rng(seed)
    seen = np.zeros((draws, truth.size), dtype=np.bool_)
    for mask in seen:
        mask[rng.choice(truth.size, k, replace=False)] = True
    fits = few_shot(forward, truth, pool, list(seen))
    ratios = np.stack([one.predicted for one in fits]) / truth
    errors = np.abs(ratios - 1.0).mean(axis=1, where=~seen)
    factors = np.stack([one.posterior([]).factor(one.slopes, 0.9) for one in fits])
    inside = (np.abs(np.log(ratios)) <= np.log(factors)).mean(where=~seen)
    plain = forward(dict.fromkeys(NAMES, 1.0))
    before = np.abs(plain / truth - 1.0).mean()
    return Trial(
        k, draws, *map(float, (errors.mean(), *np.quantile(errors, [0.05, 0.95]), before, inside))
    )
