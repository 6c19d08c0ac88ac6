"""Operators of a chain in line: rows that all share, heads, and windows across several kernels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from perfmodel.cost.traffic.axis import ConvolutionAxis, Floats, Ints, flattened, useful_tiles
from perfmodel.cost.traffic.nest import TileNest, Widths


@dataclass(frozen=True, slots=True)
class ChainOperator:
    """One operator of a chain: what it takes from each position and gives to it.

    Attributes
    ----------
    heads
        Groups that one position passes through, each with channels of its own.
    ins, outs
        Input and output channels of one head; the taps of a kernel do not count.
    taps
        Taps of the kernel.
    segments
        Runs of positions that have weights of their own (the sequences of a batch).
    input, weight, partial, output
        Bytes of an element.
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
        """Return the operator of a nest of which `shared` groups are chains of their own."""
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
    """Tiles of the positions of the last output, and what each tensor holds and moves for one.

    Attributes
    ----------
    images, rows, columns
        Of a tile (of a product: all its rows); shape (tiles,).
    positions
        Positions of each tensor that a tile holds, the first input first, shape (tensors, tiles).
    count
        Tiles, shape (tiles,).
    weight_passes
        How often each operator's weights come when they are not resident, shape (operators, tiles).
    first_positions
        Positions of the first input that all tiles fetch together, shape (tiles,).
    work
        Multiply-accumulates of all operators over those without recomputation, shape (tiles,).
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
        """Positions of the last output: the largest tile is all of them, once for each image."""
        return float(self.positions[-1, -1] * self.count[-1])


@dataclass(frozen=True, slots=True)
class AlignedChain:
    """Operators that share their positions.

    Attributes
    ----------
    times
        Independent chains of this shape, one after another (groups that all operators share).
    operators
        Of one chain.
    tiles
        Tiles of the positions.
    """

    times: int
    operators: tuple[ChainOperator, ...]
    tiles: ChainTiles


def aligned(nests: Sequence[TileNest], widths: Sequence[Widths], slides: bool) -> AlignedChain:
    """Line up the operators of a chain, each taking what the one before it gives.

    Raises
    ------
    ValueError
        An output with other elements than the next input.
    """
    shared = gcd(*(nest.groups for nest in nests))
    if len({nest.groups for nest in nests}) > 1:
        # Heads beside operators that mix them: they belong to one chain.
        shared = 1
    if all(nest.is_gemm for nest in nests):
        return _products([flattened(nest) for nest in nests], widths, shared)
    return _windows(nests, widths, shared, slides)


def _products(nests: Sequence[TileNest], widths: Sequence[Widths], shared: int) -> AlignedChain:
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
    # Within a run, or over complete runs.
    run = rows // most
    inside = useful_tiles(run)
    over = useful_tiles(most)[1:] * run if most > 1 else np.zeros(0, np.int64)
    tile = np.concatenate([inside, over])
    count = np.concatenate([most * -(-run // inside), -(-most * run // np.maximum(over, 1))])
    of_run = np.where(tile <= run, count // most, 1)
    ones = np.ones_like(tile)
    tiles = ChainTiles(
        images=ones,
        rows=tile,
        columns=ones,
        positions=np.tile(tile.astype(float), (len(operators) + 1, 1)),
        count=count.astype(float),
        weight_passes=np.array(
            [count if op.segments == 1 else of_run for op in operators], dtype=float
        ),
        first_positions=np.full(len(tile), float(rows)),
        work=np.ones(len(tile)),
    )
    return AlignedChain(shared, tuple(operators), tiles)


def _check_channels(operators: Sequence[ChainOperator]) -> None:
    for before, after in itertools.pairwise(operators):
        gives, takes = before.heads * before.outs, after.heads * after.ins
        if gives != takes:
            raise ValueError(f"{gives} channels come where {takes} are taken")


def _windows(
    nests: Sequence[TileNest], widths: Sequence[Widths], shared: int, slides: bool
) -> AlignedChain:
    operators = [
        ChainOperator.of(nest, width, shared, 1) for nest, width in zip(nests, widths, strict=True)
    ]
    _check_channels(operators)
    if len({nest.batch for nest in nests}) > 1:
        raise ValueError("operators of a chain have the same images")
    down = _traced(
        [ConvolutionAxis(n.out_rows, n.kernel_rows, n.row_stride, n.row_dilation) for n in nests]
    )
    across = _traced(
        [
            ConvolutionAxis(n.out_columns, n.kernel_columns, n.column_stride, n.column_dilation)
            for n in nests
        ]
    )
    batch = nests[0].batch
    i, j = (index.ravel() for index in np.indices((len(down.tile), len(across.tile))))
    count = (batch * down.count[i] * across.count[j]).astype(float)
    computed = down.fetched[:, i] * across.fetched[:, j]
    if slides:
        # A window slides along one axis; the other is cut into strips that overlap.
        by_rows = down.touched[:, None] * across.fetched[:, j]
        by_columns = down.fetched[:, i] * across.touched[:, None]
        computed = np.where(by_rows[0] <= by_columns[0], by_rows, by_columns)
    macs = np.array([float(n.groups * n.out_channels * n.inputs_per_output) for n in nests])
    least = np.array([float(n.out_rows * n.out_columns) for n in nests])
    tiles = ChainTiles(
        images=np.ones_like(i),
        rows=down.tile[i],
        columns=across.tile[j],
        positions=down.rows[:, i] * across.rows[:, j],
        count=count,
        weight_passes=np.tile(count, (len(operators), 1)),
        first_positions=batch * computed[0],
        # What is computed twice: of each intermediate, no more than there is in a tile.
        work=(macs[:, None] * computed[1:]).sum(axis=0) / (macs * least).sum(),
    )
    return AlignedChain(shared, tuple(operators), tiles)


class _TracedTiles(NamedTuple):
    """Tiles of one axis of the last output, traced back through all kernels.

    Attributes
    ----------
    tile, count
        Shape (tiles,).
    rows, fetched
        Rows of each tensor that a tile holds, and that all tiles fetch; shape (tensors, tiles).
    touched
        Rows of each tensor that anything touches, shape (tensors,).
    """

    tile: Ints
    count: Any
    rows: Floats
    fetched: Floats
    touched: Floats


def _traced(axes: Sequence[ConvolutionAxis]) -> _TracedTiles:
    extent = axes[-1].extent
    tile = useful_tiles(extent)
    count = -(-extent // tile)
    edge = extent - (count - 1) * tile
    rows, fetched, touched = [tile], [np.full(len(tile), extent)], [extent]
    part, last, every = tile, edge, extent
    for number in range(len(axes) - 1, -1, -1):
        axis = axes[number]
        reach = (axis.taps - 1) * axis.dilation + 1
        # Padding around an intermediate is not there; the first input counts its own.
        most = axes[number - 1].extent if number else (every - 1) * axis.stride + reach
        part = np.minimum((part - 1) * axis.stride + reach, most)
        last = np.minimum((last - 1) * axis.stride + reach, most)
        every = min((every - 1) * axis.stride + reach, most)
        rows.append(part)
        fetched.append((count - 1) * part + last)
        touched.append(every)
    columns = (np.array(column[::-1], dtype=float) for column in (rows, fetched, touched))
    return _TracedTiles(tile, count, *columns)
