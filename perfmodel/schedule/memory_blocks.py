"""Memory blocks that need an address, derived from a replayed script.

`addresses.py` packs them into the memory: an instance of dynamic storage allocation, in which each
block occupies a range of positions of the order and a number of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, Trace


@dataclass(frozen=True, slots=True)
class MemoryBlock:
    """Bytes that stay at one address over a range of positions of the order, both ends included.

    Attributes
    ----------
    intervals
        Stays (indices into `Trace.intervals`) that share the block one after the other: each takes
        over the place of the previous one. Empty for the scratch of a step.
    """

    name: str
    first: int
    last: int
    size_bytes: int
    intervals: tuple[int, ...] = ()


def memory_blocks(problem: Problem, script: Script, trace: Trace) -> list[MemoryBlock]:
    """Return the blocks to allocate: one per stay on chip and one for the scratch of each step.

    A stay that starts by taking over the place of another shares its block. Buffers of zero bytes
    have no block.
    """
    ending = {(stay.buffer, stay.last): i for i, stay in enumerate(trace.intervals)}
    taken: dict[int, int] = {}
    for k, s in enumerate(script.order):
        step = problem.steps[s]
        if step.takes_over >= 0:
            taken[step.writes[0]] = ending[step.takes_over, k]
    first_stay = list(range(len(trace.intervals)))
    by_start = sorted(first_stay, key=lambda i: trace.intervals[i].first)
    groups: dict[int, list[int]] = {}
    for i in by_start:
        stay = trace.intervals[i]
        if not stay.reloaded and stay.buffer in taken:
            first_stay[i] = first_stay[taken[stay.buffer]]
        groups.setdefault(first_stay[i], []).append(i)
    result: list[MemoryBlock] = []
    for members in groups.values():
        members_in_order = [trace.intervals[i] for i in members]
        size = max(problem.buffers[s.buffer].size_bytes for s in members_in_order)
        if size:
            name = problem.buffers[members_in_order[0].buffer].name
            result.append(
                MemoryBlock(
                    name, members_in_order[0].first, members_in_order[-1].last, size, tuple(members)
                )
            )
    for k, s in enumerate(script.order):
        if problem.steps[s].scratch_bytes:
            name = f"scratch of {problem.steps[s].name}"
            result.append(MemoryBlock(name, k, k, problem.steps[s].scratch_bytes))
    return result
