"""Posterior of a calibration: uncertainty of its multipliers given the measured rows.

Predictions with calibrated constants derive their intervals from it: a multivariate Student's t
distribution of the log multipliers, plus the noise of single measurements.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from perfmodel.arrays import Value

#: Tolerated rounding error of the covariance, relative to its largest entry.
_ROUNDING = 1e-5


class Posterior(BaseModel):
    """Uncertainty of a calibration and spread of single measurements around its predictions.

    ``log(measured / predicted)`` of a latency follows Student's t with `freedom` degrees of freedom
    and squared scale ``s @ covariance @ s + noise ** 2``, where
    ``s = d log(latency) / d log(multiplier)`` per class.

    Attributes
    ----------
    rows
        Number of measured rows; 0 if only the pool of other devices determines the posterior.
    workloads
        Workload classes of the rows (`perfmodel.evidence.classes_of`).
    noise
        Standard deviation of the log latency ratio of one row.
    freedom
        Degrees of freedom.
    covariance
        Class of seconds -> covariances of its log multiplier with those of all classes, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int = Field(ge=0)
    workloads: list[str]
    noise: float = Field(gt=0, allow_inf_nan=False)
    freedom: float = Field(gt=0, allow_inf_nan=False)
    covariance: dict[str, list[float]] = Field(min_length=1)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        size = len(self.covariance)
        if any(len(row) != size for row in self.covariance.values()):
            raise ValueError(f"covariance is not {size} rows of {size} numbers")
        matrix = self.matrix
        least = _ROUNDING * float(np.abs(matrix).max())
        if not np.isfinite(matrix).all() or float(np.abs(matrix - matrix.T).max()) > least:
            raise ValueError("covariance is not symmetric")
        if float(np.linalg.eigvalsh(matrix).min()) < -least:
            raise ValueError("covariance has a variance below zero")
        return self

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Covariance of the log multipliers, shape ``(classes, classes)``."""
        return np.array(list(self.covariance.values()), dtype=float)

    def factor(self, slopes: Value, level: float) -> Value:
        """Return the factor f such that a share `level` of measurements is in [p / f, p f].

        Parameters
        ----------
        slopes
            ``d log(latency) / d log(multiplier)``, shape ``(..., classes)``; p is the prediction.
        level
            Central share of the measurements, below 1.
        """
        known = np.einsum("...i,ij,...j->...", slopes, self.matrix, slopes)
        return self.times(level, np.maximum(known, 0.0) + self.noise**2)

    def times(self, level: float, variance: Value) -> Value:
        """Return the factor of `factor` for a given squared scale.

        ``exp(t((1 + level) / 2; freedom) * sqrt(variance))`` with Student's t quantile.
        """
        student: Any = import_module("scipy.special").stdtrit
        return np.exp(float(student(self.freedom, 0.5 + level / 2.0)) * np.sqrt(variance))
