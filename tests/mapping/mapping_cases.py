"""Small accelerators and nests, drawn at random."""

from __future__ import annotations

import random
from itertools import combinations_with_replacement, permutations

from perfmodel.cost.mapping import ArrayDimension, Hierarchy, MemoryLevel, Port
from perfmodel.cost.traffic.nest import TileNest, Widths

ALL = ("input", "weight", "output")
WIDTHS = (Widths(1, 1, 1, 2), Widths(1, 1, 1, 4), Widths(2, 0.5, 2, 4))
MANY = 1e9


def memory(
    rng: random.Random,
    name: str,
    operands: tuple[str, ...],
    capacity: float,
    read: float,
    serves: tuple[str, ...] = (),
    double: bool = False,
) -> MemoryLevel:
    """A memory with one port a transfer, or one for all, of a random width."""
    uses = [
        (operand, direction)
        for operand in operands
        for direction in (
            ("feed", "collect", "drain", "fill") if operand == "output" else ("feed", "fill")
        )
    ]
    width = rng.choice((8, 16, 64, 256))
    granule = rng.choice((8, width))
    groups = [[use] for use in uses] if rng.random() < 0.5 else [uses]
    return MemoryLevel(
        name,
        capacity,
        read,
        read * rng.choice((1.0, 1.3)),
        tuple(Port(width, granule, tuple(group)) for group in groups),
        serves,
        double,
    )


def hierarchy(rng: random.Random, tight: bool = True) -> Hierarchy:
    """Registers of some operands, one or two buffers shared by some, and a memory of all."""
    spread = (
        ArrayDimension("rows", 4, rng.choice(((), (("out_channels", 2),), (("in_channels", 2),)))),
        ArrayDimension(
            "columns", 4, rng.choice(((), (("in_channels", 2),), (("groups", 2),), (("batch", 2),)))
        ),
    )
    memories: list[MemoryLevel] = []
    for operand in ALL:
        if rng.random() < 0.6:
            served = rng.choice(((), ("rows",), ("columns",)))
            size = rng.choice((2, 4, 8, 16)) if tight else MANY
            memories.append(memory(rng, f"registers_{operand}", (operand,), size, 1.0, served))
    for level in range(rng.choice((1, 1, 2))):
        held = tuple(o for o in ALL if rng.random() < 0.75) or ALL
        size = rng.choice((16, 24, 40, 64, 100)) * (level + 1) if tight else MANY
        memories.append(
            memory(
                rng,
                f"buffer_{level}",
                held,
                size,
                8.0 * (level + 1),
                ("rows", "columns"),
                double=rng.random() < 0.2,
            )
        )
    memories.append(memory(rng, "main", ALL, MANY, 100.0, ("rows", "columns")))
    return Hierarchy(tuple(memories), spread, mac_j=0.5)


def nest(rng: random.Random, most: int = 48) -> TileNest:
    """A nest of a few loops over time once it is unrolled."""
    while True:
        found = TileNest(
            out_channels=rng.choice((1, 2, 4, 6)),
            in_channels=rng.choice((1, 2, 4)),
            out_rows=rng.choice((1, 2, 3, 4)),
            out_columns=rng.choice((1, 1, 2)),
            kernel_rows=rng.choice((1, 1, 2, 3)),
            kernel_columns=rng.choice((1, 1, 2)),
            row_stride=rng.choice((1, 1, 2)),
            row_dilation=rng.choice((1, 1, 2)),
            groups=rng.choice((1, 1, 2)),
            batch=rng.choice((1, 1, 2)),
        )
        if found.macs <= most:
            return found


def primes(number: int) -> list[int]:
    found = []
    for divisor in range(2, number + 1):
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
    return found


def orders(loops: list[tuple[str, int]]) -> list[tuple[tuple[str, int], ...]]:
    """All different orders of some loops."""
    return sorted(set(permutations(loops)))


def rising(levels: int, loops: int) -> list[tuple[int, ...]]:
    """All cuts of an operand with some memories below its outermost."""
    return list(combinations_with_replacement(range(loops + 1), levels))
