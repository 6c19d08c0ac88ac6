"""Data of the state graph: sets of executed steps, ready steps, successor states and bounds.

A state of the search for the fewest spilled bytes is (executed steps, resident buffers, clean
buffers), each a bit mask. States with equal executed steps share one `ExecutedSet`. Successors and
cases of a bound are plain tuples, since the search creates millions of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias


class ExecutedSet:
    """A set of executed steps, with the data common to all states of that set.

    Attributes
    ----------
    done
        Mask of the executed steps.
    live
        Mask of the buffers that have been written and have a reader left.
    ready_steps
        Steps that can run next; None until they are first needed.
    copy_pools
        For each type of interchangeable copies, the mask of its buffers, and the masks of the last
        0, 1, 2, ... of those that wait for a reader.
    """

    __slots__ = ("copy_pools", "done", "live", "ready_steps")

    def __init__(self, done: int, live: int) -> None:
        self.done, self.live = done, live
        self.ready_steps: tuple[ReadyStep, ...] | None = None
        self.copy_pools: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(slots=True, eq=False)
class ReadyStep:
    """A step all of whose predecessors are in an executed set.

    Attributes
    ----------
    step
        Number of the step.
    reads
        Mask of the buffers read, except for consumed outputs of interchangeable copies.
    growth
        Bytes that the step needs in addition to the buffers resident before it.
    alive
        Mask of all buffers except those that the step frees.
    outputs, output_bytes, eviction_cost
        Mask of the outputs that have readers, their bytes, and the cost of evicting them.
    child
        The executed set after the step.
    freed
        Buffers of which the step is the last reader.
    consumed_copies
        For each type of interchangeable copies that the step reads, the mask of the copies that
        wait, and the number consumed.
    is_exclusive
        Whether no other step can consume these copies before.
    """

    step: int
    reads: int
    growth: int
    alive: int
    outputs: int
    child: ExecutedSet
    output_bytes: int
    eviction_cost: int
    freed: tuple[int, ...]
    consumed_copies: tuple[tuple[int, int], ...]
    is_exclusive: bool


#: (executed set, resident, clean, cost so far, step that led here, buffers evicted before it,
#: copies consumed by it, lower bound on the remaining cost); buffers are masks, costs bytes.
Successor: TypeAlias = tuple[ExecutedSet, int, int, int, int, int, int, int]


def start_state(executed: ExecutedSet, resident: int, clean: int) -> Successor:
    """Return a state that no step led to, with cost 0."""
    return executed, resident, clean, 0, -1, 0, 0, 0


#: One case of a bound that is a minimum over cases: (least cost in this case if no further buffer
#: is evicted now, the part of it that is paid later, bytes that must be evicted at twice their
#: size, bytes that must be evicted at once their size, mask of the buffers that must be evicted,
#: mask of those among them that return and are evicted again if they are evicted now).
BoundCase: TypeAlias = tuple[int, int, int, int, int, int]


class Bound(Protocol):
    """Lower bound on the cost from a state to the end: a minimum over cases."""

    @property
    def slack(self) -> int:
        """Bytes that need not be evicted."""
        ...

    def __call__(self, node: ExecutedSet, resident: int, clean: int) -> int:
        """Return the bound at a state."""
        ...

    def cases(
        self, node: ExecutedSet, resident: int, clean: int, budget: int
    ) -> list[BoundCase] | None:
        """Return the cases that cost less than `budget`, cheapest first; None for no bound."""
        ...
