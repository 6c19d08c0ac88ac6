"""Tiled traffic of a GEMM in closed form, for arrays of dimensions, widths and capacities.

Three stationarity classes cover every order of the tile loops, each a two-tile problem
(`two_tile`). With ``a, b, c`` the bytes of input, weight and output, ``s`` those of the partial
sums, and e = 1 or 2 for single or double buffering:

| innermost loop | stationary | tile | traffic | held |
|---|---|---|---|---|
| K | output | m, n, 1 | a N/n + b M/m + c | e A m + e B n + P m n |
| N | input | m, 1, k | a + b M/m + c + 2 s (K/k - 1) | e P m + e B k + A m k |
| M | weight | 1, n, k | a N/n + b + c + 2 s (K/k - 1) | e P n + e A k + B n k |

(A, B, P bytes of an element; quotients rounded up.) Uneven allocation adds panels: an operand
that keeps a whole row or column of tiles while the others keep one slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.closed_forms.points import flat, pieces, where_not, whole
from perfmodel.cost.traffic.closed_forms.two_tile import (
    SLACK,
    TINY,
    TwoTile,
    both_sides,
    relaxed_cost,
    side_candidates,
    stack,
)
from perfmodel.cost.traffic.nest import Conventions

#: Names of the codes in `GemmTraffic.stationary`.
STATIONARY = ("output", "input", "weight", "all", "row panel", "column panel", "depth panel")
#: Points evaluated at once: 84 candidates of them fill a level-2 cache.
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class GemmTraffic:
    """Bytes across the boundary under the best tile; every field has the shape of the points.

    Attributes
    ----------
    total
        Bytes in all; infinite where not one useful tile fits.
    input, weight, output
        Its parts. `output` includes partial sums written out and read back.
    partial_reads
        Bytes of `output` that are partial sums read back.
    tile_m, tile_n, tile_k
        The tile, the smallest of its traffic in the dimension of the innermost loop.
    stationary
        Which operand stays in the innermost loop, or what is held whole: an index into
        `STATIONARY`; ``all`` where nothing moves twice.
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


class _Gemm(NamedTuple):
    """The problem with numbers: dimensions, bytes of the capacity and of an element each."""

    m: Value
    n: Value
    k: Value
    capacity: Value
    input: Value
    weight: Value
    output: Value
    partial: Value


def gemm_traffic(
    m: Value,
    n: Value,
    k: Value,
    capacity: Value,
    *,
    input: Value = 1.0,
    weight: Value = 1.0,
    output: Value = 1.0,
    partial: Value = 4.0,
    conventions: Conventions | None = None,
    window: int = 2,
    relaxed: bool = False,
) -> GemmTraffic:
    """Return the bytes that ``C[m, n] += A[m, k] B[k, n]`` moves across the edge of a buffer.

    Parameters
    ----------
    m, n, k
        Dimensions, at least 1.
    capacity
        Bytes of the buffer. Every argument up to `partial` may be an array; they broadcast.
    input, weight, output, partial
        Bytes of an element of A, B, C, and of a partial sum of C (held, written out, read back).
    conventions
        Buffering and allocation; a GEMM has no halo.
    window
        How far around the relaxed optimum whole tiles are tried: 2 tries 84 of them, 4 tries 138.
    relaxed
        Real tiles and counts: a slope everywhere (for gradients), never above the whole tiles'
        traffic under even allocation.

    Returns
    -------
    GemmTraffic
        Bytes and tiles.
    """
    conventions = Conventions() if conventions is None else conventions
    xp = namespace(m, n, k, capacity, input, weight, output, partial)
    arguments, shape = flat(xp, (m, n, k, capacity, input, weight, output, partial))
    g = _Gemm(*arguments)
    resident = _resident(xp, g, conventions)
    found = where_not(
        xp, resident, (g.m, g.n, g.k, 3, True), g,
        lambda *columns: _search(xp, _Gemm(*columns), conventions, window, relaxed), CHUNK,
    )  # fmt: skip
    traffic = _parts(xp, g, found, relaxed)
    return GemmTraffic(*(getattr(traffic, name).reshape(shape) for name in GemmTraffic.__slots__))


