"""Script of a schedule (order of the steps and evictions before each) and its replay.

The replay is the definition of the cost: bytes stored when a buffer without a copy off chip is
evicted, and bytes reloaded before the next step that reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.problem import Problem

__all__ = ["Certified", "ResidencyInterval", "Script", "Trace", "outcome_of", "replay"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Outcome="Certified", ScriptOutcome="Certified")


@dataclass(frozen=True, slots=True)
class Script:
    """Decisions of a scheduling method; loads, stores and reloads follow from them.

    Attributes
    ----------
    order
        Every step exactly once.
    evictions
        Buffers evicted just before each step of the order, before its reloads.
    """

    order: tuple[int, ...]
    evictions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ResidencyInterval:
    """A stay of a buffer on chip over a range of positions of the order, both ends included.

    Attributes
    ----------
    spilled
        Whether the stay ends with a store to off-chip memory.
    reloaded
        Whether the stay begins with a reload.
    """

    buffer: int
    first: int
    last: int
    spilled: bool = False
    reloaded: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """Result of replaying a script.

    Attributes
    ----------
    held_bytes
        Bytes on chip while each step of the order runs.
    """

    spill_bytes: int
    reload_bytes: int
    peak_bytes: int
    held_bytes: tuple[int, ...]
    intervals: tuple[ResidencyInterval, ...]

    @property
    def cost_bytes(self) -> int:
        """Bytes spilled and reloaded."""
        return self.spill_bytes + self.reload_bytes


def replay(problem: Problem, script: Script, capacity_bytes: int | None = None) -> Trace:
    """Replay a script and count the bytes moved and on chip.

    Parameters
    ----------
    capacity_bytes
        Capacity of the memory; None for no limit.

    Raises
    ------
    ValueError
        A step precedes one it depends on, an evicted buffer is not resident, or a step does not
        fit.
    """
    problem.check_order(script.order)
    if len(script.evictions) != len(script.order):
        raise ValueError("a script needs a tuple of evictions for each step")
    sizes = [b.size_bytes for b in problem.buffers]
    stored = {t for t, b in enumerate(problem.buffers) if b.stored}
    readers_left = [len(readers) for readers in problem.readers]
    resident_since: dict[int, tuple[int, bool]] = {}
    on_chip = spilled = reloaded = 0
    totals: list[int] = []
    intervals: list[ResidencyInterval] = []

    def end_stay(t: int, last: int, is_spilled: bool = False) -> None:
        nonlocal on_chip
        first, is_reloaded = resident_since.pop(t)
        on_chip -= sizes[t]
        if last >= first:
            intervals.append(ResidencyInterval(t, first, last, is_spilled, is_reloaded))

    for k, s in enumerate(script.order):
        step = problem.steps[s]
        for t in script.evictions[k]:
            if t not in resident_since:
                raise ValueError(
                    f"'{problem.buffers[t].name}' is evicted at position {k} but is not resident"
                )
            is_spilled = t not in stored
            spilled += sizes[t] if is_spilled else 0
            stored.add(t)
            end_stay(t, k - 1, is_spilled)
        for t in step.reads:
            if t not in resident_since:
                if t not in stored:
                    name = problem.buffers[t].name
                    raise ValueError(
                        f"'{step.name}' reads '{name}', which is neither resident nor stored"
                    )
                reloaded += sizes[t]
                on_chip += sizes[t]
                resident_since[t] = (k, True)
        total = on_chip + problem.growth_bytes[s]
        if capacity_bytes is not None and total > capacity_bytes:
            raise ValueError(f"'{step.name}' needs {total} bytes of {capacity_bytes}")
        totals.append(total)
        for t in step.writes:
            resident_since[t] = (k, False)
            on_chip += sizes[t]
        for t in dict.fromkeys(step.reads):
            readers_left[t] -= 1
        for t in (*dict.fromkeys(step.reads), *step.writes):
            if not readers_left[t] and t in resident_since:
                end_stay(t, k)
    return Trace(spilled, reloaded, max(totals, default=0), tuple(totals), tuple(intervals))


def outcome_of(
    problem: Problem,
    script: Script | None,
    capacity_bytes: int,
    method: str,
    bound: float = 0,
    work: Mapping[str, int] | None = None,
) -> Certified[Script]:
    """Return a script with the bytes that it spills and reloads, and the given lower bound.

    Raises
    ------
    ValueError
        As for `replay`.
    """
    cost = math.inf if script is None else replay(problem, script, capacity_bytes).cost_bytes
    return Certified(script, cost, bound, method, work or {})
