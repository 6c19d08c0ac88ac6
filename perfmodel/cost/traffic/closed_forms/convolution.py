"""Tiled traffic of a convolution in closed form, for arrays of dimensions and capacities.

Every candidate is a tiling that fits, so that the traffic is never below the optimum; `conv_search`
says which are tried. Convolutions of one tap, and those whose windows do not overlap, are GEMMs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.axis import cut
from perfmodel.cost.traffic.closed_forms.conv_search import ConvolutionTileCandidates, search
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.points import columns_of, flat, where_not
from perfmodel.cost.traffic.stationarity import (
    ALL,
    STATIONARY,
    TilingProblem,
    operand_traffic,
    spatial_tiles,
)
from perfmodel.cost.traffic.two_tile import SLACK

__all__ = ["STATIONARY", "ConvolutionTraffic", "convolution_traffic"]

#: Points evaluated at once.
CHUNK = 256
#: Finds the best tiles of problems, and what stays.
Search: TypeAlias = Callable[..., ConvolutionTileCandidates]


@dataclass(frozen=True, slots=True)
class ConvolutionTraffic:
    """Bytes of all groups across the boundary; every field has the shape of the points.

    The tile is one of the flattened nest (`axis.flattened`): an axis whose windows do not overlap
    counts images and positions in one, and its taps as input channels.

    Attributes
    ----------
    total
        Bytes in all; infinite where not one useful tile fits.
    input, weight, output
        Its parts. `output` includes partial sums written out and read back.
    partial_reads
        Bytes of `output` that are partial sums read back.
    tile_rows, tile_columns, tile_kernel_rows, tile_kernel_columns, tile_batch
        Positions, taps and images of the tile.
    tile_out_channels, tile_in_channels
        Its channels of one group.
    stationary
        Which operand stays in the innermost loop: an index into `STATIONARY`; ``all`` where every
        operand is resident.
    """

    total: Value
    input: Value
    weight: Value
    output: Value
    partial_reads: Value
    tile_rows: Value
    tile_columns: Value
    tile_kernel_rows: Value
    tile_kernel_columns: Value
    tile_batch: Value
    tile_out_channels: Value
    tile_in_channels: Value
    stationary: Value


def convolution_traffic(
    nest: TileNest,
    capacity: Value,
    widths: Widths = Widths(),  # noqa: B008
    conventions: Conventions = Conventions(),  # noqa: B008
    *,
    relaxed: bool = False,
) -> ConvolutionTraffic:
    """Return the bytes that a convolution moves across the edge of a buffer under its best tile.

    Parameters
    ----------
    nest
        Numbers or arrays; padding counts as input.
    capacity
        Bytes of the buffer; it broadcasts with the extents and widths.
    widths
        Bytes of an element of each operand, and of a partial sum (held, written out, read back).
    conventions
        Buffering and halo; tiles are even.
    relaxed
        Real tiles and counts, on the coarse grid alone: a slope everywhere, for gradients. Bytes
        may be below the optimum, and a little above it.

    Returns
    -------
    ConvolutionTraffic
        Bytes and tiles.

    Raises
    ------
    ValueError
        The conventions ask for uneven tiles.

    Examples
    --------
    >>> nest = TileNest(28, 28, 64, 64, 3, 3)
    >>> float(convolution_traffic(nest, 2**20).total)
    144640.0
    """
    return evaluate(nest, capacity, widths, conventions, relaxed, search)


def evaluate(
    nest: TileNest,
    capacity: Value,
    widths: Widths,
    conventions: Conventions,
    relaxed: bool,
    uncut: Search,
) -> ConvolutionTraffic:
    """Return the traffic of arguments that broadcast.

    Parameters
    ----------
    uncut
        The search among tiles with all taps inside.
    """
    if conventions.allocation == "uneven":
        raise ValueError("the closed form of a convolution has even tiles; take its staircase")
    arguments = (*columns_of(nest), *columns_of(widths), capacity)
    extents = len(columns_of(nest))
    xp = namespace(*arguments)
    columns, shape = flat(xp, arguments)

    def problem_of(columns: Sequence[Value]) -> TilingProblem:
        return TilingProblem.of(
            TileNest(*columns[:extents]),
            Widths(*columns[extents:-1]),
            conventions,
            columns[-1],
            relaxed=relaxed,
        )

    problem = problem_of(columns)
    tiled = problem.nest
    many_images = bool(np.any(tiled.batch > 1)) if xp is np else np.shape(nest.batch) != ()

    def best(*some: Value) -> tuple[Value, ...]:
        part = problem_of(some)
        if xp is not np or relaxed:
            return search(part, cuts=True, many_images=many_images)
        return _with_cut_taps(part, uncut(part, cuts=False, many_images=many_images), many_images)

    resident = ConvolutionTileCandidates(
        cost=0.0,
        rows=tiled.out_rows,
        columns=tiled.out_columns,
        row_taps=tiled.kernel_rows,
        column_taps=tiled.kernel_columns,
        images=tiled.batch,
        in_tile=tiled.in_channels,
        out_tile=tiled.out_channels,
        stationary=ALL,
    )
    known = problem.resident_bytes <= problem.room
    if xp is np:
        resident = resident._make(np.array(np.broadcast_to(a, tiled.batch.shape)) for a in resident)
        known = _answer_gemms(problem, known, resident)
    tiles = ConvolutionTileCandidates(*where_not(xp, known, resident, columns, best, CHUNK))
    return _traffic(problem, tiles, shape)


def _with_cut_taps(
    problem: TilingProblem, uncut: ConvolutionTileCandidates, many_images: bool
) -> ConvolutionTileCandidates:
    """Return the better of tiles with all taps and with taps cut, where that may be."""
    least = np.full(len(uncut.cost), np.inf)
    rows, columns = problem.rows, problem.columns
    for axis, other in ((rows, columns), (columns, rows)):
        # Tiles of one tap and of all others touch the least of all cuts, if windows keep nothing.
        touched = axis.touched_rows
        if not problem.conventions.slides:
            touched = axis.extent + axis.input_rows(axis.extent, axis.taps - 1.0)
        least = np.where(axis.taps > 1, np.minimum(least, touched * other.touched_rows), least)
    nest = problem.nest
    least = least * nest.batch * nest.in_channels * problem.widths.input
    least = least + problem.weight_bytes + problem.output_bytes
    points = np.flatnonzero(uncut.cost > least * (1 + SLACK))
    if len(points):
        with_cuts = search(problem.take(points), cuts=True, many_images=many_images)
        better = with_cuts.cost < uncut.cost[points]
        for column, values in zip(uncut, with_cuts, strict=True):
            column[points[better]] = values[better]
    return uncut


def _answer_gemms(problem: TilingProblem, known: Value, answer: ConvolutionTileCandidates) -> Value:
    """Write the tiles of the points that are GEMMs, and return the points that are known now."""
    gemm = ~known & (problem.rows.taps == 1) & (problem.columns.taps == 1)
    if gemm.any():
        # One axis has all positions, the other one.
        some = problem.take(gemm)
        product = TileNest.product(
            some.nest.positions, some.nest.out_channels, some.nest.in_channels
        )
        best = gemm_traffic(
            product, some.room, some.widths, some.conventions, relaxed=problem.relaxed
        )
        tiles = ConvolutionTileCandidates(
            cost=best.total,
            rows=best.tile_m,
            columns=1.0,
            row_taps=1.0,
            column_taps=1.0,
            images=1.0,
            in_tile=best.tile_k,
            out_tile=best.tile_n,
            stationary=best.stationary,
        )
        for column, values in zip(answer, tiles, strict=True):
            column[gemm] = values
    return known | gemm


def _traffic(
    problem: TilingProblem, best: ConvolutionTileCandidates, shape: tuple[int, ...]
) -> ConvolutionTraffic:
    """Return the bytes that a tile of each point moves in all groups."""
    at = spatial_tiles(
        problem,
        cut(problem.rows, best.rows, best.row_taps, relaxed=problem.relaxed),
        cut(problem.columns, best.columns, best.column_taps, relaxed=problem.relaxed),
        best.images,
    )
    parts = operand_traffic(problem, at, best.stationary, best.in_tile, best.out_tile)
    xp = namespace(at.by_output)
    total = parts.input + parts.weight + parts.output
    columns = (
        *(
            xp.where(best.cost < xp.inf, part * problem.nest.groups, xp.inf)
            for part in (total, *parts)
        ),
        best.rows,
        best.columns,
        best.row_taps,
        best.column_taps,
        best.images,
        best.out_tile,
        best.in_tile,
        best.stationary,
    )
    return ConvolutionTraffic(*(column.reshape(shape) for column in columns))
