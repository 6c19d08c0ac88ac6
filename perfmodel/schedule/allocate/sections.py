"""Buffers cut at times: the sections in which the most of them are alive together.

A section is a maximal clique of the interval graph of lifetimes. Two buffers overlap in time if and
only if they share a section, so a packing is right in every section or wrong in one; of 300
buffers there are some 130 sections.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PackingBuffer:
    """A buffer as the search sees it: sizes, alignment and offset in units of the alignment."""

    lower: int
    upper: int
    size: int
    alignment: int = 1
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Times (half-open) in which the same pieces are alive, and no others while they are."""

    lower: int
    upper: int
    pieces: tuple[int, ...]


def sections_of(pieces: Sequence[PackingBuffer]) -> list[Section]:
    """Return the maximal cliques in order of time (a sweep over starts and ends)."""
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for i, piece in enumerate(pieces):
        starts.setdefault(piece.lower, []).append(i)
        ends.setdefault(piece.upper, []).append(i)
    alive: set[int] = set()
    out: list[Section] = []
    began = 0
    grew = False
    for time in sorted({*starts, *ends}):
        if time in ends:
            if grew:
                out.append(Section(began, time, tuple(sorted(alive))))
            grew = False
            alive.difference_update(ends[time])
        if time in starts:
            alive.update(starts[time])
            began, grew = time, True
    return out


class Lives(Protocol):
    """What has a lifetime."""

    @property
    def lower(self) -> int:
        """When it begins."""
        ...

    @property
    def upper(self) -> int:
        """When it is gone."""
        ...


def parts(pieces: Sequence[Lives]) -> list[list[int]]:
    """Return the pieces apart at times at which none is alive: each part packs by itself."""
    out: list[list[int]] = []
    end = -math.inf
    for i in sorted(range(len(pieces)), key=lambda i: (pieces[i].lower, pieces[i].upper, i)):
        if pieces[i].lower >= end:
            out.append([])
        out[-1].append(i)
        end = max(end, pieces[i].upper)
    return out


@dataclass(frozen=True)
class Sections:
    """Pieces over their sections, as bit masks of pieces.

    Attributes
    ----------
    first, last : list of int
        First and last section of each piece.
    loads : list of int
        Size of all pieces of a section.
    """

    pieces: tuple[PackingBuffer, ...]
    sections: tuple[Section, ...]
    first: list[int]
    last: list[int]
    loads: list[int]

    @classmethod
    def of(cls, pieces: Sequence[PackingBuffer]) -> Sections:
        """Cut pieces, each of a size above zero, into sections."""
        cut = sections_of(pieces)
        begins = [section.lower for section in cut]
        # The first section that ends after a piece begins, and the last one that begins before
        # it ends.
        ends = [section.upper for section in cut]
        first = [bisect_right(ends, piece.lower) for piece in pieces]
        last = [bisect_left(begins, piece.upper) - 1 for piece in pieces]
        change = [0] * (len(cut) + 1)
        for i, piece in enumerate(pieces):
            change[first[i]] += piece.size
            change[last[i] + 1] -= piece.size
        return cls(tuple(pieces), tuple(cut), first, last, list(accumulate(change))[:-1])

    @cached_property
    def begins(self) -> list[int]:
        """Pieces that begin in this section or later."""
        return list(accumulate(reversed(self._masks(self.first)), int.__or__))[::-1]

    @cached_property
    def ends(self) -> list[int]:
        """Pieces that end in this section or before."""
        return list(accumulate(self._masks(self.last), int.__or__))

    def _masks(self, at: Sequence[int]) -> list[int]:
        """Return the pieces at each section, of the section of each piece."""
        out = [0] * len(self.sections)
        for i, t in enumerate(at):
            out[t] |= 1 << i
        return out

    @cached_property
    def cover(self) -> list[int]:
        """Pieces of a section: all but those that begin later or end before."""
        everything = (1 << len(self.pieces)) - 1
        later, before = [*self.begins[1:], 0], [0, *self.ends[:-1]]
        return [everything & ~(a | b) for a, b in zip(later, before, strict=True)]

    @cached_property
    def cross(self) -> list[int]:
        """Pieces of a section and the next one."""
        return [*(a & b for a, b in pairwise(self.cover)), 0]