def gemm_classes(g: Any, e: float) -> list[TwoTile]:
    """Return the problems of the output-, input- and weight-stationary class.

    `g` has the fields of the arguments of `gemm_traffic`; `e` is 2 for double buffering, else 1.
    """
    a, b = g.m * g.k * g.input, g.k * g.n * g.weight
    spill = 2.0 * g.m * g.n * g.partial
    held_a, held_b, held_p = e * g.input, e * g.weight, e * g.partial
    return [
        TwoTile(b, a, g.m, g.n, held_a, held_b, g.partial, g.capacity),
        TwoTile(b, spill, g.m, g.k, held_p, held_b, g.input, g.capacity),
        TwoTile(a, spill, g.n, g.k, held_p, held_a, g.weight, g.capacity),
    ]


def class_constants(g: Any) -> list[Value]:
    """Return what each class moves beside the reloads of its two-tile problem."""
    a, b, c = g.m * g.k * g.input, g.k * g.n * g.weight, g.m * g.n * g.output
    spill = 2.0 * g.m * g.n * g.partial
    return [c, a + c - spill, b + c - spill]


def _resident(xp: Any, g: _Gemm, conventions: Conventions) -> Value:
    """Tell where nothing moves twice because enough is held whole.

    All operands; under uneven allocation one of them, beside a line of a second (along the
    innermost loop) and an element of the third, none of which is doubled.
    """
    a, b, p = g.m * g.k * g.input, g.k * g.n * g.weight, g.m * g.n * g.partial
    held = a + b + p
    if conventions.allocation == "uneven":
        single = conventions.buffering == "single"
        for inner, line in (
            (g.k, a + g.weight * g.k + g.partial), (g.k, b + g.input * g.k + g.partial),
            (g.m, a + g.partial * g.m + g.weight), (g.m, p + g.input * g.m + g.weight),
            (g.n, b + g.partial * g.n + g.input), (g.n, p + g.weight * g.n + g.input),
        ):  # fmt: skip
            held = xp.where((inner > 1) | single, xp.minimum(held, line), held)
    return held <= g.capacity * (1 + SLACK)


def _search(
    xp: Any, g: _Gemm, conventions: Conventions, window: int, relaxed: bool
) -> tuple[Value, ...]:
    """Return the best tile, what stays, and whether any fits; innermost loops have full tiles."""
    e = 2.0 if conventions.buffering == "double" else 1.0
    classes = stack(xp, gemm_classes(g, e), g.m)
    # A loop of one step makes no tile stay: the class of another loop holds then.
    inner = (g.k, g.n, g.m)
    fits = classes.feasible() & xp.stack([(extent > 1) | (e == 1.0) for extent in inner])
    constant = xp.where(fits, xp.stack(class_constants(g)), xp.inf)
    if relaxed:
        cost, x, y = relaxed_cost(xp, classes)
        cost, swapped = cost + constant, False
        best = xp.argmin(cost, axis=0)
    else:
        # Axes: candidate, side, class, point; flat but for the points.
        cost, x, y = side_candidates(xp, both_sides(xp, classes), window, 3 if window > 2 else 2)
        shape = (-1, *g.m.shape)
        cost, x, y = (cost + constant).reshape(shape), x.reshape(shape), y.reshape(shape)
        best = xp.argmin(cost, axis=0)
        swapped = best // 3 % 2 == 1
    at = (best, xp.arange(len(g.m)))
    kind = best % 3
    least, x, y = cost[at], xp.where(swapped, y[at], x[at]), xp.where(swapped, x[at], y[at])
    tile_m = xp.where(kind == 2, g.m, x)
    tile_n = xp.where(kind == 0, y, xp.where(kind == 2, x, g.n))
    tile_k = xp.where(kind == 0, g.k, y)
    if conventions.allocation == "uneven":
        return _with_panels(xp, g, e, relaxed, (tile_m, tile_n, tile_k, kind, least))
    return tile_m, tile_n, tile_k, kind, least < xp.inf


