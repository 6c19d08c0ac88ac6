"""Schedules over a range of capacities: bytes saved by each further KiB.

Each schedule starts from that of the next smaller capacity. `spill_curve.py` chooses the capacities
itself, one for every step of the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import nan
from typing import Any

from perfmodel.axes import missing_unit_faults, parse_axis
from perfmodel.errors import input_error
from perfmodel.schedule import schedule_text
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.schedule_job import ScheduleJob
from perfmodel.schedule.target import bytes_of
from perfmodel.settings import FaultList
from perfmodel.table import Result, Table

#: Columns of the table of a curve; NaN where there is no schedule.
_BYTES = ("spill_bytes", "reload_bytes", "offchip_bytes", "lower_bound_bytes", "peak_bytes")


@dataclass(frozen=True, repr=False)
class Curve(Result):
    """Schedules of one network, ascending in capacity; its plot: ``curve()``."""

    noun = "curve"

    schedules: tuple[Schedule, ...]

    @cached_property
    def table(self) -> Table:
        """One row per capacity: bytes spilled and reloaded, bound, proof; NaN where none fits."""
        rows = self.schedules
        latencies = [nan if s.latency_s is None else s.latency_s for s in rows]
        return Table(
            {
                "capacity_bytes": [float(s.capacity_bytes or 0) for s in rows],
                **{
                    name: [float(getattr(s, name)) if s.feasible else nan for s in rows]
                    for name in _BYTES
                },
                "latency_s": latencies,
                "proved": [s.proved for s in rows],
                "feasible": [s.feasible for s in rows],
            }
        )

    @property
    def feasible(self) -> bool:
        """Whether every capacity has a schedule."""
        return all(s.feasible for s in self.schedules)

    @property
    def decided(self) -> bool:
        """Whether every capacity has a schedule, or some capacity is proved to have none."""
        return self.feasible or any(not s.feasible and s.decided for s in self.schedules)

    @property
    def headline(self) -> str:
        """The network that was scheduled, and the largest working set of a step."""
        return schedule_text.curve_head(self)

    def sections(self) -> list[str]:
        """Return one line per capacity."""
        return [schedule_text.curve_text(self)]

    def to_dict(self) -> dict[str, Any]:
        """Return every schedule as a dictionary for JSON."""
        return {"schedules": [s.to_dict() for s in self.schedules]}


def capacities(text: str) -> list[int]:
    """Return sizes in bytes, ascending, parsed from a text.

    Parameters
    ----------
    text
        Sizes separated by commas (``64 KiB,96 KiB``); ``64 KiB..1 MiB`` doubles up to and including
        the end; any other range of an axis (``64 KiB..128 KiB:16 KiB``, ``2**16..2**20``) is valid.

    Raises
    ------
    InputError
        A part is not a size.
    """
    sizes_bytes: list[int] = []
    faults = FaultList()
    parts = text.split(",")
    faults.extend(missing_unit_faults("capacity", parts, "bytes"))
    for part in parts:
        sizes = faults.trying(_sizes, part.strip())
        sizes_bytes += sizes or []
    faults.settle()
    return sorted(set(sizes_bytes))


def _sizes(part: str) -> list[int]:
    """Return the capacities of one part of a text: a size, a doubling range, or an axis."""
    low, dots, high = part.partition("..")
    if not dots:
        return [bytes_of(part)]
    if ":" in part or "**" in part:
        return [bytes_of(float(v)) for v in parse_axis("capacity", part, "bytes").values]
    size, end = bytes_of(low.strip()), bytes_of(high.strip())
    if size > end:
        message = f"'{part}' runs backwards"
        raise input_error(message, path="capacity", expected="the smaller size first")
    doubled: list[int] = []
    while size < end:
        doubled.append(size)
        size *= 2
    return [*doubled, end]


def curve(job: ScheduleJob, capacity: Sequence[int]) -> Curve:
    """Schedule a network at several capacities.

    Each schedule starts from that of the next smaller capacity, which still fits, so that more
    capacity never costs more; a bound at a larger capacity also holds for a smaller one.

    Parameters
    ----------
    job
        The job at one capacity; the network is read once.
    capacity
        Capacities in bytes.

    Raises
    ------
    InputError
        As for `schedule`.
    """
    schedules: list[Schedule] = []
    last = None
    for size in sorted(set(capacity)):
        schedule = job.at_capacity(size).run(last)
        # With tiled steps the problem depends on the capacity: neither script nor bound carries
        # over.
        if schedule.feasible and schedule.tiled is None:
            last = schedule.script
        schedules.append(schedule)
    bound = 0
    for i in range(len(schedules) - 1, -1, -1):
        s = schedules[i]
        if s.feasible and s.objective == "bytes" and s.tiled is None:
            bound = max(bound, s.lower_bound_bytes)
            outcome = replace(s.outcome, bound=bound)
            schedules[i] = replace(s, outcome=outcome, answer=outcome)
    return Curve(tuple(schedules))
