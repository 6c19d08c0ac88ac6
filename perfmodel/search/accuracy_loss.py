"""Loss of accuracy of choices, from tables of an accuracy model or from a callable."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.search.exact import Sum
from perfmodel.search.loss_tables import configuration_of, loss_in_unit, loss_tables
from perfmodel.search.oracle.kernel_pricing import Floats, Index
from perfmodel.search.space import ConfigurationSpace

#: Names of the loss with a unit, and without one.
LOSSES = ("accuracy_drop", "sensitivity")


class Loss:
    """Loss of accuracy over the choices of a space.

    Parameters
    ----------
    accuracy
        An `AccuracyModel`, a callable ``choices (n, decisions) -> losses (n,)``, or None.
    """

    def __init__(self, accuracy: Any, space: Any) -> None:
        self.accuracy, self.space = accuracy, space

    @property
    def unit(self) -> str:
        """Unit of the loss; empty for a sensitivity."""
        return str(getattr(self.accuracy, "unit", ""))

    @property
    def name(self) -> str:
        """Name of the loss: ``sensitivity`` if it has no unit."""
        return LOSSES[0] if self.unit else LOSSES[1]

    @property
    def source(self) -> str:
        """Name of the source of the loss."""
        if self.accuracy is None:
            return ""
        return str(getattr(self.accuracy, "name", getattr(self.accuracy, "__name__", "callable")))

    @property
    def tabled(self) -> bool:
        """Whether the loss is a sum of tables, or absent."""
        if self.accuracy is None:
            return True
        return (
            hasattr(self.accuracy, "table")
            and bool(getattr(self.accuracy, "separable", True))
            and isinstance(self.space, ConfigurationSpace)
        )

    @cached_property
    def tables(self) -> Sum:
        """The loss as a sum of tables over decisions, before conversion to its unit."""
        return loss_tables(self.accuracy, self.space)

    def of(self, choices: Index) -> Floats:
        """Return the loss of choices ``(n, decisions)``, in its unit."""
        if self.accuracy is None:
            return np.zeros(len(choices))
        if not hasattr(self.accuracy, "table"):
            return np.asarray(self.accuracy(choices), dtype=float)
        if not getattr(self.accuracy, "separable", True):
            rows: list[list[int]] = choices.tolist()
            return np.array([self.accuracy.loss(configuration_of(self.space, c)) for c in rows])
        total = np.full(len(choices), self.tables.constant)
        for decisions, values in self.tables.terms:
            total = total + values[tuple(choices[:, d] for d in decisions)]
        return loss_in_unit(self.accuracy, total)

    def mapped(self, loss: float) -> float:
        """Return a summed loss in its unit."""
        if not self.unit or not math.isfinite(loss):
            return loss
        return float(np.ravel(loss_in_unit(self.accuracy, np.array([loss])))[0])

    def raw(self, bound: float) -> float:
        """Return the summed loss whose converted value is a bound, by bisection of the map."""
        if not self.unit:
            return bound
        low, high = 0.0, 1.0
        while self.mapped(low) > bound and low > -1e12:
            # Fitted losses are negated accuracies.
            low, high = 4.0 * low - 1.0, low
        while self.mapped(high) <= bound and high < 1e12:
            low, high = high, high * 4.0
        if high >= 1e12:
            return math.inf
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self.mapped(middle) > bound else (middle, high)
        return low
