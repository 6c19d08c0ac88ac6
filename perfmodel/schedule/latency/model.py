"""What moves and runs when off-chip transfers go on beside compute: the words of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from perfmodel.schedule.problem import Problem

What: TypeAlias = Literal["run", "load", "stream", "reload", "store", "drop"]


@dataclass(frozen=True, slots=True)
class Dma:
    """The path between on-chip and off-chip memory.

    Attributes
    ----------
    read_bytes_per_s, write_bytes_per_s
        Speeds on to the chip and off it; infinity is allowed.
    latency_s
        Time that each transfer takes whatever its size.
    channels
        1: reads and writes take turns; 2: one channel reads while another writes.
    double_buffered
        Whether what a step streams (its weights) may come in while earlier steps still run.

    Raises
    ------
    ValueError
        A speed that is not positive, a negative latency, or another number of channels.
    """

    read_bytes_per_s: float
    write_bytes_per_s: float
    latency_s: float = 0.0
    channels: int = 1
    double_buffered: bool = True

    def __post_init__(self) -> None:
        if not (self.read_bytes_per_s > 0 and self.write_bytes_per_s > 0):
            raise ValueError("a channel moves more than 0 bytes per second")
        if not 0 <= self.latency_s < math.inf:
            raise ValueError(f"a transfer cannot wait {self.latency_s} seconds")
        if self.channels not in (1, 2):
            raise ValueError(f"one channel, or one each way: {self.channels} were asked for")

    def read_s(self, size_bytes: int) -> float:
        """Return the seconds that a read takes; nothing to read takes none."""
        return self.latency_s + size_bytes / self.read_bytes_per_s if size_bytes else 0.0

    def write_s(self, size_bytes: int) -> float:
        """Return the seconds that a write takes; nothing to write takes none."""
        return self.latency_s + size_bytes / self.write_bytes_per_s if size_bytes else 0.0


@dataclass(frozen=True, slots=True)
class PlanActivity:
    """One activity of a plan.

    Attributes
    ----------
    what
        ``run`` a step on the engine; ``load`` the network input of a load step; ``stream`` what a
        step needs from off chip (its weights); ``store`` a buffer off chip; ``drop`` one that has
        a copy there; ``reload`` one that was dropped.
    index
        The step (``run``, ``load``, ``stream``) or the buffer (the others).
    """

    what: What
    index: int


@dataclass(frozen=True, slots=True)
class TimelineActivity:
    """When an activity took place.

    Attributes
    ----------
    where
        ``compute``, ``dma`` (one channel), ``dma read`` or ``dma write`` (two).
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
    """What a plan does over time.

    Attributes
    ----------
    rows
        Activities in the order in which they begin.
    makespan_s
        From the first transfer to the end of the last step or store.
    peak_bytes
        Most bytes on chip at any time.
    """

    rows: tuple[TimelineActivity, ...]
    makespan_s: float
    peak_bytes: int

    @property
    def compute_s(self) -> float:
        """Seconds that the engine works."""
        return sum(r.end_s - r.start_s for r in self.rows if r.where == "compute")

    @property
    def dma_s(self) -> float:
        """Seconds that the channels work, added up."""
        return sum(r.end_s - r.start_s for r in self.rows if r.where != "compute")

    @property
    def exposed_s(self) -> float:
        """Seconds of the makespan in which the engine waits."""
        return self.makespan_s - self.compute_s

    @property
    def offchip_bytes(self) -> int:
        """Bytes moved either way: compulsory ones, spills and reloads."""
        return sum(r.bytes for r in self.rows)

    def noncompulsory_bytes(self, problem: Problem) -> int:
        """Bytes of it that are spilled or reloaded: what a byte-optimal schedule minimises."""
        must = owed(problem)
        return sum(
            r.bytes
            for r in self.rows
            if r.what == "reload" or (r.what == "store" and r.index not in must)
        )

    def to_json(self) -> Mapping[str, Any]:
        """Return the timeline as plain lists and numbers."""
        return {
            "makespan_s": self.makespan_s,
            "compute_s": self.compute_s,
            "dma_s": self.dma_s,
            "offchip_bytes": self.offchip_bytes,
            "peak_bytes": self.peak_bytes,
            "rows": [
                {
                    "what": r.what,
                    "name": r.name,
                    "where": r.where,
                    "start_s": r.start_s,
                    "end_s": r.end_s,
                    "bytes": r.bytes,
                }
                for r in self.rows
            ],
        }


def owed(problem: Problem) -> frozenset[int]:
    """Return the buffers that have to be stored once: outputs, not what was loaded."""
    loaded = {t for s in problem.steps if s.load for t in s.writes}
    return frozenset(
        t
        for t, b in enumerate(problem.buffers)
        if b.stored and t not in loaded and problem.maker[t] >= 0
    )
