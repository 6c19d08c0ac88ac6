"""Measurements: what each gave, what carries it out, rounds of them within a budget of time.

Facts of memory levels follow from the rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

import numpy as np


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


TRIALS = 5
"""Trials of a measurement in a round."""
#: A trial is long beside the clock's step and the start of a stream, short beside a slice of the
#: scheduler: the best of many falls between the slices of other processes.
_SHORTEST_S, _LONGEST_S = 0.5e-3, 4e-3
#: Part of the budget that the trials of one round may take.
_PART = 0.25


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What was measured.

    Attributes
    ----------
    figures : Mapping of Measure to Figure
    failed : Mapping of Measure to str
        Why a measurement gave nothing.
    rounds : int
    trial_s : float
        Length of a trial.
    """

    figures: Mapping[Measure, Figure]
    failed: Mapping[Measure, str]
    rounds: int
    trial_s: float


def measure_all(
    measures: Sequence[Measure],
    meter: Meter,
    seconds: float,
    clock: Callable[[], float],
    progress: Callable[[str], None] = lambda text: None,
) -> ProbeResult:
    """Measure everything, again and again while another round fits into the budget.

    Rounds put the trials of a measurement far apart, so that a neighbour who is busy for a second
    spoils one of them.

    Parameters
    ----------
    measures : sequence of Measure
    meter : Meter
    seconds : float
        Budget; the first round is carried out whatever it takes.
    clock : callable
        Seconds, rising.
    progress : callable
        Told what is going on.
    """
    trial_s = min(
        max(_PART * seconds / (TRIALS * sum(m.repeats for m in measures)), _SHORTEST_S), _LONGEST_S
    )
    rates: dict[Measure, list[float]] = {}
    failed: dict[Measure, str] = {}
    started, longest, rounds = clock(), 0.0, 0
    while rounds == 0 or clock() - started + longest <= seconds:
        rounds += 1
        begun = clock()
        for i, measure in enumerate(measures):
            progress(f"round {rounds}, {i + 1} of {len(measures)}: {measure}")
            if measure in failed:
                continue
            try:
                rates.setdefault(measure, []).extend(
                    meter.run(measure, TRIALS * measure.repeats, trial_s)
                )
            except MeterError as error:
                failed[measure] = str(error)
        longest = max(longest, clock() - begun)
        if not longest:
            break
    figures = {m: Figure.of(found) for m, found in rates.items() if found and m not in failed}
    return ProbeResult(figures, failed, rounds, trial_s)


def share_missed(rates: Sequence[float], inside: float, beyond: float) -> np.ndarray:
    """Share of a working set that misses a cache, from the rate at which it is read.

    A byte takes 1 / inside where it hits and 1 / beyond where it misses:
    1 / rate = (1 - share) / inside + share / beyond.

    Parameters
    ----------
    rates : sequence of float
        Bytes a second of each working set.
    inside, beyond : float
        Bytes a second of the cache and of what lies behind it.

    Returns
    -------
    ndarray
        Of the length of `rates`, 0 to 1.
    """
    slow = 1.0 / np.asarray(rates, float) - 1.0 / inside
    return np.clip(slow / (1.0 / beyond - 1.0 / inside), 0.0, 1.0)


def ramp(
    sizes: Sequence[int], rates: Sequence[float], inside: float, beyond: float
) -> tuple[int, int] | None:
    """Working sets from which on a cache begins to miss, and misses always.

    The line through the shares of working sets that miss in part, weighted by how surely each is on
    the slope; least squares.

    Returns
    -------
    (int, int) or None
        Start and end in bytes; None where fewer than two working sets lie on the slope or the
        levels are as fast as each other.
    """
    if not beyond < 0.9 * inside:
        return None
    size, missed = np.asarray(sizes, float), share_missed(rates, inside, beyond)
    on = (missed > 0.03) & (missed < 0.97)
    if np.count_nonzero(on) < 2:
        return None
    slope, offset = np.polyfit(size[on], missed[on], 1)
    if slope <= 0:
        return None
    start, end = -offset / slope, (1.0 - offset) / slope
    start = max(start, 0.0)
    return int(start), int(max(end, start + 1.0))
