"""Loop orders of many mappings as arrays, with the tile of each operand inside a cut.

A mapping consists of an order of loops, inner to outer, and one cut per operand and memory: the
loops inside the cut run on the tile that the memory holds. Loops over a dimension that the operand
is invariant in do not change this tile, so that such loops directly outside a cut count as inside
(Mei et al., "ZigZag", IEEE Transactions on Computers 70(8), 2021). The searches of this folder
create the orders; `mapped_boundaries` returns the transfers from which they count energy and
cycles.

For example, the loops ``in_channels 4, out_rows 2, out_channels 8`` (inner to outer) have the cuts
0 to 3. Inside cut 1, weights have a tile of 4 input channels; as weights are invariant in the rows,
their extended cut is 2, and the tile is fetched once per output channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.access_counts import BoundaryTransfers, boundary_transfers
from perfmodel.cost.mapping.hierarchy import DIMS, INVARIANT_DIMS, OPERANDS, Dim, Operand
from perfmodel.cost.mapping.problem import Floats, MappingProblem

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Loops = tuple[tuple[int, int], ...]

#: Order in which LOMA reduces dimensions with equally many factors.
_LOMA_ORDER: tuple[Dim, ...] = (
    "batch",
    "out_channels",
    "groups",
    "out_columns",
    "out_rows",
    "in_channels",
    "kernel_columns",
    "kernel_rows",
)
#: Position of each dimension of `DIMS` in that order.
_LOMA_RANKS = tuple(_LOMA_ORDER.index(dim) for dim in DIMS)


@dataclass(frozen=True)
class LoopOrders:
    """Set of loop orders of one problem.

    Attributes
    ----------
    problem
        Nest on its hierarchy.
    dims, factors
        Dimension (index into `DIMS`) and iterations of each loop, inner to outer; shape
        (orders, loops).
    """

    problem: MappingProblem
    dims: Ints
    factors: Ints

    @cached_property
    def inside(self) -> Floats:
        """Iterations by dimension inside each cut, shape (dimensions, orders, loops + 1)."""
        orders, loops = self.dims.shape
        iterations = np.ones((len(DIMS), orders, loops + 1))
        for dim in range(len(DIMS)):
            np.cumprod(
                np.where(self.dims == dim, self.factors, 1), axis=1, out=iterations[dim, :, 1:]
            )
        return iterations

    @cached_property
    def iterations(self) -> Floats:
        """Iterations inside each cut, shape (orders, loops + 1)."""
        return np.prod(self.inside, axis=0)

    @cached_property
    def places(self) -> Ints:
        """Indices of the cuts, shape (1, loops + 1)."""
        return np.arange(self.dims.shape[1] + 1, dtype=np.int64)[None, :]

    def _loops_over(self, dims: frozenset[str]) -> Bools:
        """Return the mask of the loops over some dimensions, shape (orders, loops)."""
        is_among: Bools = np.asarray([dim in dims for dim in DIMS], dtype=np.bool_)
        return is_among[self.dims]

    @cached_property
    def invariant(self) -> dict[Operand, Bools]:
        """Masks of the loops that each operand is invariant in, shape (orders, loops)."""
        return {operand: self._loops_over(INVARIANT_DIMS[operand]) for operand in OPERANDS}

    @cached_property
    def relevant(self) -> dict[Operand, Bools]:
        """Masks of the loops whose iterations all use different parts of an operand."""
        all_dims = frozenset(DIMS)
        slides = self.problem.slides
        return {
            operand: self._loops_over(
                all_dims - INVARIANT_DIMS[operand] - (slides if operand == "input" else frozenset())
            )
            for operand in OPERANDS
        }

    def extended_cut(self, operand: Operand, cut: Ints) -> Ints:
        """Return the cut extended by adjacent loops that the operand is invariant in."""
        orders, loops = self.dims.shape
        end = np.full((orders, loops + 1), loops, dtype=np.int64)
        for loop in range(loops - 1, -1, -1):
            end[:, loop] = np.where(self.invariant[operand][:, loop], end[:, loop + 1], loop)
        return np.take_along_axis(end, cut[:, None], axis=1)[:, 0]

    def run_iterations(self, which: Bools, cut: Ints, bottom: Ints) -> Floats:
        """Return the iterations of the contiguous loops of a kind that end at a cut.

        Parameters
        ----------
        which
            Mask of the loops of this kind, shape (orders, loops).
        cut, bottom
            Cuts at which the loops end, and below which none counts.
        """
        orders, loops = self.dims.shape
        start = np.zeros((orders, loops + 1), dtype=np.int64)
        for cut_index in range(1, loops + 1):
            previous = cut_index - 1
            start[:, cut_index] = np.where(which[:, previous], start[:, previous], cut_index)
        begin = np.maximum(np.take_along_axis(start, cut[:, None], axis=1)[:, 0], bottom)
        ends = np.take_along_axis(self.iterations, np.stack([cut, begin], axis=1), axis=1)
        return ends[:, 0] / ends[:, 1]

    def pick(self, selected: slice) -> LoopOrders:
        """Return a subset of the orders."""
        return LoopOrders(self.problem, self.dims[selected], self.factors[selected])

    def tile(self, cut: Ints) -> Floats:
        """Return the iterations by dimension inside a cut, shape (dimensions, orders)."""
        return self.inside[:, np.arange(len(cut)), cut]


@dataclass(frozen=True)
class MappedBoundary:
    """Boundary under many mappings.

    Attributes
    ----------
    transfers
        Transfers across the boundary.
    relevant_iterations, invariant_iterations
        Iterations of the outermost contiguous loops inside the boundary that all change the
        operand, and that all leave it unchanged; shape (orders,).
    """

    transfers: BoundaryTransfers
    relevant_iterations: Floats
    invariant_iterations: Floats


def mapped_boundaries(
    orders: LoopOrders, cuts: dict[Operand, Ints], problem: MappingProblem | None = None
) -> dict[Operand, list[MappedBoundary]]:
    """Return all boundaries of all operands under many mappings, with the transfers across them.

    Parameters
    ----------
    orders
        Loop orders.
    cuts
        For each operand the cut of every memory but the outermost, shape (memories - 1, orders).
    problem
        Variant of the same problem (`MappingProblem.integral`); that of `orders` by default.

    Returns
    -------
    dict
        Operand -> boundaries inner to outer, the units first.
    """
    problem = problem or orders.problem
    count = len(orders.dims)
    boundaries: dict[Operand, list[MappedBoundary]] = {operand: [] for operand in OPERANDS}
    for boundary in problem.boundaries:
        operand = boundary.operand
        memory = len(boundaries[operand])
        ones = np.ones(count)
        if boundary.lower < 0:
            inside_cut = np.zeros(count, dtype=np.int64)
            if operand != "output":
                inside_cut = orders.extended_cut(operand, inside_cut)
            boundaries[operand].append(
                MappedBoundary(
                    boundary_transfers(problem, boundary, orders.tile(inside_cut)), ones, ones
                )
            )
            continue
        inside_cut = orders.extended_cut(operand, cuts[operand][memory - 1])
        # Loops that are stationary at the units count towards the innermost memory.
        bottom = (
            orders.extended_cut(operand, cuts[operand][memory - 2])
            if memory > 1
            else np.zeros(count, dtype=np.int64)
        )
        boundaries[operand].append(
            MappedBoundary(
                boundary_transfers(problem, boundary, orders.tile(inside_cut)),
                orders.run_iterations(orders.relevant[operand], inside_cut, bottom),
                orders.run_iterations(orders.invariant[operand], inside_cut, bottom),
            )
        )
    return boundaries


def prime_factor_loops(problem: MappingProblem, limit: int | None = None) -> Loops:
    """Return the temporal loops of a problem as (dimension, prime factor), at most `limit` of them.

    Above the limit, the two smallest factors of the dimension with the most factors are multiplied
    repeatedly, as in LOMA (Symons et al., "LOMA: fast auto-scheduling on DNN accelerators through
    loop-order-based memory allocation", AICAS 2021); every dimension retains at least one.
    """
    loops: list[list[int]] = [_primes(extent) for extent in problem.temporal]
    total = sum(len(factors) for factors in loops)
    least = sum(1 for factors in loops if factors)
    while limit is not None and total > max(limit, least):
        most = max(range(len(DIMS)), key=lambda dim: (len(loops[dim]), -_LOMA_RANKS[dim]))
        first, second, *others = sorted(loops[most])
        loops[most] = sorted([first * second, *others])
        total -= 1
    return tuple((dim, factor) for dim in range(len(DIMS)) for factor in loops[dim])


def _primes(number: int) -> list[int]:
    """Return the prime factors of a number in ascending order."""
    factors: list[int] = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors + [number] if number > 1 else factors


def all_loop_orders(problem: MappingProblem, loops: Loops) -> LoopOrders:
    """Return all distinct orders of some loops; equal loops are interchangeable.

    Partial orders are extended by one loop at a time, by each kind of loop that remains.
    """
    distinct = sorted(set(loops))
    remaining = np.asarray([[loops.count(loop) for loop in distinct]], dtype=np.int64)
    picked = np.zeros((1, 0), dtype=np.int64)
    for _ in loops:
        source, loop = np.nonzero(remaining > 0)
        picked = np.concatenate([picked[source], loop[:, None]], axis=1)
        remaining = remaining[source]
        remaining[np.arange(len(loop)), loop] -= 1
    table = np.asarray(distinct, dtype=np.int64).reshape(-1, 2)
    return LoopOrders(problem, table[picked, 0], table[picked, 1])


def order_chunks(orders: LoopOrders, size: int) -> Iterator[LoopOrders]:
    """Yield the orders in chunks of at most `size`."""
    for start in range(0, len(orders.dims), size):
        yield orders.pick(slice(start, start + size))
