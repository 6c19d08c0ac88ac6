"""Packings to try: cut from a full rectangle, at random, and the least height by trying all."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

from perfmodel.schedule.allocate import Lifetime


def overlapping(buffers: Sequence[Lifetime], offsets: Mapping[str, int]) -> list[str]:
    """Pairs that overlap, counted cell by cell of time: no formula shared with the product."""
    found: list[str] = []
    for time in sorted({b.lower for b in buffers}):
        alive = sorted(
            (offsets[b.id], offsets[b.id] + b.size_bytes, b.id)
            for b in buffers
            if b.lower <= time < b.upper and b.size_bytes
        )
        for (_, top, name), (low, _, other) in itertools.pairwise(alive):
            if low < top:
                found.append(f"{name}/{other}@{time}")
    return found


def full(rng: random.Random, count: int, height: int, length: int) -> list[Lifetime]:
    """Cut a rectangle into pieces, each of them again and again: the load is full everywhere."""
    pieces = [(0, length, 0, height)]
    while len(pieces) < count:
        wide = [p for p in pieces if p[1] - p[0] > 1 or p[3] - p[2] > 1]
        if not wide:
            break
        piece = rng.choice(wide)
        begin, end, low, top = piece
        pieces.remove(piece)
        across = end - begin > 1 and (top - low < 2 or rng.random() < 0.5)
        if across:
            at = rng.randint(begin + 1, end - 1)
            pieces += [(begin, at, low, top), (at, end, low, top)]
        else:
            at = rng.randint(low + 1, top - 1)
            pieces += [(begin, end, low, at), (begin, end, at, top)]
    rng.shuffle(pieces)
    return [Lifetime(f"b{i}", p[0], p[1], p[3] - p[2]) for i, p in enumerate(pieces)]


def scattered(rng: random.Random, count: int, length: int = 8, largest: int = 9) -> list[Lifetime]:
    """Buffers at random."""
    out: list[Lifetime] = []
    for i in range(count):
        lower = rng.randrange(length)
        out.append(
            Lifetime(f"b{i}", lower, rng.randint(lower + 1, length), rng.randint(1, largest))
        )
    return out


def least_height(buffers: Sequence[Lifetime]) -> int:
    """The least height: in some order, each buffer at every offset that is 0 or a sum of sizes.

    In a packing in which nothing can sink each offset is a sum of sizes of others (rounded up to
    the alignment), or just above a buffer that is held; all these are tried.
    """
    best = sum(b.size_bytes + b.alignment for b in buffers) + max(
        (b.offset + b.size_bytes for b in buffers if b.offset is not None), default=0
    )
    held = [b for b in buffers if b.offset is not None]
    loose = [b for b in buffers if b.offset is None]
    for order in itertools.permutations(loose):
        placed = [(b, b.offset or 0) for b in held]
        top = max((at + b.size_bytes for b, at in placed), default=0)
        for b in order:
            near = [
                (at, at + o.size_bytes)
                for o, at in placed
                if o.lower < b.upper and b.lower < o.upper
            ]
            # The lowest free place in this order; over all orders every packing in which nothing
            # can sink is made.
            places = sorted({0, *(-(-end // b.alignment) * b.alignment for _, end in near)})
            at = next(
                p for p in places if all(p + b.size_bytes <= low or p >= end for low, end in near)
            )
            placed.append((b, at))
            top = max(top, at + b.size_bytes)
            if top >= best:
                break
        else:
            best = top
    return best


def brimful(rng: random.Random, height: int, length: int, longest: int = 4) -> list[Lifetime]:
    """Buffers that fill the height at every moment, wherever they would have to lie for that."""
    out: list[Lifetime] = []
    for time in range(length):
        free = height - sum(b.size_bytes for b in out if b.upper > time)
        while free:
            size = rng.randint(1, free)
            end = min(length, time + rng.randint(1, longest))
            out.append(Lifetime(f"b{len(out)}", time, end, size))
            free -= size
    return out


def fits(buffers: Sequence[Lifetime], height: int) -> bool:
    """Whether any offsets fit, each that is aligned tried: for heights of a few bytes."""
    order = sorted(buffers, key=lambda b: b.lower)

    def place(k: int, taken: tuple[tuple[int, int], ...]) -> bool:
        if k == len(order):
            return True
        b = order[k]
        alive = tuple((upper, mask) for upper, mask in taken if upper > b.lower)
        used = 0
        for _, mask in alive:
            used |= mask
        own = (1 << b.size_bytes) - 1
        return any(
            not used & own << at and place(k + 1, (*alive, (b.upper, own << at)))
            for at in (
                range(0, height - b.size_bytes + 1, b.alignment) if b.offset is None else [b.offset]
            )
            if at + b.size_bytes <= height
        )

    return place(0, ())
