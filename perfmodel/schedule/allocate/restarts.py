"""Short dives from new starts, and long ones now and then, so that the search is complete."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.valleys import CUT, EXHAUSTED, PACKED, Valleys
from perfmodel.schedule.deadline import Deadline

__all__ = ["Found", "search"]

# Chosen on MiniMalloc's A, B, D, E and G. Many short dives find what a few long ones miss, and
# weights that fade keep early failures from steering for ever; both matter most on E.
_NODES, _GROWTH, _FADE = 2.0, 1.005, 0.7
#: Of the order of options, in turn for each pair of dives; the first dive has none.
_NOISE: Final = (0.5, 0.25)
#: Every so many dives one is as long as a quarter of all before it.
_LONG: Final = 32


@dataclass(frozen=True, slots=True)
class Found:
    """What a search ended with.

    Attributes
    ----------
    status : str
        ``packed``, ``exhausted`` (there is no packing of the height) or ``cut``.
    """

    status: str
    offsets: tuple[int, ...]
    nodes: int
    dives: int


def search(
    packing: Sections, height: int, seed: int, deadline: Deadline, node_limit: float = math.inf,
    *, lids: Sequence[int] | None = None,
) -> Found:  # fmt: skip
    """Look for a packing of a height, until found, excluded, or out of time or nodes.

    Parameters
    ----------
    height
        That nothing may reach beyond, in the units of the pieces.
    seed
        Of the noise in the order of options; the same seed makes the same dives.
    lids
        Of each piece, where it may not reach as far as the height.
    node_limit
        States to look at, at most: a limit that does not depend on the machine.
    """
    rng = random.Random(seed)
    valleys = Valleys(packing, height, lids)
    width = [b - a + 1 for a, b in zip(packing.first, packing.last, strict=True)]
    area = [w * p.size for w, p in zip(width, packing.pieces, strict=True)]
    nodes = dives = 0
    short = max(32.0, _NODES * len(width))
    while True:
        base = area if dives % 2 else width
        noise = _NOISE[dives // 2 % 2] if dives else 0.0
        rank = [-x * rng.uniform(1 - noise, 1 + noise) for x in base]
        long = dives % _LONG == _LONG - 1
        limit = min(max(short, nodes / 4) if long else short, node_limit - nodes)
        status = valleys.dive(rank, math.ceil(limit), deadline)
        nodes += valleys.nodes
        dives += 1
        if status == PACKED:
            return Found(PACKED, tuple(valleys.offsets), nodes, dives)
        if status == EXHAUSTED:
            return Found(EXHAUSTED, (), nodes, dives)
        if nodes >= node_limit or deadline.passed():
            return Found(CUT, (), nodes, dives)
        short *= _GROWTH
        valleys.weights = [1.0 + (w - 1.0) * _FADE for w in valleys.weights]
