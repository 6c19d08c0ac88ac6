"""Array representation of loop orders and cuts: tiles inside each cut, and irrelevant loops.

A mapping consists of an order of loops, inner to outer, and one cut per operand and memory: the
loops inside the cut run on the tile that the memory holds. Loops over an index that the operand is
invariant in do not change this tile, so that such loops directly outside a cut count as inside (Mei
et al., 2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.counts import Passing, passing
from perfmodel.cost.mapping.hierarchy import DIMS, FREE, OPERANDS, Operand
from perfmodel.cost.mapping.problem import Floats, MappingProblem

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Loops = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Orders:
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
        """Iterations by dimension inside each cut, shape (8, orders, loops + 1)."""
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

    def _is(self, dims: frozenset[str]) -> Bools:
        table: Bools = np.asarray([dim in dims for dim in DIMS], dtype=np.bool_)
        return table[self.dims]

    @cached_property
    def free(self) -> dict[Operand, Bools]:
        """Masks of the loops that each operand is invariant in, shape (orders, loops)."""
        return {operand: self._is(FREE[operand]) for operand in OPERANDS}

    @cached_property
    def relevant(self) -> dict[Operand, Bools]:
        """Masks of the loops whose iterations all use different parts of an operand."""
        every = frozenset(DIMS)
        slides = self.problem.slides
        return {
            operand: self._is(
                every - FREE[operand] - (slides if operand == "input" else frozenset())
            )
            for operand in OPERANDS
        }

    def settled(self, operand: Operand, cut: Ints) -> Ints:
        """Return the cut extended by adjacent loops that the operand is invariant in."""
        orders, loops = self.dims.shape
        end = np.full((orders, loops + 1), loops, dtype=np.int64)
        for at in range(loops - 1, -1, -1):
            end[:, at] = np.where(self.free[operand][:, at], end[:, at + 1], at)
        return np.take_along_axis(end, cut[:, None], axis=1)[:, 0]

    def run(self, which: Bools, cut: Ints, bottom: Ints) -> Floats:
        """Return the iterations of the contiguous loops of a kind that end at a cut."""
        orders, loops = self.dims.shape
        start = np.zeros((orders, loops + 1), dtype=np.int64)
        for at in range(1, loops + 1):
            start[:, at] = np.where(which[:, at - 1], start[:, at - 1], at)
        begin = np.maximum(np.take_along_axis(start, cut[:, None], axis=1)[:, 0], bottom)
        ends = np.take_along_axis(self.iterations, np.stack([cut, begin], axis=1), axis=1)
        return ends[:, 0] / ends[:, 1]

    def tile(self, cut: Ints) -> Floats:
        """Return the iterations by dimension inside a cut, shape (8, orders)."""
        return self.inside[:, np.arange(len(cut)), cut]


@dataclass(frozen=True)
class Cut:
    """Boundary under many mappings.

    Attributes
    ----------
    passing
        Transfers across the boundary.
    changing, resting
        Iterations of the outermost contiguous loops inside the boundary that all change the
        operand, and that all leave it unchanged; shape (orders,).
    """

    passing: Passing
    changing: Floats
    resting: Floats


def cut(
    orders: Orders, cuts: dict[Operand, Ints], problem: MappingProblem | None = None
) -> dict[Operand, list[Cut]]:
    """Return all boundaries of all operands under many mappings.

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
    boundaries: dict[Operand, list[Cut]] = {operand: [] for operand in OPERANDS}
    for boundary in problem.boundaries:
        operand = boundary.operand
        place = len(boundaries[operand])
        ones = np.ones(count)
        if boundary.lower < 0:
            at = np.zeros(count, dtype=np.int64)
            if operand != "output":
                at = orders.settled(operand, at)
            boundaries[operand].append(Cut(passing(problem, boundary, orders.tile(at)), ones, ones))
            continue
        at = orders.settled(operand, cuts[operand][place - 1])
        # Loops that are stationary at the units count towards the innermost memory.
        bottom = (
            orders.settled(operand, cuts[operand][place - 2])
            if place > 1
            else np.zeros(count, dtype=np.int64)
        )
        boundaries[operand].append(
            Cut(
                passing(problem, boundary, orders.tile(at)),
                orders.run(orders.relevant[operand], at, bottom),
                orders.run(orders.free[operand], at, bottom),
            )
        )
    return boundaries


def prime_loops(problem: MappingProblem, limit: int | None = None) -> Loops:
    """Return the temporal loops of a problem as (dimension, prime factor), at most `limit` of them.

    Above the limit, the two smallest factors of the dimension with the most factors are multiplied
    repeatedly, as in LOMA (Symons et al., AICAS 2021); every dimension retains at least one.
    """
    loops: list[list[int]] = [_primes(extent) for extent in problem.temporal]
    total = sum(len(factors) for factors in loops)
    least = sum(1 for factors in loops if factors)
    while limit is not None and total > max(limit, least):
        most = max(range(len(DIMS)), key=lambda dim: (len(loops[dim]), -_LOMA[dim]))
        first, second, *others = sorted(loops[most])
        loops[most] = sorted([first * second, *others])
        total -= 1
    return tuple((dim, factor) for dim in range(len(DIMS)) for factor in loops[dim])


#: Order in which dimensions with equally many factors are reduced.
_LOMA = tuple(
    (
        "batch",
        "out_channels",
        "groups",
        "out_columns",
        "out_rows",
        "in_channels",
        "kernel_columns",
        "kernel_rows",
    ).index(dim)
    for dim in DIMS
)


def _primes(number: int) -> list[int]:
    factors: list[int] = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors + [number] if number > 1 else factors


def all_orders(problem: MappingProblem, loops: Loops) -> Orders:
    """Return all distinct orders of some loops."""
    different = sorted(set(loops))
    left = np.asarray([[loops.count(loop) for loop in different]], dtype=np.int64)
    picked = np.zeros((1, 0), dtype=np.int64)
    for _ in loops:
        source, loop = np.nonzero(left > 0)
        picked = np.concatenate([picked[source], loop[:, None]], axis=1)
        left = left[source]
        left[np.arange(len(loop)), loop] -= 1
    table = np.asarray(different, dtype=np.int64).reshape(-1, 2)
    return Orders(problem, table[picked, 0], table[picked, 1])


def chunks(orders: Orders, size: int) -> Iterator[Orders]:
    """Yield the orders in chunks of at most `size`."""
    for start in range(0, len(orders.dims), size):
        part = slice(start, start + size)
        yield Orders(orders.problem, orders.dims[part], orders.factors[part])
