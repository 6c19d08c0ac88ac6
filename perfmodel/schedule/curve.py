"""Schedules over capacities: how many bytes each further KiB saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from perfmodel.axes import parse_axis, unitless_faults
from perfmodel.errors import input_error
from perfmodel.schedule.job import ScheduleJob
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.target import bytes_of
from perfmodel.settings import FaultList
from perfmodel.table import Result, Table


@dataclass(frozen=True, repr=False)
class Curve(Result):
    """Schedules of one network, ascending in capacity; its plot: ``curve()``."""

    noun = "curve"

    schedules: tuple[Schedule, ...]

    @cached_property
    def table(self) -> Table:
        """One row a capacity: bytes spilled and reloaded, bound, proof; NaN where nothing fits."""
        rows = self.schedules
        nan = float("nan")
        return Table(
            {
                "capacity_bytes": [float(s.capacity_bytes or 0) for s in rows],
                "spill_bytes": [float(s.spill_bytes) if s.feasible else nan for s in rows],
                "reload_bytes": [float(s.reload_bytes) if s.feasible else nan for s in rows],
                "offchip_bytes": [float(s.offchip_bytes) if s.feasible else nan for s in rows],
                "lower_bound_bytes": [
                    float(s.lower_bound_bytes) if s.feasible else nan for s in rows
                ],
                "peak_bytes": [float(s.peak_bytes) if s.feasible else nan for s in rows],
                "latency_s": [nan if s.latency_s is None else s.latency_s for s in rows],
                "proved": [s.proved for s in rows],
                "feasible": [s.feasible for s in rows],
            }
        )

    @property
    def feasible(self) -> bool:
        """Whether there is a schedule at every capacity."""
        return all(s.feasible for s in self.schedules)

    @property
    def decided(self) -> bool:
        """Whether every capacity has a schedule, or one of them is proved to have none."""
        return self.feasible or any(not s.feasible and s.decided for s in self.schedules)

    @property
    def headline(self) -> str:
        """What was scheduled, and the largest that a step needs."""
        from perfmodel.schedule.text import curve_head

        return curve_head(self)

    def sections(self) -> list[str]:
        """Return a line for each capacity."""
        from perfmodel.schedule.text import curve_text

        return [curve_text(self)]

    def to_dict(self) -> dict[str, Any]:
        """Return every schedule, ready for JSON."""
        return {"schedules": [s.to_dict() for s in self.schedules]}


def capacities(text: str) -> list[int]:
    """Return sizes in bytes, ascending, from a text.

    Parameters
    ----------
    text
        Sizes with commas (``64 KiB,96 KiB``); ``64 KiB..1 MiB`` doubles up to the end, which counts
        too; every other range of an axis (``64 KiB..128 KiB:16 KiB``, ``2**16..2**20``).

    Raises
    ------
    InputError
        A part that is no size.
    """
    found: list[int] = []
    faults = FaultList()
    parts = text.split(",")
    faults.extend(unitless_faults("capacity", parts, "bytes"))
    for part in parts:
        sizes = faults.trying(_sizes, part.strip())
        found += sizes or []
    faults.settle()
    return sorted(set(found))


def _sizes(part: str) -> list[int]:
    low, dots, high = part.partition("..")
    if not dots:
        return [bytes_of(part)]
    if ":" in part or "**" in part:
        return [bytes_of(float(v)) for v in parse_axis("capacity", part, "bytes").values]
    size, end = bytes_of(low.strip()), bytes_of(high.strip())
    if size > end:
        said = f"'{part}' runs backwards"
        raise input_error(said, path="capacity", expected="the smaller size first")
    found: list[int] = []
    while size < end:
        found.append(size)
        size *= 2
    return [*found, end]


def curve(job: ScheduleJob, capacity: Sequence[int]) -> Curve:
    """Schedule a network at several capacities.

    Each schedule starts from that of the next smaller capacity, which fits, so that more capacity
    never costs more; a bound at a larger capacity also holds for a smaller one.

    Parameters
    ----------
    job
        The question at one of them: the network is read once.
    capacity
        Bytes.

    Raises
    ------
    InputError
        As `schedule` does.
    """
    made: list[Schedule] = []
    last = None
    for size in sorted(set(capacity)):
        found = job.at_capacity(size).run(last)
        # Steps in tiles are another problem: their script and their bound are of no other capacity.
        if found.feasible and found.tiled is None:
            last = found.script
        made.append(found)
    bound = 0
    for i in range(len(made) - 1, -1, -1):
        s = made[i]
        if s.feasible and s.objective == "bytes" and s.tiled is None:
            bound = max(bound, s.lower_bound_bytes)
            outcome = replace(s.outcome, bound=bound)
            made[i] = replace(s, outcome=outcome, answer=outcome)
    return Curve(tuple(made))
