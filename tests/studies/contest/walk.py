"""The contest's rules walked through: every tile, every step, every slice as numbers of rows.

Nothing is shared with the product but the instance: no classes of tiles, no closed forms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from perfmodel_studies.contest import Instance

Region = tuple[int, int, int, int]  # first row, row after the last, first column, column after ...
#: What is needed at each step of a tile, and along which axis it follows the tile (t), the steps of
#: a sum (s) or neither (a), with the sum's length.
Role = tuple[str, int]
Slices = tuple[Region | None, ...]
Wish = tuple[Role, Slices]


#: A tensor, a slice of it and its role: two roles share nothing unless they agree throughout.
Held = tuple[int, Role, Region]


@dataclass
class Walk:
    latency: float = 0.0
    working_set: int = 0
    read: int = 0
    written: int = 0
    fast: set[Held] = field(default_factory=set[Held])


def walk(
    x: Instance,
    operations: list[int],
    grain: tuple[int, int, int],
    tiles: list[int],
    resident: frozenset[int] = frozenset(),
    retained: frozenset[int] = frozenset(),
) -> Walk:
    inside = sorted(operations, key=x.order.index)
    made = {t for i in inside for t in x.operations[i].outputs}
    used = {t for i in inside for t in x.operations[i].inputs}
    outputs = made - used
    width, height = x.widths[min(outputs)], x.heights[min(outputs)]
    w, h, k = grain
    split: set[int] = set()
    reach = set(outputs)
    for i in reversed(inside):
        if reach & set(x.operations[i].outputs):
            if x.operations[i].kind == "MatMul":
                split.add(i)
            else:
                reach |= set(x.operations[i].inputs)
    steps = max([math.ceil(x.depth(i) / k) for i in split], default=1)
    plans = [
        _plan(x, inside, split, outputs, _tile(number, width, height, w, h), grain, steps)
        for number in tiles
    ]
    roles = [(t, role) for t in sorted(used - made - resident) for role in sorted(plans[0][1][t])]
    for one in list(roles):  # what another role has at every step of every tile is not loaded twice
        for other in [r for r in roles if r != one and r[0] == one[0]]:
            if all(_covers(x, one[0], p[1][one[0]], one[1], other[1]) for p in plans):
                roles.remove(one)
                break
    out = Walk()
    stored = outputs - retained
    for number, (compute, wishes) in zip(tiles, plans, strict=True):
        tile = _size(_tile(number, width, height, w, h))
        loads = [(t, role, wishes[t][role]) for t, role in roles]
        size = sum(max(_size(r) for r in slices if r) for _, _, slices in loads)
        size += len(stored) * tile + sum(x.elements(t) for t in resident | retained)
        out.working_set = max(out.working_set, size)
        for q in range(steps):
            now = {(t, role, r) for t, role, slices in loads if (r := slices[q]) is not None}
            moved = sum(_size(r) for _, _, r in now - out.fast)
            stores = len(stored) * tile * (q == steps - 1)
            out.latency += max(compute[q], (moved + stores) / x.bandwidth)
            out.read += moved
            out.written += stores
            out.fast = now
    return out


def _tile(number: int, width: int, height: int, w: int, h: int) -> Region:
    across = math.ceil(width / w)
    row, column = number // across * h, number % across * w
    return row, min(row + h, height), column, min(column + w, width)


def _covers(x: Instance, t: int, wishes: dict[Role, Slices], one: Role, other: Role) -> bool:
    full = (0, x.heights[t], 0, x.widths[t])
    pairs = zip(wishes[one], wishes[other], strict=True)
    return all(a is None or b in (a, full) for a, b in pairs)


def _plan(
    x: Instance,
    inside: list[int],
    split: set[int],
    outputs: set[int],
    tile: Region,
    grain: tuple[int, int, int],
    steps: int,
) -> tuple[list[float], dict[int, dict[Role, Slices]]]:
    """Compute of each step of a tile, and what is needed of every tensor."""
    w, h, k = grain
    wishes: dict[int, dict[Role, Slices]] = {t: {} for t in range(len(x.widths))}
    for t in outputs:
        wishes[t]["tt", 0] = (None,) * (steps - 1) + (tile,)
    compute = [0.0] * steps
    for i in reversed(inside):
        op = x.operations[i]
        mine = {wish for t in op.outputs for wish in wishes[t].items()}
        if op.kind != "MatMul":
            mine = {_whole(wish) for wish in mine}
        for wish in mine:
            left, right, shares = _inputs(x, i, wish, i in split, k, steps)
            rows, columns = _extent(wish)
            passes = math.ceil(rows / h) * math.ceil(columns / w)
            for q in range(steps):
                compute[q] += op.base_cost * passes * shares[q]
            wishes[op.inputs[0]][left[0]] = left[1]
            for t in op.inputs[1:]:
                wishes[t][right[0]] = right[1]
    return compute, wishes


def _inputs(
    x: Instance, i: int, wish: Wish, split: bool, k: int, steps: int
) -> tuple[Wish, Wish, list[float]]:
    op, ((axes, sum_of), slices) = x.operations[i], wish
    first = next(q for q, r in enumerate(slices) if r)
    at_once = [float(q == first) for q in range(steps)]
    if op.kind != "MatMul":
        return wish, wish, at_once
    length = x.depth(i)
    if split and wish[0] == ("tt", 0):
        tile = slices[-1]
        assert tile is not None
        cuts = [(q * k, min(q * k + k, length)) if q * k < length else None for q in range(steps)]
        left = tuple((tile[0], tile[1], *c) if c else None for c in cuts)
        right = tuple((*c, tile[2], tile[3]) if c else None for c in cuts)
        shares = [(c[1] - c[0]) / length if c else 0.0 for c in cuts]
        return (("ts", length), left), (("st", length), right), shares
    left = tuple((r[0], r[1], 0, length) if r else None for r in slices)
    right = tuple((0, length, r[2], r[3]) if r else None for r in slices)
    rows, columns = _extent(wish)
    shares = [_size(r) / (rows * columns) if r else 0.0 for r in slices]
    mine = (axes[0] + "a", sum_of), ("a" + axes[1], sum_of)
    return (mine[0], left), (mine[1], right), shares if "s" in axes else at_once


def _whole(wish: Wish) -> Wish:
    """What a pointwise operation makes at once."""
    (axes, sum_of), slices = wish
    there = [r for r in slices if r]
    box = (
        min(r[0] for r in there),
        max(r[1] for r in there),
        min(r[2] for r in there),
        max(r[3] for r in there),
    )
    return (axes.replace("s", "a"), sum_of), tuple(box if r else None for r in slices)


def _extent(wish: Wish) -> tuple[int, int]:
    there = [r for r in wish[1] if r]
    return (
        max(r[1] for r in there) - min(r[0] for r in there),
        max(r[3] for r in there) - min(r[2] for r in there),
    )


def _size(r: Region) -> int:
    return (r[1] - r[0]) * (r[3] - r[2])
