"""Measurements of the host, the meter protocol, and rounds of measurements within a time budget.

Every measurement (`Measure`) is a kernel on a working set with a number of threads; a meter returns
the rate of each trial, of which the best counts. `share_missed` and `ramp` derive where a cache
begins to miss from rates over working sets.
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
    """One measurement: kernel, working set, threads.

    Attributes
    ----------
    kernel : str
        Name of the kernel: ``fma_512``, ``read_256``, ``chase_1`` ...
    size_bytes : int
        Working set of each thread.
    threads : int
        Number of threads that run it concurrently.
    repeats : int
        Multiplier on the number of trials, for cheap measurements with many dependants.
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
    """Result of a measurement.

    Attributes
    ----------
    best : float
        Highest rate of all trials, work per second over all threads: that of an undisturbed
        machine.
    median : float
    trials : int
    """

    best: float
    median: float
    trials: int

    @classmethod
    def of(cls, rates: Sequence[float]) -> Figure:
        """Return best and median of at least one rate."""
        return cls(max(rates), median(rates), len(rates))

    @property
    def spread(self) -> float:
        """Shortfall of the median trial from the best, as a fraction of the best."""
        return 1.0 - self.median / self.best


class Meter(Protocol):
    """Interface of an object that carries out measurements."""

    @property
    def kernels(self) -> frozenset[str]:
        """Kernels that this processor can run."""
        ...

    @property
    def how(self) -> str:
        """Description of the kernels, for example ``cc 14.2, -O2``."""
        ...

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        """Return the rate of each trial, of about `seconds` each.

        Raises
        ------
        MeterError
        """
        ...


TRIALS = 5
"""Trials of a measurement per round."""
#: Bounds on a trial: long against the clock's resolution and the ramp-up of a stream, short against
#: a scheduler slice, so that the best of many falls between the slices of other processes.
_SHORTEST_S, _LONGEST_S = 0.5e-3, 4e-3
#: Share of the budget for the trials of one round.
_PART = 0.25


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Results of all measurements.

    Attributes
    ----------
    figures : Mapping of Measure to Figure
    failed : Mapping of Measure to str
        Measurement -> reason for its failure.
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
    """Measure everything, in repeated rounds while another one fits into the budget.

    Rounds spread the trials of a measurement over time, so that a short disturbance affects only
    one of them.

    Parameters
    ----------
    measures : sequence of Measure
    meter : Meter
    seconds : float
        Budget; the first round is carried out regardless.
    clock : callable
        Monotonic seconds.
    progress : callable
        Called with messages on progress.
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
    figures = {m: Figure.of(trials) for m, trials in rates.items() if trials and m not in failed}
    return ProbeResult(figures, failed, rounds, trial_s)


def share_missed(rates: Sequence[float], inside: float, outside: float) -> np.ndarray:
    """Return the share of a working set that misses a cache, from its read rate.

    A byte takes 1 / inside if it hits and 1 / outside if it misses:
    1 / rate = (1 - share) / inside + share / outside.

    Parameters
    ----------
    rates : sequence of float
        Bytes per second of each working set.
    inside, outside : float
        Bytes per second of the cache and of the next level.

    Returns
    -------
    ndarray
        Same length as `rates`, 0 to 1.
    """
    slow = 1.0 / np.asarray(rates, float) - 1.0 / inside
    return np.clip(slow / (1.0 / outside - 1.0 / inside), 0.0, 1.0)


def ramp(
    sizes: Sequence[int], rates: Sequence[float], inside: float, outside: float
) -> tuple[int, int] | None:
    """Return the working sets at which a cache begins to miss, and at which it always misses.

    Linear least squares through the shares of working sets that miss in part.

    Returns
    -------
    (int, int) or None
        Start and end in bytes; None if fewer than two working sets are on the slope, or the two
        levels are equally fast.
    """
    if not outside < 0.9 * inside:
        return None
    size, missed = np.asarray(sizes, float), share_missed(rates, inside, outside)
    on = (missed > 0.03) & (missed < 0.97)
    if np.count_nonzero(on) < 2:
        return None
    slope, offset = np.polyfit(size[on], missed[on], 1)
    if slope <= 0:
        return None
    start, end = -offset / slope, (1.0 - offset) / slope
    start = max(start, 0.0)
    return int(start), int(max(end, start + 1.0))
