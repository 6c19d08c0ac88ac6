"""Tiled traffic of a convolution in closed form, vectorised over dimensions and capacities.

Every candidate is a feasible tiling, so that the result is an upper bound of the optimum;
`convolution_search` defines the candidates. Convolutions with one tap, and those without
overlapping windows, are GEMMs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.closed_forms.convolution_search import ConvolutionTileCandidates, search
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic
from perfmodel.cost.traffic.convolution_axis import cut_axis
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.pointwise import columns_of, fill_unknown, flat
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
#: Function that returns the best tile and stationary operand of each point of a problem.
Search: TypeAlias = Callable[..., ConvolutionTileCandidates]


@dataclass(frozen=True, slots=True)
class ConvolutionTraffic:
    """Traffic of all groups under the best tile; every field has the shape of the points.

    The tile refers to the flattened nest (`flatten_nest`): an axis without overlapping windows
    merges images with positions, and counts its taps as input channels.

    Attributes
    ----------
    total
        Bytes across the boundary; infinite where no candidate fits.
    input, weight, output
        Parts of the total; `output` includes partial sums written out and read back.
    partial_reads
        Bytes of `output` that are partial sums read back.
    tile_rows, tile_columns, tile_kernel_rows, tile_kernel_columns, tile_batch
        Positions, taps and images of the tile.
    tile_out_channels, tile_in_channels
        Channels per group of the tile.
    stationary
        Stationary operand, an index into `STATIONARY`; ``all`` where every operand is resident.
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
    """Return the traffic of a convolution across the boundary of a buffer under its best tile.

    Parameters
    ----------
    nest
        Loop nest; scalars or arrays. Padding counts as input.
    capacity
        Bytes of the buffer; broadcasts with the extents and widths.
    widths
        Bytes per element of each operand, and of a partial sum.
    conventions
        Buffering and halo; tiles are even.
    relaxed
        Whether tiles and counts are real numbers, on the coarse grid only; differentiable. The
        result may be below the optimum or slightly above it.

    Returns
    -------
    ConvolutionTraffic
        Traffic of all groups in bytes, and the tile.

    Raises
    ------
    ValueError
        The conventions specify uneven tiles.

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
    """Broadcast the arguments, search the best tile of each point, and return its traffic.

    Parameters
    ----------
    uncut
        Search over the tiles that contain all taps.
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
    known = problem.resident_bytes <= problem.usable_capacity
    if xp is np:
        resident = resident._make(np.array(np.broadcast_to(a, tiled.batch.shape)) for a in resident)
        known = _answer_gemms(problem, known, resident)
    tiles = ConvolutionTileCandidates(*fill_unknown(xp, known, resident, columns, best, CHUNK))
    return _traffic(problem, tiles, shape)


def _with_cut_taps(
    problem: TilingProblem, uncut: ConvolutionTileCandidates, many_images: bool
) -> ConvolutionTileCandidates:
    """Improve `uncut` with tiles of cut taps, at the points where these can have less traffic."""
    least = np.full(len(uncut.cost), np.inf)
    rows, columns = problem.rows, problem.columns
    for axis, other in ((rows, columns), (columns, rows)):
        # Without sliding windows, cutting taps into 1 and all others fetches the fewest rows.
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
    """Write the tiles of the points that are GEMMs into `answer`; return the updated `known`."""
    gemm = ~known & (problem.rows.taps == 1) & (problem.columns.taps == 1)
    if gemm.any():
        # In a flattened GEMM one axis has all positions and the other has extent 1.
        some = problem.take(gemm)
        product = TileNest.product(
            some.nest.positions, some.nest.out_channels, some.nest.in_channels
        )
        best = gemm_traffic(
            product, some.usable_capacity, some.widths, some.conventions, relaxed=problem.relaxed
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
    """Return the traffic of all groups for the tile of each point."""
    at = spatial_tiles(
        problem,
        cut_axis(problem.rows, best.rows, best.row_taps, relaxed=problem.relaxed),
        cut_axis(problem.columns, best.columns, best.column_taps, relaxed=problem.relaxed),
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
