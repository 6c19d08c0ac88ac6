"""Tiled traffic of a convolution in closed form, for arrays of dimensions and capacities.

Every candidate is a tiling that fits, so that the traffic is never below the optimum; `conv_search`
says which are tried. Convolutions of one tap, and those whose windows do not overlap, are GEMMs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.closed_forms.axis import cut
from perfmodel.cost.traffic.closed_forms.conv_classes import ConvArguments, ConvTilingProblem, spots
from perfmodel.cost.traffic.closed_forms.conv_search import ConvolutionTileCandidates, search
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic
from perfmodel.cost.traffic.closed_forms.points import flat, pieces, where_not
from perfmodel.cost.traffic.closed_forms.two_tile import SLACK
from perfmodel.cost.traffic.nest import Conventions

#: Names of the codes in `ConvolutionTraffic.stationary`.
STATIONARY = ("output", "input", "weight", "all")
#: Points evaluated at once.
CHUNK = 256
#: Finds the best tiles of problems, and their classes.
Search: TypeAlias = Callable[..., tuple[ConvolutionTileCandidates, Value]]


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
        operand is held whole.
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
    out_rows: Value,
    out_columns: Value,
    out_channels: Value,
    in_channels: Value,
    kernel_rows: Value,
    kernel_columns: Value,
    capacity: Value,
    *,
    row_stride: Value = 1.0,
    column_stride: Value = 1.0,
    row_dilation: Value = 1.0,
    column_dilation: Value = 1.0,
    batch: Value = 1.0,
    groups: Value = 1.0,
    input: Value = 1.0,
    weight: Value = 1.0,
    output: Value = 1.0,
    partial: Value = 4.0,
    conventions: Conventions | None = None,
    relaxed: bool = False,
) -> ConvolutionTraffic:
    """Return the bytes that a convolution moves across the edge of a buffer under its best tile.

    Parameters
    ----------
    out_rows, out_columns, out_channels, in_channels, kernel_rows, kernel_columns
        Extents of one group, at least 1; padding counts as input.
    capacity
        Bytes of the buffer. Every argument up to `partial` may be an array; they broadcast.
    row_stride, column_stride, row_dilation, column_dilation
        Whole steps.
    batch, groups
        Images that share the weights; problems of the same shape that share nothing.
    input, weight, output, partial
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
    """
    conventions = Conventions() if conventions is None else conventions
    if conventions.allocation == "uneven":
        raise ValueError("the closed form of a convolution has even tiles; take its staircase")
    nest = ConvArguments(
        out_rows, out_columns, out_channels, in_channels, kernel_rows, kernel_columns, row_stride,
        column_stride, row_dilation, column_dilation, batch, capacity, input, weight, output,
        partial,
    )  # fmt: skip
    return evaluate(nest, groups, conventions, relaxed, search)


def evaluate(
    nest: ConvArguments, groups: Value, conventions: Conventions, relaxed: bool, whole: Search
) -> ConvolutionTraffic:
    """Return the traffic of arguments that broadcast.

    Parameters
    ----------
    whole
        The search among tiles with all taps inside.
    """
    xp = namespace(*nest, groups)
    (*columns, times), shape = flat(xp, (*nest, groups))
    copies = 2.0 if conventions.buffering == "double" else 1.0
    kept = conventions.halo == "kept"
    p = ConvTilingProblem.of(xp, ConvArguments(*columns), copies, kept, relaxed)
    many_images = bool(np.any(p.batch > 1)) if xp is np else np.shape(nest.batch) != ()

    def best(*some: Value) -> tuple[Value, ...]:
        part = ConvTilingProblem.of(xp, ConvArguments(*some), copies, kept, relaxed)
        if xp is not np or relaxed:
            return _tile(*search(xp, part, cuts=True, many_images=many_images))
        found, kind = whole(xp, part, cuts=False, many_images=many_images)
        return _with_cut_taps(part, found, kind, many_images)

    extents = (p.rows.extent, p.columns.extent, p.rows.taps, p.columns.taps, p.batch)
    answer = [True, *extents, p.in_channels, p.out_channels, 3]
    known = p.touched(xp) + p.weights + p.spill / 2.0 <= p.room
    if xp is np:
        answer = [np.array(np.broadcast_to(a, p.batch.shape)) for a in answer]
        known = _answer_gemms(p, known, answer, conventions, relaxed)
    found = where_not(xp, known, answer, columns, best, CHUNK)
    return _with_parts(xp, p, found, times, shape)


def _tile(found: ConvolutionTileCandidates, kind: Value) -> tuple[Value, ...]:
    return (found.cost < np.inf, *found[1:], kind)


def _with_cut_taps(
    p: ConvTilingProblem, found: ConvolutionTileCandidates, kind: Value, many_images: bool
) -> tuple[Value, ...]:
    """Return the better of tiles with all taps and with taps cut, where that may be."""
    least = np.full(len(found.cost), np.inf)
    for axis, other in ((p.rows, p.columns), (p.columns, p.rows)):
        # Tiles of one tap and of all others touch the least of all cuts, if windows keep nothing.
        touched = axis.rows(np, axis.extent, axis.taps)
        if not p.kept:
            touched = axis.extent + axis.rows(np, axis.extent, axis.taps - 1.0)
        touched = touched * other.rows(np, other.extent, other.taps)
        least = np.where(axis.taps > 1, np.minimum(least, touched), least)
    least = least * p.batch * p.in_channels * p.input + p.weights + p.outputs
    ask = np.flatnonzero(found.cost > least * (1 + SLACK))
    if len(ask):
        cut_found, cut_kind = search(np, p.take(ask), cuts=True, many_images=many_images)
        ask, new = ask[cut_found.cost < found.cost[ask]], cut_found.cost < found.cost[ask]
        kind[ask] = cut_kind[new]
        for column, values in zip(found, cut_found, strict=True):
            column[ask] = values[new]
    return _tile(found, kind)


def _answer_gemms(
    p: ConvTilingProblem, known: Value, answer: list[Value], conventions: Conventions, relaxed: bool
) -> Value:
    """Write the tiles of the points that are GEMMs, and return the points that are known now."""
    gemm = ~known & (p.rows.taps == 1) & (p.columns.taps == 1)
    if gemm.any():
        # One axis has all positions, the other one.
        found = gemm_traffic(
            (p.rows.extent * p.columns.extent)[gemm], p.out_channels[gemm], p.in_channels[gemm],
            p.room[gemm], input=p.input[gemm], weight=p.weight[gemm],
            output=(p.outputs / p.elements)[gemm], partial=p.partial[gemm],
            conventions=conventions, relaxed=relaxed,
        )  # fmt: skip
        tile = (
            np.isfinite(found.total), found.tile_m, 1.0, 1.0, 1.0, 1.0, found.tile_k,
            found.tile_n, found.stationary,
        )  # fmt: skip
        for column, values in zip(answer, tile, strict=True):
            column[gemm] = values
    return known | gemm


def _with_parts(
    xp: Any, p: ConvTilingProblem, found: list[Value], times: Value, shape: tuple[int, ...]
) -> ConvolutionTraffic:
    """Return the bytes that a tile of each point moves."""
    fits, rows, columns, row_taps, column_taps, images, ins, outs, kind = found
    at = spots(
        xp, p, cut(xp, p.rows, rows, row_taps, p.relaxed),
        cut(xp, p.columns, columns, column_taps, p.relaxed), images,
    )  # fmt: skip
    read = xp.where(kind == 0, at.by_output, xp.where(kind == 1, at.by_input, at.by_weight))
    read = read * xp.where(kind == 1, 1.0, pieces(xp, p.out_channels, outs, p.relaxed))
    weight = p.weights * xp.where(kind == 2, 1.0, at.count)
    rounds = xp.where(kind == 0, 1.0, at.tap_count * pieces(xp, p.in_channels, ins, p.relaxed))
    partial = (rounds - 1.0) * p.spill / 2.0
    output = p.outputs + 2.0 * partial
    parts = (read + weight + output, read, weight, output, partial)
    columns = (
        *(xp.where(fits, part * times, xp.inf) for part in parts),
        rows, columns, row_taps, column_taps, images, outs, ins, kind,
    )  # fmt: skip
    return ConvolutionTraffic(*(column.reshape(shape) for column in columns))
