"""Common tiles of all operators of a fused chain: those of the last output, traced back.

To be fused, the operators of a chain must process the same tiles. GEMMs share their rows, and
attention heads are groups of channels. For convolutions a tile of the last output is traced back
through all kernels: n rows of an output read ``(n - 1) stride + (taps - 1) dilation + 1`` rows of
the input, so that neighbouring tiles of intermediates overlap and are recomputed, or retained by a
sliding window.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from perfmodel.cost.traffic.convolution_axis import (
    ConvolutionAxis,
    Floats,
    Ints,
    flatten_nest,
    useful_tiles,
)
from perfmodel.cost.traffic.nest import TileNest, Widths


@dataclass(frozen=True, slots=True)
class ChainOperator:
    """Channels and bytes per element of one operator of a chain.

    Attributes
    ----------
    heads
        Groups that every position passes through, each with separate channels.
    ins, outs
        Input and output channels per head, without kernel taps.
    taps
        Number of kernel taps.
    segments
        Runs of positions with separate weights (the sequences of a batch).
    input, weight, partial, output
        Bytes per element.
    """

    heads: int
    ins: int
    outs: int
    taps: int
    segments: int
    input: float
    weight: float
    partial: float
    output: float

    @staticmethod
    def of(nest: TileNest, widths: Widths, shared: int, segments: int) -> ChainOperator:
        """Return the operator of a nest; `shared` of its groups are independent chains."""
        return ChainOperator(
            heads=nest.groups // shared // segments,
            ins=nest.in_channels,
            outs=nest.out_channels,
            taps=nest.taps,
            segments=segments,
            input=widths.input,
            weight=widths.weight,
            partial=widths.partial,
            output=widths.output,
        )

    @property
    def weight_bytes(self) -> float:
        """Bytes of the weights of one segment."""
        return self.weight * self.heads * self.ins * self.outs * self.taps

    @property
    def all_weight_bytes(self) -> float:
        """Bytes of the weights of all segments."""
        return self.weight_bytes * self.segments


@dataclass(frozen=True, slots=True)
class ChainTiles:
    """Tiles of the last output's positions, with the positions of every tensor that they require.

    Attributes
    ----------
    images, rows, columns
        Extents of a tile, shape (tiles,); for GEMMs `rows` counts all positions.
    positions
        Positions per tile of each tensor, the first input first; shape (tensors, tiles).
    count
        Number of tiles, shape (tiles,).
    weight_passes
        Number of fetches of each operator's weights if not resident, shape (operators, tiles).
    first_positions
        Positions of the first input that all tiles fetch together, shape (tiles,).
    work
        Multiply-accumulates relative to those without recomputation, shape (tiles,).
    """

    images: Ints
    rows: Ints
    columns: Ints
    positions: Floats
    count: Floats
    weight_passes: Floats
    first_positions: Floats
    work: Floats

    @property
    def last_positions(self) -> float:
        """Positions of the last output: those of the largest tile, times the number of images."""
        return float(self.positions[-1, -1] * self.count[-1])


@dataclass(frozen=True, slots=True)
class AlignedChain:
    """Operators of a chain with common tiles of their positions.

    Attributes
    ----------
    repetitions
        Number of independent chains of this shape, executed one after another (groups that all
        operators share).
    operators
        Operators of one chain.
    tiles
        Tiles of the last output's positions.
    """

    repetitions: int
    operators: tuple[ChainOperator, ...]
    tiles: ChainTiles


def align(nests: Sequence[TileNest], widths: Sequence[Widths], slides: bool) -> AlignedChain:
    """Align the operators of a chain, each of which consumes the output of its predecessor.

    Raises
    ------
    ValueError
        An output whose elements differ from those of the next input.
    """
    shared = gcd(*(nest.groups for nest in nests))
    if len({nest.groups for nest in nests}) > 1:
        # Some operators mix the heads of others, so that all heads belong to one chain.
        shared = 1
    if all(nest.is_gemm for nest in nests):
        return _align_gemms([flatten_nest(nest) for nest in nests], widths, shared)
    return _align_convolutions(nests, widths, shared, slides)


def _align_gemms(nests: Sequence[TileNest], widths: Sequence[Widths], shared: int) -> AlignedChain:
    """Return GEMMs with common tiles of rows; weights may belong to segments of the rows."""
    rows = max(nest.out_rows for nest in nests)
    operators: list[ChainOperator] = []
    for nest, width in zip(nests, widths, strict=True):
        segments = rows // nest.out_rows
        if rows % nest.out_rows or nest.groups // shared % segments:
            raise ValueError(f"rows of a chain are those of its longest operator: {nest}")
        operators.append(ChainOperator.of(nest, width, shared, segments))
    _check_channels(operators)
    most = max(op.segments for op in operators)
    if any(op.segments not in (1, most) for op in operators):
        raise ValueError("weights belong to all rows or to equal runs of them, one length a chain")
    # Tiles within one segment of positions, then tiles of several complete segments.
    segment = rows // most
    within = useful_tiles(segment)
    across = useful_tiles(most)[1:] * segment if most > 1 else np.zeros(0, np.int64)
    tile = np.concatenate([within, across])
    count = np.concatenate(
        [most * -(-segment // within), -(-most * segment // np.maximum(across, 1))]
    )
    passes_per_segment = np.where(tile <= segment, count // most, 1)
    ones = np.ones_like(tile)
    tiles = ChainTiles(
        images=ones,
        rows=tile,
        columns=ones,
        positions=np.tile(tile.astype(float), (len(operators) + 1, 1)),
        count=count.astype(float),
        weight_passes=np.array(
            [count if op.segments == 1 else passes_per_segment for op in operators], dtype=float
        ),
        first_positions=np.full(len(tile), float(rows)),
        work=np.ones(len(tile)),
    )
    return AlignedChain(shared, tuple(operators), tiles)


def _check_channels(operators: Sequence[ChainOperator]) -> None:
    """Raise an error unless every output has as many channels as the next input."""
    for before, after in itertools.pairwise(operators):
        outs, ins = before.heads * before.outs, after.heads * after.ins
        if outs != ins:
            raise ValueError(f"an output of {outs} channels is followed by an input of {ins}")


def _align_convolutions(
    nests: Sequence[TileNest], widths: Sequence[Widths], shared: int, slides: bool
) -> AlignedChain:
    """Return convolutions with common tiles of the last output's rows and columns."""
    operators = [
        ChainOperator.of(nest, width, shared, 1) for nest, width in zip(nests, widths, strict=True)
    ]
    _check_channels(operators)
    if len({nest.batch for nest in nests}) > 1:
        raise ValueError("operators of a chain have the same images")
    row_tiles = _trace_back(
        [ConvolutionAxis(n.out_rows, n.kernel_rows, n.row_stride, n.row_dilation) for n in nests]
    )
    column_tiles = _trace_back(
        [
            ConvolutionAxis(n.out_columns, n.kernel_columns, n.column_stride, n.column_dilation)
            for n in nests
        ]
    )
    batch = nests[0].batch
    i, j = (index.ravel() for index in np.indices((len(row_tiles.tile), len(column_tiles.tile))))
    count = (batch * row_tiles.count[i] * column_tiles.count[j]).astype(float)
    computed = row_tiles.fetched[:, i] * column_tiles.fetched[:, j]
    if slides:
        # The window slides along one axis; strips of the other axis overlap.
        by_rows = row_tiles.touched[:, None] * column_tiles.fetched[:, j]
        by_columns = row_tiles.fetched[:, i] * column_tiles.touched[:, None]
        computed = np.where(by_rows[0] <= by_columns[0], by_rows, by_columns)
    macs = np.array([float(n.groups * n.out_channels * n.inputs_per_output) for n in nests])
    least = np.array([float(n.out_rows * n.out_columns) for n in nests])
    tiles = ChainTiles(
        images=np.ones_like(i),
        rows=row_tiles.tile[i],
        columns=column_tiles.tile[j],
        positions=row_tiles.rows[:, i] * column_tiles.rows[:, j],
        count=count,
        weight_passes=np.tile(count, (len(operators), 1)),
        first_positions=batch * computed[0],
        # Positions computed by several tiles count once per tile.
        work=(macs[:, None] * computed[1:]).sum(axis=0) / (macs * least).sum(),
    )
    return AlignedChain(shared, tuple(operators), tiles)


