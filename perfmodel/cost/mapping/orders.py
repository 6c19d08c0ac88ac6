"""Loop orders in arrays: what lies inside each cut, and which loops an operand does not see.

A mapping is an order of loops, inner to outer, and for every operand one cut a memory: the loops
inside the cut run on what the memory holds. A loop over an index that the operand does not have
changes nothing in it, so such loops directly outside a cut count as inside (Mei et al., 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import factorial

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
    """Many orders of the loops of one problem.

    Attributes
    ----------
    problem
        The nest on its hierarchy.
    dims, factors
        Dimension (number in `DIMS`) and iterations of each loop, inner to outer; shape
        (orders, loops).
    """

    problem: MappingProblem
    dims: Ints
    factors: Ints

    @cached_property
    def inside(self) -> Floats:
        """Iterations inside each cut by dimension, shape (8, orders, loops + 1)."""
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
        """Numbers of the cuts, shape (1, loops + 1)."""
        return np.arange(self.dims.shape[1] + 1, dtype=np.int64)[None, :]

    def _is(self, dims: frozenset[str]) -> Bools:
        table: Bools = np.asarray([dim in dims for dim in DIMS], dtype=np.bool_)
        return table[self.dims]

    @cached_property
    def free(self) -> dict[Operand, Bools]:
        """Whether a loop leaves an operand as it is, shape (orders, loops)."""
        return {operand: self._is(FREE[operand]) for operand in OPERANDS}

    @cached_property
    def relevant(self) -> dict[Operand, Bools]:
        """Whether each iteration of a loop is another part of an operand, (orders, loops)."""
        every = frozenset(DIMS)
        slides = self.problem.slides
        return {
            operand: self._is(
                every - FREE[operand] - (slides if operand == "input" else frozenset())
            )
            for operand in OPERANDS
        }

    def settled(self, operand: Operand, cut: Ints) -> Ints:
        """The cut with the loops that leave the operand as it is taken in, shape of `cut`."""
        orders, loops = self.dims.shape
        end = np.full((orders, loops + 1), loops, dtype=np.int64)
        for at in range(loops - 1, -1, -1):
            end[:, at] = np.where(self.free[operand][:, at], end[:, at + 1], at)
        return np.take_along_axis(end, cut[:, None], axis=1)[:, 0]

    def run(self, which: Bools, cut: Ints, bottom: Ints) -> Floats:
        """Iterations of the unbroken run of loops of a sort that ends at a cut, above another."""
        orders, loops = self.dims.shape
        start = np.zeros((orders, loops + 1), dtype=np.int64)
        for at in range(1, loops + 1):
            start[:, at] = np.where(which[:, at - 1], start[:, at - 1], at)
        begin = np.maximum(np.take_along_axis(start, cut[:, None], axis=1)[:, 0], bottom)
        ends = np.take_along_axis(self.iterations, np.stack([cut, begin], axis=1), axis=1)
        return ends[:, 0] / ends[:, 1]

    def tile(self, cut: Ints) -> Floats:
        """Iterations inside a cut by dimension, shape (8, orders)."""
        return self.inside[:, np.arange(len(cut)), cut]


@dataclass(frozen=True)
class Cut:
    """A boundary under many mappings.

    Attributes
    ----------
    passing
        What passes it.
    changing, resting
        Iterations of the outermost loops inside it, as long as all of them change the operand, or
        all of them leave it as it is; shape (orders,).
    """

    passing: Passing
    changing: Floats
    resting: Floats


def cut(
    orders: Orders, cuts: dict[Operand, Ints], problem: MappingProblem | None = None
) -> dict[Operand, list[Cut]]:
    """All boundaries of all operands under many mappings.

    Parameters
    ----------
    orders
        Loop orders.
    cuts
        For each operand the cut of every memory but the outermost, shape (memories - 1, orders).
    problem
        Another reading of the same problem (`MappingProblem.integral`).

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
        # The loops that rest at the units count to the innermost memory.
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
    """Loops over time of a problem as (dimension, prime factor), at most `limit` of them.

    Over the limit, the two smallest factors of the dimension that has most are multiplied, again
    and again, as LOMA does (Symons et al., AICAS 2021); every dimension keeps one.
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


#: Where several dimensions have most factors, the first in this order is cut short.
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


def count_orders(loops: Sequence[tuple[int, int]]) -> int:
    """How many different orders some loops have."""
    count = factorial(len(loops))
    for loop in set(loops):
        count //= factorial(list(loops).count(loop))
    return count


def all_orders(problem: MappingProblem, loops: Loops) -> Orders:
    """Every order of some loops; equal loops are not told apart."""
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
    """The orders in parts of at most `size`."""
    for start in range(0, len(orders.dims), size):
        part = slice(start, start + size)
        yield Orders(orders.problem, orders.dims[part], orders.factors[part])
