"""Two products fused slice by slice of the channels between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.axis import Floats, Ints, useful_tiles
from perfmodel.cost.traffic.chains_aligned import AlignedChain
from perfmodel.cost.traffic.undominated import falling

#: In place of a tile of positions: none, since slices of the weights stay and all rows pass by.
ALL_ROWS_PASS = -1


class GroupSteps(NamedTuple):
    """A group's staircase; all of shape (steps,).

    Attributes
    ----------
    capacity, traffic
        Bytes of the buffer, rising, and bytes across its boundary, falling.
    tile
        Which tile of the positions, or `ALL_ROWS_PASS`.
    resident
        Operators whose weights stay on chip, a bit each.
    slice_channels
        Channels of the intermediate in a slice, where two products go slice by slice; else 0.
    """

    capacity: Floats
    traffic: Floats
    tile: Ints
    resident: Ints
    slice_channels: Ints

    def pick(self, which: Ints) -> GroupSteps:
        """Return some of the steps."""
        return self._make(column[which] for column in self)


def falling_steps(steps: Sequence[GroupSteps]) -> GroupSteps:
    """Return what of several lists no other beats: capacities rising, traffic falling."""
    joined = GroupSteps(*map(np.concatenate, zip(*steps, strict=True)))
    return joined.pick(falling(joined.capacity, joined.traffic))


def weight_slices(chain: AlignedChain, copies: float) -> GroupSteps:
    """Return the staircase of two products whose weights stay slice by slice, rows passing by.

    A slice of the intermediate's channels keeps its part of both weights on chip while all rows
    pass: the first input comes once a slice, the last output is summed over the slices.
    """
    one, two = chain.operators
    rows = chain.tiles.first_positions[0]
    width = np.unique(-(-one.outs // np.arange(1, one.outs + 1)))
    count = -(-one.outs // width)
    by_channel = one.ins * one.weight + two.outs * two.weight + one.partial
    room = width * by_channel + copies * (one.ins * one.input + two.outs * two.partial)
    traffic = count * rows * one.ins * one.input + one.weight_bytes + two.weight_bytes
    traffic = traffic + rows * two.outs * (two.output + 2.0 * two.partial * (count - 1))
    ones = np.ones_like(width)
    return GroupSteps(room.astype(float), traffic, ALL_ROWS_PASS * ones, 3 * ones, width)


def blocks(chain: AlignedChain, copies: float) -> list[GroupSteps]:
    """Return the staircases of two products that share a block of rows and channels between them.

    For each tile of rows and slice of the channels between, the first product fills the block and
    the second takes it in. The first input is held complete for all slices or comes once a slice;
    the last output is held complete, summed up, or goes out and comes back once a slice. Weights
    come once a tile of rows, or once in all where they are resident.
    """
    one, two = chain.operators
    passes = chain.tiles.weight_passes[:, :, None]
    slices = ChannelSlices.of(chain, 0)
    outer_inputs = one.heads * one.ins * one.input
    ends = chain.tiles.first_positions[0] * (outer_inputs + two.heads * two.outs * two.output)
    steps: list[GroupSteps] = []
    for first, last, keep_one, keep_two in itertools.product((False, True), repeat=4):
        room = block_room(chain, 0, copies, (first, last), (keep_one, keep_two))
        room = room + keep_one * one.weight_bytes + keep_two * two.weight_bytes
        traffic = (
            ends
            + refetched_bytes(chain, 0, (first, last))
            + one.all_weight_bytes * np.where(keep_one, 1, passes[0])
            + two.all_weight_bytes * np.where(keep_two, 1, passes[1])
        )
        steps.append(block_steps(room, traffic, slices, keep_one + 2 * keep_two))
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

    @staticmethod
    def of(chain: AlignedChain, at: int) -> ChannelSlices:
        """Return the slices between two products, of which one at most has heads."""
        one, two = chain.operators[at : at + 2]
        heads = max(one.heads, two.heads)
        channels = two.ins if two.heads > 1 else one.outs
        several_heads = channels * useful_tiles(heads)[1:]
        width = np.concatenate([useful_tiles(channels), several_heads])[None, :]
        of_head = np.minimum(width, channels)
        per_head = np.ceil(channels / of_head)
        every = per_head * np.ceil(heads / np.maximum(1, width // channels))
        return ChannelSlices(
            width=width,
            of_head=of_head,
            first=every if one.heads == 1 else per_head,
            last=every if two.heads == 1 else per_head,
        )


def block_room(
    chain: AlignedChain,
    at: int,
    copies: float,
    complete: tuple[bool, bool],
    resident: tuple[bool, bool],
) -> Floats:
    """Return the room of two products that share a block, without resident weights.

    Parameters
    ----------
    at
        The first of the two.
    complete
        Whether the first one's input, and the second one's output, is held for all slices.
    resident
        Whose weights are on chip anyway.

    Returns
    -------
    array
        Bytes, shape (tiles, slices).
    """
    one, two = chain.operators[at : at + 2]
    tile, slices = chain.tiles.positions[-1][:, None], ChannelSlices.of(chain, at)
    # An operator with heads goes through them one after another.
    fills, takes = (slices.width if op.heads == 1 else slices.of_head for op in (one, two))
    first, last = complete
    w1, w2 = (0.0 if resident[0] else one.weight), (0.0 if resident[1] else two.weight)
    if first:
        # A channel of the block is summed up wide in its place.
        wider = max(0.0, one.partial - two.input)
        fill = np.minimum(tile * wider + copies * w1, one.ins * w1 + wider)
    else:
        fill = np.minimum(tile * one.input + copies * w1, fills * w1 + copies * one.input)
    take = np.minimum(tile * two.partial + copies * w2, takes * w2 + copies * two.partial)
    if last:
        take = copies * w2 + 0.0 * take
    filled = tile * slices.width * (two.input if first else one.partial) + fill
    taken = tile * slices.width * two.input + take
    ends = tile * (first * one.ins * one.input + last * two.outs * two.partial)
    return ends + np.maximum(filled, taken)


def refetched_bytes(chain: AlignedChain, at: int, complete: tuple[bool, bool]) -> Floats:
    """Return the bytes that come again for slices, shape (1, slices)."""
    one, two = chain.operators[at : at + 2]
    rows, slices = chain.tiles.first_positions[0], ChannelSlices.of(chain, at)
    traffic = np.zeros(slices.width.shape)
    if not complete[0]:
        traffic += rows * one.heads * one.ins * one.input * (slices.first - 1.0)
    if not complete[1]:
        traffic += 2.0 * rows * two.heads * two.outs * two.partial * (slices.last - 1.0)
    return traffic


def block_steps(room: Floats, traffic: Floats, slices: ChannelSlices, resident: int) -> GroupSteps:
    """Return the few pairs of a tile and a slice that matter, of shape (tiles, slices) all."""
    footprint, crossing = room.ravel(), np.broadcast_to(traffic, room.shape).ravel()
    steps = falling(footprint, crossing)
    tile, slice_ = np.divmod(steps, room.shape[1])
    return GroupSteps(
        capacity=footprint[steps],
        traffic=crossing[steps],
        tile=tile.astype(np.int64),
        resident=np.full(len(steps), resident),
        slice_channels=slices.width[0, slice_],
    )
