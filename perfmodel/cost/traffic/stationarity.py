"""What a tile holds and what all tiles move, by the operand that stays at the innermost loop.

Loops over tiles run between the backing store and the buffer. The innermost loop with more than
one tile decides which operand stays. With ``I`` the input bytes that all tiles of positions and
taps fetch, ``W`` the weight, ``O`` the output and ``U`` all partial sums out and back, n the counts
of tiles (t of taps), i, o and w the input, output elements and taps of a tile for one channel, and
e = 1 or 2 buffers:

| stationary | innermost loop | traffic | held |
|---|---|---|---|
| output | channels in, taps | I n_K + W n_PQ + O | e i A + k (e w B + o S) |
| input | channels out | I + W n_PQ + O + U (t n_C - 1) | e o S + c (i A + e w B) |
| weight | positions | I n_K + W + O + U (t n_C - 1) | e i A c + e o S k + w B c k |

(A, B, S bytes of an element of the input, weight, partial sum; c and k the channels of a tile.) Of
the orders of loops within a class one is best in all operands at once; extents that nothing depends
on stay 1. Staircases try every channel tile of a class, closed forms solve for the best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.axis import AxisTiles, ConvolutionAxis, axes, flattened
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.points import each, pieces, where
from perfmodel.cost.traffic.two_tile import SLACK, TwoTile

#: Names of the classes, by their number.
STATIONARY = ("output", "input", "weight", "all")
OUTPUT, INPUT, WEIGHT, ALL = range(4)


class OperandTraffic(NamedTuple):
    """Bytes of traffic by operand; infinite where nothing fits.

    Attributes
    ----------
    input, weight
        Read.
    output
        Written at the end, and every partial sum written and read.
    partial_reads
        The part of `output` that is read: partial sums coming back.
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
    """Return the bytes of each operand of one group once, and of all partial sums one way."""
    rows, columns = axes(nest)
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
    """One group of a flattened nest with the bytes of its operands; numbers, or flat arrays.

    Attributes
    ----------
    nest
        Extents that tiles cut.
    widths, conventions
        As asked for.
    rows, columns
        The axes of the nest.
    input_bytes, weight_bytes, output_bytes
        Each operand once across the boundary.
    spill_bytes
        All partial sums, written out and read back.
    capacity
        Bytes of the buffer; infinite where every capacity is looked at.
    relaxed
        Whether tiles and counts are real numbers.
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
        """Return the problem of a nest, one of its groups."""
        nest = flattened(nest)
        rows, columns = axes(nest)
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
    def room(self) -> Value:
        """Bytes of the buffer, and what rounding needs."""
        return self.capacity * (1 + SLACK)

    @property
    def compulsory_bytes(self) -> Value:
        """Bytes of each operand once."""
        return self.input_bytes + self.weight_bytes + self.output_bytes

    @property
    def resident_bytes(self) -> Value:
        """Bytes of all operands in the buffer at once, the output as partial sums."""
        return self.input_bytes + self.weight_bytes + self.spill_bytes / 2.0

    def take(self, points: Value) -> TilingProblem:
        """Return the problem at some points."""

        def pick(value: Value) -> Value:
            return value[points]

        return TilingProblem.of(
            each(pick, self.nest),
            each(pick, self.widths),
            self.conventions,
            self.capacity[points],
            relaxed=self.relaxed,
        )


class SpatialTiles(NamedTuple):
    """Tiles of positions, images and taps, for one channel.

    Attributes
    ----------
    input_bytes, outputs, taps
        Bytes of input, elements of output and taps of the kernel that a tile holds.
    count, tap_count
        Tiles of positions and images, and of taps.
    by_output, by_input, by_weight
        Input bytes of all channels that all tiles fetch once, by the operand that stays.
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
        """Return some of the tiles."""
        return self._make(column[which] for column in self)


