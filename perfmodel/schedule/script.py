"""Script of a schedule (order of the steps and evictions before each) and its replay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.problem import Problem

__all__ = ["Certified", "ResidencyInterval", "Script", "Trace", "outcome_of", "replay"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Outcome="Certified", ScriptOutcome="Certified")


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
    if not problem.is_order(script.order):
        raise ValueError("the order does not run every step once, each after what it reads")
    if len(script.evictions) != len(script.order):
        raise ValueError("a script needs a tuple of evictions for each step")
    sizes = [b.size_bytes for b in problem.buffers]
    copied = {t for t, b in enumerate(problem.buffers) if b.stored}
    waiting = [len(readers) for readers in problem.readers]
    since: dict[int, tuple[int, bool]] = {}
    on_chip = spilled = reloaded = 0
    totals: list[int] = []
    intervals: list[ResidencyInterval] = []

    def leave(t: int, last: int, store: bool = False) -> None:
        nonlocal on_chip
        first, again = since.pop(t)
        on_chip -= sizes[t]
        if last >= first:
            intervals.append(ResidencyInterval(t, first, last, store, again))

    for k, s in enumerate(script.order):
        step = problem.steps[s]
        for t in script.evictions[k]:
            if t not in since:
                raise ValueError(f"'{problem.buffers[t].name}' is evicted at {k} but not there")
            store = t not in copied
            spilled += sizes[t] if store else 0
            copied.add(t)
            leave(t, k - 1, store)
        for t in step.reads:
            if t not in since:
                if t not in copied:
                    raise ValueError(
                        f"'{step.name}' reads '{problem.buffers[t].name}' from nowhere"
                    )
                reloaded += sizes[t]
                on_chip += sizes[t]
                since[t] = (k, True)
        total = on_chip + problem.growth_bytes[s]
        if capacity_bytes is not None and total > capacity_bytes:
            raise ValueError(f"'{step.name}' needs {total} bytes of {capacity_bytes}")
        totals.append(total)
        for t in step.writes:
            since[t] = (k, False)
            on_chip += sizes[t]
        for t in dict.fromkeys(step.reads):
            waiting[t] -= 1
        for t in (*dict.fromkeys(step.reads), *step.writes):
            if not waiting[t] and t in since:
                leave(t, k)
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
