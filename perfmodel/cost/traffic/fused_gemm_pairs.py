"""Fusion of two GEMMs slice by slice along the channels of their intermediate tensor.

The first GEMM (producer) computes a block of the intermediate, some rows by some channels, and the
second (consumer) accumulates its product with the block, so that the intermediate never leaves the
chip (the fusion of Huang et al., "Mind the Gap", ISCA 2024). Every choice of rows, slice and
resident weights has a footprint and a traffic in bytes; the Pareto-optimal ones are the steps of a
staircase.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.chain_alignment import AlignedChain
from perfmodel.cost.traffic.convolution_axis import Floats, Ints, useful_tiles
from perfmodel.cost.traffic.pareto_filters import pareto_front

#: Tile index of steps without tiles of positions: slices of the weights remain while all rows
#: stream, and a single unfused operator.
ALL_ROWS_STREAM, UNFUSED = -1, -2


class GroupSteps(NamedTuple):
    """Staircase of a fused group; all fields of shape (steps,).

    Attributes
    ----------
    capacity, traffic
        Bytes of the buffer, ascending, and bytes across its boundary, descending.
    tile
        Index of the tile of positions, or `ALL_ROWS_STREAM` or `UNFUSED`.
    resident
        Bit mask of the operators whose weights are resident on chip.
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


