"""Other cuts of one loop order with the same energy, among which the fastest mapping is chosen.

A loop over an index of an operand saves no traffic when it is moved inside a cut of the operand, so
that many cuts have equal energy. Larger tiles are transferred less often, which changes the stalls.
"""

from __future__ import annotations

from itertools import islice, product

import numpy as np

from perfmodel.cost.mapping.access_counts import boundary_transfers, energy_j
from perfmodel.cost.mapping.hierarchy import OPERANDS, Operand
from perfmodel.cost.mapping.loop_orders import Ints, LoopOrders
from perfmodel.cost.mapping.problem import Floats


def equal_energy_cuts(
    orders: LoopOrders, cuts: dict[Operand, Ints], most: int
) -> tuple[LoopOrders, dict[Operand, Ints]]:
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
    # For each operand its cuts of equal energy, and (memory, bits) of all tiles under each cut.
    cuts_of: list[list[tuple[int, ...]]] = []
    sizes_of: list[dict[tuple[int, ...], list[tuple[int, float]]]] = []
    for operand in OPERANDS:
        levels = problem.hierarchy.levels[operand]
        own_boundaries = [
            boundary for boundary in problem.boundaries if boundary.operand == operand
        ]
        joules: list[Floats] = []
        at_units = boundary_transfers(problem, own_boundaries[0], tiles[:, :1])
        partial = [np.repeat(at_units.partial, tiles.shape[1])]
        for boundary in own_boundaries[1:]:
            transfers = boundary_transfers(problem, boundary, tiles)
            joules.append(energy_j(problem, transfers))
            partial.append(transfers.partial)
        choices = [
            [c for c in range(tiles.shape[1] - 1, -1, -1) if j[c] <= j[cut] * (1 + 1e-12)]
            for j, cut in zip(joules, cuts[operand][:, 0].tolist(), strict=True)
        ]
        rising = [cut for cut in product(*choices) if list(cut) == sorted(cut)]
        sizes: dict[tuple[int, ...], list[tuple[int, float]]] = {}
        for cut in rising:
            sizes[cut] = []
            for place, here in enumerate((*cut, tiles.shape[1] - 1)):
                inner = cut[place - 1] if place else 0
                is_partial = bool(partial[place][inner]) and (place < len(cut) or not place)
                elements = problem.required_elements(operand, levels[place], tiles[:, here])
                bits = float(elements * problem.bits(operand, partial=is_partial))
                sizes[cut].append((levels[place], bits))
        cuts_of.append(rising)
        sizes_of.append(sizes)
    capacity = [8.0 * memory.capacity_bytes for memory in problem.hierarchy.memories]
    choices_that_fit: list[tuple[tuple[int, ...], ...]] = [
        tuple(tuple(int(cut) for cut in cuts[operand][:, 0]) for operand in OPERANDS)
    ]
    for choice in islice(product(*cuts_of), most):
        used = [0.0] * len(capacity)
        for sizes, cut in zip(sizes_of, choice, strict=True):
            for level, bits in sizes[cut]:
                used[level] += bits
        if all(bits <= size for bits, size in zip(used, capacity, strict=True)):
            choices_that_fit.append(choice)
    repeated = LoopOrders(
        problem,
        np.repeat(orders.dims, len(choices_that_fit), axis=0),
        np.repeat(orders.factors, len(choices_that_fit), axis=0),
    )
    listed: dict[Operand, Ints] = {}
    for at, operand in enumerate(OPERANDS):
        table = np.asarray([choice[at] for choice in choices_that_fit], dtype=np.int64)
        listed[operand] = table.reshape(len(choices_that_fit), -1).T
    return repeated, listed