class _TracedTiles(NamedTuple):
    """Tiles of one axis of the last output, traced back through all kernels.

    Attributes
    ----------
    tile, count
        Tile sizes and numbers of tiles, shape (tiles,).
    rows, fetched
        Rows of each tensor per tile, and rows that all tiles require, with overlaps counted in
        every tile; shape (tensors, tiles).
    touched
        Distinct rows of each tensor that are required, shape (tensors,).
    """

    tile: Ints
    count: Any
    rows: Floats
    fetched: Floats
    touched: Floats


def _trace_back(axes: Sequence[ConvolutionAxis]) -> _TracedTiles:
    """Return the useful tiles of the last output's axis with the rows of every earlier tensor."""
    extent = axes[-1].extent
    tile = useful_tiles(extent)
    count = -(-extent // tile)
    edge = extent - (count - 1) * tile
    rows, fetched, touched = [tile], [np.full(len(tile), extent)], [extent]
    tile_rows, edge_rows, all_rows = tile, edge, extent
    for number in range(len(axes) - 1, -1, -1):
        axis = axes[number]
        reach = (axis.taps - 1) * axis.dilation + 1
        # Padding of an intermediate is neither stored nor computed; that of the first input counts.
        available_rows = axes[number - 1].extent if number else (all_rows - 1) * axis.stride + reach
        tile_rows = np.minimum((tile_rows - 1) * axis.stride + reach, available_rows)
        edge_rows = np.minimum((edge_rows - 1) * axis.stride + reach, available_rows)
        all_rows = min((all_rows - 1) * axis.stride + reach, available_rows)
        rows.append(tile_rows)
        fetched.append((count - 1) * tile_rows + edge_rows)
        touched.append(all_rows)
    columns = (np.array(column[::-1], dtype=float) for column in (rows, fetched, touched))
    return _TracedTiles(tile, count, *columns)
