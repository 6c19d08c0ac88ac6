"""Optimal split of a weight matrix between the flash dies and the processor.

Tiles are multiplied in the dies, one request after another; the remaining weights are streamed
over the channels in the time that requests leave free. The split is optimal, and under tiling
``best`` so is the width of the tiles: dies and channels may idle, so that more of either never
increases the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import combinations
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.nand.geometry import Flash, FlashMatrix, ReadComputeTile, Tiling, tile, widths

#: Largest number of points for which all widths are tried in one array.
_STACKED: Final = 4096
#: Relative difference below which two times count as equal.
_ALIKE: Final = 1e-14


class FlashSplit(NamedTuple):
    """Time, traffic and shares of one multiplication by a matrix in flash.

    Attributes
    ----------
    seconds
        Time until both parts are done.
    rounds
        Read-compute requests; each reads at most a page per core.
    streamed
        Bytes of weights streamed over the channels, spare area excluded.
    channel_bytes
        Bytes over all channels: streamed pages with spare area, inputs and partial sums.
    request_bytes
        Bytes read from the cells for requests, padding included.
    array_bytes
        All bytes read from the cells: for requests and for streaming.
    host_share
        Share of the weights that the processor multiplies.
    partial_sums
        Partial sums that the processor adds up.
    tile
        Tile of the requests.
    add_time
        Seconds for the processor to add the partial sums.
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
    """Return the split of a matrix with the least time.

    With a share ``f`` of the weights multiplied in the dies and ``1 - f`` streamed, the time is the
    maximum of

    - the dies: ``ceil(f * requests) * round_time``;
    - the busiest channel: ``((1 - f) * weights * sent / page / channels + f * (inputs + results)) /
      lane``;
    - the link to the processor, where narrower than the channels: the traffic of all channels;
    - the cells: each page read occupies one of the planes for ``read_time``;
    - the processor: its share of ``host_time``, and one operation per partial sum.

    All but the first are linear in ``f``. The optimal ``f`` is at a crossing of two of them, or
    fills the requests below or above a crossing with the first: all candidates are evaluated.

    Parameters
    ----------
    host_time
        Seconds for the processor to multiply the whole matrix.
    columns
        Columns of the tile over all channels; 0 leaves the width to `tiling`.
    tiling
        As in `perfmodel.kinds.nand.geometry.widths`.
    relaxed
        Continuous: fractional requests, no partially filled pages.

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
    candidates = widths(flash, matrix, tiling, relaxed=relaxed, deep=len(shape))

    def at(each: Value) -> FlashSplit:
        each = xp.where(columns > 0, columns / flash.channels, each)
        return _split(flash, matrix, host_time, each, relaxed, xp)

    if tiling != "best":
        return at(candidates)
    # All widths at once, or one after another where the arrays would exceed the caches.
    choose = _together if prod(shape) <= _STACKED else _in_turn
    return at(choose(at, candidates, xp))


def _together(at: Callable[[Value], FlashSplit], tried: Value, xp: Any) -> Value:
    """Return the fastest width along the first axis; in a tie the one with less traffic."""
    trials = at(tried)
    alike = trials.seconds <= xp.min(trials.seconds, axis=0) * (1.0 + _ALIKE)
    best = xp.argmin(xp.where(alike, trials.channel_bytes, xp.inf), axis=0)[None]
    return xp.take_along_axis(xp.broadcast_to(tried, trials.seconds.shape), best, axis=0)[0]


def _in_turn(at: Callable[[Value], FlashSplit], tried: Value, xp: Any) -> Value:
    """Return the same as `_together`, one width at a time."""
    each = tried[0]
    first = at(each)
    time, traffic = first.seconds, first.channel_bytes
    for width in tried[1:]:
        trial = at(width)
        alike = xp.abs(trial.seconds - time) <= _ALIKE * time
        better = xp.where(alike, trial.channel_bytes < traffic, trial.seconds < time)
        each = xp.where(better, width, each)
        time = xp.where(better, trial.seconds, time)
        traffic = xp.where(better, trial.channel_bytes, traffic)
    return each


class _Line(NamedTuple):
    """Seconds of a resource, linear in the share multiplied in the dies: at share 0 and at 1."""

    nothing: Value
    everything: Value

    def at(self, share: Value) -> Value:
        """Return the seconds at a given share."""
        return (1.0 - share) * self.nothing + share * self.everything


def _crossing(one: _Line, other: _Line, xp: Any) -> Value:
    """Return the share at which two lines cross, clipped to 0 and 1; 0 where parallel."""
    (a, b), (c, d) = one, other
    slope = (b - a) - (d - c)
    parallel = xp.abs(slope) <= 1e-12 * (a + b + c + d)
    at = xp.where(parallel, 0.0, (c - a) / xp.where(parallel, 1.0, slope))
    return xp.clip(at, 0.0, 1.0)


def _shares(
    lines: Sequence[_Line], dies: _Line, requests: Value, relaxed: bool, xp: Any
) -> list[Value]:
    """Return candidate shares: ends, crossings, and requests filled at a crossing."""
    tried: list[Value] = [dies.nothing, dies.nothing + 1.0]
    tried += [_crossing(one, other, xp) for one, other in combinations(lines, 2)]
    for line in lines:
        crossing = _crossing(dies, line, xp)
        if relaxed:
            tried.append(crossing)
            continue
        below = xp.floor(crossing * requests + 1e-9) / requests
        above = xp.ceil(crossing * requests - 1e-9) / requests
        tried += [xp.minimum(below, 1.0), xp.minimum(above, 1.0)]
    return tried


def _split(
    flash: Flash, matrix: FlashMatrix, host_time: Value, each: Value, relaxed: bool, xp: Any
) -> FlashSplit:
    """Return the optimal split for tiles with `each` columns per channel."""
    shape = tile(flash, matrix, each, relaxed=relaxed)
    outputs = matrix.vectors * matrix.rows
    weights = matrix.rows * matrix.columns * matrix.weight
    pages = flash.channels * flash.dies * flash.cores * flash.page
    stream = weights * (flash.sent / flash.page)
    request_traffic = (shape.inputs + shape.results) * flash.channels
    cell_time = flash.read_time * flash.cores / flash.planes
    sums = outputs * flash.channels * shape.used * (shape.results / (outputs * matrix.result))
    adds = 0.5 * sums / (outputs * matrix.columns) * host_time
    nothing = 0.0 * shape.requests
    dies = _Line(nothing, shape.requests * shape.round_time)
    lines = [
        _Line(stream / flash.bandwidth + nothing, request_traffic / flash.bandwidth),
        _Line(stream / flash.link + nothing, request_traffic * shape.used / flash.link),
        _Line(weights / pages * cell_time + nothing, shape.requests * cell_time),
        _Line(host_time + nothing, adds + nothing),
    ]

    def requests(share: Value) -> Value:
        rounds = share * shape.requests
        return rounds if relaxed else xp.ceil(rounds * (1.0 - 1e-12))

    def seconds(share: Value) -> Value:
        linear = (line.at(share) for line in lines)
        return reduce(xp.maximum, linear, requests(share) * shape.round_time)

    share, *further = _shares(lines, dies, shape.requests, relaxed, xp)
    best = seconds(share)
    for candidate in further:
        time = seconds(candidate)
        share = xp.where(time < best, candidate, share)
        best = xp.minimum(time, best)
    request_bytes = share * shape.requests * pages * shape.used
    streamed = weights * (1.0 - share)
    return FlashSplit(
        best,
        requests(share),
        streamed,
        stream * (1.0 - share) + share * request_traffic * shape.used,
        request_bytes,
        request_bytes + streamed,
        1.0 - share,
        share * sums,
        shape,
        share * adds,
    )


def in_flash_time(flash: Flash, weights: Value, round_time: Value) -> Value:
    """Return seconds to multiply all weights in the dies, page after page.

    Reference for tilings: nothing is streamed, and no page is partially filled.

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
