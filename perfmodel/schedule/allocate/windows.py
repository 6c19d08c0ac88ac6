"""Proofs from a stretch of time: buffers cut off at its ends, which is easier to pack, and fails.

A packing of all buffers is one of what is alive in any window. Where memory is full for long, a
few sections often have no packing already, and they are searched through in little time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.restarts import Restarts
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.valleys import EXHAUSTED

#: Sections of a window in the first pass, and how many times as many in the next.
_FIRST, _WIDER = 4, 2
#: Nodes a piece in each window.
_NODES: Final = 300.0


class UnpackableWindow:
    """Sections in a row that have no packing, or what was spent on finding none.

    Attributes
    ----------
    pieces : tuple of int
        Those alive in the window; empty where every window has a packing or was given up.
    lower, upper : int
        Times (half-open) of the window.
    nodes, dives : int
        Of all searches.
    """

    __slots__ = ("dives", "lower", "nodes", "pieces", "upper")

    def __init__(self) -> None:
        self.pieces: tuple[int, ...] = ()
        self.lower = self.upper = self.nodes = self.dives = 0


def failing_window(
    packing: Sections,
    height: int,
    seed: int,
    deadline: Deadline,
    node_limit: float,
    lids: Sequence[int] | None = None,
    *,
    effort: float = 1.0,
) -> UnpackableWindow:
    """Look for a window that has no packing of a height, the narrow and the fullest first.

    Parameters
    ----------
    lids
        Of each piece, where it may not reach as far as the height.
    effort
        How many times as long each window is looked at.
    """
    out = UnpackableWindow()
    for first, last in _windows(packing):
        if deadline.passed() or out.nodes >= node_limit:
            break
        alive = [
            i
            for i in range(len(packing.pieces))
            if packing.first[i] <= last and packing.last[i] >= first
        ]
        lower, upper = packing.sections[first].lower, packing.sections[last].upper
        cut = [
            replace(piece, lower=max(piece.lower, lower), upper=min(piece.upper, upper))
            for piece in (packing.pieces[i] for i in alive)
        ]
        limit = min(effort * _NODES * len(alive), node_limit - out.nodes)
        tops = None if lids is None else [lids[i] for i in alive]
        found = Restarts(Sections.of(cut), height, seed, tops)
        status = found.run(deadline, limit)
        out.nodes += found.nodes
        out.dives += found.dives
        if status == EXHAUSTED:
            out.pieces, out.lower, out.upper = tuple(alive), lower, upper
            break
    return out


def _windows(packing: Sections) -> Iterator[tuple[int, int]]:
    """Yield first and last sections: of each width, by the load that is in them."""
    count, width = len(packing.sections), _FIRST
    while width < count:
        starts = [*range(0, count - width, max(1, width // 2)), count - width]
        loads = packing.loads
        for at in sorted(starts, key=lambda at: (-sum(loads[at : at + width]), at)):
            yield at, at + width - 1
        width *= _WIDER
