"""A measurement, what it gave, and what carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol


class MeterError(Exception):
    """A meter could not carry out a measurement."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to measure.

    Attributes
    ----------
    kernel : str
        What runs: ``fma_512``, ``read_256``, ``chase_1`` ...
    size_bytes : int
        Working set of each thread.
    threads : int
        Threads that run it together.
    repeats : int
        Times its share of trials: more where much hangs on a number that costs little.
    """

    kernel: str
    size_bytes: int = 4096
    threads: int = 1
    repeats: int = field(default=1, compare=False)

    def __str__(self) -> str:
        return f"{self.kernel} {self.size_bytes} B" + (
            f" x {self.threads}" if self.threads > 1 else ""
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """What a measurement gave.

    Attributes
    ----------
    best : float
        Highest rate of all trials, work a second over all threads: what the machine does when
        nothing else disturbs it.
    median : float
    trials : int
    """

    best: float
    median: float
    trials: int

    @classmethod
    def of(cls, rates: Sequence[float]) -> Figure:
        """Best and median of rates, of which there is at least one."""
        return cls(max(rates), median(rates), len(rates))

    @property
    def spread(self) -> float:
        """How far the median trial stays below the best, as a fraction of the best."""
        return 1.0 - self.median / self.best


class Meter(Protocol):
    """Carries measurements out."""

    @property
    def kernels(self) -> frozenset[str]:
        """Kernels that this processor can run."""
        ...

    @property
    def how(self) -> str:
        """What the kernels are made of, such as ``cc 14.2, -O2``."""
        ...

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        """Rate of each trial, of about `seconds` each.

        Raises
        ------
        MeterError
        """
        ...
