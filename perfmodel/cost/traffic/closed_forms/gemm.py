"""Tiled traffic of a GEMM in closed form, vectorised over dimensions, widths and capacities.

Three stationarity classes cover every order of the tile loops, each a two-tile problem
(`two_tile`). With ``a, b, c`` the bytes of input, weight and output, ``s`` the bytes of all partial
sums, and e = 1 or 2 for single or double buffering:

| innermost loop | stationary | tile | traffic (bytes) | footprint (bytes) |
|---|---|---|---|---|
| K | output | m, n, 1 | a N/n + b M/m + c | e A m + e B n + P m n |
| N | input | m, 1, k | a + b M/m + c + 2 s (K/k - 1) | e P m + e B k + A m k |
| M | weight | 1, n, k | a N/n + b + c + 2 s (K/k - 1) | e P n + e A k + B n k |

(A, B, P are bytes per element of input, weight and partial sum; quotients are rounded up.) Uneven
allocation adds panels: one operand retains a whole row or column of tiles while the others hold one
slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.pointwise import (
    columns_of,
    fill_unknown,
    flat,
    floor_unless_relaxed,
    map_columns,
    tile_count,
)
from perfmodel.cost.traffic.stationarity import INPUT, OUTPUT, WEIGHT
from perfmodel.cost.traffic.two_tile import (
    SLACK,
    TINY,
    TwoTile,
    relaxed_cost,
    side_candidates,
    stacked,
)

#: Names of the codes in `GemmTraffic.stationary`; the first three are those of `stationarity`.
STATIONARY = ("output", "input", "weight", "all", "row panel", "column panel", "depth panel")
#: Points evaluated at once: with 84 candidates each they fill a level-2 cache.
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class GemmTraffic:
    """Traffic of a GEMM under the best tile; every field has the shape of the points.

    Attributes
    ----------
    total
        Bytes across the boundary; infinite where no tile fits.
    input, weight, output
        Parts of the total; `output` includes partial sums written out and read back.
    partial_reads
        Bytes of `output` that are partial sums read back.
    tile_m, tile_n, tile_k
        Tile; along the innermost loop the smallest with this traffic.
    stationary
        Stationary operand or resident panel, an index into `STATIONARY`; ``all`` where the traffic
        is compulsory.
    """

    total: Value
    input: Value
    weight: Value
    output: Value
    partial_reads: Value
    tile_m: Value
    tile_n: Value
    tile_k: Value
    stationary: Value


class _Product(NamedTuple):
    """Dimensions of GEMMs, bytes of the buffer, and bytes per element of each operand."""

    m: Value
    n: Value
    k: Value
    capacity: Value
    input: Value
    weight: Value
    output: Value
    partial: Value

    @property
    def usable_capacity(self) -> Value:
        """Capacity in bytes, plus a slack for rounding errors."""
        return self.capacity * (1 + SLACK)

    @property
    def input_bytes(self) -> Value:
        """Size of A in bytes."""
        return self.m * self.k * self.input

    @property
    def weight_bytes(self) -> Value:
        """Size of B in bytes."""
        return self.k * self.n * self.weight

    @property
    def output_bytes(self) -> Value:
        """Size of C in bytes."""
        return self.m * self.n * self.output

    @property
    def partial_bytes(self) -> Value:
        """Size of all partial sums in bytes."""
        return self.m * self.n * self.partial


class _TileChoice(NamedTuple):
    """Tile with its stationary operand and traffic in bytes (infinite where it does not fit)."""

    tile_m: Value
    tile_n: Value
    tile_k: Value
    stationary: Value
    traffic: Value


def gemm_traffic(
    nest: TileNest,
    capacity: Value,
    widths: Widths = Widths(),  # noqa: B008
    conventions: Conventions = Conventions(),  # noqa: B008
    *,
    window: int = 2,
    relaxed: bool = False,
) -> GemmTraffic:
    """Return the traffic of ``C[m, n] += A[m, k] B[k, n]`` across the boundary of a buffer.

    Parameters
    ----------
    nest
        GEMM (`TileNest.product`); scalars or arrays. Its groups are ignored.
    capacity
        Bytes of the buffer; broadcasts with the dimensions and widths.
    widths
        Bytes per element of A, B, C, and of a partial sum of C.
    conventions
        Buffering and allocation; a GEMM has no halo.
    window
        Half-width of the neighbourhood of the relaxed optimum in which integer tiles are evaluated:
        2 evaluates 84 tiles, 4 evaluates 138.
    relaxed
        Whether tiles and counts are real: differentiable, and under even allocation a lower bound
        of the traffic of integer tiles.

    Returns
    -------
    GemmTraffic
        Traffic of one group in bytes, and the tile.

    Examples
    --------
    >>> float(gemm_traffic(TileNest.product(64, 64, 64), 4096).total)
    20480.0
    """
    columns = (nest.positions, nest.out_channels, nest.in_channels, capacity, *columns_of(widths))
    xp = namespace(*columns)
    arguments, shape = flat(xp, columns)
    product = _Product(*arguments)
    best = fill_unknown(
        xp,
        _is_resident(xp, product, conventions),
        (product.m, product.n, product.k, STATIONARY.index("all"), 0.0),
        product,
        lambda *some: _search(xp, _Product(*some), conventions, window, relaxed),
        CHUNK,
    )
    traffic = _traffic(xp, product, _TileChoice(*best), relaxed)
    return map_columns(lambda column: column.reshape(shape), traffic)


def _class_problems(product: _Product, copies: float) -> list[tuple[TwoTile, Value, Value]]:
    """Return the output-, input- and weight-stationary class as two-tile problems.

    Each entry consists of the problem, the bytes of traffic that do not depend on its tiles, and
    the extent of the innermost loop.
    """
    a, b, c = product.input_bytes, product.weight_bytes, product.output_bytes
    spill = 2.0 * product.partial_bytes
    m, n, k, capacity, *_ = product
    by_a, by_b = copies * product.input, copies * product.weight
    by_partial = copies * product.partial
    # Arguments of `TwoTile`: reloads u and v, extents X and Y, footprint p, q and r, capacity C.
    return [
        (TwoTile(b, a, m, n, by_a, by_b, product.partial, capacity), c, k),
        (TwoTile(b, spill, m, k, by_partial, by_b, product.input, capacity), a + c - spill, n),
        (TwoTile(a, spill, n, k, by_partial, by_a, product.weight, capacity), b + c - spill, m),
    ]


def _is_resident(xp: Any, product: _Product, conventions: Conventions) -> Value:
    """Return where the traffic is compulsory because enough data is resident.

    Under even allocation all operands must fit. Under uneven allocation one resident operand, a
    line of a second along the innermost loop, and one element of the third suffice, all
    single-buffered.
    """
    g = product
    a, b, p = g.input_bytes, g.weight_bytes, g.partial_bytes
    least = a + b + p
    if conventions.allocation == "uneven":
        for inner, beside_a_line in (
            (g.k, a + g.weight * g.k + g.partial),
            (g.k, b + g.input * g.k + g.partial),
            (g.m, a + g.partial * g.m + g.weight),
            (g.m, p + g.input * g.m + g.weight),
            (g.n, b + g.partial * g.n + g.input),
            (g.n, p + g.weight * g.n + g.input),
        ):
            loops = (inner > 1) | (conventions.copies == 1)
            least = xp.where(loops, xp.minimum(least, beside_a_line), least)
    return least <= g.usable_capacity


def _search(
    xp: Any, product: _Product, conventions: Conventions, window: int, relaxed: bool
) -> _TileChoice:
    """Return the best tile over all classes; it spans the whole extent of the innermost loop."""
    copies = conventions.copies
    problems, constants, inner = zip(*_class_problems(product, copies), strict=True)
    classes = stacked(problems)
    # With one iteration of the innermost loop another class applies.
    fits = classes.feasible() & xp.stack([(extent > 1) | (copies == 1) for extent in inner])
    constant = xp.where(fits, xp.stack(constants), xp.inf)
    if relaxed:
        cost, x, y = relaxed_cost(classes)
        cost, swapped = cost + constant, False
        best = xp.argmin(cost, axis=0)
    else:
        # Axes: candidate, side, class, point; all but the last are flattened.
        both = stacked([classes, classes.mirrored()])
        cost, x, y = side_candidates(both, window, 3 if window > 2 else 2)
        shape = (-1, *product.m.shape)
        cost, x, y = (cost + constant).reshape(shape), x.reshape(shape), y.reshape(shape)
        best = xp.argmin(cost, axis=0)
        swapped = best // len(problems) % 2 == 1
    at = (best, xp.arange(len(product.m)))
    x, y = xp.where(swapped, y[at], x[at]), xp.where(swapped, x[at], y[at])
    stationary = best % len(problems)
    even = _TileChoice(
        tile_m=xp.where(stationary == WEIGHT, product.m, x),
        tile_n=xp.where(stationary == OUTPUT, y, xp.where(stationary == WEIGHT, x, product.n)),
        tile_k=xp.where(stationary == OUTPUT, product.k, y),
        stationary=stationary,
        traffic=cost[at],
    )
    if conventions.allocation == "even":
        return even
    best_choice = even
    for panel in _panels(xp, product, copies, relaxed):
        better = panel.traffic < best_choice.traffic
        best_choice = _TileChoice(
            *(xp.where(better, new, old) for new, old in zip(panel, best_choice, strict=True))
        )
    return best_choice


def _panels(xp: Any, product: _Product, copies: float, relaxed: bool) -> list[_TileChoice]:
    """Return the best row, column and depth panel.

    A row panel holds m complete rows of A (or of C) while B streams once per panel; a column panel
    holds n complete columns of B (or of C) while A streams; a depth panel holds k columns of A (or
    rows of B) while partial sums stream. The streaming slice is one element in `copies` buffers.
    """
    g = product
    a, b, c = g.input_bytes, g.weight_bytes, g.output_bytes

    def panel(extent: Value, stream: Value, *slopes: tuple[Value, Value]) -> tuple[Value, Value]:
        # A footprint slope applies only if its innermost loop has more than one iteration.
        least = xp.minimum(
            *(xp.where((inner > 1) | (copies == 1), slope, xp.inf) for slope, inner in slopes)
        )
        size = floor_unless_relaxed((g.usable_capacity - copies * stream) / (least + TINY), relaxed)
        size = xp.minimum(extent, size)
        fits, size = size >= 1, xp.maximum(1.0, size)
        return xp.where(fits, tile_count(extent, size, relaxed), xp.inf), size

    rows, m = panel(
        g.m, g.weight, (g.input * g.k + g.partial, g.k), (g.partial * g.n + g.input, g.n)
    )
    columns, n = panel(
        g.n, g.input, (g.weight * g.k + g.partial, g.k), (g.partial * g.m + g.weight, g.m)
    )
    depth, k = panel(
        g.k, g.partial, (g.input * g.m + g.weight, g.m), (g.weight * g.n + g.input, g.n)
    )
    passes = a + b + c + 2.0 * g.partial_bytes * (depth - 1.0)
    return [
        _TileChoice(m, g.n, g.k, STATIONARY.index("row panel"), a + c + b * rows),
        _TileChoice(g.m, n, g.k, STATIONARY.index("column panel"), b + c + a * columns),
        _TileChoice(g.m, g.n, k, STATIONARY.index("depth panel"), passes),
    ]


def _traffic(xp: Any, product: _Product, best: _TileChoice, relaxed: bool) -> GemmTraffic:
    """Return the traffic of the tiles of `_search`."""
    g, fits = product, best.traffic < xp.inf
    repeats = tile_count(g.k, best.tile_k, relaxed) - 1.0
    reads = xp.where(fits, g.partial_bytes * repeats, xp.inf)
    input = xp.where(fits, g.input_bytes * tile_count(g.n, best.tile_n, relaxed), xp.inf)
    weight = xp.where(fits, g.weight_bytes * tile_count(g.m, best.tile_m, relaxed), xp.inf)
    output = g.output_bytes + 2.0 * reads
    # Along the innermost loop a tile of 1 has the same traffic.
    return GemmTraffic(
        total=input + weight + output,
        input=input,
        weight=weight,
        output=output,
        partial_reads=reads,
        tile_m=xp.where(best.stationary == WEIGHT, 1.0, best.tile_m),
        tile_n=xp.where(best.stationary == INPUT, 1.0, best.tile_n),
        tile_k=xp.where(best.stationary == OUTPUT, 1.0, best.tile_k),
        stationary=best.stationary,
    )
