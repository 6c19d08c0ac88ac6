"""Records of the search over skylines: decisions, frames to return to, and changes of floors.

`skyline_search.SkylineSearch` keeps one frame for each decision on the current path of its
depth-first search, and a trail of floor changes from which it restores earlier states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: Linked list of runs of sections that are still to be searched: first and last section, index of
#: the frame to return to if the run fails, and the other runs.
Agenda = tuple[int, int, int, "Agenda | None"]
#: Sections whose floor was changed: first, one past the last, previous floor, waste in each.
FloorChange = tuple[int, int, int, int]


class BranchingDecision(NamedTuple):
    """A section to branch on.

    Attributes
    ----------
    score
        Number of options over the weight of the section; the least is decided first. Negative if
        there is only one option.
    section, floor
        The section, and the floor of its valley.
    placeable
        Mask of the pieces of the section that can lie on the floor.
    contained
        Mask of all unplaced pieces that lie inside the valley.
    wall
        Height of the lower wall of the valley.
    """

    score: float
    section: int
    floor: int
    placeable: int
    contained: int
    wall: int


@dataclass(slots=True, eq=False)
class BranchingFrame:
    """A section that was branched on, with the state to restore before its next option.

    Attributes
    ----------
    first, last
        Run of sections in which it was the best decision.
    section, floor
        The section, and the floor of its valley.
    options
        Pieces to place on the floor, best first; finally the height up to which the section is
        left empty, as its bitwise complement (negative).
    changes
        Length of the trail of floor changes at that time.
    unplaced, deferred
        Masks of pieces at that time.
    key, slacks
        The state for the store of failures: mask of the run's unplaced pieces, slack per section.
    next
        Index of the next option.
    parent, agenda
        Frame to return to if all options fail, and the runs to search if one succeeds.
    """

    first: int
    last: int
    section: int
    floor: int
    options: list[int]
    changes: int
    unplaced: int
    deferred: int
    key: int
    slacks: tuple[int, ...]
    next: int = 0
    parent: int = -1
    agenda: Agenda | None = None


def pieces_of(mask: int) -> list[int]:
    """Return the pieces of a mask in order of their index."""
    pieces: list[int] = []
    while mask:
        lowest = mask & -mask
        mask ^= lowest
        pieces.append(lowest.bit_length() - 1)
    return pieces
