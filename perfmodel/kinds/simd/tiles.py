"""How a kernel cuts its loops: register tiles with their remainders, pixels at a padded edge.

Every function is pure over arrays that broadcast, and continuous: a tile that is begun counts in
proportion until it holds one row, so that extents between whole numbers have a value and a slope.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.workload.shapes import Nests


class RegisterTiles(NamedTuple):
    """Tiles of one size: how many, and how many rows (pixels, vectors) each holds."""

    count: Value
    rows: Value


class Edges(NamedTuple):
    """Outputs along one axis of a convolution, and the taps that fall on the image.

    Attributes
    ----------
    inside
        Outputs whose whole window is on the image.
    padded
        Outputs whose window reaches into the padding.
    taps
        Taps on the image, summed over all outputs of the axis.
    """

    inside: Value
    padded: Value
    taps: Value


def blocks(extent: Value, size: Value) -> Value:
    """Return the blocks of `size` that cover an extent (channels padded to the vector).

    ``ceil(extent / size)`` of whole extents, in proportion between them.
    """
    xp = namespace(extent, size)
    full = xp.floor(extent / size)
    return full + xp.minimum(extent - full * size, 1.0)


def pieces(extent: Value, size: Value) -> tuple[RegisterTiles, RegisterTiles]:
    """Return the full pieces of `size` of an extent, and the piece of what is left."""
    xp = namespace(extent, size)
    full = xp.floor(extent / size)
    left = extent - full * size
    return RegisterTiles(full, size), RegisterTiles(xp.minimum(left, 1.0), xp.maximum(left, 1.0))


def row_tiles(rows: Value, size: Value) -> tuple[RegisterTiles, RegisterTiles, RegisterTiles]:
    """Return the tiles of a run of rows: full ones, a half one, and one of what is left.

    A kernel of `size` rows works the remainder off with its smaller siblings: 11 pixels are a tile
    of 6, one of 3 and one of 2.
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
    """Return where the windows of one axis of a convolution lie.

    The padding before the image is the larger half of what the outputs reach beyond it, as
    frameworks have it for odd kernels. Exact for a dilation of 1, and where no window misses the
    image on both sides by more than its taps.

    Parameters
    ----------
    inputs, outputs, kernel, stride, dilation
        Extents along the axis; inputs without padding.
    """
    xp = namespace(inputs, outputs, kernel, stride)
    reach = dilation * (kernel - 1.0)
    beyond = xp.maximum((outputs - 1.0) * stride + reach + 1.0 - inputs, 0.0)
    before = blocks(beyond, 2.0)
    after = beyond - before
    left = xp.minimum(blocks(before, stride), outputs)
    right = xp.minimum(blocks(after, stride), outputs)
    # Window i from the edge misses (padding - i x stride) / dilation of its taps.
    missed = (left * before - stride * left * (left - 1.0) / 2.0) / dilation
    missed = missed + (right * after - stride * right * (right - 1.0) / 2.0) / dilation
    inside = xp.maximum(outputs - left - right, 0.0)
    taps = xp.maximum(outputs * kernel - missed, outputs)
    return Edges(inside, outputs - inside, taps)


def nest_edges(nests: Nests) -> tuple[Edges, Edges]:
    """Return where the windows of nests lie, down the image and across it."""
    down, across, tall, wide = nests.window_steps
    return (
        edges(nests.in_rows, nests.out_rows, nests.kernel_rows, down, tall),
        edges(nests.in_columns, nests.out_columns, nests.kernel_columns, across, wide),
    )
