"""Proofs that no packing exists, from windows of time in which buffers are cut at both ends.

This is a relaxation: a packing of all buffers contains a packing of those that are live in any
window. If the memory is nearly full for long, a few sections often have no packing by themselves,
and a short search proves it. `subproblem` alternates this with the search of all buffers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.restarted_search import RestartedSearch
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.skyline_search import EXHAUSTED

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


def find_unpackable_window(
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
    result = UnpackableWindow()
    for first, last in _widening_windows(packing):
        if deadline.passed() or result.nodes >= node_limit:
            break
        live = [
            i
            for i in range(len(packing.pieces))
            if packing.first[i] <= last and packing.last[i] >= first
        ]
        lower, upper = packing.sections[first].lower, packing.sections[last].upper
        truncated = [
            replace(piece, lower=max(piece.lower, lower), upper=min(piece.upper, upper))
            for piece in (packing.pieces[i] for i in live)
        ]
        limit = min(effort * _NODES_PER_PIECE * len(live), node_limit - result.nodes)
        live_ends = None if max_ends is None else [max_ends[i] for i in live]
        search = RestartedSearch(Sections.of(truncated), height, seed, live_ends)
        status = search.run(deadline, limit)
        result.nodes += search.nodes
        result.dives += search.dives
        if status == EXHAUSTED:
            result.pieces, result.lower, result.upper = tuple(live), lower, upper
            break
    return result


def _widening_windows(packing: Sections) -> Iterator[tuple[int, int]]:
    """Yield first and last sections of windows, by width, then by load, largest first."""
    count, width = len(packing.sections), _FIRST_WIDTH
    while width < count:
        starts = [*range(0, count - width, max(1, width // 2)), count - width]
        loads = packing.loads
        for first in sorted(starts, key=lambda t: (-sum(loads[t : t + width]), t)):
            yield first, first + width - 1
        width *= _WIDTH_FACTOR
