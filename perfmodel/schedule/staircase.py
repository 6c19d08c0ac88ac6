"""The curve of a network: every capacity at which fewer bytes need to be spilled.

Bytes against capacity are a staircase that falls to the right. It is walked downwards: a schedule
made for one capacity fits in what it holds on chip, so that nothing changes between the two, and
the next one is asked for a byte less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perfmodel.errors import input_error
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.result import Schedule
from perfmodel.table import Result, Table
from perfmodel.units import binary

if TYPE_CHECKING:
    from perfmodel.schedule.job import ScheduleJob

#: Schedules that are made a byte apart; those after them are apart by this part of all capacities.
_MOST = 48


@dataclass(frozen=True, repr=False)
class SpillStaircase(Result):
    """Schedules at the left end of every step, ascending in capacity.

    Attributes
    ----------
    curve : Curve
        ``capacity_bytes`` of each schedule is the least capacity known for its bytes.
    exact : bool
        No schedule spills fewer bytes at any capacity: every step is proved, and so is its place.
    resolution_bytes : int
        Steps narrower than this may be missing; 1 where every capacity was looked at.
    """

    noun = "staircase"

    curve: Curve
    exact: bool
    resolution_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON: the table of the curve, a record for each step."""
        return {
            "steps": self.curve.table.to_records(),
            "exact": self.exact,
            "resolution_bytes": self.resolution_bytes,
        }

    @cached_property
    def table(self) -> Table:
        """One row for each step, as that of `curve`."""
        return self.curve.table

    @property
    def headline(self) -> str:
        """How sure the steps are."""
        how = "every step, proved" if self.exact else "the best found, not all proved"
        if self.resolution_bytes > 1:
            how += f"; steps narrower than {binary(self.resolution_bytes)} may be missing"
        return f"fewest bytes against capacity, from the least that works ({how})"

    def sections(self) -> list[str]:
        """Return a line for each step."""
        return self.curve.sections()


def staircase(asked: Schedule) -> SpillStaircase:
    """Return the whole curve of what a schedule was asked for.

    Parameters
    ----------
    asked
        A schedule of fewest bytes; the curve takes at most the time that it was given, once more.

    Raises
    ------
    InputError
        Another objective than bytes, or a schedule with operators in tiles.
    """
    job = asked.job
    if asked.objective != "bytes" or job is None or asked.tiled is not None:
        said = "in tiles" if asked.tiled is not None else f"of '{asked.objective}'"
        raise input_error(
            f"no curve is made of schedules {said}",
            path="curve",
            expected="the objective bytes, without tiles",
        )
    deadline = Deadline(job.time_limit_s)
    problem = job.made.problem
    # What lies in the memory beside activations.
    beside = job.made.weight_bytes if job.weights == "resident" else 0
    peak = minimum_peak(problem, deadline)
    proved, resolution = peak.proved, 1
    least, free = problem.largest_working_set_bytes, int(peak.value)
    apart = max(1, (free - least) // _MOST)
    made: list[Schedule] = []
    size, solved = free, 0
    while size >= least and not (made and deadline.passed()):
        found = _at(job, size + beside, deadline)
        solved += 1
        if found.feasible:
            # Fragments may take more than what lies there at once.
            height = 0 if found.layout is None else found.layout.height_bytes
            fits = max(found.peak_bytes, height)
            while made and made[-1].trace.cost_bytes >= found.trace.cost_bytes:
                made.pop()
            made.append(replace(found, capacity_bytes=fits))
            # A byte less than it needs: what comes then is another step, or this one narrower.
            size = fits
        proved = proved and found.feasible and found.proved
        if solved < _MOST:
            size -= 1
        else:
            # The least capacity of all is always looked at.
            size, resolution = max(size - apart, least) if size > least else least - 1, apart
    ended = size < least
    return SpillStaircase(
        Curve(tuple(reversed(made))),
        proved and ended and resolution == 1,
        resolution if ended else max(1, size - least),
    )


def _at(job: ScheduleJob, size: int, deadline: Deadline) -> Schedule:
    left = deadline.left()
    limited = replace(job, time_limit_s=None if left == float("inf") else max(left, 0.05))
    return limited.at_capacity(size).run()
