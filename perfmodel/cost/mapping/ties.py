"""Cuts of equal energy: loops that index an operand save no traffic when moved inside a cut."""

from __future__ import annotations

from itertools import islice, product

import numpy as np

from perfmodel.cost.mapping.counts import energy_j, passing
from perfmodel.cost.mapping.hierarchy import OPERANDS, Operand
from perfmodel.cost.mapping.orders import Ints, Orders
from perfmodel.cost.mapping.problem import Floats


def equal_cuts(
    orders: Orders, cuts: dict[Operand, Ints], most: int
) -> tuple[Orders, dict[Operand, Ints]]:
    """Return all feasible cuts of one loop order with the same energy as given cuts.

    Parameters
    ----------
    orders
        One loop order.
    cuts
        For each operand the cut of every memory but the outermost, shape (memories - 1, 1).
    most
        Maximum number of results, the largest tiles first.

    Returns
    -------
    orders, cuts
        The order repeated, and the cuts, including the given ones.
    """
    problem = orders.problem
    tiles = orders.inside[:, 0, :]
    every: list[list[tuple[int, ...]]] = []
    room: list[dict[tuple[int, ...], list[tuple[int, float]]]] = []
    for operand in OPERANDS:
        levels = problem.hierarchy.levels[operand]
        mine = [boundary for boundary in problem.boundaries if boundary.operand == operand]
        joules: list[Floats] = []
        partial = [passing(problem, mine[0], tiles[:, :1]).partial[0] * np.ones(tiles.shape[1])]
        for boundary in mine[1:]:
            move = passing(problem, boundary, tiles)
            joules.append(energy_j(problem, move))
            partial.append(move.partial)
        own = [int(cut) for cut in cuts[operand][:, 0]]
        choices = [
            [c for c in range(tiles.shape[1] - 1, -1, -1) if j[c] <= j[cut] * (1 + 1e-12)]
            for j, cut in zip(joules, own, strict=True)
        ]
        rising = [cut for cut in product(*choices) if list(cut) == sorted(cut)]
        sizes: dict[tuple[int, ...], list[tuple[int, float]]] = {}
        for cut in rising:
            needs: list[tuple[int, float]] = []
            for place, here in enumerate((*cut, tiles.shape[1] - 1)):
                inner = cut[place - 1] if place else 0
                wide = bool(partial[place][inner]) and (place < len(cut) or not place)
                bits = problem.required_elements(operand, levels[place], tiles[:, here])
                needs.append((levels[place], float(bits * problem.bits(operand, partial=wide))))
            sizes[cut] = needs
        every.append(rising)
        room.append(sizes)
    capacity = [8.0 * memory.capacity_bytes for memory in problem.hierarchy.memories]
    choices_that_fit: list[tuple[tuple[int, ...], ...]] = [
        tuple(tuple(int(cut) for cut in cuts[operand][:, 0]) for operand in OPERANDS)
    ]
    for choice in islice(product(*every), most):
        used = [0.0] * len(capacity)
        for sizes, cut in zip(room, choice, strict=True):
            for level, bits in sizes[cut]:
                used[level] += bits
        if all(bits <= size for bits, size in zip(used, capacity, strict=True)):
            choices_that_fit.append(choice)
    repeated = Orders(
        problem,
        np.repeat(orders.dims, len(choices_that_fit), axis=0),
        np.repeat(orders.factors, len(choices_that_fit), axis=0),
    )
    listed: dict[Operand, Ints] = {}
    for at, operand in enumerate(OPERANDS):
        table = np.asarray([choice[at] for choice in choices_that_fit], dtype=np.int64)
        listed[operand] = table.reshape(len(choices_that_fit), -1).T
    return repeated, listed
