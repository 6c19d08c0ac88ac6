"""Spilled bytes against capacity: every capacity at which fewer bytes need to be spilled.

The least number of bytes is a step function of the capacity that falls to the right. It is computed
downwards: a schedule for one capacity fits its own peak, so that nothing changes between the two,
and the next capacity tried is one byte below that peak. The curve is exact if every schedule on it
is proved.
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
    from perfmodel.schedule.schedule_job import ScheduleJob

#: Schedules computed one byte spacing; later ones are spaced by this fraction of the range.
_MOST = 48


@dataclass(frozen=True, repr=False)
class SpillStaircase(Result):
    """Schedules at the left end of every step of the curve, ascending in capacity.

    Attributes
    ----------
    curve : Curve
        ``capacity_bytes`` of each schedule is the least known capacity for its bytes.
    exact : bool
        Whether every step and its position are proved: no schedule spills fewer bytes anywhere.
    resolution_bytes : int
        Steps narrower than this may be missing; 1 if every capacity was examined.
    """

    noun = "staircase"

    curve: Curve
    exact: bool
    resolution_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the table of the curve as a dictionary for JSON, one record per step."""
        return {
            "steps": self.curve.table.to_records(),
            "exact": self.exact,
            "resolution_bytes": self.resolution_bytes,
        }

    @cached_property
    def table(self) -> Table:
        """One row per step, as the table of `curve`."""
        return self.curve.table

    @property
    def headline(self) -> str:
        """Number of steps, and whether they are proved."""
        status = "every step, proved" if self.exact else "the best found, not all proved"
        if self.resolution_bytes > 1:
            status += f"; steps narrower than {binary(self.resolution_bytes)} may be missing"
        return f"fewest bytes against capacity, from the least that works ({status})"

    def sections(self) -> list[str]:
        """Return one line per step."""
        return self.curve.sections()


def spill_curve(first: Schedule) -> SpillStaircase:
    """Return the full curve for the job of a schedule.

    Parameters
    ----------
    first
        A schedule of fewest bytes; the curve uses at most its time limit once more.

    Raises
    ------
    InputError
        The objective is not bytes, or operators run in tiles.
    """
    job = first.job
    if first.objective != "bytes" or job is None or first.tiled is not None:
        kind = "in tiles" if first.tiled is not None else f"of '{first.objective}'"
        raise input_error(
            f"no curve is made of schedules {kind}",
            path="curve",
            expected="the objective bytes, without tiles",
        )
    deadline = Deadline(job.time_limit_s)
    problem = job.problem
    # Bytes in the memory other than activations.
    weights_bytes = job.scheduled.weight_bytes if job.weights == "resident" else 0
    peak = minimum_peak(problem, deadline)
    proved, resolution = peak.proved, 1
    least, free = problem.largest_working_set_bytes, int(peak.value)
    spacing = max(1, (free - least) // _MOST)
    schedules: list[Schedule] = []
    size, solved = free, 0
    while size >= least and not (schedules and deadline.passed()):
        schedule = _schedule_at(job, size + weights_bytes, deadline)
        solved += 1
        if schedule.feasible:
            # With fragmentation the packing may be higher than the peak.
            height = 0 if schedule.layout is None else schedule.layout.height_bytes
            fits = max(schedule.peak_bytes, height)
            while schedules and schedules[-1].trace.cost_bytes >= schedule.trace.cost_bytes:
                schedules.pop()
            schedules.append(replace(schedule, capacity_bytes=fits))
            # One byte less than needed: either the next step, or a narrower one of this step.
            size = fits
        proved = proved and schedule.feasible and schedule.proved
        if solved < _MOST:
            size -= 1
        else:
            # The least capacity of all is always examined.
            size, resolution = max(size - spacing, least) if size > least else least - 1, spacing
    ended = size < least
    return SpillStaircase(
        Curve(tuple(reversed(schedules))),
        proved and ended and resolution == 1,
        resolution if ended else max(1, size - least),
    )


def _schedule_at(job: ScheduleJob, size: int, deadline: Deadline) -> Schedule:
    """Return the schedule for a capacity, in the time left."""
    left = deadline.left()
    limited = replace(job, time_limit_s=None if left == float("inf") else max(left, 0.05))
    return limited.at_capacity(size).run()