def _with_panels(
    xp: Any, g: _Gemm, e: float, relaxed: bool, even: tuple[Value, ...]
) -> tuple[Value, ...]:
    """Return the better of the even tile and the best panel.

    A row panel keeps m rows of A (or of C) whole while B streams through once for each panel; a
    column panel the same of B (or C); a depth panel keeps k columns of A (or rows of B) while
    partial sums stream. The streaming slice is one element, held e times.
    """
    tile_m, tile_n, tile_k, kind, least = even
    a, b, c = g.m * g.k * g.input, g.k * g.n * g.weight, g.m * g.n * g.output
    room = g.capacity * (1 + SLACK)

    def panel(extent: Value, stream: Value, *slopes: tuple[Value, Value]) -> tuple[Value, Value]:
        # A slope holds with more than one step of the loop that it comes with.
        held = [xp.where((inner > 1) | (e == 1.0), slope, xp.inf) for slope, inner in slopes]
        size = (room - e * stream) / (xp.minimum(*held) + TINY)
        size = xp.minimum(extent, whole(xp, size, relaxed))
        fits, size = size >= 1, xp.maximum(1.0, size)
        return xp.where(fits, pieces(xp, extent, size, relaxed), xp.inf), size

    slope_m = (g.input * g.k + g.partial, g.k), (g.partial * g.n + g.input, g.n)
    slope_n = (g.weight * g.k + g.partial, g.k), (g.partial * g.m + g.weight, g.m)
    slope_k = (g.input * g.m + g.weight, g.m), (g.weight * g.n + g.input, g.n)
    rows, m = panel(g.m, g.weight, *slope_m)
    columns, n = panel(g.n, g.input, *slope_n)
    depth, k = panel(g.k, g.partial, *slope_k)
    options = [
        (least, tile_m, tile_n, tile_k, kind),
        (a + c + b * rows, m, g.n, g.k, 4),
        (b + c + a * columns, g.m, n, g.k, 5),
        (a + b + c + 2.0 * g.m * g.n * g.partial * (depth - 1.0), g.m, g.n, k, 6),
    ]
    for cost, *choice in options[1:]:
        better = cost < least
        least = xp.where(better, cost, least)
        tile_m, tile_n, tile_k, kind = (
            xp.where(better, new, old)
            for new, old in zip(choice, (tile_m, tile_n, tile_k, kind), strict=True)
        )
    return tile_m, tile_n, tile_k, kind, least < xp.inf


def _parts(xp: Any, g: _Gemm, found: Sequence[Value], relaxed: bool) -> GemmTraffic:
    """Return the bytes that the tiles of `_search` move."""
    tile_m, tile_n, tile_k, kind, fits = found
    rounds = pieces(xp, g.k, tile_k, relaxed) - 1.0
    reads = xp.where(fits, g.m * g.n * g.partial * rounds, xp.inf)
    input = xp.where(fits, g.m * g.k * g.input * pieces(xp, g.n, tile_n, relaxed), xp.inf)
    weight = xp.where(fits, g.k * g.n * g.weight * pieces(xp, g.m, tile_m, relaxed), xp.inf)
    output = g.m * g.n * g.output + 2.0 * reads
    # The dimension of the innermost loop needs no more than one step at a time.
    tile_m, tile_n, tile_k = (
        xp.where(kind == inner, 1.0, tile)
        for inner, tile in ((2, tile_m), (1, tile_n), (0, tile_k))
    )
    total = input + weight + output
    return GemmTraffic(total, input, weight, output, reads, tile_m, tile_n, tile_k, kind)
