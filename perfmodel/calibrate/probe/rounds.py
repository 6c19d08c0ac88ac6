"""Rounds over a plan within a budget of time, the best of every measurement kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from perfmodel.calibrate.probe.measure import Figure, Measure, Meter, MeterError

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
