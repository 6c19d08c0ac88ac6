"""The three stationarity classes of a convolution at given tiles of positions and taps.

With ``I`` the input bytes that all tiles of positions and taps fetch, ``W`` the weight, ``O`` the
output and ``U`` all partial sums out and back, n the counts of tiles (t of taps), i, o and w the
input, output elements and taps of a tile for one channel, and e = 1 or 2 buffers:

| stationary | innermost loop | traffic | held |
|---|---|---|---|
| output | channels in, taps | I n_K + W n_PQ + O | e i A + k (e w B + o S) |
| input | channels out | I + W n_PQ + O + U (t n_C - 1) | e o S + c (i A + e w B) |
| weight | positions | I n_K + W + O + U (t n_C - 1) | e i A c + e o S k + w B c k |

(A, B, S bytes of an element of the input, weight, partial sum.) The largest channel tile that fits
is best in the first two; in the last the channels are a two-tile problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from perfmodel.arrays import Value
from perfmodel.cost.traffic.closed_forms.axis import AxisTiles, ConvolutionAxis, flattened, reduced
from perfmodel.cost.traffic.closed_forms.points import pieces, whole
from perfmodel.cost.traffic.closed_forms.two_tile import (
    SLACK,
    TINY,
    TwoTile,
    relaxed_cost,
    side_candidates,
)

#: A real tile that fills the buffer exactly leaves room for one channel but for rounding.
ALMOST_ONE = 1 - 1e-9


class ConvArguments(NamedTuple):
    """A nest with numbers, one group of it, and the bytes of capacity and elements."""

    out_rows: Value
    out_columns: Value
    out_channels: Value
    in_channels: Value
    kernel_rows: Value
    kernel_columns: Value
    row_stride: Value
    column_stride: Value
    row_dilation: Value
    column_dilation: Value
    batch: Value
    capacity: Value
    input: Value
    weight: Value
    output: Value
    partial: Value


@dataclass(frozen=True, slots=True)
class ConvTilingProblem:
    """A flattened nest and its bytes; flat arrays of the points.

    Attributes
    ----------
    rows, columns, batch, in_channels, out_channels
        The axes and extents that tiles cut.
    room
        Bytes of the buffer.
    input, weight, partial
        Bytes of an element.
    elements
        Elements of the output.
    weights, outputs, spill
        Bytes of the weight and the output once, and of all partial sums out and back.
    copies
        How often an operand is held that changes at the innermost loop.
    kept, relaxed
        Whether windows keep what they share; real tiles and counts.
    """

    rows: ConvolutionAxis
    columns: ConvolutionAxis
    batch: Value
    in_channels: Value
    out_channels: Value
    room: Value
    input: Value
    weight: Value
    partial: Value
    elements: Value
    weights: Value
    outputs: Value
    spill: Value
    copies: float
    kept: bool
    relaxed: bool

    @classmethod
    def of(
        cls, xp: Any, a: ConvArguments, copies: float, kept: bool, relaxed: bool
    ) -> ConvTilingProblem:
        """Return the problem of flat arguments."""
        steps = reduced(xp, a.row_stride, a.row_dilation)
        rows = ConvolutionAxis(a.out_rows, a.kernel_rows, *steps)
        steps = reduced(xp, a.column_stride, a.column_dilation)
        columns = ConvolutionAxis(a.out_columns, a.kernel_columns, *steps)
        rows, columns, batch, in_channels = flattened(xp, rows, columns, a.batch, a.in_channels)
        weights = a.in_channels * a.out_channels * a.kernel_rows * a.kernel_columns
        outputs = a.batch * a.out_rows * a.out_columns * a.out_channels
        return cls(
            rows, columns, batch, in_channels, a.out_channels, a.capacity * (1 + SLACK),
            a.input, a.weight, a.partial, outputs, weights * a.weight, outputs * a.output,
            2.0 * outputs * a.partial, copies, kept, relaxed,
        )  # fmt: skip

    def take(self, points: Value) -> ConvTilingProblem:
        """Return the problem at some points."""

        def pick(value: Any) -> Any:
            if isinstance(value, ConvolutionAxis):
                return ConvolutionAxis(
                    *(pick(getattr(value, name)) for name in ConvolutionAxis.__slots__)
                )
            return value if isinstance(value, float | bool) else value[points]

        return ConvTilingProblem(
            *(pick(getattr(self, name)) for name in ConvTilingProblem.__slots__)
        )

    def touched(self, xp: Any) -> Value:
        """Return the bytes of input that anything touches."""
        rows, columns = (a.rows(xp, a.extent, a.taps) for a in (self.rows, self.columns))
        return rows * columns * self.batch * self.in_channels * self.input


class ConvSpatialTiles(NamedTuple):
    """Tiles of positions, images and taps; see the module for the letters.

    Attributes
    ----------
    held, outputs, taps
        i (bytes), o and w.
    count, tap_count
        n_PQ and t.
    by_output, by_input, by_weight
        I of each class.
    """

    held: Value
    outputs: Value
    taps: Value
    count: Value
    tap_count: Value
    by_output: Value
    by_input: Value
    by_weight: Value


def spots(
    xp: Any, p: ConvTilingProblem, rows: AxisTiles, columns: AxisTiles, images: Value
) -> ConvSpatialTiles:
    """Return the products of tiles along both axes and of images, broadcast."""
    per_row = p.batch * p.in_channels * p.input
    fetched = rows.fetched * columns.fetched * per_row
    by_output = by_input = by_weight = fetched
    if p.kept:
        # One loop is the innermost of the input: along one axis the window slides.
        def slid(along: Value, across: Value) -> Value:
            return xp.minimum(along * columns.fetched, rows.fetched * across) * per_row

        by_output = slid(rows.tap_slid, columns.tap_slid)
        by_weight = slid(rows.slid, columns.slid)
        by_input = xp.minimum(by_output, by_weight)
    return ConvSpatialTiles(
        rows.held * columns.held * images * p.input,
        rows.tile * columns.tile * images,
        rows.taps * columns.taps,
        rows.count * columns.count * pieces(xp, p.batch, images, p.relaxed),
        rows.tap_count * columns.tap_count,
        by_output, by_input, by_weight,
    )  # fmt: skip


class ChannelTileOptimum(NamedTuple):
    """Traffic of a class at its best channels: bytes (infinite where none fit) and the tile."""

    cost: Value
    in_tile: Value
    out_tile: Value


def output_stationary(xp: Any, p: ConvTilingProblem, at: ConvSpatialTiles) -> ChannelTileOptimum:
    """Return the traffic with as many output channels as fit beside one input channel."""
    room = p.room - p.copies * at.held
    slope = p.copies * p.weight * at.taps + p.partial * at.outputs
    size = xp.minimum(p.out_channels, whole(xp, room / (slope + TINY), p.relaxed))
    fits = size >= (ALMOST_ONE if p.relaxed else 1.0)
    if p.copies > 1:
        # Without a loop inside there is nothing that stays.
        fits = fits & ((p.in_channels > 1) | (at.tap_count > 1))
    size = xp.maximum(1.0, size)
    cost = at.by_output * pieces(xp, p.out_channels, size, p.relaxed)
    cost = cost + p.weights * at.count + p.outputs
    return ChannelTileOptimum(xp.where(fits, cost, xp.inf), xp.ones_like(size), size)


def input_stationary(xp: Any, p: ConvTilingProblem, at: ConvSpatialTiles) -> ChannelTileOptimum:
    """Return the traffic with as many input channels as fit beside one output channel."""
    room = p.room - p.copies * p.partial * at.outputs
    slope = at.held + p.copies * p.weight * at.taps
    size = xp.minimum(p.in_channels, whole(xp, room / (slope + TINY), p.relaxed))
    fits = size >= (ALMOST_ONE if p.relaxed else 1.0)
    if p.copies > 1:
        fits = fits & (p.out_channels > 1)
    size = xp.maximum(1.0, size)
    again = at.tap_count * pieces(xp, p.in_channels, size, p.relaxed) - 1.0
    cost = at.by_input + p.weights * at.count + p.outputs + p.spill * again
    return ChannelTileOptimum(xp.where(fits, cost, xp.inf), size, xp.ones_like(size))


def weight_stationary(
    xp: Any, p: ConvTilingProblem, at: ConvSpatialTiles, window: int | None, corners: int = 1
) -> ChannelTileOptimum:
    """Return the traffic with the best channels, in and out; at one image a tile.

    Parameters
    ----------
    window
        How far around the relaxed optimum whole channel tiles are tried; ``None`` for the relaxed
        optimum alone.
    """
    problem = TwoTile(
        p.spill * at.tap_count, at.by_weight, p.in_channels, p.out_channels, p.copies * at.held,
        p.copies * p.partial * at.outputs, p.weight * at.taps, p.room,
    )  # fmt: skip
    fits = problem.feasible()
    if p.copies > 1:
        fits = fits & (at.count > 1)
    constant = xp.where(fits, p.weights + p.outputs - p.spill, xp.inf)
    if window is None:
        cost, x, y = relaxed_cost(xp, problem)
        return ChannelTileOptimum(cost + constant, x, y)
    # The two sides have different shapes to broadcast, so that each is evaluated on its own.
    cost, x, y = side_candidates(xp, problem, window, corners)
    other, y_tiles, x_tiles = side_candidates(xp, problem.mirrored(), window, corners)
    cost = xp.concatenate([cost, other])
    x, y = xp.concatenate([x, x_tiles]), xp.concatenate([y, y_tiles])
    best = xp.argmin(cost, axis=0)[None]
    cost, x, y = (xp.take_along_axis(c, best, axis=0)[0] for c in (cost, x, y))
    return ChannelTileOptimum(cost + constant, x, y)
