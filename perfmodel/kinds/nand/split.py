"""How a weight matrix is shared between the dies and the processor.

Tiles are multiplied in the dies, a request after another; the rest of the weights crosses the
channels in the time that the requests leave free. The split is the best one, and (tiling ``best``)
so is the width of the tiles: dies and channels without work may idle, so more of either never
takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import combinations
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.nand.geometry import Flash, FlashMatrix, ReadComputeTile, Tiling, tile, widths

#: Points of which all widths are tried at once.
_STACKED: Final = 4096
#: Relative difference of two times that are the same.
_ALIKE: Final = 1e-14


class FlashSplit(NamedTuple):
    """One multiplication by a matrix that lies in flash.

    Attributes
    ----------
    seconds
        Until both parts are done.
    rounds
        Read-compute requests; each takes at most a page for every core.
    streamed
        Bytes of weights that the channels carry, as they lie in the pages.
    channel_bytes
        Bytes over all channels: what is streamed with its spare area, inputs and partial sums.
    request_bytes
        Bytes read from the cells for requests, padding included.
    array_bytes
        All bytes read from the cells: those of requests and what is streamed.
    host_share
        Share of the weights that the processor multiplies.
    partial_sums
        Partial sums that the processor adds up.
    tile
        Of the requests.
    add_time
        Seconds in which the processor adds them.
    """

    seconds: Value
    rounds: Value
    streamed: Value
    channel_bytes: Value
    request_bytes: Value
    array_bytes: Value
    host_share: Value
    partial_sums: Value
    tile: ReadComputeTile
    add_time: Value


def split(
    flash: Flash,
    matrix: FlashMatrix,
    host_time: Value = 0.0,
    *,
    columns: Value = 0.0,
    tiling: Tiling = "best",
    relaxed: bool = False,
) -> FlashSplit:
    """Return the split of a matrix that takes the least time.

    With a share ``f`` of the weights multiplied in the dies and ``1 - f`` streamed, the time is the
    largest of

    - the dies: ``ceil(f * requests) * round_time``;
    - the busiest channel: ``((1 - f) * weights * sent / page / channels + f * (inputs + results)) /
      lane``;
    - the link to the processor, where it is narrower than the channels: as all channels together;
    - the cells: each page that is read takes one of the planes for ``read_time``;
    - the processor: its share of ``host_time``, and one operation a partial sum.

    All but the first are linear in ``f``. The best ``f`` lies at a crossing of two of them, or
    fills the requests below or above a crossing with the first: all are tried at once.

    Parameters
    ----------
    host_time
        Seconds in which the processor would multiply all of the matrix.
    columns
        Columns of the tile over all channels; 0 leaves the width to `tiling`.
    tiling
        As `perfmodel.kinds.nand.geometry.widths` takes it.
    relaxed
        No whole number of requests, no page with room to spare.

    Notes
    -----
    ``matrix = (2 * macs * host_share + partial_sums) / (peak * efficiency)``
        Yu et al., Cambricon-LLM, MICRO 2024, arXiv 2409.15654, section V

    ``memory = flash: runs * max(rounds * round, channel_bytes / bandwidth, pages * read_time /
    planes, host_share * processor + sums), round = max(read_time + (inputs + piece / 2) / channel,
    vectors * core_time); others: latency + bytes / bandwidth``
        Yu et al., Cambricon-LLM, MICRO 2024, arXiv 2409.15654, section V
    """
    parts = (*flash, *matrix, host_time, columns)
    xp = namespace(*parts)
    shape = np.broadcast_shapes(*(np.shape(part) for part in parts))
    found = widths(flash, matrix, tiling, relaxed=relaxed, deep=len(shape))

    def at(each: Value) -> FlashSplit:
        each = xp.where(columns > 0, columns / flash.channels, each)
        return _split(flash, matrix, host_time, each, relaxed, xp)

    if tiling != "best":
        return at(found)
    # All widths at once, or one after the other where the arrays would leave the caches.
    choose = _together if prod(shape) <= _STACKED else _in_turn
    return at(choose(at, found, xp))


def _together(at: Callable[[Value], FlashSplit], tried: Value, xp: Any) -> Value:
    """Return the fastest of the widths along the first axis; of two alike the lighter."""
    found = at(tried)
    alike = found.seconds <= xp.min(found.seconds, axis=0) * (1.0 + _ALIKE)
    best = xp.argmin(xp.where(alike, found.channel_bytes, xp.inf), axis=0)[None]
    return xp.take_along_axis(xp.broadcast_to(tried, found.seconds.shape), best, axis=0)[0]


def _in_turn(at: Callable[[Value], FlashSplit], tried: Value, xp: Any) -> Value:
    """Return what `_together` returns, with arrays of one width at a time."""
    each = tried[0]
    first = at(each)
    time, moved = first.seconds, first.channel_bytes
    for width in tried[1:]:
        found = at(width)
        alike = xp.abs(found.seconds - time) <= _ALIKE * time
        better = xp.where(alike, found.channel_bytes < moved, found.seconds < time)
        each = xp.where(better, width, each)
        time = xp.where(better, found.seconds, time)
        moved = xp.where(better, found.channel_bytes, moved)
    return each


def _split(
    flash: Flash, matrix: FlashMatrix, host_time: Value, each: Value, relaxed: bool, xp: Any
) -> FlashSplit:
    shape = tile(flash, matrix, each, relaxed=relaxed)
    weights = matrix.rows * matrix.columns * matrix.weight
    pages = flash.channels * flash.dies * flash.cores * flash.page
    stream = weights * (flash.sent / flash.page)
    moved = (shape.inputs + shape.results) * flash.channels
    cell_time = flash.read_time * flash.cores / flash.planes
    sums = (
        matrix.vectors
        * matrix.rows
        * flash.channels
        * shape.used
        * (shape.results / (matrix.vectors * matrix.rows * matrix.result))
    )
    adds = 0.5 * sums / (matrix.vectors * matrix.rows * matrix.columns) * host_time
    # Seconds of each part where nothing, and where all, is multiplied in the dies.
    nothing = 0.0 * shape.requests
    lines: list[tuple[Value, Value]] = [
        (stream / flash.bandwidth + nothing, moved / flash.bandwidth),
        (stream / flash.link + nothing, moved * shape.used / flash.link),
        (weights / pages * cell_time + nothing, shape.requests * cell_time),
        (host_time + nothing, adds + nothing),
    ]
    dies = (nothing, shape.requests * shape.round_time)

    def requests(share: Value) -> Value:
        rounds = share * shape.requests
        return rounds if relaxed else xp.ceil(rounds * (1.0 - 1e-12))

    def seconds(share: Value) -> Value:
        rest = [(1.0 - share) * first + share * last for first, last in lines]
        return reduce(xp.maximum, rest, requests(share) * shape.round_time)

    def crossing(one: tuple[Value, Value], other: tuple[Value, Value]) -> Value:
        (a, b), (c, d) = one, other
        slope = (b - a) - (d - c)
        parallel = xp.abs(slope) <= 1e-12 * (a + b + c + d)
        at = xp.where(parallel, 0.0, (c - a) / xp.where(parallel, 1.0, slope))
        return xp.clip(at, 0.0, 1.0)

    tried: list[Value] = [nothing, nothing + 1.0]
    tried += [crossing(one, other) for one, other in combinations(lines, 2)]
    for line in lines:
        found = crossing(dies, line)
        if relaxed:
            tried.append(found)
            continue
        below = xp.floor(found * shape.requests + 1e-9) / shape.requests
        above = xp.ceil(found * shape.requests - 1e-9) / shape.requests
        tried += [xp.minimum(below, 1.0), xp.minimum(above, 1.0)]
    best, share = seconds(tried[0]), tried[0]
    for candidate in tried[1:]:
        time = seconds(candidate)
        share = xp.where(time < best, candidate, share)
        best = xp.minimum(time, best)
    request_bytes = share * shape.requests * pages * shape.used
    rest = weights * (1.0 - share)
    return FlashSplit(
        best,
        requests(share),
        rest,
        stream * (1.0 - share) + share * moved * shape.used,
        request_bytes,
        request_bytes + rest,
        1.0 - share,
        share * sums,
        shape,
        share * adds,
    )


def in_flash_time(flash: Flash, weights: Value, round_time: Value) -> Value:
    """Return the seconds of multiplying all weights in the dies, pages one after the other.

    What tiling is measured against: nothing is streamed, and no page has room to spare.

    Parameters
    ----------
    weights
        Bytes of the matrix.
    round_time
        Seconds between two requests.
    """
    xp = namespace(*flash, weights, round_time)
    pages = flash.channels * flash.dies * flash.cores * flash.page
    return xp.ceil(weights / pages - 1e-9) * round_time
