"""Simulation of a plan, which defines its latency: each activity begins as early as possible.

A plan lists activities in the order of their starts. Each begins when

- its predecessor in the plan has begun;
- its resource is free: the engine for a ``run``, a DMA channel for the others (and for a
  ``stream`` without double buffering the engine as well);
- its data is available: for a ``run`` its inputs (computed, loaded or reloaded) and its streamed
  data; for a ``store`` the buffer to write; for a ``reload`` the copy off chip, after its store;
- its space is free: a ``run`` needs the bytes of its outputs and scratch (sharing the place of the
  buffer it takes over, whose store has ended if it is an output or a store had begun), a ``load``
  those of its output and scratch, a ``reload`` those of its buffer, a ``stream`` the scratch of
  its step, which then holds it until the step has ended.

Space is released when a step ends (its scratch, and buffers without remaining readers, unless they
are outputs whose store has not ended), and when a dropped buffer is stored and no longer read. A
``drop`` takes no time: later readers of the buffer need a ``reload`` first.

Every feasible timing of the activities has a plan that is no slower: list them in the order of
their starts. With a faster engine or channel, or more space, every activity of a plan begins no
later, since every condition of its start is met no later. Hence the least makespan over plans is
the least over all timings, and it is monotone in bandwidth and capacity.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable

from perfmodel.schedule.latency.timeline import (
    Dma,
    PlanActivity,
    Timeline,
    TimelineActivity,
    required_stores,
)
from perfmodel.schedule.problem import Problem


class SimulationTables:
    """Precomputed tables of a simulation: sizes in bytes, durations in seconds, readers.

    Attributes
    ----------
    required_stores, stored_before
        Buffers that must be stored once, and those with a copy off chip from the start.
    streams
        Whether each step streams data from off chip.
    growth, shared_place
        Bytes that a run allocates (the scratch of a streamed step is allocated by the stream), and
        the bytes of the place that its output takes over.
    fetch_s, store_s, reload_s
        Seconds of the read that belongs to each step, and of the store and reload of each buffer.
    """

    def __init__(self, problem: Problem, capacity_bytes: int, dma: Dma) -> None:
        self.problem = problem
        self.capacity_bytes = capacity_bytes
        self.dma = dma
        steps = problem.steps
        self.sizes = [b.size_bytes for b in problem.buffers]
        self.reads = [tuple(dict.fromkeys(s.reads)) for s in steps]
        self.readers = [len(r) for r in problem.readers]
        self.required_stores = required_stores(problem)
        self.stored_before = frozenset(
            t for t, b in enumerate(problem.buffers) if b.stored and t not in self.required_stores
        )
        self.streams = [bool(s.stream_bytes) and not s.load for s in steps]
        self.growth = [
            grown - (s.scratch_bytes if self.streams[i] else 0)
            for i, (s, grown) in enumerate(zip(steps, problem.growth_bytes, strict=True))
        ]
        self.seconds = [0.0 if s.load else s.seconds for s in steps]
        self.load_bytes = [
            sum(self.sizes[t] for t in s.writes) + s.stream_bytes if s.load else 0 for s in steps
        ]
        self.fetch_s = [
            dma.read_s(n if s.load else s.stream_bytes)
            for s, n in zip(steps, self.load_bytes, strict=True)
        ]
        self.store_s = [dma.write_s(size) for size in self.sizes]
        self.reload_s = [dma.read_s(size) for size in self.sizes]
        self.shared_place = [
            min(self.sizes[s.takes_over], self.sizes[s.writes[0]]) if s.takes_over >= 0 else 0
            for s in steps
        ]


class Simulation:
    """State of the machine after the activities begun so far.

    Attributes
    ----------
    now
        Start of the last activity; later ones begin no earlier.
    engine, reading, writing
        Times at which the engine and the channels are free.
    ready
        Time at which each buffer on chip can be read; absent ones have no entry.
    copied
        Time at which the copy off chip of each buffer is complete, if it exists or is in progress.
    """

    __slots__ = (
        "copied",
        "engine",
        "fetched",
        "free",
        "issued",
        "least_free",
        "left",
        "now",
        "reading",
        "ready",
        "releases",
        "tables",
        "used",
        "writing",
    )

    def __init__(self, tables: SimulationTables) -> None:
        self.tables = tables
        self.now = self.engine = self.reading = self.writing = 0.0
        self.free = self.least_free = tables.capacity_bytes
        self.releases: list[tuple[float, int]] = []
        self.ready: dict[int, float] = {}
        self.used: dict[int, float] = {}  # end of the last step that reads or writes the buffer
        self.copied: dict[int, float] = dict.fromkeys(tables.stored_before, 0.0)
        self.fetched: dict[int, float] = {}
        self.left = list(tables.readers)
        self.issued = 0  # bit mask of steps run or loaded

    def copy(self) -> Simulation:
        """Return an independent copy."""
        new = object.__new__(Simulation)
        new.tables = self.tables
        new.now, new.engine = self.now, self.engine
        new.reading, new.writing = self.reading, self.writing
        new.free, new.least_free = self.free, self.least_free
        new.releases = self.releases.copy()
        new.ready, new.used = self.ready.copy(), self.used.copy()
        new.copied, new.fetched = self.copied.copy(), self.fetched.copy()
        new.left = self.left.copy()
        new.issued = self.issued
        return new

    def begin(self, activity: PlanActivity) -> float:
        """Return the start of an activity if it came next; infinity if space is never available.

        Raises
        ------
        ValueError
            It cannot come next at all: it is done already, or its data is neither present nor in
            transit.
        """
        tables, t = self.tables, activity.index
        if activity.what == "run":
            step = tables.problem.steps[t]
            if step.load or self.issued >> t & 1:
                raise ValueError(f"'{step.name}' cannot run now")
            start = max(self.now, self.engine)
            for r in tables.reads[t]:
                at = self.ready.get(r)
                if at is None:
                    name = tables.problem.buffers[r].name
                    raise ValueError(f"'{step.name}' reads '{name}', which is not resident")
                if at > start:
                    start = at
            if tables.streams[t]:
                if t not in self.fetched:
                    raise ValueError(f"'{step.name}' runs before its stream")
                start = max(start, self.fetched[t])
            over = step.takes_over
            if over >= 0:
                if over in tables.required_stores and over not in self.copied:
                    name = tables.problem.buffers[over].name
                    raise ValueError(f"'{step.name}' takes over '{name}' before it is stored")
                start = max(start, self.copied.get(over, 0.0))
            return self._start_with_space(start, tables.growth[t])
        if activity.what in ("load", "stream"):
            step = tables.problem.steps[t]
            if self.issued >> t & 1 or t in self.fetched or step.load != (activity.what == "load"):
                raise ValueError(f"'{step.name}' cannot {activity.what} now")
            start = max(self.now, self.reading)
            if activity.what == "load":
                return self._start_with_space(start, tables.growth[t])
            if not tables.dma.double_buffered:
                start = max(start, self.engine)
            return self._start_with_space(start, step.scratch_bytes)
        name = tables.problem.buffers[t].name
        if activity.what == "reload":
            produced = self.issued >> tables.problem.maker[t] & 1
            if t in self.ready or t not in self.copied or not (produced and self.left[t]):
                raise ValueError(f"'{name}' cannot be reloaded now")
            start = max(self.now, self.reading, self.copied[t])
            return self._start_with_space(start, tables.sizes[t])
        if t not in self.ready:
            raise ValueError(f"'{name}' is not resident and cannot {activity.what}")
        if activity.what == "store":
            if t in self.copied:
                raise ValueError(f"'{name}' is stored already")
            return max(self.now, self.writing, self.ready[t])
        if t not in self.copied or not self.left[t]:
            raise ValueError(f"'{name}' cannot be dropped now")
        return self.now

    def _start_with_space(self, start: float, needed: int) -> float:
        """Return the time from `start` on at which some bytes are free, or infinity."""
        free = self.free
        for when, size in self.releases:
            if when > start and free >= needed:
                break
            if when > start:
                start = when
            free += size
        return start if free >= needed else math.inf

    def issue(self, activity: PlanActivity) -> tuple[float, float]:
        """Begin an activity and return its start and end.

        Raises
        ------
        ValueError
            It cannot come next, or its space is never available.
        """
        start = self.begin(activity)
        if start == math.inf:
            raise ValueError(f"there is never enough space for {activity.what} {activity.index}")
        return start, self._apply(activity, start)

    def _apply(self, activity: PlanActivity, start: float) -> float:
        """Begin an activity at a time and return its end."""
        tables, t = self.tables, activity.index
        self.now = start
        while self.releases and self.releases[0][0] <= start:
            self.free += self.releases.pop(0)[1]
        if activity.what == "run":
            end = self.engine = start + tables.seconds[t]
            self._allocate(tables.growth[t])
            self.issued |= 1 << t
            step = tables.problem.steps[t]
            self._release(end, step.scratch_bytes)
            for r in tables.reads[t]:
                self.left[r] -= 1
                self.used[r] = end
                if not self.left[r]:
                    shared = tables.shared_place[t] if r == step.takes_over else 0
                    self._free(r, tables.sizes[r] - shared)
            self._write(step.writes, end)
            return end
        if activity.what == "load":
            end = start + tables.fetch_s[t]
            self._occupy_channel(end, True)
            self._allocate(tables.growth[t])
            self.issued |= 1 << t
            step = tables.problem.steps[t]
            self._release(end, step.scratch_bytes)
            self._write(step.writes, end)
            return end
        if activity.what == "stream":
            end = self.fetched[t] = start + tables.fetch_s[t]
            self._occupy_channel(end, True)
            self._allocate(tables.problem.steps[t].scratch_bytes)
            return end
        if activity.what == "reload":
            end = self.ready[t] = self.used[t] = start + tables.reload_s[t]
            self._occupy_channel(end, True)
            self._allocate(tables.sizes[t])
            return end
        if activity.what == "store":
            end = self.copied[t] = start + tables.store_s[t]
            self._occupy_channel(end, False)
            if not self.left[t]:
                self._free(t, tables.sizes[t])
            return end
        del self.ready[t]
        self._release(max(self.copied[t], self.used[t]), tables.sizes[t])
        return start

    def _allocate(self, size: int) -> None:
        """Take some free bytes."""
        self.free -= size
        self.least_free = min(self.least_free, self.free)

    def _release(self, when: float, size: int) -> None:
        """Free some bytes at a later time."""
        if size:
            insort(self.releases, (when, size))

    def _occupy_channel(self, end: float, read: bool) -> None:
        """Occupy the channel of a read or write until its end."""
        if read or self.tables.dma.channels == 1:
            self.reading = end
        if not read or self.tables.dma.channels == 1:
            self.writing = end

    def _write(self, buffers: Iterable[int], end: float) -> None:
        """Make written buffers readable from a time on."""
        for w in buffers:
            self.ready[w] = self.used[w] = end
            if not self.left[w]:
                self._free(w, self.tables.sizes[w])

    def _free(self, t: int, size: int) -> None:
        """Release the space of a buffer without remaining readers, after its store if required."""
        if t in self.tables.required_stores and t not in self.copied:
            return  # released by its store
        del self.ready[t]
        # Not before a pending store has read it.
        self._release(max(self.used[t], self.copied.get(t, 0.0)), size)

    @property
    def finished(self) -> bool:
        """Whether every step and the store of every output have begun."""
        tables = self.tables
        return self.issued == (1 << len(tables.problem.steps)) - 1 and all(
            t in self.copied for t in tables.required_stores
        )

    @property
    def end_s(self) -> float:
        """Time at which all begun activities end."""
        return max(self.engine, self.reading, self.writing)


def simulate(
    problem: Problem, activities: Iterable[PlanActivity], capacity_bytes: int, dma: Dma
) -> Timeline:
    """Simulate a plan and return the times of all activities. This is the definition of latency.

    Parameters
    ----------
    problem
        Steps with ``seconds`` and ``stream_bytes``.
    activities
        The plan: activities in the order of their starts.
    capacity_bytes
        Capacity of the on-chip memory.
    dma
        Off-chip channels.

    Returns
    -------
    Timeline

    Raises
    ------
    ValueError
        An activity cannot begin at its place in the plan, or a step or a store is missing.
    """
    simulation = Simulation(SimulationTables(problem, capacity_bytes, dma))
    rows: list[TimelineActivity] = []
    sizes = simulation.tables.sizes
    for activity in activities:
        start, end = simulation.issue(activity)
        i = activity.index
        read, write = ("dma", "dma") if dma.channels == 1 else ("dma read", "dma write")
        match activity.what:
            case "run":
                name, where, size = problem.steps[i].name, "compute", 0
            case "load":
                name, where, size = problem.steps[i].name, read, simulation.tables.load_bytes[i]
            case "stream":
                name, where, size = problem.steps[i].name, read, problem.steps[i].stream_bytes
            case "reload":
                name, where, size = problem.buffers[i].name, read, sizes[i]
            case "store":
                name, where, size = problem.buffers[i].name, write, sizes[i]
            case "drop":
                continue
        rows.append(TimelineActivity(activity.what, i, name, where, start, end, size))
    if not simulation.finished:
        raise ValueError("the plan omits a step or the store of an output")
    peak = capacity_bytes - simulation.least_free
    return Timeline(tuple(rows), simulation.end_s, peak)
