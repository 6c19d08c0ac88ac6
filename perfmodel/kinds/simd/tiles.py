"""Loop tiling of a CPU kernel: register tiles with remainders, pixels at a padded edge.

Every function is pure over arrays that broadcast, and continuous: a partial tile counts in
proportion until it holds one row, so that fractional extents have a value and a derivative.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.workload.nest_table import Nests


class RegisterTiles(NamedTuple):
    """Tiles of one size: their number, and the rows (pixels, vectors) in each."""

    count: Value
    rows: Value


class Edges(NamedTuple):
    """Outputs along one axis of a convolution, and their taps on the image.

    Attributes
    ----------
    inside
        Outputs with the full window on the image.
    padded
        Outputs with part of the window on the padding.
    taps
        Taps on the image, summed over all outputs of the axis.
    """

    inside: Value
    padded: Value
    taps: Value


def blocks(extent: Value, size: Value) -> Value:
    """Return the number of blocks of `size` that cover an extent (channels padded to the vector).

    ``ceil(extent / size)`` for integers, linear in between.
    """
    xp = namespace(extent, size)
    full = xp.floor(extent / size)
    return full + xp.minimum(extent - full * size, 1.0)


def pieces(extent: Value, size: Value) -> tuple[RegisterTiles, RegisterTiles]:
    """Return the full pieces of `size` in an extent, and the remainder as a piece."""
    xp = namespace(extent, size)
    full = xp.floor(extent / size)
    left = extent - full * size
    return RegisterTiles(full, size), RegisterTiles(xp.minimum(left, 1.0), xp.maximum(left, 1.0))


def row_tiles(rows: Value, size: Value) -> tuple[RegisterTiles, RegisterTiles, RegisterTiles]:
    """Return the tiles of a run of rows: full ones, a half one, and the remainder.

    A kernel with `size` rows has smaller variants for the remainder: 11 pixels are a tile of 6, one
    of 3 and one of 2.
    """
    xp = namespace(rows, size)
    full = xp.floor(rows / size)
    left = rows - full * size
    half = xp.maximum(xp.floor(size / 2.0), 1.0)
    some = xp.minimum(xp.floor(left / half), 1.0)
    left = left - some * half
    return (
        RegisterTiles(full, size),
        RegisterTiles(some, half),
        RegisterTiles(xp.minimum(left, 1.0), xp.maximum(left, 1.0)),
    )


def edges(inputs: Value, outputs: Value, kernel: Value, stride: Value, dilation: Value) -> Edges:
    """Return the positions of a convolution's windows relative to the image along one axis.

    The padding before the image is half of the total, rounded up, as in frameworks for odd kernels.
    Exact for a dilation of 1, and where no window misses the image on both sides by more than its
    taps.

    Parameters
    ----------
    inputs, outputs, kernel, stride, dilation
        Extents along the axis; inputs without padding.
    """
    xp = namespace(inputs, outputs, kernel, stride)
    reach = dilation * (kernel - 1.0)
    padding = xp.maximum((outputs - 1.0) * stride + reach + 1.0 - inputs, 0.0)
    before = blocks(padding, 2.0)
    after = padding - before
    left = xp.minimum(blocks(before, stride), outputs)
    right = xp.minimum(blocks(after, stride), outputs)
    # Window i from the edge misses (padding - i x stride) / dilation of its taps.
    missed = (left * before - stride * left * (left - 1.0) / 2.0) / dilation
    missed = missed + (right * after - stride * right * (right - 1.0) / 2.0) / dilation
    inside = xp.maximum(outputs - left - right, 0.0)
    taps = xp.maximum(outputs * kernel - missed, outputs)
    return Edges(inside, outputs - inside, taps)


def nest_edges(nests: Nests) -> tuple[Edges, Edges]:
    """Return the positions of windows of nests, along rows and along columns."""
    down, across, row_dilation, column_dilation = nests.window_steps
    return (
        edges(nests.in_rows, nests.out_rows, nests.kernel_rows, down, row_dilation),
        edges(nests.in_columns, nests.out_columns, nests.kernel_columns, across, column_dilation),
    )
