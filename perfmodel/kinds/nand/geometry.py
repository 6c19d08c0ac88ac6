"""Flash dies that multiply: the tile of a read-compute request, and how long one takes.

Yu et al., "Cambricon-LLM: a chiplet-based hybrid architecture for on-device inference of 70B LLM",
MICRO 2024 (arXiv 2409.15654), sections IV and V.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value, namespace

#: How wide the tiles of a matrix are, see `widths`.
Tiling: TypeAlias = Literal["best", "published", "narrowed"]

#: Columns a channel that ``best`` tries: inputs of 32 Ki columns outlast any page.
_LADDER: Final = 2.0 ** np.arange(16)


class Flash(NamedTuple):
    """Geometry of the flash; every field a number or an array.

    Attributes
    ----------
    channels
        Buses to the processor.
    dies
        Dies a channel (chips times dies a chip).
    cores
        Cores of a die that multiply; each takes pages of one plane at a time.
    planes
        Planes a die: arrays that read a page by themselves.
    page
        Bytes of a page, without its spare area.
    sent
        Bytes that cross the channel for a page of weights (more than `page` where its error
        correction is done by the processor).
    read_time
        Seconds from the cells to the page register (tR).
    bandwidth
        Bytes a second of all channels together.
    link
        Bytes a second between the channels and the processor; infinite where nothing is between.
    piece
        Bytes that a read holds the channel for at once (read slicing); 0 where nothing waits.
    core_time
        Seconds in which a core multiplies a page with one vector, error correction included.
    """

    channels: Value
    dies: Value
    cores: Value
    planes: Value
    page: Value
    sent: Value
    read_time: Value
    bandwidth: Value
    link: Value
    piece: Value
    core_time: Value


class FlashMatrix(NamedTuple):
    """A weight matrix in flash and the vectors that it multiplies.

    Attributes
    ----------
    rows, columns
        Outputs and inputs.
    vectors
        Input vectors that one reading of the weights serves.
    weight, value, result
        Bytes of an element of the matrix, of an input, and of a partial sum as it leaves the die.
    """

    rows: Value
    columns: Value
    vectors: Value
    weight: Value
    value: Value
    result: Value


class ReadComputeTile(NamedTuple):
    """What one read-compute request covers: a page for every core.

    Attributes
    ----------
    columns, rows
        Of the tile (W and H of the paper).
    columns_each
        Columns of a channel; they all go to every die of it.
    fill
        Share of the pages of all channels that holds weights: 1 where the matrix is a multiple of
        the tile wide.
    used
        Share of the channels that columns fall to, over all requests.
    requests
        Requests that multiply the whole matrix; the last need not have work for every die.
    round_time
        Seconds between two requests.
    inputs, results
        Bytes of inputs and of partial sums on the busiest channel, over all requests. Only rows
        that the matrix has give partial sums.
    """

    columns: Value
    rows: Value
    columns_each: Value
    fill: Value
    used: Value
    requests: Value
    round_time: Value
    inputs: Value
    results: Value


def published_columns(flash: Flash, matrix: FlashMatrix) -> Value:
    """Return the columns a channel that move the fewest bytes of inputs and partial sums.

    A request moves ``columns * value + cores * page_elements / columns * result`` over a channel:
    least at the square root (the paper's equation for W and H), here the power of two with less
    traffic, the narrower of two alike because its inputs arrive sooner.
    """
    xp = namespace(*flash, *matrix)
    elements = _elements(flash, matrix)
    root = xp.sqrt(elements * matrix.result / matrix.value)
    low = _power_below(root, xp)

    def moved(columns: Value) -> Value:
        return columns * matrix.value + elements / columns * matrix.result

    return xp.where(moved(2.0 * low) < moved(low) * (1.0 - 1e-12), 2.0 * low, low)


def widths(
    flash: Flash, matrix: FlashMatrix, tiling: Tiling, *, relaxed: bool = False, deep: int = 0
) -> Value:
    """Return the columns a channel that a rule allows, one or (``best``) many along a first axis.

    Parameters
    ----------
    tiling
        ``published``: `published_columns`, whatever the matrix. ``narrowed``: the same, but at most
        the least power of two that covers the matrix, so that no channel idles. ``best``: every
        power of two up to a matrix in one channel; the split takes the fastest.
    relaxed
        With the square root itself, any width.
    deep
        Axes that the first one stands before, at least those of the fields.
    """
    xp = namespace(*flash, *matrix)
    traffic = published_columns(flash, matrix)
    if relaxed:
        traffic = xp.sqrt(_elements(flash, matrix) * matrix.result / matrix.value)
    if tiling == "published":
        return traffic
    if tiling == "narrowed":
        cover = _power_above(matrix.columns / flash.channels, xp)
        return traffic if relaxed else xp.minimum(traffic, cover)
    deep = max(deep, *(np.ndim(part) for part in (*flash, *matrix)))
    # Wider than covers the matrix leaves channels idle, and has fewer partial sums to add.
    tried = xp.minimum(
        xp.asarray(_LADDER).reshape(-1, *(1,) * deep), _power_above(matrix.columns, xp)
    )
    if not relaxed:
        return tried
    root = xp.broadcast_to(traffic, tried.shape)
    return xp.concatenate([tried, root[:1]], axis=0)


def tile(
    flash: Flash, matrix: FlashMatrix, each: Value, *, relaxed: bool = False
) -> ReadComputeTile:
    """Return the tile of a matrix that is `each` columns a channel wide.

    What the last tile lacks in columns is read and multiplied all the same.

    Parameters
    ----------
    each
        Columns a channel, a power of two.
    relaxed
        Continuous: no page with room to spare.
    """
    xp = namespace(*flash, *matrix, each)
    elements = _elements(flash, matrix)
    wide = each * flash.channels
    groups, tiles = matrix.columns / each, matrix.columns / wide
    if not relaxed:
        groups, tiles = xp.ceil(groups - 1e-9), xp.ceil(tiles - 1e-9)
    fill = matrix.columns / (wide * tiles)
    height = elements / each
    requests = tiles * matrix.rows / height
    lane = flash.bandwidth / flash.channels
    inputs = matrix.vectors * each * matrix.value
    # The array waits for the inputs, and these on average for half a piece of a read; the core
    # works on the page before meanwhile (cache register).
    waits = flash.read_time + (inputs + 0.5 * flash.piece) / lane
    time = xp.maximum(waits, matrix.vectors * flash.core_time)
    results = matrix.vectors * matrix.rows * tiles * matrix.result
    return ReadComputeTile(
        wide,
        height,
        each,
        fill,
        groups / (tiles * flash.channels),
        requests,
        time,
        requests * inputs,
        results,
    )


def _elements(flash: Flash, matrix: FlashMatrix) -> Value:
    """Return the weights that the cores of a channel take at once."""
    return flash.dies * flash.cores * flash.page / matrix.weight


def _power_below(value: Value, xp: Any) -> Value:
    """Return the largest power of two that is no larger."""
    return 2.0 ** xp.floor(xp.log2(value) + 1e-9)


def _power_above(value: Value, xp: Any) -> Value:
    """Return the smallest power of two that is no smaller; at least 1."""
    return 2.0 ** xp.ceil(xp.log2(xp.maximum(value, 1.0)) - 1e-9)
