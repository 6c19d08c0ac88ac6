"""Mapping problem of a nest on a hierarchy: spatial unrolling, temporal loops, sizes of tiles.

A *boundary* of an operand is between a memory that holds it (or the units) and the next outer
memory. Its traffic follows from the tile of loops inside: the number of elements that one instance
holds, and the cycles for which they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, gcd, prod
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.hierarchy import (
    DIMS,
    INVARIANT_DIMS,
    OPERANDS,
    Dim,
    Hierarchy,
    Operand,
    Port,
)
from perfmodel.cost.traffic.nest import TileNest, Widths

Floats: TypeAlias = npt.NDArray[np.float64]
Accounting: TypeAlias = Literal["exact", "zigzag"]


@dataclass(frozen=True)
class Boundary:
    """Boundary of an operand between an outer memory and an inner one, or the units.

    Attributes
    ----------
    operand
        Operand that crosses the boundary.
    lower, upper
        Indices of the memories on both sides; lower is -1 for the units.
    below
        Spatial factors of the loops inside one lower instance; shape (8,), order of `DIMS`.
    multicast
        Number of lower instances with different data per upper instance.
    lower_count, upper_count
        Number of instances in use.
    spatial_reduction
        Whether partial sums of different upper instances are added further out.
    """

    operand: Operand
    lower: int
    upper: int
    below: Floats
    multicast: float
    lower_count: float
    upper_count: float
    spatial_reduction: bool


@dataclass(frozen=True)
class MappingProblem:
    """Nest unrolled on a hierarchy.

    Attributes
    ----------
    nest, hierarchy, widths
        Nest, hierarchy, and bytes per element; the width ``partial`` applies to incomplete sums.
    in_rows, in_columns
        Extents of the input without padding; ``None`` counts every position that is read.
    accounting
        Method of counting accesses, see `counts`.
    integral
        Whether spatial factors are truncated to integers (for cycles) or averages (for energy):
        with 1000 channels on 32 units, 31.25 units are busy on average.
    """

    nest: TileNest
    hierarchy: Hierarchy
    widths: Widths
    in_rows: int | None = None
    in_columns: int | None = None
    accounting: Accounting = "exact"
    integral: bool = False

    @cached_property
    def extents(self) -> tuple[int, ...]:
        """Extents of the nest in the order of `DIMS`."""
        return tuple(int(getattr(self.nest, dim)) for dim in DIMS)

    @cached_property
    def _unrolled_factors(self) -> list[list[tuple[int, int]]]:
        """(Loop, integer factor) pairs unrolled along each dimension of the array."""
        remaining = list(self.extents)
        factors_by_dimension: list[list[tuple[int, int]]] = []
        for spread in self.hierarchy.spread:
            factors: list[tuple[int, int]] = []
            for dim, most in spread.loops:
                loop = DIMS.index(dim)
                factor = min(most, remaining[loop])
                remaining[loop] = ceil(remaining[loop] / factor)
                if factor > 1:
                    factors.append((loop, factor))
            factors_by_dimension.append(factors)
        return factors_by_dimension

    @cached_property
    def temporal(self) -> tuple[int, ...]:
        """Temporal iterations of each loop in the order of `DIMS`."""
        factors = [1] * len(DIMS)
        for here in self._unrolled_factors:
            for loop, factor in here:
                factors[loop] *= factor
        return tuple(ceil(e / f) for e, f in zip(self.extents, factors, strict=True))

    @cached_property
    def unrolled(self) -> list[list[tuple[int, float]]]:
        """(Loop, factor) pairs unrolled along each dimension of the array.

        Temporal iterations are integers; if they do not divide the extent, the largest factor is
        reduced to the average number of busy units, or to the integer below it.
        """
        factors: list[list[tuple[int, float]]] = [list(here) for here in self._unrolled_factors]
        for loop, extent in enumerate(self.extents):
            places = [
                (factor, -at, place)
                for at, here in enumerate(self._unrolled_factors)
                for place, (of, factor) in enumerate(here)
                if of == loop
            ]
            if not places:
                continue
            largest, at, place = max(places)
            others = prod(factor for factor, _, _ in places) // largest
            average = extent / self.temporal[loop] / others
            factors[-at][place] = (loop, float(int(average)) if self.integral else average)
        return factors

    @property
    def cycles(self) -> int:
        """Temporal iterations of the whole nest: cycles without stalls."""
        return prod(self.temporal)

    @property
    def drain_cycles(self) -> int:
        """Cycles until the last results have left along the systolic dimensions."""
        return sum(
            prod(factor for _, factor in here) - 1
            for here, spread in zip(self._unrolled_factors, self.hierarchy.spread, strict=True)
            if spread.systolic
        )

    @cached_property
    def inside(self) -> dict[Operand, tuple[Floats, ...]]:
        """Return the spatial factors inside one instance of each memory of an operand.

        Memories are ordered inner to outer. Along an array dimension, the innermost memory that
        serves it feeds all units; memories further inside are replicated along it.
        """
        factors_by_operand: dict[Operand, tuple[Floats, ...]] = {}
        for operand in OPERANDS:
            served: set[str] = set()
            factors: list[Floats] = []
            for level in self.hierarchy.levels[operand]:
                served |= set(self.hierarchy.memories[level].serves)
                factors.append(self._spatial(served))
            factors_by_operand[operand] = tuple(factors)
        return factors_by_operand

    @cached_property
    def boundaries(self) -> tuple[Boundary, ...]:
        """Boundaries of all operands, inner to outer, the units first."""
        return tuple(b for operand in OPERANDS for b in self._boundaries(operand))

    def _boundaries(self, operand: Operand) -> list[Boundary]:
        levels = self.hierarchy.levels[operand]
        free = [DIMS.index(dim) for dim in INVARIANT_DIMS[operand]]
        array = self._spatial({spread.name for spread in self.hierarchy.spread})
        boundaries: list[Boundary] = []
        below = np.ones(len(DIMS))
        for place, (level, inside) in enumerate(zip(levels, self.inside[operand], strict=True)):
            multicast = float(self.elements(operand, inside) / self.elements(operand, below))
            outside = array / inside
            lower, upper = float(np.prod(array / below)), float(np.prod(outside))
            if self.accounting == "zigzag":
                multicast = round(multicast)
                lower, upper = round(round(lower, 3)), round(round(upper, 3))
            boundaries.append(
                Boundary(
                    operand=operand,
                    lower=levels[place - 1] if place else -1,
                    upper=level,
                    below=below,
                    multicast=multicast,
                    lower_count=lower,
                    upper_count=upper,
                    spatial_reduction=operand == "output" and bool((outside[free] > 1).any()),
                )
            )
            below = inside
        return boundaries

    def _spatial(self, served: set[str]) -> Floats:
        """Return the spatial factor of each loop along some dimensions of the array."""
        factors = np.ones(len(DIMS))
        for here, spread in zip(self.unrolled, self.hierarchy.spread, strict=True):
            if spread.name in served:
                for loop, factor in here:
                    factors[loop] *= factor
        return factors

    def elements(self, operand: Operand, tile: Floats) -> Floats:
        """Return the number of elements of an operand that a tile uses.

        Parameters
        ----------
        operand
            Input, weight or output.
        tile
            Extents of the loops, in the order of `DIMS` along the first axis.
        """
        group, batch, k, c, rows, columns, kernel_rows, kernel_columns = tile
        if operand == "weight":
            return group * k * c * kernel_rows * kernel_columns
        if operand == "output":
            return group * batch * k * rows * columns
        if self.accounting == "zigzag":  # truncates windows to integers
            rows, columns = np.floor(rows), np.floor(columns)
            kernel_rows, kernel_columns = np.floor(kernel_rows), np.floor(kernel_columns)
        nest = self.nest
        height = _distinct_positions(
            rows, kernel_rows, nest.row_stride, nest.row_dilation, self.in_rows
        )
        width = _distinct_positions(
            columns, kernel_columns, nest.column_stride, nest.column_dilation, self.in_columns
        )
        return group * batch * c * height * width

    @property
    def slides(self) -> frozenset[Dim]:
        """Dimensions that index the input jointly with another one; a GEMM has none."""
        if self.nest.is_gemm and self.nest.out_columns == 1:
            return frozenset()
        return frozenset({"out_rows", "out_columns", "kernel_rows", "kernel_columns"})

    def required_elements(self, operand: Operand, level: int, tile: Floats) -> Floats:
        """Return the number of elements of an operand that one instance of a memory must hold.

        Parameters
        ----------
        operand, level
            Operand, and index of the memory in its hierarchy.
        tile
            Temporal iterations inside the memory, in the order of `DIMS` along the first axis.
        """
        inside = self.inside[operand][self.hierarchy.levels[operand].index(level)]
        elements = self.elements(operand, tile * inside.reshape(-1, *(1,) * (tile.ndim - 1)))
        if not self.hierarchy.memories[level].double_buffered:
            return elements
        all_elements = self.elements(operand, np.asarray(self.temporal, dtype=np.float64) * inside)
        return np.where(elements < all_elements, 2.0 * elements, elements)

    def bits(self, operand: Operand, *, partial: npt.NDArray[np.bool_] | bool = False) -> Floats:
        """Return the bits per element; those of a partial sum for outputs if `partial` is set."""
        width: Floats = np.asarray(getattr(self.widths, operand), dtype=np.float64)
        if operand == "output":
            summed: Floats = np.asarray(self.widths.partial, dtype=np.float64)
            width = np.where(partial, summed, width)
        return 8.0 * width

    def port(self, memory: int, operand: Operand, direction: str) -> Port:
        """Return the port of a transfer."""
        level = self.hierarchy.memories[memory]
        for port in level.ports:
            if any(use == (operand, direction) for use in port.uses):
                return port
        raise LookupError(f"memory {level.name}: no port to {direction} {operand}")


def _distinct_positions(
    a: Floats, b: Floats, stride: int, dilation: int, extent: int | None
) -> Floats:
    """Return the number of distinct ``stride i + dilation j`` for i < a and j < b.

    ``a b - max(b - stride, 0) max(a - dilation, 0)``, at most `extent`. With common divisors
    removed, (i, j) and (i + dilation, j - stride) are the same position.
    """
    common = gcd(stride, dilation)
    stride, dilation = stride // common, dilation // common
    count = a * b - np.maximum(b - stride, 0) * np.maximum(a - dilation, 0)
    return count if extent is None else np.minimum(count, extent)
