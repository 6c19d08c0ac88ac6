"""What a search moves through: sets of executed steps, the steps that may run, bounds."""

from __future__ import annotations

from typing import Protocol


class ReadyStep:
    """A step that may run at a node.

    Attributes
    ----------
    reads
        What it reads, but for what it consumes of interchangeable copies.
    alive
        Everything but the buffers that vanish after it.
    kept, kept_bytes, kept_spill
        What it writes and something reads, its bytes, the cost of evicting it.
    freed
        Buffers of which it is the last reader.
    takes
        For each type that it reads, the waiting copies and how many it consumes.
    alone
        No other step can consume them before.
    """

    __slots__ = (
        "alive",
        "alone",
        "child",
        "freed",
        "growth",
        "kept",
        "kept_bytes",
        "kept_spill",
        "reads",
        "step",
        "takes",
    )

    def __init__(
        self,
        step: int,
        reads: int,
        growth: int,
        alive: int,
        kept: int,
        child: ExecutedSet,
        kept_bytes: int,
        kept_spill: int,
        freed: tuple[int, ...],
        takes: tuple[tuple[int, int], ...],
        alone: bool,
    ) -> None:
        self.step, self.reads, self.growth, self.alive = step, reads, growth, alive
        self.kept, self.kept_bytes, self.kept_spill = kept, kept_bytes, kept_spill
        self.child, self.freed, self.takes, self.alone = child, freed, takes, alone


class ExecutedSet:
    """A set of executed steps, with what all states of that set have in common.

    Attributes
    ----------
    live
        Buffers that are there and have a reader left.
    pools
        Of each type of interchangeable copies, its buffers, and the last k that wait to be read.
    """

    __slots__ = ("done", "live", "moves", "pools")

    def __init__(self, done: int, live: int) -> None:
        self.done, self.live = done, live
        self.moves: tuple[ReadyStep, ...] | None = None
        self.pools: tuple[tuple[int, tuple[int, ...]], ...] = ()


#: Node, resident, clean, cost so far; the step that led there, what it evicted, what it took; what
#: is still to pay at least.
Successor = tuple[ExecutedSet, int, int, int, int, int, int, int]

#: A way on that a bound knows of: what it costs at least if nothing more leaves now, what of it
#: comes later, bytes that must leave and cost twice and once their size, the buffers that must
#: leave, and those of them that come back and leave again if they leave now.
Row = tuple[int, int, int, int, int, int]


class Bound(Protocol):
    """A bound from below on what is still to pay."""

    @property
    def slack(self) -> int:
        """Bytes that need not leave."""
        ...

    def __call__(self, node: ExecutedSet, resident: int, clean: int) -> int:
        """Return the bound at a state."""
        ...

    def ways(self, node: ExecutedSet, resident: int, clean: int, room: int) -> list[Row] | None:
        """Return the ways on that cost less than `room`, cheapest first; None for no bound."""
        ...
