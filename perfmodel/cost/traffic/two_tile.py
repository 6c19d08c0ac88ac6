"""Two-tile problem: least reload traffic of two operands under a bilinear capacity constraint.

Every stationarity class of a GEMM, and the channel tiling of a weight-stationary convolution,
has the form

    min  u ceil(X / x) + v ceil(Y / y)
    subject to  p x + q y + r x y <= C,  1 <= x <= X,  1 <= y <= Y

with integer tiles x and y. The relaxation (``X / x`` in place of ``ceil(X / x)``, real tiles) is
convex along the active capacity constraint, so that its stationary point clipped to the box is its
optimum (`best_real_x`), and a lower bound of the integer one. The integer tiles near it, and those
with tile counts near its counts, almost always include the integer optimum (`side_candidates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.pointwise import columns_of, tile_count

#: Relative slack of a capacity for rounding of fractional widths; far below one byte in practice.
SLACK = 1e-12
#: Added to divisors that are zero where an operand has no width.
TINY = 1e-30


@dataclass(frozen=True, slots=True)
class TwoTile:
    """Two-tile problem; scalars, or arrays that broadcast.

    Attributes
    ----------
    reload_x, reload_y
        Traffic in bytes per tile of x and per tile of y: u and v.
    extent_x, extent_y
        Tiled dimensions X and Y.
    bytes_x, bytes_y, bytes_xy
        Coefficients p, q and r of the footprint, bytes.
    capacity
        Bytes of the buffer, C.
    """

    reload_x: Value
    reload_y: Value
    extent_x: Value
    extent_y: Value
    bytes_x: Value
    bytes_y: Value
    bytes_xy: Value
    capacity: Value

    def mirrored(self) -> TwoTile:
        """Return the problem with x and y exchanged."""
        return TwoTile(
            reload_x=self.reload_y,
            reload_y=self.reload_x,
            extent_x=self.extent_y,
            extent_y=self.extent_x,
            bytes_x=self.bytes_y,
            bytes_y=self.bytes_x,
            bytes_xy=self.bytes_xy,
            capacity=self.capacity,
        )

    def feasible(self) -> Value:
        """Return whether the smallest tile, x = y = 1, fits."""
        least = self.bytes_x + self.bytes_y + self.bytes_xy
        return least <= self.capacity * (1 + SLACK)

    def largest_y(self, x: Value) -> Value:
        """Return the largest real y that fits together with `x`, not clipped to [1, Y]."""
        available = self.capacity * (1 + SLACK) - self.bytes_x * x
        return available / (self.bytes_y + self.bytes_xy * x + TINY)

    def largest_x(self) -> Value:
        """Return the largest real x that fits together with y = 1; at most X."""
        available = self.capacity * (1 + SLACK) - self.bytes_y
        return namespace(available).minimum(
            self.extent_x, available / (self.bytes_x + self.bytes_xy + TINY)
        )


def best_real_x(problem: TwoTile) -> Value:
    """Return the real x of the relaxed optimum within the box.

    Setting the derivative along ``y(x) = (C - p x) / (q + r x)`` to zero yields
    ``x = C sqrt(u X) / (sqrt(v Y (r C + p q)) + p sqrt(u X))``, clipped so that both tiles are at
    least 1 and at most their dimension. The result is undefined where the problem is infeasible.
    """
    p = problem
    xp = namespace(p.reload_x, p.capacity)
    capacity = p.capacity * (1 + SLACK)
    root_x = xp.sqrt(p.reload_x * p.extent_x + TINY)
    root_y = xp.sqrt(
        p.reload_y * p.extent_y * (p.bytes_xy * capacity + p.bytes_x * p.bytes_y) + TINY
    )
    x = capacity * root_x / (root_y + p.bytes_x * root_x)
    low = (capacity - p.bytes_y * p.extent_y) / (p.bytes_x + p.bytes_xy * p.extent_y + TINY)
    return xp.maximum(1.0, xp.minimum(xp.maximum(x, low), p.largest_x()))


def relaxed_cost(problem: TwoTile) -> tuple[Value, Value, Value]:
    """Return the optimum of the relaxation: its cost in bytes and the real tiles x and y.

    The cost is a lower bound of that of all feasible integer tiles. The result is undefined where
    the problem is infeasible.
    """
    x = best_real_x(problem)
    xp = namespace(x)
    y = xp.maximum(1.0, xp.minimum(problem.extent_y, problem.largest_y(x)))
    cost = problem.reload_x * tile_count(problem.extent_x, x, relaxed=True)
    return cost + problem.reload_y * tile_count(problem.extent_y, y, relaxed=True), x, y


def candidate_tiles(extent: Value, real: Value, window: int, corners: int) -> Value:
    """Return balanced integer tiles near a real one on a leading axis of size 2 (2 w + 2) + c.

    The candidates are the tiles within the window w of the real tile, the tiles whose counts are
    within w of the real count, and the balanced tiles of 1 to c = `corners` pieces. The first group
    matters where tiles are small, the second where counts are small. A negative window has neither.
    """
    xp = namespace(extent, real)
    leading = (-1,) + (1,) * np.ndim(real)
    few = np.arange(1, corners + 1, dtype=float).reshape(leading)
    if window < 0:
        return xp.ceil(extent / few)
    steps = np.arange(-window, window + 2, dtype=float).reshape(leading)
    counts = xp.concatenate(
        [
            xp.ceil(extent / xp.maximum(1.0, xp.floor(real) + steps)),
            xp.maximum(1.0, xp.floor(extent / real) + steps),
            few + xp.zeros_like(real),
        ]
    )
    return xp.ceil(extent / counts)


def side_candidates(problem: TwoTile, window: int, corners: int) -> tuple[Value, Value, Value]:
    """Return cost, x and y of all candidates in x, each with the largest y that fits.

    Candidates are on a leading axis. The result is undefined where the problem is infeasible.
    """
    p, largest = problem, problem.largest_x()
    x = candidate_tiles(p.extent_x, best_real_x(p) if window >= 0 else largest, window, corners)
    xp = namespace(x)
    x = xp.maximum(1.0, xp.minimum(x, xp.floor(largest)))
    y = xp.maximum(1.0, xp.minimum(p.extent_y, xp.floor(p.largest_y(x))))
    cost = p.reload_x * xp.ceil(p.extent_x / x) + p.reload_y * xp.ceil(p.extent_y / y)
    return cost, x, y


def stacked(problems: Sequence[TwoTile]) -> TwoTile:
    """Stack problems of equal shape along a new leading axis."""
    columns = list(zip(*map(columns_of, problems), strict=True))
    return TwoTile(*map(namespace(*columns[0]).stack, columns))
