"""Common base of results with a prefill and decode steps: single requests, and loaded servers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from perfmodel.arrays import Value
from perfmodel.prediction.interval_results import IntervalResult
from perfmodel.table import Table


class PhasesResult(IntervalResult):
    """Times of a prefill and of decode steps, as numbers, or arrays over several configurations.

    Attributes
    ----------
    columns, axes
        Column names of its table, and names of the swept parameters.
    ttft_s
        Seconds until the first token (time to first token), with the shape of the configurations.
    """

    columns: ClassVar[Sequence[str]]
    axes: ClassVar[Sequence[str]]

    if TYPE_CHECKING:
        ttft_s: Value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the configurations; ``()`` for one."""
        return np.shape(self.ttft_s)

    @cached_property
    def table(self) -> Table:
        """One row per configuration."""
        columns = {
            name: np.broadcast_to(getattr(self, name), self.shape).reshape(-1)
            for name in self.columns
        }
        return Table(columns, {}, self.axes)

    def sections(self) -> list[Table]:
        """Return the table if there are several configurations."""
        return [self.table] if self.shape else []

    def explained(self, parts: Iterable[str]) -> str:
        """Return the derivation of a single result, below its numbers.

        Raises
        ------
        ValueError
            There are several configurations.
        """
        if self.shape:
            raise ValueError("many questions were asked: explain one of them")
        return "\n\n".join([str(self), *parts])
