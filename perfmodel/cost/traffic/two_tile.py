"""The two-tile problem: the least reloads of two operands under a bilinear budget.

Every stationarity class of a GEMM, and the channels of a weight-stationary convolution, ask for

    min  u ceil(X / x) + v ceil(Y / y)
    subject to  p x + q y + r x y <= C,  1 <= x <= X,  1 <= y <= Y

with whole tiles x and y. The relaxed form (``X / x`` for ``ceil(X / x)``, real tiles) is convex
along the budget's edge, so its solution clipped to the box is its optimum; the whole tiles near it,
and those of the counts near it, hold the optimum of the ceilings almost always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.points import columns_of, pieces

#: Relative slack of a budget, far below one byte of any buffer: sums of fractional widths round.
SLACK = 1e-12
#: Keeps divisors from zero where an operand has no width.
TINY = 1e-30


@dataclass(frozen=True, slots=True)
class TwoTile:
    """One two-tile problem, or arrays of them that broadcast.

    Attributes
    ----------
    reload_x, reload_y
        Bytes that one pass over the tiles of `x` (of `y`) costs: u and v.
    extent_x, extent_y
        The dimensions X and Y that are tiled.
    bytes_x, bytes_y, bytes_xy
        Bytes held for each step of x, of y, and of both: p, q and r.
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
        """Tell where one step of each fits."""
        least = self.bytes_x + self.bytes_y + self.bytes_xy
        return least <= self.capacity * (1 + SLACK)

    def largest_y(self, x: Value) -> Value:
        """Return the largest real y that fits beside `x`, unclipped."""
        room = self.capacity * (1 + SLACK) - self.bytes_x * x
        return room / (self.bytes_y + self.bytes_xy * x + TINY)

    def largest_x(self) -> Value:
        """Return the largest real x that leaves room for one step of y; at most X."""
        room = self.capacity * (1 + SLACK) - self.bytes_y
        return namespace(room).minimum(self.extent_x, room / (self.bytes_x + self.bytes_xy + TINY))


def best_real_x(problem: TwoTile) -> Value:
    """Return the real x of the relaxed optimum, inside the box.

    From the derivative along ``y(x) = (C - p x) / (q + r x)``:
    ``x = C sqrt(u X) / (sqrt(v Y (r C + p q)) + p sqrt(u X))``, clipped to where both tiles are at
    least 1 and at most their dimension. Where nothing fits the result has no meaning.
    """
    p = problem
    xp = namespace(p.reload_x, p.capacity)
    capacity = p.capacity * (1 + SLACK)
    pull_x = xp.sqrt(p.reload_x * p.extent_x + TINY)
    pull_y = xp.sqrt(
        p.reload_y * p.extent_y * (p.bytes_xy * capacity + p.bytes_x * p.bytes_y) + TINY
    )
    x = capacity * pull_x / (pull_y + p.bytes_x * pull_x)
    low = (capacity - p.bytes_y * p.extent_y) / (p.bytes_x + p.bytes_xy * p.extent_y + TINY)
    return xp.maximum(1.0, xp.minimum(xp.maximum(x, low), p.largest_x()))


def relaxed_cost(problem: TwoTile) -> tuple[Value, Value, Value]:
    """Return the least relaxed cost with its real tiles: the cost, x and y.

    Never above the cost of any whole tiles that fit. Where nothing fits it has no meaning.
    """
    x = best_real_x(problem)
    xp = namespace(x)
    y = xp.maximum(1.0, xp.minimum(problem.extent_y, problem.largest_y(x)))
    cost = problem.reload_x * pieces(problem.extent_x, x, relaxed=True)
    return cost + problem.reload_y * pieces(problem.extent_y, y, relaxed=True), x, y


def candidate_tiles(extent: Value, real: Value, window: int, corners: int) -> Value:
    """Return whole tiles near a real one, on a leading axis, balanced; 2 (2 w + 2) + c of them.

    Tiles within the window of the real tile, tiles whose counts are within the window of the real
    count, and the largest tiles of 1 to `corners` pieces. The first kind matters where tiles are
    small, the second where counts are.
    """
    xp = namespace(extent, real)
    leading = (-1,) + (1,) * np.ndim(real)
    steps = np.arange(-window, window + 2, dtype=float).reshape(leading)
    few = np.arange(1, corners + 1, dtype=float).reshape(leading)
    counts = xp.concatenate(
        [
            xp.ceil(extent / xp.maximum(1.0, xp.floor(real) + steps)),
            xp.maximum(1.0, xp.floor(extent / real) + steps),
            few + xp.zeros_like(real),
        ]
    )
    return xp.ceil(extent / counts)


def side_candidates(problem: TwoTile, window: int, corners: int) -> tuple[Value, Value, Value]:
    """Return cost, x and y of the candidates in x, each with the largest y beside it.

    All on a leading candidate axis. Where nothing fits the result has no meaning.
    """
    p = problem
    x = candidate_tiles(p.extent_x, best_real_x(p), window, corners)
    xp = namespace(x)
    x = xp.maximum(1.0, xp.minimum(x, xp.floor(p.largest_x())))
    y = xp.maximum(1.0, xp.minimum(p.extent_y, xp.floor(p.largest_y(x))))
    cost = p.reload_x * xp.ceil(p.extent_x / x) + p.reload_y * xp.ceil(p.extent_y / y)
    return cost, x, y


def stacked(problems: Sequence[TwoTile]) -> TwoTile:
    """Return problems whose columns are of one shape as one, on a leading axis."""
    columns = list(zip(*map(columns_of, problems), strict=True))
    return TwoTile(*map(namespace(*columns[0]).stack, columns))
