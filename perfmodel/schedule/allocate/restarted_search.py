"""Restarts of the exact search: many short dives with varied orders, and now and then a long one.

Randomised restarts escape the heavy tail of depth-first search (Gomes, Selman and Kautz, AAAI
1998). Weights of sections and stored failures persist across dives of `SkylineSearch`. The limit of
short dives grows geometrically and long dives take a fixed share of all nodes, so that the search
is complete without a limit. `subproblem` and `window_proofs` run it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.skyline_search import CUT, SkylineSearch

# Tuned on the instances A, B, D, E and G of MiniMalloc. Many short dives find packings that a few
# long ones miss, and decaying weights keep early failures from dominating; both matter most on E.
#: Nodes per piece of the first short dive, and the factors on them and on weights after each dive.
_NODES_PER_PIECE, _NODE_GROWTH, _WEIGHT_DECAY = 2.0, 1.005, 0.7
#: Amplitude of noise in the order of options, for alternate pairs of dives; none for the first.
_NOISE: Final = (0.5, 0.25)
#: One in so many dives is long: a quarter of the nodes of all previous dives together.
_LONG_DIVE_PERIOD: Final = 32


class RestartedSearch:
    """Dives for a packing of one height, which can be resumed.

    Parameters
    ----------
    height
        Maximum height, in the units of the pieces.
    seed
        Seed of the noise in the order of options; the same seed reproduces the dives.
    max_ends
        Maximum end of each piece, if lower than the height.

    Attributes
    ----------
    nodes, dives : int
        Totals so far.
    """

    def __init__(
        self, packing: Sections, height: int, seed: int, max_ends: Sequence[int] | None = None
    ) -> None:
        self._rng = random.Random(seed)
        self._search = SkylineSearch(packing, height, max_ends)
        self._width = [b - a + 1 for a, b in zip(packing.first, packing.last, strict=True)]
        sizes = [piece.size for piece in packing.pieces]
        self._area = [w * size for w, size in zip(self._width, sizes, strict=True)]
        self._short = max(32.0, _NODES_PER_PIECE * len(sizes))
        self.nodes = self.dives = 0

    @property
    def offsets(self) -> tuple[int, ...]:
        """Offset of each piece, after a packing was found."""
        return tuple(self._search.offsets)

    def run(self, deadline: Deadline, node_limit: float) -> str:
        """Dive until packed or exhausted, or stopped by time or by a total number of nodes.

        Returns
        -------
        str
            ``packed``, ``exhausted`` (no packing of the height exists) or ``cut``.
        """
        search, uniform = self._search, self._rng.uniform
        while True:
            extents = self._area if self.dives % 2 else self._width
            noise = _NOISE[self.dives // 2 % 2] if self.dives else 0.0
            rank = [-extent * uniform(1 - noise, 1 + noise) for extent in extents]
            is_long = self.dives % _LONG_DIVE_PERIOD == _LONG_DIVE_PERIOD - 1
            limit = max(self._short, self.nodes / 4) if is_long else self._short
            limit = math.ceil(max(0.0, min(limit, node_limit - self.nodes)))
            status = search.dive(rank, limit, deadline)
            self.nodes += search.nodes
            self.dives += 1
            if status != CUT:
                return status
            self._short *= _NODE_GROWTH
            search.weights = [1.0 + (w - 1.0) * _WEIGHT_DECAY for w in search.weights]
            if self.nodes >= node_limit or deadline.passed():
                return CUT
