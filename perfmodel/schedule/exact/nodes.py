"""Nodes of the search: sets of executed steps with their ready steps, and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, eq=False)
class ReadyStep:
    """A step that is ready at a node.

    Attributes
    ----------
    reads
        Mask of the buffers read, except for consumed outputs of interchangeable copies.
    alive
        Mask of all buffers except those that the step frees.
    outputs, output_bytes, eviction_cost
        Mask of the outputs that have readers, their bytes, and the cost of evicting them.
    freed
        Buffers of which the step is the last reader.
    takes
        For each type read, the waiting copies and the number consumed.
    exclusive
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
    takes: tuple[tuple[int, int], ...]
    exclusive: bool


class ExecutedSet:
    """A set of executed steps, with the data common to all states of that set.

    Attributes
    ----------
    live
        Buffers that have been written and have a reader left.
    pools
        For each type of interchangeable copies, its buffers, and the last k that wait for a reader.
    """

    __slots__ = ("done", "live", "moves", "pools")

    def __init__(self, done: int, live: int) -> None:
        self.done, self.live = done, live
        self.moves: tuple[ReadyStep, ...] | None = None
        self.pools: tuple[tuple[int, tuple[int, ...]], ...] = ()


#: Node, resident, clean, cost so far; the last step, its evictions, the outputs it consumed; and
#: a lower bound on the remaining cost.
Successor = tuple[ExecutedSet, int, int, int, int, int, int, int]

#: A continuation in a bound: its least cost if no further buffer is evicted now, the part of it
#: that comes later, bytes that must be evicted at twice and once their size, the buffers that must
#: be evicted, and those among them that return and are evicted again if they are evicted now.
Row = tuple[int, int, int, int, int, int]


class Bound(Protocol):
    """Lower bound on the remaining cost."""

    @property
    def slack(self) -> int:
        """Bytes that need not be evicted."""
        ...

    def __call__(self, node: ExecutedSet, resident: int, clean: int) -> int:
        """Return the bound at a state."""
        ...

    def ways(self, node: ExecutedSet, resident: int, clean: int, room: int) -> list[Row] | None:
        """Return the continuations below `room`, cheapest first; None for no bound."""
        ...
