"""Greedy memory allocation for given loop orders, from the innermost memory outwards (LOMA).

Each memory is assigned the loops that minimise the data fetched from the next outer memory: among
all feasible combinations of cuts of the operands that it holds, those with the fewest elements
times repetitions (Symons et al., "LOMA: Fast Auto-Scheduling on DNN Accelerators through
Loop-Order-based Memory Allocation", AICAS 2021). The optimum of one memory need not be optimal for
the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.access_counts import boundary_transfers
from perfmodel.cost.mapping.hierarchy import OPERANDS, Operand
from perfmodel.cost.mapping.loop_orders import Ints, LoopOrders
from perfmodel.cost.mapping.problem import Floats

#: Enumeration order, the first operand changing slowest; the last of equal choices is used.
_ENUMERATION_ORDER: tuple[Operand, ...] = ("input", "weight", "output")


def allocate_greedily(
    orders: LoopOrders, *, half: bool = False
) -> tuple[dict[Operand, Ints], npt.NDArray[np.bool_]]:
    """Return the cuts of every operand at every memory except its outermost.

    Parameters
    ----------
    orders
        Loop orders of a problem.
    half
        Whether to use only half of each memory that is not the outermost of an operand, where
        possible, so that the next tiles can be prefetched. LOMA does not.

    Returns
    -------
    cuts
        Operand -> cuts, shape (memories - 1, orders).
    fits
        Whether all tiles fit their memories, shape (orders,).
    """
    problem = orders.problem
    levels = problem.hierarchy.levels
    count, loops = orders.dims.shape
    inner = {operand: np.zeros(count, dtype=np.int64) for operand in OPERANDS}
    cuts: dict[Operand, list[Ints]] = {operand: [] for operand in OPERANDS}
    fits = np.ones(count, dtype=np.bool_)
    for level, memory in enumerate(problem.hierarchy.memories):
        operands: list[Operand] = [
            operand for operand in _ENUMERATION_ORDER if operand in memory.operands
        ]
        options = [_bits_by_cut(orders, operand, level, inner[operand]) for operand in operands]
        bits, fetched = map(_sums_of_combinations, zip(*options, strict=True))
        room = np.full((count, 1), 8.0 * memory.capacity_bytes)
        if half:
            room = np.where(bits.min(axis=1, keepdims=True) <= room / 2, room / 2, room)
        fetched = np.where(bits <= room, fetched, np.inf)
        # Loops that index an operand do not change the product, so there are ties. Products
        # of averages tie only up to rounding; they are compared exactly, as in LOMA.
        least = fetched.min(axis=1, keepdims=True)
        fits &= np.isfinite(least[:, 0])
        optimal = fetched == least
        last = fetched.shape[1] - 1 - np.argmax(optimal[:, ::-1], axis=1)
        for operand in reversed(operands):
            last, inner[operand] = np.divmod(last, loops + 1)
            if level != levels[operand][-1]:
                cuts[operand].append(inner[operand])
    empty = np.zeros((0, count), dtype=np.int64)
    return {o: np.stack(own) if own else empty for o, own in cuts.items()}, fits


def _bits_by_cut(
    orders: LoopOrders, operand: Operand, level: int, inner: Ints
) -> tuple[Floats, Floats]:
    """Return the bits held and the bits fetched for each cut of an operand, (orders, loops + 1)."""
    problem = orders.problem
    count, loops = orders.dims.shape
    levels = problem.hierarchy.levels[operand]
    place = levels.index(level)
    mine = [boundary for boundary in problem.boundaries if boundary.operand == operand]
    transfers = boundary_transfers(problem, mine[place], orders.tile(inner))
    bits = problem.required_elements(operand, level, orders.inside)
    bits = bits * problem.bits(operand, partial=transfers.partial)[..., None]
    fetched = orders.iterations[:, -1:] / orders.iterations * bits
    least = inner
    if level == levels[-1]:
        least = np.full(count, loops)
        fetched = np.zeros_like(fetched)
    return np.where(orders.places < least[:, None], np.inf, bits), fetched


def _sums_of_combinations(values: Sequence[Floats]) -> Floats:
    """Return the sums over all combinations of one choice per operand, (orders, choices)."""
    sums = values[0]
    for more in values[1:]:
        sums = (sums[:, :, None] + more[:, None, :]).reshape(len(sums), -1)
    return sums
