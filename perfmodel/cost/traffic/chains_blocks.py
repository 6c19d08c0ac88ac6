"""Fusion of two GEMMs slice by slice along the channels of their intermediate tensor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.axis import Floats, Ints, useful_tiles
from perfmodel.cost.traffic.chains_aligned import AlignedChain
from perfmodel.cost.traffic.undominated import pareto_front

#: Tile index where positions are not tiled: slices of the weights stay while all rows stream.
ALL_ROWS_PASS = -1


class GroupSteps(NamedTuple):
    """Staircase of a fused group; all fields of shape (steps,).

    Attributes
    ----------
    capacity, traffic
        Bytes of the buffer, ascending, and bytes across its boundary, descending.
    tile
        Index of the tile of positions, or `ALL_ROWS_PASS`.
    resident
        Bit mask of the operators whose weights stay on chip.
    slice_channels
        Channels of the intermediate per slice where two GEMMs are fused slice by slice; else 0.
    """

    capacity: Floats
    traffic: Floats
    tile: Ints
    resident: Ints
    slice_channels: Ints

    def pick(self, which: Ints) -> GroupSteps:
        """Return a subset of the steps."""
        return self._make(column[which] for column in self)


def pareto_steps(steps: Sequence[GroupSteps]) -> GroupSteps:
    """Merge several lists of steps into their Pareto front of capacity and traffic."""
    joined = GroupSteps(*map(np.concatenate, zip(*steps, strict=True)))
    return joined.pick(pareto_front(joined.capacity, joined.traffic))


def weight_slices(chain: AlignedChain, copies: float) -> GroupSteps:
    """Return the staircase of two GEMMs with one slice of both weights on chip at a time.

    The weights that belong to a slice of the intermediate's channels stay on chip while all rows
    stream: the first input is fetched once per slice, and the last output is accumulated over the
    slices.
    """
    one, two = chain.operators
    rows = chain.tiles.first_positions[0]
    width = np.unique(-(-one.outs // np.arange(1, one.outs + 1)))
    count = -(-one.outs // width)
    by_channel = one.ins * one.weight + two.outs * two.weight + one.partial
    footprint = width * by_channel + copies * (one.ins * one.input + two.outs * two.partial)
    traffic = count * rows * one.ins * one.input + one.weight_bytes + two.weight_bytes
    traffic = traffic + rows * two.outs * (two.output + 2.0 * two.partial * (count - 1))
    ones = np.ones_like(width)
    return GroupSteps(footprint.astype(float), traffic, ALL_ROWS_PASS * ones, 3 * ones, width)


def blocks(chain: AlignedChain, copies: float) -> list[GroupSteps]:
    """Return the staircases of two GEMMs that exchange blocks of their intermediate on chip.

    For each tile of rows and slice of the intermediate's channels, the first GEMM writes a block
    and the second consumes it. The first input is held for all slices or fetched once per slice;
    the last output is accumulated on chip, or spilled and read back once per slice. Weights are
    fetched once per tile of rows, or only once where they are resident.
    """
    one, two = chain.operators
    passes = chain.tiles.weight_passes[:, :, None]
    slices = ChannelSlices.of(chain, 0)
    outer_inputs = one.heads * one.ins * one.input
    ends = chain.tiles.first_positions[0] * (outer_inputs + two.heads * two.outs * two.output)
    steps: list[GroupSteps] = []
    for first, last, keep_one, keep_two in itertools.product((False, True), repeat=4):
        footprint = block_footprint(chain, 0, copies, (first, last), (keep_one, keep_two))
        footprint = footprint + keep_one * one.weight_bytes + keep_two * two.weight_bytes
        traffic = (
            ends
            + refetched_bytes(chain, 0, (first, last))
            + one.all_weight_bytes * np.where(keep_one, 1, passes[0])
            + two.all_weight_bytes * np.where(keep_two, 1, passes[1])
        )
        steps.append(block_steps(footprint, traffic, slices, keep_one + 2 * keep_two))
    return steps


class ChannelSlices(NamedTuple):
    """Slices of the channels between two GEMMs; all fields of shape (1, slices).

    Attributes
    ----------
    width
        Channels per slice: part of one head, one head, or several complete heads.
    of_head
        Channels per slice that belong to one head.
    first, last
        Number of slices that use an element of the first input, and of the last output.
    """

    width: Ints
    of_head: Ints
    first: Floats
    last: Floats

    @staticmethod
    def of(chain: AlignedChain, at: int) -> ChannelSlices:
        """Return the slices between operators `at` and `at` + 1, at most one of which has heads."""
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


def block_footprint(
    chain: AlignedChain,
    at: int,
    copies: float,
    complete: tuple[bool, bool],
    resident: tuple[bool, bool],
) -> Floats:
    """Return the footprint of two GEMMs that share a block, without resident weights.

    Parameters
    ----------
    at
        Index of the first of the two operators.
    complete
        Whether the input of the first, and the output of the second, is held for all slices.
    resident
        Whether the weights of each are resident; these are not counted.

    Returns
    -------
    array
        Bytes, shape (tiles, slices).
    """
    one, two = chain.operators[at : at + 2]
    tile, slices = chain.tiles.positions[-1][:, None], ChannelSlices.of(chain, at)
    # An operator with heads processes them one after another.
    filled_channels, consumed_channels = (
        slices.width if op.heads == 1 else slices.of_head for op in (one, two)
    )
    first_complete, last_complete = complete
    weight_one, weight_two = (
        (0.0 if resident[0] else one.weight),
        (0.0 if resident[1] else two.weight),
    )
    if first_complete:
        # A channel of the block is accumulated in place at the width of partial sums.
        wider = max(0.0, one.partial - two.input)
        fill_bytes = np.minimum(tile * wider + copies * weight_one, one.ins * weight_one + wider)
    else:
        fill_bytes = np.minimum(
            tile * one.input + copies * weight_one,
            filled_channels * weight_one + copies * one.input,
        )
    consume_bytes = np.minimum(
        tile * two.partial + copies * weight_two,
        consumed_channels * weight_two + copies * two.partial,
    )
    if last_complete:
        consume_bytes = copies * weight_two + 0.0 * consume_bytes
    while_filling = (
        tile * slices.width * (two.input if first_complete else one.partial) + fill_bytes
    )
    while_consuming = tile * slices.width * two.input + consume_bytes
    ends = tile * (first_complete * one.ins * one.input + last_complete * two.outs * two.partial)
    return ends + np.maximum(while_filling, while_consuming)


def refetched_bytes(chain: AlignedChain, at: int, complete: tuple[bool, bool]) -> Floats:
    """Return the bytes transferred repeatedly because of slicing, shape (1, slices)."""
    one, two = chain.operators[at : at + 2]
    rows, slices = chain.tiles.first_positions[0], ChannelSlices.of(chain, at)
    traffic = np.zeros(slices.width.shape)
    if not complete[0]:
        traffic += rows * one.heads * one.ins * one.input * (slices.first - 1.0)
    if not complete[1]:
        traffic += 2.0 * rows * two.heads * two.outs * two.partial * (slices.last - 1.0)
    return traffic


def block_steps(
    footprint: Floats, traffic: Floats, slices: ChannelSlices, resident: int
) -> GroupSteps:
    """Return the Pareto-optimal pairs of tile and slice; arguments of shape (tiles, slices)."""
    flat_bytes, crossing = footprint.ravel(), np.broadcast_to(traffic, footprint.shape).ravel()
    steps = pareto_front(flat_bytes, crossing)
    tile, slice_ = np.divmod(steps, footprint.shape[1])
    return GroupSteps(
        capacity=flat_bytes[steps],
        traffic=crossing[steps],
        tile=tile.astype(np.int64),
        resident=np.full(len(steps), resident),
        slice_channels=slices.width[0, slice_],
    )
