"""Footprint and traffic of a tile in the three stationarity classes.

Loops over tiles run between the backing store and the buffer. The innermost loop with more than
one tile determines the stationary operand, as in the output-, input- and weight-stationary
dataflows of Chen, Emer and Sze (Eyeriss, ISCA 2016). With ``I`` the input bytes that all tiles of
positions and taps fetch, ``W`` the weight bytes, ``O`` the output bytes, ``U`` the bytes of all
partial sums written out and read back, n the numbers of tiles (t of taps), i, o and w the input
elements, output elements and taps of a tile per channel, and e = 1 or 2 buffers:

| stationary | innermost loop | traffic (bytes) | footprint (bytes) |
|---|---|---|---|
| output | channels in, taps | I n_K + W n_PQ + O | e i A + k (e w B + o S) |
| input | channels out | I + W n_PQ + O + U (t n_C - 1) | e o S + c (i A + e w B) |
| weight | positions | I n_K + W + O + U (t n_C - 1) | e i A c + e o S k + w B c k |

(A, B, S are bytes per element of the input, the weight and a partial sum; c and k are the input and
output channels of a tile.) Within a class one loop order minimises the traffic of every operand at
once. Tile extents that neither footprint nor traffic depends on remain 1. Staircases enumerate the
channel tiles of a class; closed forms solve for the best one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.convolution_axis import (
    AxisTiles,
    ConvolutionAxis,
    convolution_axes,
    flatten_nest,
)
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.pointwise import map_columns, tile_count, where
from perfmodel.cost.traffic.two_tile import SLACK, TwoTile

#: Names of the classes, indexed by class number.
STATIONARY = ("output", "input", "weight", "all")
OUTPUT, INPUT, WEIGHT, ALL = range(4)


class OperandTraffic(NamedTuple):
    """Traffic of each operand in bytes; infinite where no tile fits.

    Attributes
    ----------
    input, weight
        Bytes read.
    output
        Bytes of the final output written, plus all partial sums written out and read back.
    partial_reads
        Part of `output` that is read: partial sums read back.
    """

    input: Any
    weight: Any
    output: Any
    partial_reads: Any

    @property
    def reads(self) -> Any:
        """Bytes read from the backing store."""
        return self.input + self.weight + self.partial_reads

    @property
    def writes(self) -> Any:
        """Bytes written to the backing store."""
        reads = np.where(np.isinf(self.output), 0.0, self.partial_reads)
        return (self.output - reads)[()]


def operands_once(nest: TileNest, widths: Widths) -> OperandTraffic:
    """Return the size of each operand of one group and, as `partial_reads`, of all partial sums."""
    rows, columns = convolution_axes(nest)
    touched = nest.batch * nest.in_channels * rows.touched_rows * columns.touched_rows
    outputs = nest.positions * nest.out_channels
    return OperandTraffic(
        input=touched * widths.input,
        weight=nest.out_channels * nest.inputs_per_output * widths.weight,
        output=outputs * widths.output,
        partial_reads=outputs * widths.partial,
    )


@dataclass(frozen=True, slots=True)
class TilingProblem:
    """Tiling problem of one group of a flattened nest; scalars or flat arrays.

    Attributes
    ----------
    nest
        Flattened nest whose extents are tiled.
    widths, conventions
        Bytes per element, and constraints on the tiles.
    rows, columns
        Row and column axis of the nest.
    input_bytes, weight_bytes, output_bytes
        Bytes of each operand when it crosses the boundary once.
    spill_bytes
        Bytes of all partial sums, written out and read back once.
    capacity
        Bytes of the buffer; infinite when a staircase covers all capacities.
    relaxed
        Whether tiles and tile counts are real numbers.
    """

    nest: TileNest
    widths: Widths
    conventions: Conventions
    rows: ConvolutionAxis
    columns: ConvolutionAxis
    input_bytes: Value
    weight_bytes: Value
    output_bytes: Value
    spill_bytes: Value
    capacity: Value
    relaxed: bool

    @classmethod
    def of(
        cls,
        nest: TileNest,
        widths: Widths,
        conventions: Conventions,
        capacity: Value = np.inf,
        *,
        relaxed: bool = False,
    ) -> TilingProblem:
        """Return the tiling problem of one group of a nest."""
        nest = flatten_nest(nest)
        rows, columns = convolution_axes(nest)
        once = operands_once(nest, widths)
        return cls(
            nest=nest,
            widths=widths,
            conventions=conventions,
            rows=rows,
            columns=columns,
            input_bytes=once.input,
            weight_bytes=once.weight,
            output_bytes=once.output,
            spill_bytes=2.0 * once.partial_reads,
            capacity=capacity,
            relaxed=relaxed,
        )

    @property
    def usable_capacity(self) -> Value:
        """Capacity in bytes, plus a slack for rounding errors."""
        return self.capacity * (1 + SLACK)

    @property
    def compulsory_bytes(self) -> Value:
        """Bytes of all operands, each crossing the boundary once."""
        return self.input_bytes + self.weight_bytes + self.output_bytes

    @property
    def resident_bytes(self) -> Value:
        """Footprint in bytes of all operands together, the output as partial sums."""
        return self.input_bytes + self.weight_bytes + self.spill_bytes / 2.0

    def take(self, points: Value) -> TilingProblem:
        """Return the problem restricted to some points."""

        def pick(value: Value) -> Value:
            return value[points]

        return TilingProblem.of(
            map_columns(pick, self.nest),
            map_columns(pick, self.widths),
            self.conventions,
            self.capacity[points],
            relaxed=self.relaxed,
        )


class SpatialTiles(NamedTuple):
    """Tiles of positions, images and taps, per channel.

    Attributes
    ----------
    input_bytes, outputs, taps
        Input bytes, output elements and kernel taps of a tile.
    count, tap_count
        Number of tiles of positions and images, and of taps.
    by_output, by_input, by_weight
        Input bytes of all channels fetched in one pass over the tiles, for the output-, input- and
        weight-stationary class.
    """

    input_bytes: Value
    outputs: Value
    taps: Value
    count: Value
    tap_count: Value
    by_output: Value
    by_input: Value
    by_weight: Value

    def pick(self, which: Value) -> SpatialTiles:
        """Return a subset of the tiles."""
        return self._make(column[which] for column in self)


def spatial_tiles(
    problem: TilingProblem, rows: AxisTiles, columns: AxisTiles, images: Value
) -> SpatialTiles:
    """Return the tiles made of row tiles, column tiles and image tiles, broadcast together."""
    nest, width = problem.nest, problem.widths.input
    all_channels = nest.batch * nest.in_channels * width
    by_output = by_input = by_weight = rows.fetched * columns.fetched * all_channels
    if problem.conventions.slides:
        xp = namespace(rows.fetched)

        # Only one loop is the innermost of those that index the input, so that the window slides
        # along one axis only.
        def slid(slid_rows: Value, slid_columns: Value) -> Value:
            along_rows, along_columns = slid_rows * columns.fetched, rows.fetched * slid_columns
            return xp.minimum(along_rows, along_columns) * all_channels

        by_output = slid(rows.tap_slid, columns.tap_slid)
        by_weight = slid(rows.slid, columns.slid)
        by_input = xp.minimum(by_output, by_weight)
    return SpatialTiles(
        input_bytes=rows.rows * columns.rows * images * width,
        outputs=rows.tile * columns.tile * images,
        taps=rows.taps * columns.taps,
        count=rows.count * columns.count * tile_count(nest.batch, images, problem.relaxed),
        tap_count=rows.tap_count * columns.tap_count,
        by_output=by_output,
        by_input=by_input,
        by_weight=by_weight,
    )


class ChannelLine(NamedTuple):
    """Footprint and traffic of a class as linear functions of one channel tile.

    With ``n = ceil(channels / c)`` tiles of c channels, the footprint is ``fixed_bytes +
    bytes_per_channel c`` and the traffic ``fixed_traffic + traffic_per_tile n``, in bytes.

    Attributes
    ----------
    channels
        Extent of the tiled channel dimension.
    fixed_bytes, bytes_per_channel
        Footprint that is independent of c, and footprint per channel.
    fixed_traffic, traffic_per_tile
        Traffic that is independent of n, and traffic per channel tile.
    has_loop
        Whether the innermost loop of the class has several tiles; if not, another class applies.
    """

    channels: Value
    fixed_bytes: Value
    bytes_per_channel: Value
    fixed_traffic: Value
    traffic_per_tile: Value
    has_loop: Value


def output_stationary(problem: TilingProblem, tiles: SpatialTiles) -> ChannelLine:
    """Return the output-stationary line over output channels; input channels are innermost."""
    copies, widths = problem.conventions.copies, problem.widths
    return ChannelLine(
        channels=problem.nest.out_channels,
        fixed_bytes=copies * tiles.input_bytes,
        bytes_per_channel=copies * widths.weight * tiles.taps + widths.partial * tiles.outputs,
        fixed_traffic=problem.weight_bytes * tiles.count + problem.output_bytes,
        traffic_per_tile=tiles.by_output,
        has_loop=(problem.nest.in_channels > 1) | (tiles.tap_count > 1) | (copies == 1),
    )


def input_stationary(problem: TilingProblem, tiles: SpatialTiles) -> ChannelLine:
    """Return the input-stationary line over input channels; output channels are innermost."""
    copies, widths = problem.conventions.copies, problem.widths
    once = tiles.by_input + problem.weight_bytes * tiles.count
    return ChannelLine(
        channels=problem.nest.in_channels,
        fixed_bytes=copies * widths.partial * tiles.outputs,
        bytes_per_channel=tiles.input_bytes + copies * widths.weight * tiles.taps,
        fixed_traffic=once + (problem.output_bytes - problem.spill_bytes),
        traffic_per_tile=problem.spill_bytes * tiles.tap_count,
        has_loop=(problem.nest.out_channels > 1) | (copies == 1),
    )


def weight_stationary(problem: TilingProblem, tiles: SpatialTiles) -> tuple[TwoTile, Value, Value]:
    """Return the weight-stationary problem in input and output channels; positions are innermost.

    Returns
    -------
    channels
        Two-tile problem, x the input channels and y the output channels.
    once
        Bytes of traffic that do not depend on the channel tiles.
    loops
        Whether the innermost loop has several tiles.
    """
    copies, widths = problem.conventions.copies, problem.widths
    channels = TwoTile(
        reload_x=problem.spill_bytes * tiles.tap_count,
        reload_y=tiles.by_weight,
        extent_x=problem.nest.in_channels,
        extent_y=problem.nest.out_channels,
        bytes_x=copies * tiles.input_bytes,
        bytes_y=copies * widths.partial * tiles.outputs,
        bytes_xy=widths.weight * tiles.taps,
        capacity=problem.usable_capacity,
    )
    once = problem.weight_bytes + problem.output_bytes - problem.spill_bytes
    return channels, once, (tiles.count > 1) | (copies == 1)


def operand_traffic(
    problem: TilingProblem, tiles: SpatialTiles, stationary: Value, in_tile: Value, out_tile: Value
) -> OperandTraffic:
    """Return the traffic of each operand in a stationarity class.

    Parameters
    ----------
    stationary
        Class number, an index into `STATIONARY`.
    in_tile, out_tile
        Input and output channels of a tile.
    """
    nest = problem.nest
    is_output, is_input = stationary == OUTPUT, stationary == INPUT
    fetched = where(is_output, tiles.by_output, where(is_input, tiles.by_input, tiles.by_weight))
    repeats = where(is_input, 1.0, tile_count(nest.out_channels, out_tile, problem.relaxed))
    passes = tiles.tap_count * tile_count(nest.in_channels, in_tile, problem.relaxed)
    partial_reads = (where(is_output, 1.0, passes) - 1.0) * problem.spill_bytes / 2.0
    return OperandTraffic(
        input=fetched * repeats,
        weight=problem.weight_bytes * where(stationary == WEIGHT, 1.0, tiles.count),
        output=problem.output_bytes + 2.0 * partial_reads,
        partial_reads=partial_reads,
    )
