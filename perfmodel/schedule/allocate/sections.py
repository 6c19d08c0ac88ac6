"""Buffers cut at times: the sections in which the most of them are alive together.

A section is a maximal clique of the interval graph of lifetimes. Two buffers overlap in time if and
only if they share a section, so a packing is right in every section or wrong in one; of 300
buffers there are some 130 sections.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

__all__ = ["Lives", "Piece", "Section", "Sections", "parts"]


@dataclass(frozen=True, slots=True)
class Piece:
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


def sections_of(pieces: Sequence[Piece]) -> list[Section]:
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
    cover, cross : list of int
        Pieces of a section; pieces of a section and the next one.
    begins, ends : list of int
        Pieces that begin in this section or later; that end in it or before.
    loads : list of int
        Size of all pieces of a section.
    """

    pieces: tuple[Piece, ...]
    sections: tuple[Section, ...]
    first: list[int] = field(default_factory=list[int])
    last: list[int] = field(default_factory=list[int])
    cover: list[int] = field(default_factory=list[int])
    cross: list[int] = field(default_factory=list[int])
    begins: list[int] = field(default_factory=list[int])
    ends: list[int] = field(default_factory=list[int])
    loads: list[int] = field(default_factory=list[int])

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> Sections:
        """Cut pieces, each of a size above zero, into sections."""
        cut = sections_of(pieces)
        n, count = len(pieces), len(cut)
        first, last = [count] * n, [-1] * n
        for t, section in enumerate(cut):
            for i in section.pieces:
                first[i], last[i] = min(first[i], t), t
        cover = [sum(1 << i for i in section.pieces) for section in cut]
        begin_at, end_at = [0] * (count + 1), [0] * count
        for i in range(n):
            begin_at[first[i]] |= 1 << i
            end_at[last[i]] |= 1 << i
        for t in range(count - 1, 0, -1):
            begin_at[t - 1] |= begin_at[t]
        for t in range(1, count):
            end_at[t] |= end_at[t - 1]
        return cls(
            tuple(pieces), tuple(cut), first, last, cover,
            [*(a & b for a, b in pairwise(cover)), 0],
            begin_at[:count], end_at,
            [sum(pieces[i].size for i in section.pieces) for section in cut],
        )  # fmt: skip
