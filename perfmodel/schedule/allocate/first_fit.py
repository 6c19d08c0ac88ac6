"""First-fit packing: buffers in some order, each at the lowest offset free over its lifetime.

Orders: by size (the greedy planner of TensorFlow Lite Micro; Pisarchyk and Lee, "Efficient memory
management for deep neural net inference", 2020), by length, by area, by start, by the load at their
time. Improved by moving buffers above the goal to the front (Joslin and Clements, "Squeaky wheel
optimization", 1999).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.sections import Sections

#: Share of the time for all first fits except the first one.
_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class FirstFitPacking:
    """Offsets, their height, and the order that they result from."""

    offsets: tuple[int, ...]
    height: int
    method: str


class Neighbours:
    """Pieces that overlap each piece in time, including itself, computed on demand.

    Stored lists would need memory quadratic in the number of pieces.
    """

    __slots__ = ("_by_first", "_packing", "_up_to")

    def __init__(self, packing: Sections) -> None:
        self._packing = packing
        self._by_first = sorted(range(len(packing.pieces)), key=packing.first.__getitem__)
        begun = [0] * len(packing.sections)
        for t in packing.first:
            begun[t] += 1
        #: Number of pieces that begin in a section or earlier.
        self._up_to = list(accumulate(begun))

    def __getitem__(self, piece: int) -> list[int]:
        packing, up_to = self._packing, self._up_to
        first, last = packing.first[piece], packing.last[piece]
        return [*packing.sections[first].pieces, *self._by_first[up_to[first] : up_to[last]]]


def first_fit(
    packing: Sections, order: Sequence[int], near: Neighbours, deadline: Deadline | None = None
) -> list[int]:
    """Return the offset of each piece; pieces with a fixed offset come first in any order.

    Parameters
    ----------
    deadline
        Time after which the remaining pieces are stacked on top of everything.
    """
    pieces = packing.pieces
    offsets = [-1 if p.offset is None else p.offset for p in pieces]
    tops = [at + p.size for at, p in zip(offsets, pieces, strict=True)]
    late, pile = False, 0
    for k, i in enumerate(order):
        if offsets[i] >= 0:
            continue
        size, step = pieces[i].size, pieces[i].alignment
        at = 0
        if deadline is not None and k & 255 == 255 and not late and deadline.passed():
            late = True
            pile = max((tops[j] for j in range(len(tops)) if offsets[j] >= 0), default=0)
        if late:
            at = -(-pile // step) * step
            pile = at + size
        else:
            placed = [j for j in near[i] if offsets[j] >= 0]
            placed.sort(key=offsets.__getitem__)
            for j in placed:
                if offsets[j] - at >= size:
                    break
                if tops[j] > at:
                    at = -(-tops[j] // step) * step
        offsets[i], tops[i] = at, at + size
    return offsets


def orders(packing: Sections, hints: Sequence[int | None]) -> Iterator[tuple[str, list[int]]]:
    """Yield named orders of the pieces; the first order that fits is used."""
    pieces, span = packing.pieces, range(len(packing.pieces))
    length = [p.upper - p.lower for p in pieces]
    crowd = [max(packing.loads[packing.first[i] : packing.last[i] + 1]) for i in span]

    def by(key: Callable[[int], tuple[float, ...]]) -> list[int]:
        return sorted(span, key=lambda i: (*key(i), i))

    if any(hint is not None for hint in hints):
        top = max((h for h in hints if h is not None), default=0) + 1
        at = [top if h is None else h for h in hints]
        yield "hints", by(lambda i: (at[i], -pieces[i].size))
    yield "size", by(lambda i: (-pieces[i].size,))
    yield "length", by(lambda i: (-length[i], -pieces[i].size))
    yield "area", by(lambda i: (-length[i] * pieces[i].size, -length[i]))
    yield "start", by(lambda i: (pieces[i].lower, -length[i], -pieces[i].size))
    yield "end", by(lambda i: (-pieces[i].upper, -length[i], -pieces[i].size))
    yield "sections", by(lambda i: (packing.first[i] - packing.last[i], -pieces[i].size))
    yield "load", by(lambda i: (-crowd[i], -pieces[i].size))
    yield "load and length", by(lambda i: (-crowd[i], -length[i], -pieces[i].size))


def portfolio(
    packing: Sections,
    goal: int,
    hints: Sequence[int | None],
    seed: int,
    deadline: Deadline,
    *,
    steps: int = 20,
) -> FirstFitPacking:
    """Return the lowest first-fit packing, stopping at one no higher than a goal.

    Parameters
    ----------
    goal
        Height that is sufficient.
    hints
        Offset of each piece in an earlier packing, or None.
    deadline
        The first order may use all of the time; the others share a fraction of it.
    steps
        Rounds of improvement after the orders.
    """
    near, within = Neighbours(packing), deadline.within(_SHARE * deadline.left())
    best: FirstFitPacking | None = None
    lead: list[int] = []
    for name, order in orders(packing, hints):
        if best is not None and within.passed():
            break
        fit = _fit(
            packing, order, near, f"first fit by {name}", deadline if best is None else within
        )
        if best is None or fit.height < best.height:
            best, lead = fit, order
        if best.height <= goal:
            return best
    assert best is not None
    return _raise_what_sticks_out(
        packing, goal, best, lead, near, random.Random(seed), within, steps
    )


def _fit(
    packing: Sections, order: Sequence[int], near: Neighbours, method: str, deadline: Deadline
) -> FirstFitPacking:
    offsets = first_fit(packing, order, near, deadline)
    height = max(at + p.size for at, p in zip(offsets, packing.pieces, strict=True))
    return FirstFitPacking(tuple(offsets), height, method)


def _raise_what_sticks_out(
    packing: Sections,
    goal: int,
    best: FirstFitPacking,
    order: list[int],
    near: Neighbours,
    rng: random.Random,
    deadline: Deadline,
    steps: int,
) -> FirstFitPacking:
    pieces = packing.pieces
    place = [0.0] * len(order)
    for k, i in enumerate(order):
        place[i] = float(k)
    fit = best
    for _ in range(steps):
        if deadline.passed():
            break
        for i, at in enumerate(fit.offsets):
            if at + pieces[i].size > goal:
                place[i] *= rng.uniform(0.3, 0.9)
        order = sorted(range(len(place)), key=lambda i: (place[i], i))
        fit = _fit(packing, order, near, "first fit, raising what sticks out", deadline)
        if fit.height < best.height:
            best = fit
        if best.height <= goal:
            break
    return best
