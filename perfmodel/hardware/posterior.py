"""What measured rows of a device leave open of its calibrated multipliers."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from perfmodel.arrays import Value

#: A variance may be below zero by this share of the largest: that is rounding.
_ROUNDING = 1e-5


class Posterior(BaseModel):
    """How sure a calibration is, and how far single rows lie from what it says.

    The logarithm of a measured over the predicted latency is Student's t with `freedom` degrees:
    its squared scale is ``s @ covariance @ s + noise ** 2``, where ``s`` holds the slopes of the
    logarithm of the latency over those of the multipliers.

    Attributes
    ----------
    rows
        Measured rows; 0 where the pool of other devices speaks alone.
    workloads
        Classes of workloads that they are of (`perfmodel.evidence.classes_of`).
    noise
        Standard deviation of the logarithm of one row.
    freedom
        Degrees of freedom.
    covariance
        Class of seconds -> covariances of the logarithm of its multiplier with those of all
        classes, in their order.
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
        """The covariance, shape ``(classes, classes)``."""
        return np.array(list(self.covariance.values()), dtype=float)

    def factor(self, slopes: Value, level: float) -> Value:
        """Return by which factor either way the central share `level` of measurements lies.

        Parameters
        ----------
        slopes
            Shape ``(..., classes)``.
        level
            The share, below 1.
        """
        known = np.einsum("...i,ij,...j->...", slopes, self.matrix, slopes)
        return self.times(level, np.maximum(known, 0.0) + self.noise**2)

    def times(self, level: float, variance: Value) -> Value:
        """Return by which factor either way that share lies where the squared scale is known."""
        student: Any = import_module("scipy.special").stdtrit
        return np.exp(float(student(self.freedom, 0.5 + level / 2.0)) * np.sqrt(variance))
