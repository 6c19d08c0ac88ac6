"""Flash dies with compute: the tile of a read-compute request, and its time.

Yu et al., "Cambricon-LLM: a chiplet-based hybrid architecture for on-device inference of 70B LLM",
MICRO 2024 (arXiv 2409.15654), sections IV and V.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value, namespace

#: Rule for the width of a matrix's tiles, see `widths`.
Tiling: TypeAlias = Literal["best", "published", "narrowed"]

#: Columns per channel that ``best`` tries: inputs of 32 Ki columns take longer than any page.
_LADDER: Final = 2.0 ** np.arange(16)


class Flash(NamedTuple):
    """Geometry of the flash; every field is a number or an array.

    Attributes
    ----------
    channels
        Buses to the processor.
    dies
        Dies per channel (chips times dies per chip).
    cores
        Cores of a die that multiply; each processes pages of one plane at a time.
    planes
        Planes per die: arrays that read pages independently.
    page
        Bytes of a page, spare area excluded.
    sent
        Bytes on the channel per page of weights (more than `page` where the processor does the
        error correction).
    read_time
        Seconds to read a page from the cells into the page register (tR).
    bandwidth
        Bytes per second of all channels together.
    link
        Bytes per second between the channels and the processor; infinite without a link.
    piece
        Bytes for which a read occupies the channel at once (read slicing); 0 for no waiting.
    core_time
        Seconds for a core to multiply a page by one vector, error correction included.
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
    """A weight matrix in flash and the vectors that it is multiplied by.

    A layout of elements in pages rather than a loop nest to be tiled: pages have a fixed size in
    bytes, so that the width of an element decides how many rows and columns a page covers.

    Attributes
    ----------
    rows, columns
        Outputs and inputs.
    vectors
        Input vectors per read of the weights.
    weight, value, result
        Bytes of an element of the matrix, of an input, and of a partial sum leaving the die.
    """

    rows: Value
    columns: Value
    vectors: Value
    weight: Value
    value: Value
    result: Value


class ReadComputeTile(NamedTuple):
    """Tile of one read-compute request: a page for every core.

    Attributes
    ----------
    columns, rows
        Extents of the tile (W and H of the paper).
    columns_each
        Columns per channel, sent to every die of the channel.
    fill
        Share of the pages of all channels that contain weights: 1 where the number of columns is a
        multiple of the tile's.
    used
        Share of the channels that have columns, over all requests.
    requests
        Requests for the whole matrix; the last one may leave dies idle.
    round_time
        Seconds between two requests.
    inputs, results
        Bytes of inputs and of partial sums on the busiest channel, over all requests. Only rows of
        the matrix have partial sums.
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
    """Return the columns per channel with the fewest bytes of inputs and partial sums.

    A request moves ``columns * value + dies * cores * (page / weight) / columns * result`` bytes
    over a channel: minimal at ``columns = sqrt(dies * cores * page / weight * result / value)``
    (the paper's equation for W and H), here rounded to the power of two with less traffic, in a
    tie the narrower one because its inputs arrive sooner.
    """
    xp = namespace(*flash, *matrix)
    elements = _elements(flash, matrix)
    root = xp.sqrt(elements * matrix.result / matrix.value)
    low = _power_below(root, xp)

    def request_bytes(columns: Value) -> Value:
        return columns * matrix.value + elements / columns * matrix.result

    fewer = request_bytes(2.0 * low) < request_bytes(low) * (1.0 - 1e-12)
    return xp.where(fewer, 2.0 * low, low)


def widths(
    flash: Flash, matrix: FlashMatrix, tiling: Tiling, *, relaxed: bool = False, deep: int = 0
) -> Value:
    """Return the columns per channel under a rule, one or (``best``) many along a first axis.

    Parameters
    ----------
    tiling
        ``published``: `published_columns`, for any matrix. ``narrowed``: the same, but at most the
        least power of two that covers the matrix, so that no channel idles. ``best``: every power
        of two up to a matrix in one channel; the split selects the fastest.
    relaxed
        Use the square root itself, unrounded.
    deep
        Number of axes after the first one, at least those of the fields.
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
    # Widths beyond the matrix leave channels idle, but have fewer partial sums to add.
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
    """Return the tile of a matrix with `each` columns per channel.

    Columns missing in the last tile are read and multiplied all the same.

    Parameters
    ----------
    each
        Columns per channel, a power of two.
    relaxed
        Continuous: no partially filled pages.
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
    # processes the previous page meanwhile (cache register).
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
    """Return the weights that the cores of a channel process at once."""
    return flash.dies * flash.cores * flash.page / matrix.weight


def _power_below(value: Value, xp: Any) -> Value:
    """Return the largest power of two that is at most `value`."""
    return 2.0 ** xp.floor(xp.log2(value) + 1e-9)


def _power_above(value: Value, xp: Any) -> Value:
    """Return the smallest power of two that is at least `value`; at least 1."""
    return 2.0 ** xp.ceil(xp.log2(xp.maximum(value, 1.0)) - 1e-9)
