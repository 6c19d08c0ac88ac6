"""Optimal split of a weight matrix between the flash dies and the processor.

The cores in the dies multiply a share f of the weights where they are stored, one read-compute
request after another; meanwhile the other weights are streamed over the channels to the processor,
which multiplies them (Yu et al., Cambricon-LLM, MICRO 2024, arXiv 2409.15654). The time t(f), see
`split`, is a maximum of functions of f that are linear, except for a step function of complete
requests. Its minimum is therefore at a crossing of two of them, or at a step next to a crossing:
all of these are evaluated, which is exact. The kind `nand` calls `split` for every weight matrix.

Under the tiling ``best`` the width of the tiles is optimised as well, by enumeration. Dies and
channels may idle, so that more of either never increases the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.distinct_columns import TRACED, Floats, by_distinct_column
from perfmodel.kinds.nand.geometry import Flash, FlashMatrix, ReadComputeTile, Tiling, tile, widths

#: Matrices whose widths are tried together, so that their times fit the nearest caches.
_PIECE: Final = 256
#: Relative difference below which two times count as equal.
_EQUAL: Final = 1e-14


class FlashSplit(NamedTuple):
    """Time, traffic and shares of one multiplication by a matrix in flash, at the optimal split.

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

    With the share ``f`` of the weights multiplied in the dies, in seconds::

        t(f)      = max(t_dies, t_channel, t_link, t_cells, t_host)
        t_dies    = ceil(f R) t_round
        t_channel = ((1 - f) W sent / page + f C (I + S)) / B        busiest channel
        t_link    = ((1 - f) W sent / page + f C (I + S) u) / L      channels to processor
        t_cells   = ((1 - f) W / (C D page) + f R cores) t_read / planes
        t_host    = (1 - f) t_all + f t_add
        t_add     = P / (2 M) t_all

    with

    - R requests for all weights, each of a page for every core, and one every ``t_round`` seconds
      (`perfmodel.kinds.nand.geometry`);
    - W bytes of weights, in pages of ``page`` bytes, of which ``sent`` bytes cross a channel;
    - C channels with D dies each, B bytes per second together; the link has L;
    - I and S bytes of inputs and of partial sums on the busiest channel, u the share of the
      channels that have columns of the matrix;
    - ``t_read`` seconds to read a page, for one of the ``planes`` of a die;
    - ``t_all`` seconds for the processor to perform all M multiply-accumulates. To add P partial
      sums is one operation each, where a multiply-accumulate is two.

    Parameters
    ----------
    flash, matrix
        Geometry of the flash, and the matrix with its vectors.
    host_time
        Seconds for the processor to multiply the full matrix, ``t_all``.
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

    In the last equation, ``runs`` are the executions of the matrix and ``pages`` those that a die
    reads; ``processor`` is ``t_all``, ``sums`` is ``f t_add``, and ``channel`` the bandwidth of one
    channel.
    """
    problem = _FlashSplitProblem(flash, matrix, host_time, columns)
    xp = namespace(*flash, *matrix, host_time, columns)
    if tiling != "best":
        return problem.at(widths(flash, matrix, tiling, relaxed=relaxed), relaxed, xp)
    numbers = {**flash._asdict(), **matrix._asdict(), "host_time": host_time, "width": columns}
    if xp is TRACED or (xp is np and any(map(np.ndim, numbers.values()))):
        width = by_distinct_column(numbers, partial(_fastest_of, relaxed=relaxed), 1, _PIECE)[0]
    else:
        width = problem.fastest(relaxed, xp)
    return problem.at(width, relaxed, xp)


class _FlashSplitProblem(NamedTuple):
    """Arguments of `split`."""

    flash: Flash
    matrix: FlashMatrix
    host_time: Value
    columns: Value

    def at(self, width: Value, relaxed: bool, xp: Any) -> FlashSplit:
        """Return the split at a width of tiles, where `columns` leaves it open."""
        width = xp.where(self.columns > 0, self.columns / self.flash.channels, width)
        return _split_at_width(self.flash, self.matrix, self.host_time, width, relaxed, xp)

    def fastest(self, relaxed: bool, xp: Any) -> Value:
        """Return the fastest width; in a tie the one with less traffic."""
        deep = max(np.ndim(part) for part in (*self[2:], 0.0))
        candidates = widths(self.flash, self.matrix, "best", relaxed=relaxed, deep=deep)
        splits = self.at(candidates, relaxed, xp)
        tied = splits.seconds <= xp.min(splits.seconds, axis=0) * (1.0 + _EQUAL)
        best = xp.argmin(xp.where(tied, splits.channel_bytes, xp.inf), axis=0)[None]
        tried = xp.broadcast_to(candidates, splits.seconds.shape)
        return xp.take_along_axis(tried, best, axis=0)[0]


def _fastest_of(numbers: dict[str, Value], relaxed: bool) -> Floats:
    """Return the fastest widths of columns of numbers, ``(1, columns)``."""
    flash = Flash(*(numbers[name] for name in Flash._fields))
    matrix = FlashMatrix(*(numbers[name] for name in FlashMatrix._fields))
    problem = _FlashSplitProblem(flash, matrix, numbers["host_time"], numbers["width"])
    return problem.fastest(relaxed, np)[None]


class _LinearSeconds(NamedTuple):
    """Seconds of a resource, linear in the share f of the weights multiplied in the dies.

    Attributes
    ----------
    all_streamed, all_in_dies
        Seconds at ``f = 0`` and at ``f = 1``.
    """

    all_streamed: Value
    all_in_dies: Value

    def at(self, share: Value) -> Value:
        """Return ``(1 - f) all_streamed + f all_in_dies``."""
        return (1.0 - share) * self.all_streamed + share * self.all_in_dies


def _crossing(one: _LinearSeconds, other: _LinearSeconds, xp: Any) -> Value:
    """Return the share at which two lines cross, clipped to 0 and 1; 0 where parallel."""
    (a, b), (c, d) = one, other
    slope = (b - a) - (d - c)
    parallel = xp.abs(slope) <= 1e-12 * (a + b + c + d)
    at = xp.where(parallel, 0.0, (c - a) / xp.where(parallel, 1.0, slope))
    return xp.clip(at, 0.0, 1.0)


def _candidate_shares(
    lines: Sequence[_LinearSeconds], dies: _LinearSeconds, requests: Value, relaxed: bool, xp: Any
) -> list[Value]:
    """Return shares among which the fastest is: 0, 1, crossings of two lines, and steps.

    The time of the dies is a line in `dies` but a step function in truth; from its crossing with
    another line the share is therefore rounded to a complete request, down and up.
    """
    zero = 0.0 * requests
    candidates: list[Value] = [zero, zero + 1.0]
    candidates += [_crossing(one, other, xp) for one, other in combinations(lines, 2)]
    for line in lines:
        crossing = _crossing(dies, line, xp)
        if relaxed:
            candidates.append(crossing)
            continue
        below = xp.floor(crossing * requests + 1e-9) / requests
        above = xp.ceil(crossing * requests - 1e-9) / requests
        candidates += [xp.minimum(below, 1.0), xp.minimum(above, 1.0)]
    return candidates


def _split_at_width(
    flash: Flash, matrix: FlashMatrix, host_time: Value, width: Value, relaxed: bool, xp: Any
) -> FlashSplit:
    """Return the optimal split for tiles of `width` columns per channel; equations in `split`."""
    shape = tile(flash, matrix, width, relaxed=relaxed)
    outputs = matrix.vectors * matrix.rows
    weights = matrix.rows * matrix.columns * matrix.weight
    bytes_per_request = _bytes_per_request(flash)
    stream = weights * (flash.sent / flash.page)
    request_traffic = (shape.inputs + shape.results) * flash.channels
    cell_time = flash.read_time * flash.cores / flash.planes
    sums = outputs * flash.channels * shape.used * (shape.results / (outputs * matrix.result))
    # Half: an addition is one operation, a multiply-accumulate of `host_time` is two.
    adds = 0.5 * sums / (outputs * matrix.columns) * host_time
    zero = 0.0 * shape.requests
    dies = _LinearSeconds(zero, shape.requests * shape.round_time)
    channel = _LinearSeconds(stream / flash.bandwidth + zero, request_traffic / flash.bandwidth)
    link = _LinearSeconds(stream / flash.link + zero, request_traffic * shape.used / flash.link)
    cells = _LinearSeconds(
        weights / bytes_per_request * cell_time + zero, shape.requests * cell_time
    )
    host = _LinearSeconds(host_time + zero, adds + zero)
    lines = channel, link, cells, host

    def requests(share: Value) -> Value:
        rounds = share * shape.requests
        return rounds if relaxed else xp.ceil(rounds * (1.0 - 1e-12))

    def seconds(share: Value) -> Value:
        linear = (line.at(share) for line in lines)
        return reduce(xp.maximum, linear, requests(share) * shape.round_time)

    share, *others = _candidate_shares(lines, dies, shape.requests, relaxed, xp)
    best = seconds(share)
    for candidate in others:
        time = seconds(candidate)
        share = xp.where(time < best, candidate, share)
        best = xp.minimum(time, best)
    request_bytes = share * shape.requests * bytes_per_request * shape.used
    streamed = weights * (1.0 - share)
    return FlashSplit(
        seconds=best,
        rounds=requests(share),
        streamed=streamed,
        channel_bytes=stream * (1.0 - share) + share * request_traffic * shape.used,
        request_bytes=request_bytes,
        array_bytes=request_bytes + streamed,
        host_share=1.0 - share,
        partial_sums=share * sums,
        tile=shape,
        add_time=share * adds,
    )


def _bytes_per_request(flash: Flash) -> Value:
    """Return the bytes that a request reads from the cells: a page for every core."""
    return flash.channels * flash.dies * flash.cores * flash.page


def in_flash_time(flash: Flash, weights: Value, round_time: Value) -> Value:
    """Return seconds to multiply all weights in the dies, ``ceil(weights / b) round_time``.

    A request reads b bytes. This is a reference for tilings: no page is partially filled.

    Parameters
    ----------
    weights
        Bytes of the matrix.
    round_time
        Seconds between two requests.
    """
    xp = namespace(*flash, weights, round_time)
    return xp.ceil(weights / _bytes_per_request(flash) - 1e-9) * round_time