def weight_slice_steps(chain: AlignedChain, copies: float) -> GroupSteps:
    """Return the staircase of two GEMMs with one slice of both weights on chip at a time.

    The weights that belong to a slice of the intermediate's channels remain on chip while all rows
    stream: the first input is fetched once per slice, and the last output is accumulated over the
    n slices. The traffic in bytes is ``n I + W_1 + W_2 + O + 2 (n - 1) S``, where I is the first
    input, W the weights, O the last output and S its partial sums.
    """
    producer, consumer = chain.operators
    rows = chain.tiles.first_positions[0]
    width = np.unique(-(-producer.outs // np.arange(1, producer.outs + 1)))
    count = -(-producer.outs // width)
    by_channel = producer.ins * producer.weight + consumer.outs * consumer.weight + producer.partial
    footprint = width * by_channel + copies * (
        producer.ins * producer.input + consumer.outs * consumer.partial
    )
    traffic = (
        count * rows * producer.ins * producer.input + producer.weight_bytes + consumer.weight_bytes
    )
    traffic = traffic + rows * consumer.outs * (
        consumer.output + 2.0 * consumer.partial * (count - 1)
    )
    ones = np.ones_like(width)
    return GroupSteps(footprint.astype(float), traffic, ALL_ROWS_STREAM * ones, 3 * ones, width)


def block_fusion_steps(chain: AlignedChain, copies: float) -> list[GroupSteps]:
    """Return the staircases of two GEMMs that exchange blocks of their intermediate on chip.

    For each tile of rows and slice of the intermediate's channels, the first GEMM writes a block
    and the second consumes it. The first input is held for all slices or fetched once per slice;
    the last output is accumulated on chip, or spilled and read back once per slice. Weights are
    fetched once per tile of rows, or only once where they are resident.
    """
    producer, consumer = chain.operators
    passes = chain.tiles.weight_passes[:, :, None]
    slices = ChannelSlices.of(chain, 0)
    outer_inputs = producer.heads * producer.ins * producer.input
    ends = chain.tiles.first_positions[0] * (
        outer_inputs + consumer.heads * consumer.outs * consumer.output
    )
    steps: list[GroupSteps] = []
    for first, last, retains_producer, retains_consumer in itertools.product(
        (False, True), repeat=4
    ):
        footprint = block_footprint(
            chain, 0, copies, (first, last), (retains_producer, retains_consumer)
        )
        footprint = (
            footprint
            + retains_producer * producer.weight_bytes
            + retains_consumer * consumer.weight_bytes
        )
        traffic = (
            ends
            + refetched_bytes(chain, 0, (first, last))
            + producer.all_weight_bytes * np.where(retains_producer, 1, passes[0])
            + consumer.all_weight_bytes * np.where(retains_consumer, 1, passes[1])
        )
        steps.append(
            block_steps(footprint, traffic, slices, retains_producer + 2 * retains_consumer)
        )
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
        producer, consumer = chain.operators[at : at + 2]
        heads = max(producer.heads, consumer.heads)
        channels = consumer.ins if consumer.heads > 1 else producer.outs
        several_heads = channels * useful_tiles(heads)[1:]
        width = np.concatenate([useful_tiles(channels), several_heads])[None, :]
        of_head = np.minimum(width, channels)
        per_head = np.ceil(channels / of_head)
        every = per_head * np.ceil(heads / np.maximum(1, width // channels))
        return ChannelSlices(
            width=width,
            of_head=of_head,
            first=every if producer.heads == 1 else per_head,
            last=every if consumer.heads == 1 else per_head,
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
    producer, consumer = chain.operators[at : at + 2]
    tile, slices = chain.tiles.positions[-1][:, None], ChannelSlices.of(chain, at)
    # An operator with heads processes them one after another.
    filled_channels, consumed_channels = (
        slices.width if op.heads == 1 else slices.of_head for op in (producer, consumer)
    )
    first_complete, last_complete = complete
    producer_weight, consumer_weight = (
        0.0 if is_resident else op.weight
        for op, is_resident in zip((producer, consumer), resident, strict=True)
    )
    if first_complete:
        # A channel of the block is accumulated in place at the width of partial sums.
        wider = max(0.0, producer.partial - consumer.input)
        fill_bytes = np.minimum(
            tile * wider + copies * producer_weight, producer.ins * producer_weight + wider
        )
    else:
        fill_bytes = np.minimum(
            tile * producer.input + copies * producer_weight,
            filled_channels * producer_weight + copies * producer.input,
        )
    consume_bytes = np.minimum(
        tile * consumer.partial + copies * consumer_weight,
        consumed_channels * consumer_weight + copies * consumer.partial,
    )
    if last_complete:
        consume_bytes = np.full_like(consume_bytes, copies * consumer_weight)
    while_filling = (
        tile * slices.width * (consumer.input if first_complete else producer.partial) + fill_bytes
    )
    while_consuming = tile * slices.width * consumer.input + consume_bytes
    ends = tile * (
        first_complete * producer.ins * producer.input
        + last_complete * consumer.outs * consumer.partial
    )
    return ends + np.maximum(while_filling, while_consuming)


def refetched_bytes(chain: AlignedChain, at: int, complete: tuple[bool, bool]) -> Floats:
    """Return the bytes transferred repeatedly because of slicing, shape (1, slices)."""
    producer, consumer = chain.operators[at : at + 2]
    rows, slices = chain.tiles.first_positions[0], ChannelSlices.of(chain, at)
    first_complete, last_complete = complete
    traffic = np.zeros(slices.width.shape)
    if not first_complete:
        traffic += rows * producer.heads * producer.ins * producer.input * (slices.first - 1.0)
    if not last_complete:
        traffic += (
            2.0 * rows * consumer.heads * consumer.outs * consumer.partial * (slices.last - 1.0)
        )
    return traffic


def block_steps(
    footprint: Floats, traffic: Floats, slices: ChannelSlices, resident: int
) -> GroupSteps:
    """Return the Pareto-optimal pairs of tile and slice; arguments of shape (tiles, slices)."""
    shape = footprint.shape
    footprint, traffic = footprint.ravel(), np.broadcast_to(traffic, shape).ravel()
    steps = pareto_front(footprint, traffic)
    tile, slice_ = np.divmod(steps, shape[1])
    return GroupSteps(
        capacity=footprint[steps],
        traffic=traffic[steps],
        tile=tile.astype(np.int64),
        resident=np.full(len(steps), resident),
        slice_channels=slices.width[0, slice_],
    )
