"""First fit: pieces in some order, each at the lowest place that is free over its lifetime.

Orders: by size (the greedy planner of TensorFlow Lite Micro; Pisarchyk and Lee, "Efficient memory
management for deep neural net inference", 2020), by length, by area, by start, by the load they
lie in. Improved by raising what sticks out (Joslin and Clements, "Squeaky wheel optimization",
1999).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.deadline import Deadline

__all__ = ["Fit", "first_fit", "orders", "portfolio"]


@dataclass(frozen=True, slots=True)
class Fit:
    """Offsets, the height they reach, and by which order."""

    offsets: tuple[int, ...]
    height: int
    method: str


def neighbours(packing: Sections) -> list[list[int]]:
    """Return the pieces that overlap each piece in time."""
    near: list[set[int]] = [set() for _ in packing.pieces]
    for section in packing.sections:
        for i in section.pieces:
            near[i].update(section.pieces)
    return [sorted(them - {i}) for i, them in enumerate(near)]


def first_fit(packing: Sections, order: Sequence[int], near: Sequence[Sequence[int]]) -> list[int]:
    """Return the offset of each piece; those that lie already come first, wherever they stand.

    Parameters
    ----------
    near
        Pieces that overlap each piece in time.
    """
    pieces = packing.pieces
    offsets = [-1 if p.offset is None else p.offset for p in pieces]
    for i in order:
        if offsets[i] >= 0:
            continue
        size, step = pieces[i].size, pieces[i].alignment
        at = 0
        for low, top in sorted((offsets[j], offsets[j] + pieces[j].size)
                               for j in near[i] if offsets[j] >= 0):  # fmt: skip
            if low - at >= size:
                break
            if top > at:
                at = -(-top // step) * step
        offsets[i] = at
    return offsets


def orders(packing: Sections, hints: Sequence[int | None]) -> Iterator[tuple[str, list[int]]]:
    """Yield orders of the pieces, each with its name; the first that fits is taken."""
    pieces, span = packing.pieces, range(len(packing.pieces))
    length = [p.upper - p.lower for p in pieces]
    crowd = [
        max(packing.loads[packing.first[i] : packing.last[i] + 1]) for i in span
    ]  # fmt: skip

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
    packing: Sections, goal: int, hints: Sequence[int | None], seed: int, deadline: Deadline,
    *, steps: int = 20,
) -> Fit:  # fmt: skip
    """Return the lowest of the first fits, stopping at one no higher than a goal.

    Parameters
    ----------
    goal
        Height that is good enough.
    hints
        Offset of each piece of an earlier packing, or None.
    steps
        Rounds of improvement after the orders.
    """
    near = neighbours(packing)
    best: Fit | None = None
    lead: list[int] = []
    for name, order in orders(packing, hints):
        if best is not None and deadline.passed():
            break
        fit = _fit(packing, order, near, f"first fit by {name}")
        if best is None or fit.height < best.height:
            best, lead = fit, order
        if best.height <= goal:
            return best
    assert best is not None
    return _raise_what_sticks_out(packing, goal, best, lead, near, random.Random(seed), deadline,
                                  steps)  # fmt: skip


def _fit(packing: Sections, order: Sequence[int], near: list[list[int]], method: str) -> Fit:
    offsets = first_fit(packing, order, near)
    height = max(at + p.size for at, p in zip(offsets, packing.pieces, strict=True))
    return Fit(tuple(offsets), height, method)


def _raise_what_sticks_out(
    packing: Sections, goal: int, best: Fit, order: list[int], near: list[list[int]],
    rng: random.Random, deadline: Deadline, steps: int,
) -> Fit:  # fmt: skip
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
        fit = _fit(packing, order, near, "first fit, raising what sticks out")
        if fit.height < best.height:
            best = fit
        if best.height <= goal:
            break
    return best
