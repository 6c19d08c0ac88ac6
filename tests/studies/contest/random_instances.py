"""Instances of the contest at random, small enough to be walked through or solved by force."""

from __future__ import annotations

import random
from typing import Any


def random_instance(
    rng: random.Random, operations: int, native: int = 4, largest: int = 6
) -> dict[str, Any]:
    """Products and pointwise operations on what is there already or on new inputs."""
    widths: list[int] = []
    heights: list[int] = []
    inputs: list[list[int]] = []
    outputs: list[list[int]] = []
    kinds: list[str] = []
    sizes = [rng.randint(1, largest) for _ in range(3)]

    def new(rows: int, columns: int) -> int:
        widths.append(columns)
        heights.append(rows)
        return len(widths) - 1

    def old(rows: int | None, columns: int | None) -> int | None:
        fit = [
            t
            for t in range(len(widths))
            if rows in (None, heights[t]) and columns in (None, widths[t])
        ]
        recent = [t for t in fit if any(t in row for row in outputs)] or fit
        return rng.choice(recent) if recent and rng.random() < 0.85 else None

    for _ in range(operations):
        if rng.random() < 0.5:
            left = old(None, None)
            left = new(rng.choice(sizes), rng.choice(sizes)) if left is None else left
            if rng.random() < 0.3:  # what is there already on the right
                right = left
                left = new(rng.choice(sizes), heights[right])
            else:
                right = old(widths[left], None)
                right = new(widths[left], rng.choice(sizes)) if right is None else right
            if left == right:
                right = new(widths[left], rng.choice(sizes))
            kinds.append("MatMul")
            inputs.append([left, right])
            outputs.append([new(heights[left], widths[right])])
        else:
            one = old(None, None)
            one = new(rng.choice(sizes), rng.choice(sizes)) if one is None else one
            row = [one]
            if rng.random() < 0.5:
                two = old(heights[one], widths[one])
                row.append(new(heights[one], widths[one]) if two is None else two)
            kinds.append("Pointwise")
            inputs.append(list(dict.fromkeys(row)))
            outputs.append([new(heights[one], widths[one])])
    return {
        "widths": widths,
        "heights": heights,
        "inputs": inputs,
        "outputs": outputs,
        "base_costs": [rng.choice([0, 5, 20, 60]) for _ in kinds],
        "op_types": kinds,
        "fast_memory_capacity": rng.randint(3 * native, 4 * native * native),
        "slow_memory_bandwidth": rng.choice([1, 2, 5]),
        "native_granularity": [native, native],
    }
