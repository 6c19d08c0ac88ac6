"""Infeasibility proofs from windows of time, with buffers truncated at both ends.

A packing of all buffers contains a packing of those live in any window. If the memory stays
full for long, a few sections often have no packing by themselves, which a short search can prove.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.restarts import Restarts
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.valleys import EXHAUSTED

#: Sections of a window in the first pass, and factor for each further pass.
_FIRST_WIDTH, _WIDTH_FACTOR = 4, 2
#: Search nodes per piece in each window.
_NODES_PER_PIECE: Final = 300.0


@dataclass(slots=True)
class UnpackableWindow:
    """Consecutive sections without a packing, or the effort spent if none were found.

    Attributes
    ----------
    pieces : tuple of int
        Pieces live in the window; empty if every window has a packing or was given up.
    lower, upper : int
        Times (half-open) of the window.
    nodes, dives : int
        Total effort of all searches.
    """

    pieces: tuple[int, ...] = ()
    lower: int = 0
    upper: int = 0
    nodes: int = 0
    dives: int = 0


def failing_window(
    packing: Sections,
    height: int,
    seed: int,
    deadline: Deadline,
    node_limit: float,
    max_ends: Sequence[int] | None = None,
    *,
    effort: float = 1.0,
) -> UnpackableWindow:
    """Search for a window that has no packing of a height, narrow and full windows first.

    Parameters
    ----------
    max_ends
        Maximum end of each piece, if lower than the height.
    effort
        Factor on the search effort per window.
    """
    out = UnpackableWindow()
    for first, last in _windows(packing):
        if deadline.passed() or out.nodes >= node_limit:
            break
        live = [
            i
            for i in range(len(packing.pieces))
            if packing.first[i] <= last and packing.last[i] >= first
        ]
        lower, upper = packing.sections[first].lower, packing.sections[last].upper
        cut = [
            replace(piece, lower=max(piece.lower, lower), upper=min(piece.upper, upper))
            for piece in (packing.pieces[i] for i in live)
        ]
        limit = min(effort * _NODES_PER_PIECE * len(live), node_limit - out.nodes)
        live_ends = None if max_ends is None else [max_ends[i] for i in live]
        search = Restarts(Sections.of(cut), height, seed, live_ends)
        status = search.run(deadline, limit)
        out.nodes += search.nodes
        out.dives += search.dives
        if status == EXHAUSTED:
            out.pieces, out.lower, out.upper = tuple(live), lower, upper
            break
    return out


def _windows(packing: Sections) -> Iterator[tuple[int, int]]:
    """Yield first and last sections of windows, by width, then by load, largest first."""
    count, width = len(packing.sections), _FIRST_WIDTH
    while width < count:
        starts = [*range(0, count - width, max(1, width // 2)), count - width]
        loads = packing.loads
        for at in sorted(starts, key=lambda at: (-sum(loads[at : at + width]), at)):
            yield at, at + width - 1
        width *= _WIDTH_FACTOR
