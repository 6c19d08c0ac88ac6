"""From a replayed script to blocks of memory that need an address."""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, Trace


@dataclass(frozen=True, slots=True)
class MemoryBlock:
    """Bytes that stay at one address over some positions of the order, both included.

    Attributes
    ----------
    intervals
        Stays (`Trace.intervals`, by index) that lie there one after the other: the second took over
        the place of the first. Empty for the scratch of a step.
    """

    name: str
    first: int
    last: int
    size_bytes: int
    intervals: tuple[int, ...] = ()


def blocks(problem: Problem, script: Script, trace: Trace) -> list[MemoryBlock]:
    """Return what must be allocated: every stay on chip, and the scratch of every step.

    A stay that begins by taking over the place of another lies in the same block. Buffers of no
    bytes need no block.
    """
    ending = {(stay.buffer, stay.last): i for i, stay in enumerate(trace.intervals)}
    taken: dict[int, int] = {}
    for k, s in enumerate(script.order):
        step = problem.steps[s]
        if step.takes_over >= 0:
            taken[step.writes[0]] = ending[step.takes_over, k]
    root = list(range(len(trace.intervals)))
    by_start = sorted(root, key=lambda i: trace.intervals[i].first)
    groups: dict[int, list[int]] = {}
    for i in by_start:
        stay = trace.intervals[i]
        if not stay.reloaded and stay.buffer in taken:
            root[i] = root[taken[stay.buffer]]
        groups.setdefault(root[i], []).append(i)
    made: list[MemoryBlock] = []
    for members in groups.values():
        stays = [trace.intervals[i] for i in members]
        size = max(problem.buffers[s.buffer].size_bytes for s in stays)
        if size:
            name = problem.buffers[stays[0].buffer].name
            made.append(MemoryBlock(name, stays[0].first, stays[-1].last, size, tuple(members)))
    for k, s in enumerate(script.order):
        if problem.steps[s].scratch_bytes:
            name = f"scratch of {problem.steps[s].name}"
            made.append(MemoryBlock(name, k, k, problem.steps[s].scratch_bytes))
    return made
