"""Short dives from new starts, and long ones now and then, so that the search is complete."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.valleys import CUT, Valleys

# Chosen on MiniMalloc's A, B, D, E and G. Many short dives find what a few long ones miss, and
# weights that fade keep early failures from steering for ever; both matter most on E.
_NODES, _GROWTH, _FADE = 2.0, 1.005, 0.7
#: Of the order of options, in turn for each pair of dives; the first dive has none.
_NOISE: Final = (0.5, 0.25)
#: Every so many dives one is as long as a quarter of all before it.
_LONG: Final = 32


class Restarts:
    """Dives for a packing of one height, which go on where they stopped.

    Parameters
    ----------
    height
        That nothing may reach beyond, in the units of the pieces.
    seed
        Of the noise in the order of options; the same seed makes the same dives.
    lids
        Of each piece, where it may not reach as far as the height.

    Attributes
    ----------
    nodes, dives : int
        So far.
    """

    def __init__(
        self, packing: Sections, height: int, seed: int, lids: Sequence[int] | None = None
    ) -> None:
        self._rng = random.Random(seed)
        self._valleys = Valleys(packing, height, lids)
        self._width = [b - a + 1 for a, b in zip(packing.first, packing.last, strict=True)]
        sizes = [piece.size for piece in packing.pieces]
        self._area = [w * size for w, size in zip(self._width, sizes, strict=True)]
        self._short = max(32.0, _NODES * len(sizes))
        self.nodes = self.dives = 0

    @property
    def offsets(self) -> tuple[int, ...]:
        """Of each piece, after it was packed."""
        return tuple(self._valleys.offsets)

    def run(self, deadline: Deadline, node_limit: float) -> str:
        """Dive until packed or exhausted, or cut by time or by a number of nodes in all.

        Returns
        -------
        str
            ``packed``, ``exhausted`` (there is no packing of the height) or ``cut``.
        """
        valleys, uniform = self._valleys, self._rng.uniform
        while True:
            base = self._area if self.dives % 2 else self._width
            noise = _NOISE[self.dives // 2 % 2] if self.dives else 0.0
            rank = [-x * uniform(1 - noise, 1 + noise) for x in base]
            long = self.dives % _LONG == _LONG - 1
            limit = max(self._short, self.nodes / 4) if long else self._short
            limit = math.ceil(max(0.0, min(limit, node_limit - self.nodes)))
            status = valleys.dive(rank, limit, deadline)
            self.nodes += valleys.nodes
            self.dives += 1
            if status != CUT:
                return status
            self._short *= _GROWTH
            valleys.weights = [1.0 + (w - 1.0) * _FADE for w in valleys.weights]
            if self.nodes >= node_limit or deadline.passed():
                return CUT