def spatial_tiles(
    problem: TilingProblem, rows: AxisTiles, columns: AxisTiles, images: Value
) -> SpatialTiles:
    """Return the products of tiles along both axes and of images, broadcast."""
    nest, width = problem.nest, problem.widths.input
    all_channels = nest.batch * nest.in_channels * width
    by_output = by_input = by_weight = rows.fetched * columns.fetched * all_channels
    if problem.conventions.slides:
        xp = namespace(rows.fetched)

        # One loop is the innermost of the input: along one axis the window slides.
        def slid(down: Value, across: Value) -> Value:
            return xp.minimum(down * columns.fetched, rows.fetched * across) * all_channels

        by_output = slid(rows.tap_slid, columns.tap_slid)
        by_weight = slid(rows.slid, columns.slid)
        by_input = xp.minimum(by_output, by_weight)
    return SpatialTiles(
        input_bytes=rows.rows * columns.rows * images * width,
        outputs=rows.tile * columns.tile * images,
        taps=rows.taps * columns.taps,
        count=rows.count * columns.count * pieces(nest.batch, images, problem.relaxed),
        tap_count=rows.tap_count * columns.tap_count,
        by_output=by_output,
        by_input=by_input,
        by_weight=by_weight,
    )


class ChannelLine(NamedTuple):
    """Footprint and traffic of a class along the tiles of one kind of channels.

    A tile of c channels, n of them in all, holds ``fixed + slope c`` bytes and moves
    ``once + again n``.

    Attributes
    ----------
    channels
        How many there are in all.
    fixed, slope, once, again
        Bytes.
    loops
        Whether the innermost loop has several tiles: else its class is that of another loop.
    """

    channels: Value
    fixed: Value
    slope: Value
    once: Value
    again: Value
    loops: Value


def output_stationary(problem: TilingProblem, at: SpatialTiles) -> ChannelLine:
    """Return the line of output channels: input channels and taps are summed up innermost."""
    copies, widths = problem.conventions.copies, problem.widths
    return ChannelLine(
        channels=problem.nest.out_channels,
        fixed=copies * at.input_bytes,
        slope=copies * widths.weight * at.taps + widths.partial * at.outputs,
        once=problem.weight_bytes * at.count + problem.output_bytes,
        again=at.by_output,
        loops=(problem.nest.in_channels > 1) | (at.tap_count > 1) | (copies == 1),
    )


def input_stationary(problem: TilingProblem, at: SpatialTiles) -> ChannelLine:
    """Return the line of input channels: output channels are innermost."""
    copies, widths = problem.conventions.copies, problem.widths
    once = at.by_input + problem.weight_bytes * at.count
    return ChannelLine(
        channels=problem.nest.in_channels,
        fixed=copies * widths.partial * at.outputs,
        slope=at.input_bytes + copies * widths.weight * at.taps,
        once=once + (problem.output_bytes - problem.spill_bytes),
        again=problem.spill_bytes * at.tap_count,
        loops=(problem.nest.out_channels > 1) | (copies == 1),
    )


def weight_stationary(problem: TilingProblem, at: SpatialTiles) -> tuple[TwoTile, Value, Value]:
    """Return the two-tile problem of input and output channels: positions are innermost.

    Beside it what the class moves once, and whether its innermost loop has several tiles.
    """
    copies, widths = problem.conventions.copies, problem.widths
    channels = TwoTile(
        reload_x=problem.spill_bytes * at.tap_count,
        reload_y=at.by_weight,
        extent_x=problem.nest.in_channels,
        extent_y=problem.nest.out_channels,
        bytes_x=copies * at.input_bytes,
        bytes_y=copies * widths.partial * at.outputs,
        bytes_xy=widths.weight * at.taps,
        capacity=problem.room,
    )
    once = problem.weight_bytes + problem.output_bytes - problem.spill_bytes
    return channels, once, (at.count > 1) | (copies == 1)


def operand_traffic(
    problem: TilingProblem, at: SpatialTiles, stationary: Value, in_tile: Value, out_tile: Value
) -> OperandTraffic:
    """Return the bytes that tiles of a class move, by operand.

    Parameters
    ----------
    stationary
        Numbers of `STATIONARY`.
    in_tile, out_tile
        Channels of a tile.
    """
    nest = problem.nest
    by_output, by_input = stationary == OUTPUT, stationary == INPUT
    fetched = where(by_output, at.by_output, where(by_input, at.by_input, at.by_weight))
    repeats = where(by_input, 1.0, pieces(nest.out_channels, out_tile, problem.relaxed))
    passes = at.tap_count * pieces(nest.in_channels, in_tile, problem.relaxed)
    partial_reads = (where(by_output, 1.0, passes) - 1.0) * problem.spill_bytes / 2.0
    return OperandTraffic(
        input=fetched * repeats,
        weight=problem.weight_bytes * where(stationary == WEIGHT, 1.0, at.count),
        output=problem.output_bytes + 2.0 * partial_reads,
        partial_reads=partial_reads,
    )
