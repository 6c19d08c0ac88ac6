"""Two products fused slice by slice of the channels between them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.chains_links import Lined
from perfmodel.cost.traffic.staircase_axes import Floats, Ints, useful_tiles


class Fused(NamedTuple):
    """A group's staircase; all of shape (steps,).

    Attributes
    ----------
    capacity, traffic
        Bytes held, rising, and bytes moved, falling.
    tile
        Which tile of the positions; -1 where slices of the weights stay and all rows pass by.
    kept
        Operators whose weights stay on chip, a bit each.
    width
        Channels of the intermediate in a slice, where two products go slice by slice; else 0.
    """

    capacity: Floats
    traffic: Floats
    tile: Ints
    kept: Ints
    width: Ints


def falling(steps: list[Fused]) -> Fused:
    """Return what of several lists no other beats: capacities rising, traffic falling."""
    join = np.concatenate
    found = Fused(
        join([s.capacity for s in steps]), join([s.traffic for s in steps]),
        join([s.tile for s in steps]), join([s.kept for s in steps]),
        join([s.width for s in steps]),
    )  # fmt: skip
    order = np.lexsort((found.traffic, found.capacity))
    traffic = found.traffic[order]
    best = order[traffic < np.r_[np.inf, np.minimum.accumulate(traffic)[:-1]]]
    return Fused(
        found.capacity[best], found.traffic[best], found.tile[best], found.kept[best],
        found.width[best],
    )  # fmt: skip


def slices(group: Lined, held: int) -> Fused:
    """Return the staircase of two products whose weights stay slice by slice, rows passing by.

    A slice of the intermediate's channels keeps its part of both weights on chip while all rows
    pass: the first input comes once a slice, the last output is summed over the slices.
    """
    one, two = group.links
    rows, middle = group.tiles.volume[0], one.outs
    widths = np.unique(-(-middle // np.arange(1, middle + 1)))
    number = -(-middle // widths)
    room = (
        widths * (one.ins * one.weight + two.outs * two.weight + one.partial)
        + held * (one.ins * one.input + two.outs * two.partial)
    )  # fmt: skip
    moved = (
        number * rows * one.ins * one.input + one.weights + two.weights
        + rows * two.outs * (two.output + 2.0 * two.partial * (number - 1))
    )  # fmt: skip
    return Fused(
        room.astype(float), moved, np.full(len(widths), -1), np.full(len(widths), 3),
        widths.astype(np.int64),
    )  # fmt: skip


def blocks(group: Lined, held: int) -> list[Fused]:
    """Return the staircases of two products that share a block of rows and channels between them.

    For each tile of rows and slice of the channels between, the first product fills the block and
    the second takes it in. The first input is held whole for all slices or comes once a slice; the
    last output is held whole, summed up, or goes out and comes back once a slice. Weights come once
    a tile of rows, or once in all where they are kept.
    """
    one, two = group.links
    passes = group.tiles.per_segment[:, :, None]
    width = cuts(group, 0).width
    rows = group.tiles.volume[0]
    ends = rows * (
        one.heads * one.ins * one.input + two.heads * two.outs * two.output
    )  # fmt: skip
    steps: list[Fused] = []
    for first, last, keep_one, keep_two in itertools.product((False, True), repeat=4):
        room = block_room(group, 0, held, (first, last), (keep_one, keep_two))
        room = room + keep_one * one.weights + keep_two * two.weights
        moved = (
            ends + again(group, 0, (first, last))
            + one.weights * one.segments * np.where(keep_one, 1, passes[0])
            + two.weights * two.segments * np.where(keep_two, 1, passes[1])
        )  # fmt: skip
        steps.append(few(room, moved, width, keep_one + 2 * keep_two))
    return steps


class ChannelSlices(NamedTuple):
    """Slices of the channels between two products; all of shape (1, slices).

    Attributes
    ----------
    width
        Channels in a slice: part of a head, one, or several whole ones.
    of_head
        Channels in a slice that belong to one head.
    first, last
        How many slices an element of the first input, and of the last output, takes part in.
    """

    width: Ints
    of_head: Ints
    first: Floats
    last: Floats


def cuts(group: Lined, at: int) -> ChannelSlices:
    """Return the slices between two products, of which one at most has heads."""
    one, two = group.links[at : at + 2]
    heads = max(one.heads, two.heads)
    channels = two.ins if two.heads > 1 else one.outs
    some, whole = useful_tiles(channels), channels * useful_tiles(heads)[1:]
    width = np.concatenate([some, whole])[None, :]
    of_head = np.minimum(width, channels)
    per_head = np.ceil(channels / of_head)
    every = per_head * np.ceil(heads / np.maximum(1, width // channels))
    return ChannelSlices(
        width, of_head, every if one.heads == 1 else per_head, every if two.heads == 1 else per_head
    )


def block_room(
    group: Lined, at: int, held: int, whole: tuple[bool, bool], kept: tuple[bool, bool]
) -> Floats:
    """Return the room of two products that share a block, shape (tiles, slices); kept weights not.

    Parameters
    ----------
    at
        The first of the two.
    whole
        Whether the first one's input, and the second one's output, is held whole for all slices.
    kept
        Whose weights are on chip anyway.
    """
    one, two = group.links[at : at + 2]
    tile, slices_ = group.tiles.area[-1][:, None], cuts(group, at)
    width = slices_.width
    # An operator with heads goes through them one after another.
    fills, takes = (width if link.heads == 1 else slices_.of_head for link in (one, two))
    first, last = whole
    w1, w2 = (0.0 if kept[0] else one.weight), (0.0 if kept[1] else two.weight)
    if first:
        # A channel of the block is summed up wide in its place.
        wider = max(0.0, one.partial - two.input)
        fill = np.minimum(tile * wider + held * w1, one.ins * w1 + wider)
    else:
        fill = np.minimum(tile * one.input + held * w1, fills * w1 + held * one.input)
    take = np.minimum(tile * two.partial + held * w2, takes * w2 + held * two.partial)
    if last:
        take = held * w2 + 0.0 * take
    filled = tile * width * (two.input if first else one.partial) + fill
    taken = tile * width * two.input + take
    held_whole = tile * (first * one.ins * one.input + last * two.outs * two.partial)
    return held_whole + np.maximum(filled, taken)


def again(group: Lined, at: int, whole: tuple[bool, bool]) -> Floats:
    """Return the bytes that come again for slices, shape (1, slices)."""
    one, two = group.links[at : at + 2]
    rows, slices_ = group.tiles.volume[0], cuts(group, at)
    moved = np.zeros(slices_.width.shape)
    if not whole[0]:
        moved += rows * one.heads * one.ins * one.input * (slices_.first - 1.0)
    if not whole[1]:
        moved += 2.0 * rows * two.heads * two.outs * two.partial * (slices_.last - 1.0)
    return moved


def few(room: Floats, moved: Floats, width: Ints, kept: int) -> Fused:
    """Return the few pairs of a tile and a slice that matter, of shape (tiles, slices) all."""
    flat = np.argsort(room, axis=None)
    falls = np.broadcast_to(moved, room.shape).ravel()[flat]
    best = falls < np.r_[np.inf, np.minimum.accumulate(falls)[:-1]]
    flat, falls = flat[best], falls[best]
    i, j = np.divmod(flat, room.shape[1])
    return Fused(
        room.ravel()[flat], falls, i.astype(np.int64), np.full(flat.size, kept), width[0, j]
    )  # fmt: skip
