"""How a weight matrix is shared between the dies and the processor.

Whole tiles are multiplied in the dies, a request after another; the rest of the weights crosses the
channels in the time that the requests leave free. The split is the best whole number of requests.
"""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.nand.geometry import Flash, Matrix, Tile, tile


class Split(NamedTuple):
    """One multiplication by a matrix that lies in flash.

    Attributes
    ----------
    seconds
        Until both parts are done.
    rounds
        Read-compute requests; each takes a page for every core.
    streamed
        Bytes of weights that cross the channels.
    vector_bytes
        Inputs and partial sums that cross the channels.
    array_bytes
        Bytes read from the cells: pages of the requests, padding included, and what is streamed.
    host_share
        Share of the weights that the processor multiplies.
    partial_sums
        Partial sums that the processor adds up.
    tile
        Of the requests.
    """

    seconds: Value
    rounds: Value
    streamed: Value
    vector_bytes: Value
    array_bytes: Value
    host_share: Value
    partial_sums: Value
    tile: Tile


def split(
    flash: Flash, matrix: Matrix, host_time: Value = 0.0, *, columns: Value = 0.0,
    relaxed: bool = False,
) -> Split:  # fmt: skip
    """Return the split of a matrix that takes the least time.

    With ``R`` requests in the dies, ``S(R) = max(0, weights - R * fill * pages)`` bytes are
    streamed. The time is the largest of

    - the dies: ``R * round_time``;
    - the channels: ``(S(R) + R * vector_bytes * channels) / bandwidth``;
    - the link to the processor, where it is narrower than the channels: as the channels;
    - the cells: each page that is read takes one of the planes for ``read_time``;
    - the processor: its share of ``host_time``.

    Each is linear in ``R`` as long as anything is streamed, so the best whole number lies beside a
    crossing of two: all of them are tried at once.

    Parameters
    ----------
    host_time
        Seconds in which the processor would multiply all of the matrix.
    columns, relaxed
        As `perfmodel.kinds.nand.geometry.tile` takes them; a relaxed split needs no whole number.
    """
    xp = namespace(*flash, *matrix, host_time, columns)
    shape = tile(flash, matrix, columns, relaxed=relaxed)
    weights = matrix.rows * matrix.columns * matrix.weight
    pages = flash.channels * flash.dies * flash.cores * flash.page
    most = weights / (pages * shape.fill)
    stream = weights * (flash.sent / flash.page)
    moved = flash.channels * shape.vector_bytes
    cell_time = flash.read_time * flash.cores / flash.planes
    # Seconds at R = 0 and at R = most of each of them.
    lines: list[tuple[Value, Value]] = [
        (0.0 * most, most * shape.round_time),
        (stream / flash.bandwidth, most * moved / flash.bandwidth),
        (stream / flash.link, most * moved / flash.link),
        (weights / pages * cell_time, most * cell_time),
        (host_time + 0.0 * most, 0.0 * most),
    ]

    def seconds(rounds: Value) -> Value:
        done = rounds / most
        left = xp.maximum(1.0 - done, 0.0)
        return reduce(xp.maximum, [left * first + done * last for first, last in lines])

    candidates: list[Value] = [0.0 * most]
    crossings: list[Value] = [1.0 * most]
    for (a, b), (c, d) in combinations(lines, 2):
        slope = (b - a) - (d - c)
        parallel = xp.abs(slope) <= 1e-12 * (a + b + c + d)
        crossings.append(most * xp.where(parallel, 0.0, (c - a) / xp.where(parallel, 1.0, slope)))
    for crossing in crossings:
        found = xp.clip(crossing, 0.0, most)
        near = [found] if relaxed else [xp.floor(found + 1e-9), xp.ceil(found - 1e-9)]
        candidates += near
    best, rounds = seconds(candidates[0]), candidates[0]
    for candidate in candidates[1:]:
        time = seconds(candidate)
        rounds = xp.where(time < best, candidate, rounds)
        best = xp.minimum(time, best)
    share = xp.maximum(1.0 - rounds / most, 0.0)
    rest = weights * share
    return Split(
        best, rounds, rest, rounds * moved, rounds * pages + rest, share,
        rounds * matrix.vectors * shape.rows * flash.channels, shape,
    )  # fmt: skip


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
