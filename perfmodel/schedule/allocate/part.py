"""Buffers that share no moment with others: fit them into a height, or find the least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perfmodel.schedule.allocate.first_fit import portfolio
from perfmodel.schedule.allocate.restarts import search
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.valleys import EXHAUSTED, PACKED
from perfmodel.schedule.deadline import Deadline

__all__ = ["SEARCHED", "Part"]

SEARCHED: Final = "valley search"


@dataclass
class Part:
    """Pieces to pack, with the best packing so far; heights are in units of the pieces.

    Attributes
    ----------
    bound : int
        No packing is lower.
    searched : bool
        The bound is a search's, not a load's.
    """

    packing: Sections
    seed: int
    hints: Sequence[int | None]
    offsets: tuple[int, ...] = ()
    height: int = 0
    bound: int = 0
    searched: bool = False
    method: str = ""
    nodes: int = 0
    dives: int = 0

    def __post_init__(self) -> None:
        self.bound = self.packing.bound
        sizes = [p.size for p in self.packing.pieces]
        places = [p.offset for p in self.packing.pieces if p.offset is not None]
        steps = [p.alignment for p in self.packing.pieces if p.alignment > 1]
        # Heights of packings in which nothing can sink are multiples of it.
        self._step = math.gcd(*sizes, *places, *steps)

    def fit(self, height: int, deadline: Deadline, node_limit: float) -> None:
        """Look for a packing of a height, by first fit and then by search."""
        self._first_fit(height, deadline)
        if height >= self.bound and self.height > height:
            self._try(height, deadline, node_limit)

    def lower(self, deadline: Deadline, node_limit: float, *, above: int = 0) -> None:
        """Lower the best packing towards the bound while time is left: bisection of the height.

        Parameters
        ----------
        above
            Heights below are of no use.
        """
        self._first_fit(max(self.bound, above), deadline)
        low, nodes_end = max(self.bound, above), self.nodes + node_limit
        first = above <= self.bound
        while low < self.height and not deadline.passed() and self.nodes < nodes_end:
            # The bound is reached more often than not, so it is tried first and longest.
            height = low if first else low + (self.height - low) // (2 * self._step) * self._step
            share = 0.5 if first else 0.34
            left = deadline.left()
            within = deadline if math.isinf(left) else deadline.within(share * left)
            nodes = share * (nodes_end - self.nodes)
            if math.isinf(left) and math.isinf(nodes):
                nodes = 2_000.0 * len(self.packing.pieces)
            self._try(height, within, nodes)
            # Beyond a height that was neither reached nor excluded, the next one up is tried.
            low, first = (
                max(self.bound, low if self.height <= height else height + self._step),
                False,
            )

    def _first_fit(self, height: int, deadline: Deadline) -> None:
        if not self.offsets:
            found = portfolio(
                self.packing, max(height, self.bound), self.hints, self.seed, deadline
            )
            self.offsets, self.height, self.method = found.offsets, found.height, found.method

    def _try(self, height: int, deadline: Deadline, node_limit: float) -> None:
        found = search(self.packing, height, self.seed, deadline, node_limit)
        self.nodes += found.nodes
        self.dives += found.dives
        if found.status == PACKED:
            pairs = zip(found.offsets, self.packing.pieces, strict=True)
            self.offsets, self.height = found.offsets, max(at + p.size for at, p in pairs)
            self.method = SEARCHED
        elif found.status == EXHAUSTED and height >= self.bound:
            self.bound, self.searched = min(height + self._up(height), self.height), True

    def _up(self, height: int) -> int:
        """Return the distance to the next height that a packing can have."""
        return self._step - height % self._step
