"""Data model of schedules with overlapped transfers: channels, energy, activities and timeline.

A plan is a sequence of `PlanActivity`; `simulate` (`simulate.py`) gives each its start and end, a
`TimelineActivity`, and together they are the `Timeline`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from perfmodel.schedule.problem import Problem

What: TypeAlias = Literal["run", "load", "stream", "reload", "store", "drop"]


@dataclass(frozen=True, slots=True)
class Dma:
    """The path between on-chip and off-chip memory.

    Attributes
    ----------
    read_bytes_per_s, write_bytes_per_s
        Bandwidths to and from the chip; infinity is allowed.
    latency_s
        Fixed time of each transfer, independent of its size.
    channels
        1: reads and writes share one channel; 2: one channel each for reads and writes.
    double_buffered
        Whether the streamed data of a step (its weights) may arrive while earlier steps still run.

    Raises
    ------
    ValueError
        A bandwidth that is not positive, a negative latency, or a number of channels other than 1,
        2.
    """

    read_bytes_per_s: float
    write_bytes_per_s: float
    latency_s: float = 0.0
    channels: int = 1
    double_buffered: bool = True

    def __post_init__(self) -> None:
        if not (self.read_bytes_per_s > 0 and self.write_bytes_per_s > 0):
            raise ValueError("a channel must transfer more than 0 bytes per second")
        if not 0 <= self.latency_s < math.inf:
            raise ValueError(f"a transfer cannot wait {self.latency_s} seconds")
        if self.channels not in (1, 2):
            raise ValueError(f"one channel, or one each way, but not {self.channels}")

    def read_s(self, size_bytes: int) -> float:
        """Return ``latency_s + size_bytes / read_bytes_per_s`` in seconds; 0 for zero bytes."""
        return self.latency_s + size_bytes / self.read_bytes_per_s if size_bytes else 0.0

    def write_s(self, size_bytes: int) -> float:
        """Return ``latency_s + size_bytes / write_bytes_per_s`` in seconds; 0 for zero bytes."""
        return self.latency_s + size_bytes / self.write_bytes_per_s if size_bytes else 0.0


@dataclass(frozen=True, slots=True)
class ScheduleEnergyModel:
    """Energy of transfers and of time.

    ``energy_j = read bytes x read_j_per_byte + written bytes x write_j_per_byte + static_w x
    seconds + fixed_j``

    Attributes
    ----------
    read_j_per_byte, write_j_per_byte
        Energy per byte across the off-chip boundary.
    static_w
        Static power over the duration of the schedule, in watts.
    fixed_j
        Energy independent of the schedule: arithmetic and on-chip accesses.
    """

    read_j_per_byte: float
    write_j_per_byte: float
    static_w: float = 0.0
    fixed_j: float = 0.0

    def __post_init__(self) -> None:
        values = (self.read_j_per_byte, self.write_j_per_byte, self.static_w, self.fixed_j)
        if not all(0 <= v < math.inf for v in values):
            raise ValueError("energies and powers must be finite and not negative")

    def joules(self, seconds: float, read_bytes: float, written_bytes: float) -> float:
        """Return the energy of a schedule in joules, by the formula of the class."""
        transfers = self.read_j_per_byte * read_bytes + self.write_j_per_byte * written_bytes
        return self.fixed_j + transfers + self.static_w * seconds


#: Price with which the "energy" of a schedule is its duration in seconds.
SECONDS: Final = ScheduleEnergyModel(0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class PlanActivity:
    """One activity of a plan.

    Attributes
    ----------
    what
        ``run`` a step on the engine; ``load`` the network input of a load step; ``stream`` the
        off-chip data of a step (its weights); ``store`` a buffer off chip; ``drop`` a buffer that
        has a copy off chip; ``reload`` a dropped buffer.
    index
        Index of the step (``run``, ``load``, ``stream``) or of the buffer (the others).
    """

    what: What
    index: int


@dataclass(frozen=True, slots=True)
class TimelineActivity:
    """An activity with its start and end.

    Attributes
    ----------
    where
        Resource: ``compute``, ``dma`` (one channel), ``dma read`` or ``dma write`` (two).
    """

    what: What
    index: int
    name: str
    where: str
    start_s: float
    end_s: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Timed activities of a plan.

    Attributes
    ----------
    rows
        Activities in order of their starts.
    makespan_s
        Time from the first transfer to the end of the last step or store.
    peak_bytes
        Peak of the bytes on chip.
    """

    rows: tuple[TimelineActivity, ...]
    makespan_s: float
    peak_bytes: int

    @property
    def compute_s(self) -> float:
        """Busy seconds of the engine."""
        return sum(r.end_s - r.start_s for r in self.rows if r.where == "compute")

    @property
    def dma_s(self) -> float:
        """Busy seconds of the channels, summed."""
        return sum(r.end_s - r.start_s for r in self.rows if r.where != "compute")

    @property
    def exposed_s(self) -> float:
        """Seconds of the makespan in which the engine is idle."""
        return self.makespan_s - self.compute_s

    @property
    def offchip_bytes(self) -> int:
        """Bytes transferred in both directions: compulsory ones, spills and reloads."""
        return sum(r.bytes for r in self.rows)

    def noncompulsory_bytes(self, problem: Problem) -> int:
        """Return the bytes spilled or reloaded, the metric of a byte-optimal schedule."""
        required = required_stores(problem)
        return sum(
            r.bytes
            for r in self.rows
            if r.what == "reload" or (r.what == "store" and r.index not in required)
        )

    def to_json(self) -> Mapping[str, Any]:
        """Return the timeline as plain lists and numbers."""
        names = ("makespan_s", "compute_s", "dma_s", "offchip_bytes", "peak_bytes")
        columns = ("what", "name", "where", "start_s", "end_s", "bytes")
        rows = [{name: getattr(row, name) for name in columns} for row in self.rows]
        return {**{name: getattr(self, name) for name in names}, "rows": rows}


def required_stores(problem: Problem) -> frozenset[int]:
    """Return the buffers that must be stored once: outputs that were not loaded."""
    loaded = {t for s in problem.steps if s.load for t in s.writes}
    return frozenset(
        t
        for t, b in enumerate(problem.buffers)
        if b.stored and t not in loaded and problem.maker[t] >= 0
    )
