"""Flash dies that multiply: the tile of a read-compute request, and how long one takes.

Yu et al., "Cambricon-LLM: a chiplet-based hybrid architecture for on-device inference of 70B LLM",
MICRO 2024 (arXiv 2409.15654), sections IV and V.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from perfmodel.arrays import Value, namespace


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


class Matrix(NamedTuple):
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


class Tile(NamedTuple):
    """What one read-compute request covers: a page for every core.

    Attributes
    ----------
    columns, rows
        Of the tile (W and H of the paper).
    columns_each
        Columns of a channel; they all go to every die of it.
    fill
        Share of the page that holds weights: 1 where the matrix is a multiple of the tile wide.
    round_time
        Seconds between two requests.
    vector_bytes
        Inputs and partial sums of a request on one channel.
    """

    columns: Value
    rows: Value
    columns_each: Value
    fill: Value
    round_time: Value
    vector_bytes: Value


def best_columns(flash: Flash, matrix: Matrix) -> Value:
    """Return the columns a channel that move the fewest bytes of inputs and partial sums.

    A request moves ``columns * value + cores * page_elements / columns * result`` over a channel:
    least at the square root (the paper's equation for W and H), here the power of two with less
    traffic, the narrower of two alike because its inputs arrive sooner.
    """
    xp = namespace(*flash, *matrix)
    elements = flash.dies * flash.cores * flash.page / matrix.weight
    root = xp.sqrt(elements * matrix.result / matrix.value)
    low = _power_below(root, xp)

    def moved(columns: Value) -> Value:
        return columns * matrix.value + elements / columns * matrix.result

    return xp.where(moved(2.0 * low) < moved(low) * (1.0 - 1e-12), 2.0 * low, low)


def tile(flash: Flash, matrix: Matrix, columns: Value = 0.0, *, relaxed: bool = False) -> Tile:
    """Return the tile of a matrix.

    Every extent of an atomic tile (a page) is a power of two; a matrix narrower than the tile gets
    the narrowest one that covers it, so that no channel idles. What the last tile lacks in columns
    is read and multiplied all the same.

    Parameters
    ----------
    columns
        Columns of the tile over all channels; 0 takes `best_columns`.
    relaxed
        Continuous: any width, no page with room to spare.
    """
    xp = namespace(*flash, *matrix, columns)
    elements = flash.dies * flash.cores * flash.page / matrix.weight
    if relaxed:
        each = xp.sqrt(elements * matrix.result / matrix.value)
        fill: Value = 1.0
    else:
        cover = _power_above(matrix.columns / flash.channels, xp)
        each = xp.where(
            columns > 0, columns / flash.channels, xp.minimum(best_columns(flash, matrix), cover)
        )
        wide = each * flash.channels
        fill = matrix.columns / (wide * xp.ceil(matrix.columns / wide - 1e-9))
    height = elements / each
    lane = flash.bandwidth / flash.channels
    inputs = matrix.vectors * each * matrix.value
    # The array waits for the inputs, and these on average for half a piece of a read; the core
    # works on the page before meanwhile (cache register).
    waits = flash.read_time + (inputs + 0.5 * flash.piece) / lane
    time = xp.maximum(waits, matrix.vectors * flash.core_time)
    moved = inputs + matrix.vectors * height * matrix.result
    return Tile(each * flash.channels, height, each, fill, time, moved)


def _power_below(value: Value, xp: Any) -> Value:
    """Return the largest power of two that is no larger."""
    return 2.0 ** xp.floor(xp.log2(value) + 1e-9)


def _power_above(value: Value, xp: Any) -> Value:
    """Return the smallest power of two that is no smaller; at least 1."""
    return 2.0 ** xp.ceil(xp.log2(xp.maximum(value, 1.0)) - 1e-9)
