"""Accesses of a mapping by stepping through its loops and looking at sets: what tests compare with.

Nothing here is shared with the package but the types that describe an accelerator and a nest. Loops
over time run outer to inner; the index of a dimension is made of its loops, the outermost most
significant, and of what is unrolled, least significant. Each instance of a memory holds what the
loops inside it touch, and is filled again whenever an index of its operand outside it changes.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from perfmodel.cost.mapping import Hierarchy
from perfmodel.cost.traffic.nest import TileNest, Widths

INDEXED = {
    "input": frozenset(
        ("groups", "batch", "in_channels", "out_rows", "out_columns", "kernel_rows")
        + ("kernel_columns",)
    ),
    "weight": frozenset(("groups", "out_channels", "in_channels", "kernel_rows", "kernel_columns")),
    "output": frozenset(("groups", "batch", "out_channels", "out_rows", "out_columns")),
}
DIMENSIONS = tuple(sorted(INDEXED["input"] | INDEXED["weight"]))
Loops = Sequence[tuple[str, int]]


def spatial(nest: TileNest, hierarchy: Hierarchy) -> dict[str, dict[str, int]]:
    """What is unrolled along each dimension of the array; it must divide the nest."""
    left = {dim: getattr(nest, dim) for dim in DIMENSIONS}
    found: dict[str, dict[str, int]] = {}
    for spread in hierarchy.spread:
        found[spread.name] = {}
        for dim, most in spread.loops:
            factor = min(most, left[dim])
            assert left[dim] % factor == 0, "the walk needs whole tiles"
            left[dim] //= factor
            found[spread.name][dim] = factor
    return found


def over_time(nest: TileNest, hierarchy: Hierarchy) -> dict[str, int]:
    """Iterations over time of each dimension."""
    found = {dim: getattr(nest, dim) for dim in DIMENSIONS}
    for unrolled in spatial(nest, hierarchy).values():
        for dim, factor in unrolled.items():
            found[dim] //= factor
    return found


def product(factors: Iterator[Mapping[str, int]] | Sequence[Mapping[str, int]]) -> dict[str, int]:
    found = dict.fromkeys(DIMENSIONS, 1)
    for each in factors:
        for dim, factor in each.items():
            found[dim] *= factor
    return found


def elements(nest: TileNest, operand: str, tile: Mapping[str, int]) -> int:
    """Elements that a tile touches, as the size of a set."""
    return _elements(nest, operand, tuple(tile[dim] for dim in DIMENSIONS))


@cache
def _elements(nest: TileNest, operand: str, extents: tuple[int, ...]) -> int:
    tile = dict(zip(DIMENSIONS, extents, strict=True))
    if operand != "input":
        return math.prod(tile[dim] for dim in INDEXED[operand])
    rows = {
        y * nest.row_stride + r * nest.row_dilation
        for y in range(tile["out_rows"])
        for r in range(tile["kernel_rows"])
    }
    columns = {
        x * nest.column_stride + s * nest.column_dilation
        for x in range(tile["out_columns"])
        for s in range(tile["kernel_columns"])
    }
    return tile["groups"] * tile["batch"] * tile["in_channels"] * len(rows) * len(columns)


def regions(hierarchy: Hierarchy, nest: TileNest, operand: str) -> list[tuple[dict[str, int], int]]:
    """For each memory of an operand: factors unrolled inside one instance, and instances in use."""
    unrolled = spatial(nest, hierarchy)
    served: set[str] = set()
    found: list[tuple[dict[str, int], int]] = []
    for memory in hierarchy.memories:
        if operand not in memory.operands:
            continue
        served |= set(memory.serves)
        inside = product([unrolled[name] for name in served])
        outside = [
            f for name, each in unrolled.items() if name not in served for f in each.values()
        ]
        found.append((inside, math.prod(outside)))
    return found


def reduced_outside(hierarchy: Hierarchy, nest: TileNest, served: set[str]) -> bool:
    """Whether instances that serve these dimensions hold sums that are added further out."""
    return any(
        factor > 1 and dim not in INDEXED["output"]
        for name, each in spatial(nest, hierarchy).items()
        if name not in served
        for dim, factor in each.items()
    )


def walk(
    nest: TileNest,
    hierarchy: Hierarchy,
    loops: Loops,
    cuts: Mapping[str, Sequence[int]],
    widths: Widths,
    operands: Sequence[str] = tuple(INDEXED),
) -> dict[tuple[str, str, str], float]:
    """Accesses by (operand, memory, direction), in whole widths of the port."""
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    for operand in operands:
        memories = [m for m in hierarchy.memories if operand in m.operands]
        places = regions(hierarchy, nest, operand)
        for place, upper in enumerate(memories):
            inside = cuts[operand][place - 1] if place else 0
            visits = list(_visits(operand, loops, inside, every=operand == "output" and not place))
            distinct = len(set(visits))
            partial = len(visits) > distinct or reduced_outside(
                hierarchy, nest, {n for m in memories[: place + 1] for n in m.serves}
            )
            tile = product([{dim: factor} for dim, factor in loops[:inside]])
            below = places[place - 1][0] if place else dict.fromkeys(DIMENSIONS, 1)
            lower_holds = elements(nest, operand, product([tile, below]))
            upper_moves = elements(nest, operand, product([tile, places[place][0]]))
            if not place:
                lower_holds = 1
                upper_moves = elements(nest, operand, places[place][0])
            sides = [(upper, upper_moves, places[place][1])]
            if place:
                sides.append((memories[place - 1], lower_holds, places[place - 1][1]))
            for side, (memory, moved, count) in enumerate(sides):
                into = ("feed", "fill")[side]
                if operand == "output":
                    bits = 8 * (widths.partial if partial else widths.output)
                    moves = {("collect", "drain")[side]: len(visits), into: len(visits) - distinct}
                else:
                    bits = 8 * getattr(widths, operand)
                    moves = {into: len(visits)}
                for direction, times in moves.items():
                    port = next(p for p in memory.ports if (operand, direction) in p.uses)
                    granules = math.ceil(moved * bits / port.granule_bits)
                    words = granules * port.granule_bits / port.width_bits
                    found[operand, memory.name, direction] += words * times * count
    return dict(found)


def _visits(operand: str, loops: Loops, inside: int, *, every: bool) -> Iterator[tuple[int, ...]]:
    """Tiles in the order in which they are held; `every` step counts, or only changes."""
    outside = list(reversed(loops[inside:]))
    before: tuple[int, ...] | None = None
    for index in itertools.product(*(range(factor) for _, factor in outside)):
        tile = tuple(
            i for i, (dim, _) in zip(index, outside, strict=True) if dim in INDEXED[operand]
        )
        if every or tile != before:
            yield tile
        before = tile


def energy(
    hierarchy: Hierarchy, nest: TileNest, counts: Mapping[tuple[str, str, str], float]
) -> float:
    """Joules of arithmetic and accesses."""
    cost = {m.name: m for m in hierarchy.memories}
    return hierarchy.mac_j * nest.macs + sum(
        words * (cost[memory].read_j if direction in ("feed", "drain") else cost[memory].write_j)
        for (_, memory, direction), words in counts.items()
    )


def holds(
    nest: TileNest,
    hierarchy: Hierarchy,
    loops: Loops,
    cuts: Mapping[str, Sequence[int]],
    widths: Widths,
    operands: Sequence[str] = tuple(INDEXED),
) -> dict[str, float]:
    """Bytes that an instance of each memory needs."""
    found = dict.fromkeys((m.name for m in hierarchy.memories), 0.0)
    for operand in operands:
        memories = [m for m in hierarchy.memories if operand in m.operands]
        places = regions(hierarchy, nest, operand)
        for place, memory in enumerate(memories):
            last = place == len(memories) - 1
            inside = len(loops) if last else cuts[operand][place]
            inner = cuts[operand][place - 1] if place else 0
            tile = product([{dim: factor} for dim, factor in loops[:inside]])
            size = elements(nest, operand, product([tile, places[place][0]]))
            width = getattr(widths, operand)
            if operand == "output" and not (last and place):
                added = any(dim not in INDEXED["output"] and f > 1 for dim, f in loops[inner:])
                served = {n for m in memories[: place + 1] for n in m.serves}
                if added or reduced_outside(hierarchy, nest, served):
                    width = widths.partial
            whole = elements(nest, operand, product([over_time(nest, hierarchy), places[place][0]]))
            found[memory.name] += (
                size * width * (2 if memory.double_buffered and size < whole else 1)
            )
    return found
