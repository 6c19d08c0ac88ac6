"""The loss of choices: from an accuracy model as tables, from a callable as it is."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.search.exact import Sum
from perfmodel.search.losses import configuration_of, loss_tables, lost
from perfmodel.search.oracle.rows import Floats, Index
from perfmodel.search.space import ConfigurationSpace

#: Names of the loss: with a unit, and without.
LOSSES = ("accuracy_drop", "sensitivity")


class Loss:
    """What choices of a space cost in accuracy.

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
        """What the loss is called: ``sensitivity`` where it has no unit."""
        return LOSSES[0] if self.unit else LOSSES[1]

    @property
    def source(self) -> str:
        """Where the loss comes from."""
        if self.accuracy is None:
            return ""
        return str(getattr(self.accuracy, "name", getattr(self.accuracy, "__name__", "callable")))

    @property
    def tabled(self) -> bool:
        """Whether the loss, where there is one, is a sum of tables."""
        if self.accuracy is None:
            return True
        return (
            hasattr(self.accuracy, "table")
            and bool(getattr(self.accuracy, "separable", True))
            and isinstance(self.space, ConfigurationSpace)
        )

    @cached_property
    def tables(self) -> Sum:
        """The loss as a sum of tables over decisions, before it is mapped to its unit."""
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
        return lost(self.accuracy, total)

    def mapped(self, loss: float) -> float:
        """Return a summed loss in the unit."""
        if not self.unit or not math.isfinite(loss):
            return loss
        return float(np.ravel(lost(self.accuracy, np.array([loss])))[0])

    def raw(self, bound: float) -> float:
        """Return the summed loss whose prediction is a bound: the map is monotone."""
        if not self.unit:
            return bound
        low, high = 0.0, 1.0
        while self.mapped(low) > bound and low > -1e12:
            # Fitted losses are accuracies with their sign turned.
            low, high = 4.0 * low - 1.0, low
        while self.mapped(high) <= bound and high < 1e12:
            low, high = high, high * 4.0
        if high >= 1e12:
            return math.inf
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self.mapped(middle) > bound else (middle, high)
        return low
