"""Restarted search: short dives from new starts, and occasional long ones for completeness."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.valleys import CUT, Valleys

# Tuned on MiniMalloc's A, B, D, E and G. Many short dives find packings that a few long ones miss,
# and decaying weights keep early failures from dominating; both matter most on E.
_NODES, _GROWTH, _FADE = 2.0, 1.005, 0.7
#: Amplitude of noise in the order of options, for alternate pairs of dives; none for the first.
_NOISE: Final = (0.5, 0.25)
#: Period in dives of the long ones, a quarter as long as all previous dives together.
_LONG: Final = 32


class Restarts:
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
        self._valleys = Valleys(packing, height, max_ends)
        self._width = [b - a + 1 for a, b in zip(packing.first, packing.last, strict=True)]
        sizes = [piece.size for piece in packing.pieces]
        self._area = [w * size for w, size in zip(self._width, sizes, strict=True)]
        self._short = max(32.0, _NODES * len(sizes))
        self.nodes = self.dives = 0

    @property
    def offsets(self) -> tuple[int, ...]:
        """Offset of each piece, after a packing was found."""
        return tuple(self._valleys.offsets)

    def run(self, deadline: Deadline, node_limit: float) -> str:
        """Dive until packed or exhausted, or stopped by time or by a total number of nodes.

        Returns
        -------
        str
            ``packed``, ``exhausted`` (no packing of the height exists) or ``cut``.
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
