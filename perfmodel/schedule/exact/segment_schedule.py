"""Schedule of a segment, and its conversion from paths, and from and to scripts of the problem.

The search works on segments whose steps may be merged or interchangeable. `schedule_of_path` turns
the path that it finds into steps and evictions of the segment, `join_segments` turns the schedules
of all segments into one script, and `split_script` splits a script from elsewhere into schedules
that serve the segments as incumbents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.exact.interchangeable import StepCopies
from perfmodel.schedule.exact.shortest_path import PathNode
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.masks import bits, mask_of
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script


@dataclass(frozen=True, slots=True)
class SegmentSchedule:
    """Steps of a segment in order, the mask of buffers evicted before each, and the cost."""

    cost: int
    steps: tuple[int, ...]
    evicted: tuple[int, ...]

    @classmethod
    def without_evictions(cls, order: Sequence[int]) -> SegmentSchedule:
        """Return the schedule that runs an order and evicts nothing."""
        return cls(0, tuple(order), (0,) * len(order))


@dataclass(slots=True)
class _CopyRun:
    """One run of a step that has interchangeable copies; which copy it is, is decided at the end.

    Attributes
    ----------
    position
        Position of the run in the schedule.
    consumed
        Runs of other copies whose outputs this one reads.
    evicted_at
        Positions at which its output is evicted.
    """

    copies: StepCopies
    position: int
    consumed: list[_CopyRun]
    evicted_at: list[int]


def schedule_of_path(graph: StateGraph, end: PathNode) -> SegmentSchedule:
    """Return the schedule of a path; interchangeable steps get consistent numbers."""
    copies, path = graph.copies, end.path()
    copies_of = {s: kind for kind in copies.types for s in kind.steps}
    # Runs whose output waits for its reader, by type and location.
    waiting: dict[tuple[int, str], list[_CopyRun]] = {}
    steps: list[int] = []
    evicted: list[int] = []
    readers: list[tuple[int, list[_CopyRun]]] = []

    def location(buffer: int, state: PathNode) -> tuple[int, str]:
        if not state.resident >> buffer & 1:
            return copies.type_of[buffer], "off chip"
        return copies.type_of[buffer], "clean" if state.clean >> buffer & 1 else "dirty"

    for before, state in pairwise(path):
        position = len(steps)
        evicted.append(state.evicted & ~copies.buffers_mask)
        # Consumed outputs are selected by their location before any buffer moves.
        consumed = [waiting[location(t, before)].pop() for t in bits(state.consumed_copies)]
        for t in bits(state.evicted & copies.buffers_mask):
            run = waiting[location(t, before)].pop()
            run.evicted_at.append(position)
            waiting.setdefault((copies.type_of[t], "off chip"), []).append(run)
        steps.append(state.step)
        kind = copies_of.get(state.step)
        if kind is None:
            readers.append((state.step, consumed))
        else:
            is_clean = graph.core.stored >> kind.buffers[0] & 1
            where = copies.type_of[kind.buffers[0]], "clean" if is_clean else "dirty"
            waiting.setdefault(where, []).append(_CopyRun(kind, position, consumed, []))
    # From each reader back to its inputs, the runs get the numbers of the copies that it reads.
    while readers:
        reader, consumed = readers.pop()
        for kind in {id(run.copies): run.copies for run in consumed}.values():
            places = [i for i, r in enumerate(kind.readers) if r == reader]
            runs = [run for run in consumed if run.copies is kind]
            for i, run in zip(places, runs, strict=True):
                steps[run.position] = kind.steps[i]
                for position in run.evicted_at:
                    evicted[position] |= 1 << kind.buffers[i]
                readers.append((kind.steps[i], run.consumed))
    return SegmentSchedule(end.cost, tuple(steps), tuple(evicted))


def join_segments(
    problem: Problem, schedules: Sequence[tuple[BitmaskProblem, SegmentSchedule]]
) -> Script:
    """Return the script that joins the schedules of consecutive segments.

    Inputs are loaded just before the first step that reads them.
    """
    order: list[int] = []
    evictions: list[tuple[int, ...]] = []
    executed = 0
    scheduled = {s for core, _ in schedules for names in core.names for s in names}

    def append(s: int, evicted: tuple[int, ...]) -> None:
        nonlocal executed
        order.append(s)
        evictions.append(evicted)
        executed |= 1 << s

    for core, schedule in schedules:
        for s, mask in zip(schedule.steps, schedule.evicted, strict=True):
            evicted = tuple(core.buffers[t] for t in bits(mask))
            for name in core.names[s]:
                for load in problem.predecessors[name]:
                    if not executed >> load & 1 and load not in scheduled:
                        append(load, evicted)
                        evicted = ()
                append(name, evicted)
                evicted = ()
    for s in range(len(problem.steps)):
        if not executed >> s & 1:
            append(s, ())
    return Script(tuple(order), tuple(evictions))


def split_script(
    script: Script, cores: Sequence[BitmaskProblem], capacity: int
) -> list[SegmentSchedule | None]:
    """Return the schedules of the segments that correspond to a script, at no higher cost.

    None for a segment in which the script separates steps that are merged in the core.
    """
    first = {core.names[s][0]: (i, s) for i, core in enumerate(cores) for s in range(core.steps)}
    replays = [_SegmentReplay(core, capacity) for core in cores]
    pending: set[int] = set()
    for s, evicted in zip(script.order, script.evictions, strict=True):
        pending.update(evicted)
        if s in first:
            i, k = first[s]
            replays[i].run(k, pending)
            pending.clear()
    return [each.schedule() for each in replays]


class _SegmentReplay:
    """Replay of the steps and evictions of a script that belong to one segment."""

    def __init__(self, core: BitmaskProblem, capacity: int) -> None:
        self.core, self.capacity = core, capacity
        self.number = {t: k for k, t in enumerate(core.buffers)}
        self.resident, self.clean, self.done = core.resident, core.resident & core.stored, 0
        self.cost, self.is_feasible = 0, True
        self.steps: list[int] = []
        self.evicted: list[int] = []

    def run(self, step: int, buffers: set[int]) -> None:
        """Replay one step of the core after evictions of some buffers of the problem."""
        core, reads = self.core, self.core.reads[step]
        evicted = 0
        for t in buffers:
            while t in core.merged:
                t = core.merged[t]
            evicted |= 1 << self.number[t] if t in self.number else 0
        evicted &= self.resident & ~reads
        self.cost += core.bytes_of(evicted) + core.bytes_of(evicted & ~self.clean)
        self.resident &= ~evicted
        missing = reads & ~self.resident
        on_chip = core.bytes_of(self.resident | reads) + core.growth[step]
        self.is_feasible &= on_chip <= self.capacity and not core.before[step] & ~self.done
        self.done |= 1 << step
        self.clean |= missing | core.writes[step] & core.stored
        present = self.resident | reads | core.writes[step]
        self.resident = mask_of(t for t in bits(present) if core.readers[t] & ~self.done)
        self.clean &= self.resident
        self.steps.append(step)
        self.evicted.append(evicted)

    def schedule(self) -> SegmentSchedule | None:
        """Return the schedule, or None if a step is missing or does not fit."""
        if not self.is_feasible or self.done != self.core.full:
            return None
        return SegmentSchedule(self.cost, tuple(self.steps), tuple(self.evicted))
