"""Sections of time: maximal sets of buffers that are live together, for the packing methods.

A section is a maximal clique of the interval graph of lifetimes, as in MiniMalloc (Moffitt, ASPLOS
2023). Two buffers overlap in time if and only if they share a section, so a packing is valid if and
only if it is valid in every section; 300 buffers have about 130 sections. `Sections` is the
instance that all packing methods work on: *pieces* are buffers in units of their common alignment.
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
    """A piece: a buffer with size, alignment and offset in units of the common alignment."""

    lower: int
    upper: int
    size: int
    alignment: int = 1
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Times (half-open) with a constant set of live pieces."""

    lower: int
    upper: int
    pieces: tuple[int, ...]


def sections_of(pieces: Sequence[PackingBuffer]) -> list[Section]:
    """Return the maximal cliques of the interval graph in order of time.

    A sweep over starts and ends: the live pieces are a maximal set if one of them has just begun
    and the next event is the end of a piece.
    """
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for i, piece in enumerate(pieces):
        starts.setdefault(piece.lower, []).append(i)
        ends.setdefault(piece.upper, []).append(i)
    live: set[int] = set()
    out: list[Section] = []
    began = 0
    grew = False
    for time in sorted({*starts, *ends}):
        if time in ends:
            if grew:
                out.append(Section(began, time, tuple(sorted(live))))
            grew = False
            live.difference_update(ends[time])
        if time in starts:
            live.update(starts[time])
            began, grew = time, True
    return out


class HasLifetime(Protocol):
    """Objects with a lifetime."""

    @property
    def lower(self) -> int:
        """Start of the lifetime."""
        ...

    @property
    def upper(self) -> int:
        """End of the lifetime, exclusive."""
        ...


def independent_groups(pieces: Sequence[HasLifetime]) -> list[list[int]]:
    """Return groups of pieces, split at times when none is live; each is packed independently."""
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
    """Pieces and their sections, with bit masks of pieces.

    Attributes
    ----------
    first, last : list of int
        First and last section of each piece.
    loads : list of int
        Total size of the pieces of each section.
    """

    pieces: tuple[PackingBuffer, ...]
    sections: tuple[Section, ...]
    first: list[int]
    last: list[int]
    loads: list[int]

    @classmethod
    def of(cls, pieces: Sequence[PackingBuffer]) -> Sections:
        """Return the sections of pieces, each of positive size."""
        sections = sections_of(pieces)
        begins = [section.lower for section in sections]
        # The first section that ends after a piece begins, and the last one that begins before it
        # ends.
        ends = [section.upper for section in sections]
        first = [bisect_right(ends, piece.lower) for piece in pieces]
        last = [bisect_left(begins, piece.upper) - 1 for piece in pieces]
        change = [0] * (len(sections) + 1)
        for i, piece in enumerate(pieces):
            change[first[i]] += piece.size
            change[last[i] + 1] -= piece.size
        return cls(tuple(pieces), tuple(sections), first, last, list(accumulate(change))[:-1])

    @cached_property
    def begins(self) -> list[int]:
        """Masks of the pieces that begin in each section or later."""
        return list(accumulate(reversed(self._masks(self.first)), int.__or__))[::-1]

    @cached_property
    def ends(self) -> list[int]:
        """Masks of the pieces that end in each section or earlier."""
        return list(accumulate(self._masks(self.last), int.__or__))

    def _masks(self, at: Sequence[int]) -> list[int]:
        """Return the mask of pieces of each section, given the section of each piece."""
        out = [0] * len(self.sections)
        for i, t in enumerate(at):
            out[t] |= 1 << i
        return out

    @cached_property
    def cover(self) -> list[int]:
        """Masks of the pieces of each section: all but those that begin later or end earlier."""
        everything = (1 << len(self.pieces)) - 1
        later, before = [*self.begins[1:], 0], [0, *self.ends[:-1]]
        return [everything & ~(a | b) for a, b in zip(later, before, strict=True)]

    @cached_property
    def cross(self) -> list[int]:
        """Masks of the pieces shared by each section and the next one."""
        return [*(a & b for a, b in pairwise(self.cover)), 0]
