"""A script: the order of the steps and what is evicted before each; and its replay."""

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
    """What a scheduling method decides; loads, stores and reloads follow from it.

    Attributes
    ----------
    order
        Every step once.
    evictions
        Buffers evicted just before each step of the order, before its reloads.
    """

    order: tuple[int, ...]
    evictions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ResidencyInterval:
    """A stay of a buffer on chip, from position to position of the order, both included.

    Attributes
    ----------
    spilled
        It ends with a store to off-chip memory.
    reloaded
        It begins with a reload.
    """

    buffer: int
    first: int
    last: int
    spilled: bool = False
    reloaded: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """What happens when a script runs.

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
    """Run a script and count.

    Parameters
    ----------
    capacity_bytes
        What the memory holds; None counts without a limit.

    Raises
    ------
    ValueError
        A step comes before what it reads, an evicted buffer is not there, or a step does not fit.
    """
    if not problem.is_order(script.order):
        raise ValueError("the order does not run every step once, each after what it reads")
    if len(script.evictions) != len(script.order):
        raise ValueError("a script needs a tuple of evictions for each step")
    sizes = [b.size_bytes for b in problem.buffers]
    copied = {t for t, b in enumerate(problem.buffers) if b.stored}
    waiting = [len(readers) for readers in problem.readers]
    since: dict[int, tuple[int, bool]] = {}
    held = spilled = reloaded = 0
    totals: list[int] = []
    stays: list[ResidencyInterval] = []

    def leave(t: int, last: int, store: bool = False) -> None:
        nonlocal held
        first, again = since.pop(t)
        held -= sizes[t]
        if last >= first:
            stays.append(ResidencyInterval(t, first, last, store, again))

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
                held += sizes[t]
                since[t] = (k, True)
        total = held + problem.growth_bytes[s]
        if capacity_bytes is not None and total > capacity_bytes:
            raise ValueError(f"'{step.name}' needs {total} bytes of {capacity_bytes}")
        totals.append(total)
        for t in step.writes:
            since[t] = (k, False)
            held += sizes[t]
        for t in dict.fromkeys(step.reads):
            waiting[t] -= 1
        for t in (*dict.fromkeys(step.reads), *step.writes):
            if not waiting[t] and t in since:
                leave(t, k)
    return Trace(spilled, reloaded, max(totals, default=0), tuple(totals), tuple(stays))


def outcome_of(
    problem: Problem,
    script: Script | None,
    capacity_bytes: int,
    method: str,
    bound: float = 0,
    work: Mapping[str, int] | None = None,
) -> Certified[Script]:
    """Return a script with the bytes that it spills and reloads; `bound`: none goes below.

    Raises
    ------
    ValueError
        As `replay` does.
    """
    cost = math.inf if script is None else replay(problem, script, capacity_bytes).cost_bytes
    return Certified(script, cost, bound, method, work or {})
