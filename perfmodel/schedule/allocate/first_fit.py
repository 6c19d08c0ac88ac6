"""First-fit packing: buffers in some order, each at the lowest offset free over its lifetime.

The heuristic that precedes the exact search in `subproblem`. It tries several orders: by size (the
greedy planner of TensorFlow Lite Micro; Pisarchyk and Lee, "Efficient memory management for deep
neural net inference", 2020), length, area, start, and load. The best is improved by squeaky wheel
optimization (Joslin and Clements, 1999): buffers that end above the goal move forward in the order,
which is packed again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.sections import Sections

#: Share of the time for all orders except the first one.
_LATER_ORDERS_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class FirstFitPacking:
    """Offsets of the pieces, their height, and the name of the method that they result from."""

    offsets: tuple[int, ...]
    height: int
    method: str


class OverlappingPieces:
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
    packing: Sections,
    order: Sequence[int],
    near: OverlappingPieces,
    deadline: Deadline | None = None,
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
    is_late, top = False, 0
    for k, i in enumerate(order):
        if offsets[i] >= 0:
            continue
        size, step = pieces[i].size, pieces[i].alignment
        at = 0
        if deadline is not None and k & 255 == 255 and not is_late and deadline.passed():
            is_late = True
            top = max((tops[j] for j in range(len(tops)) if offsets[j] >= 0), default=0)
        if is_late:
            at = -(-top // step) * step
            top = at + size
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
    load = [max(packing.loads[packing.first[i] : packing.last[i] + 1]) for i in span]

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
    yield "load", by(lambda i: (-load[i], -pieces[i].size))
    yield "load and length", by(lambda i: (-load[i], -length[i], -pieces[i].size))


def best_first_fit(
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
    near, within = (
        OverlappingPieces(packing),
        deadline.within(_LATER_ORDERS_SHARE * deadline.left()),
    )
    best: FirstFitPacking | None = None
    best_order: list[int] = []
    for name, order in orders(packing, hints):
        if best is not None and within.passed():
            break
        fit = _fit(
            packing, order, near, f"first fit by {name}", deadline if best is None else within
        )
        if best is None or fit.height < best.height:
            best, best_order = fit, order
        if best.height <= goal:
            return best
    assert best is not None
    return _squeaky_wheel(packing, goal, best, best_order, near, random.Random(seed), within, steps)


def _fit(
    packing: Sections,
    order: Sequence[int],
    near: OverlappingPieces,
    method: str,
    deadline: Deadline,
) -> FirstFitPacking:
    offsets = first_fit(packing, order, near, deadline)
    height = max(at + p.size for at, p in zip(offsets, packing.pieces, strict=True))
    return FirstFitPacking(tuple(offsets), height, method)


def _squeaky_wheel(
    packing: Sections,
    goal: int,
    best: FirstFitPacking,
    order: list[int],
    near: OverlappingPieces,
    rng: random.Random,
    deadline: Deadline,
    steps: int,
) -> FirstFitPacking:
    """Return the lowest packing after moving pieces that end above the goal forward in the order.

    Each piece has a priority, at first its position in the order; that of a piece above the goal is
    multiplied by a random factor below 1, and the pieces are packed again by priority.
    """
    pieces = packing.pieces
    priority = [0.0] * len(order)
    for k, i in enumerate(order):
        priority[i] = float(k)
    fit = best
    for _ in range(steps):
        if deadline.passed():
            break
        for i, at in enumerate(fit.offsets):
            if at + pieces[i].size > goal:
                priority[i] *= rng.uniform(0.3, 0.9)
        order = sorted(range(len(priority)), key=lambda i: (priority[i], i))
        fit = _fit(packing, order, near, "first fit, raising what sticks out", deadline)
        if fit.height < best.height:
            best = fit
        if best.height <= goal:
            break
    return best
