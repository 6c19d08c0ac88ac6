"""Operators of a chain lined up: rows that all share, heads, and windows across several kernels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.cost.traffic.staircase_axes import Floats, Ints, flattened, useful_tiles


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

    @property
    def weights(self) -> float:
        """Bytes of the weights of one segment."""
        return self.weight * self.heads * self.ins * self.outs * self.taps


@dataclass(frozen=True, slots=True)
class ChainTiles:
    """Tiles of the positions of the last output, and what each tensor holds and moves for one.

    Attributes
    ----------
    tile
        Images, rows (of a product: all its rows) and columns of a tile; shape (3, tiles).
    area
        Positions of each tensor that a tile holds, the first input first, shape (tensors, tiles).
    count
        Tiles, shape (tiles,).
    per_segment
        How often each operator's weights come when they are not kept, shape (operators, tiles).
    volume
        Positions of the first input that all tiles fetch together, shape (tiles,).
    work
        Multiply-accumulates of all operators over those without recomputation, shape (tiles,).
    """

    tile: Ints
    area: Floats
    count: Floats
    per_segment: Floats
    volume: Floats
    work: Floats


@dataclass(frozen=True, slots=True)
class Lined:
    """Operators that share their positions.

    Attributes
    ----------
    times
        Independent chains of this shape, one after another (groups that all operators share).
    links
        The operators, of one chain.
    tiles
        Tiles of the positions.
    """

    times: int
    links: tuple[ChainOperator, ...]
    tiles: ChainTiles


def lined(nests: Sequence[TileNest], widths: Sequence[Widths], kept: bool) -> Lined:
    """Line up the operators of a chain, each taking what the one before it gives.

    Raises
    ------
    ValueError
        An output with other elements than the next input.
    """
    flat = [flattened(nest) for nest in nests]
    shared = gcd(*(nest.groups for nest in nests))
    if len({nest.groups for nest in nests}) > 1:
        # Heads beside operators that mix them: they belong to one chain.
        shared = 1
    if all(nest.is_gemm for nest in nests):
        return _products(flat, widths, shared)
    return _windows(nests, widths, shared, kept)


def _products(flat: Sequence[TileNest], widths: Sequence[Widths], shared: int) -> Lined:
    rows = max(nest.out_rows for nest in flat)
    links: list[ChainOperator] = []
    for nest, width in zip(flat, widths, strict=True):
        groups, segments = nest.groups // shared, rows // nest.out_rows
        if rows % nest.out_rows or groups % segments:
            raise ValueError(f"rows of a chain are those of its longest operator: {nest}")
        links.append(
            ChainOperator(groups // segments, nest.in_channels, nest.out_channels, 1, segments,
                 width.input, width.weight, width.partial, width.output)
        )  # fmt: skip
    _joined(links)
    most = max(link.segments for link in links)
    if any(link.segments not in (1, most) for link in links):
        raise ValueError("weights belong to all rows or to equal runs of them, one length a chain")
    # Within a run, or over whole runs.
    run = rows // most
    inside = useful_tiles(run)
    over = useful_tiles(most)[1:] * run if most > 1 else np.zeros(0, np.int64)
    tile = np.concatenate([inside, over])
    count = np.concatenate([most * -(-run // inside), -(-most * run // np.maximum(over, 1))])
    own = np.where(tile <= run, count // most, 1)
    per = np.array([count if link.segments == 1 else own for link in links], dtype=float)
    area = np.tile(tile.astype(float), (len(links) + 1, 1))
    one = np.ones(len(tile))
    tiles = ChainTiles(
        np.array([np.ones_like(tile), tile, np.ones_like(tile)]), area, count.astype(float), per,
        one * rows, one,
    )  # fmt: skip
    return Lined(shared, tuple(links), tiles)


def _joined(links: Sequence[ChainOperator]) -> None:
    for before, after in itertools.pairwise(links):
        if before.heads * before.outs != after.heads * after.ins:
            raise ValueError(
                f"{before.heads * before.outs} channels come where {after.heads * after.ins} are "
                "taken"
            )  # fmt: skip


def _windows(
    nests: Sequence[TileNest], widths: Sequence[Widths], shared: int, kept: bool
) -> Lined:  # fmt: skip
    links = [
        ChainOperator(nest.groups // shared, nest.in_channels, nest.out_channels,
             nest.kernel_rows * nest.kernel_columns, 1, width.input, width.weight, width.partial,
             width.output)
        for nest, width in zip(nests, widths, strict=True)
    ]  # fmt: skip
    _joined(links)
    if len({nest.batch for nest in nests}) > 1:
        raise ValueError("operators of a chain have the same images")
    down = _axis([(n.out_rows, n.kernel_rows, n.row_stride, n.row_dilation) for n in nests])
    across = _axis(
        [(n.out_columns, n.kernel_columns, n.column_stride, n.column_dilation) for n in nests]
    )
    batch = nests[0].batch
    i, j = (k.ravel() for k in np.indices((len(down.tile), len(across.tile))))
    area = down.held[:, i] * across.held[:, j]
    count = batch * down.count[i] * across.count[j]
    if kept:
        # A window slides along one axis; the other is cut into strips that overlap.
        slid = np.stack([down.whole[:, None] * across.fetched[:, j],
                         down.fetched[:, i] * across.whole[:, None]])  # fmt: skip
        best = np.argmin(slid[:, 0], axis=0)
        made = np.take_along_axis(slid, best[None, None], axis=0)[0]
    else:
        made = down.fetched[:, i] * across.fetched[:, j]
    macs = np.array([
        nest.groups * nest.in_channels * nest.out_channels * nest.kernel_rows * nest.kernel_columns
        for nest in nests
    ], dtype=float)  # fmt: skip
    least = np.array([float(nest.out_rows * nest.out_columns) for nest in nests])
    # What is made twice: of each intermediate, no more than there is in a tile.
    work = (macs[:, None] * made[1:]).sum(axis=0) / (macs * least).sum()
    tile = np.array([np.ones_like(i), down.tile[i], across.tile[j]])
    per = np.tile(count.astype(float), (len(links), 1))
    tiles = ChainTiles(tile, area, count.astype(float), per, batch * made[0], work)
    return Lined(shared, tuple(links), tiles)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Tiles of one axis of the last output, traced back through all kernels."""

    tile: Ints
    count: Ints
    held: Floats
    fetched: Floats
    whole: Floats


def _axis(kernels: Sequence[tuple[int, int, int, int]]) -> _Axis:
    extent = kernels[-1][0]
    tile = useful_tiles(extent)
    count = -(-extent // tile)
    edge = extent - (count - 1) * tile
    held, fetched, whole = [tile], [count * 0 + extent], [extent]
    part, last, all_ = tile, edge, extent
    for n in range(len(kernels) - 1, -1, -1):
        _, taps, stride, dilation = kernels[n]
        reach = (taps - 1) * dilation + 1
        # Padding around an intermediate is not there; the first input counts its own.
        most = kernels[n - 1][0] if n else (all_ - 1) * stride + reach
        part = np.minimum((part - 1) * stride + reach, most)
        last = np.minimum((last - 1) * stride + reach, most)
        all_ = min((all_ - 1) * stride + reach, most)
        held.append(part)
        fetched.append((count - 1) * part + last)
        whole.append(all_)
    return _Axis(
        tile, count, np.array(held[::-1], dtype=float), np.array(fetched[::-1], dtype=float),
        np.array(whole[::-1], dtype=float),
    )  # fmt: skip
