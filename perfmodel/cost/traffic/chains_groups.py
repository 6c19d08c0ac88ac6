"""One fused group: the room that a tile of positions takes through operators one after another.

A tensor between two operators is held complete in its channels, one head at a time, or one channel
at a time. An operator runs when its input or its output is complete (all channels that it mixes),
so that its weights come once a tile. Tensors that are not held complete tie their operators
together: those run in turns, and what they hold counts together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.axis import Floats
from perfmodel.cost.traffic.chains_aligned import AlignedChain, ChainOperator
from perfmodel.cost.traffic.chains_blocks import (
    ChannelSlices,
    GroupSteps,
    block_room,
    block_steps,
    blocks,
    falling_steps,
    refetched_bytes,
    weight_slices,
)


class HeldExtent(IntEnum):
    """How much of a tensor is held: all channels, those of one head, one channel."""

    COMPLETE = 0
    HEAD = 1
    CHANNEL = 2


_PARTS = (HeldExtent.HEAD, HeldExtent.CHANNEL)


class _Run(NamedTuple):
    """Operators that run in turns: from their first to their last tensor, and how each is held."""

    first: int
    last: int
    extents: list[list[HeldExtent]]


def fused(
    chain: AlignedChain,
    copies: float,
    on_chip: tuple[bool, bool] = (False, False),
    on_chip_bytes: float = 0.0,
) -> GroupSteps:
    """Return the staircase of a group of operators.

    Parameters
    ----------
    chain
        The operators and their tiles.
    copies
        How often what changes at the innermost loop is held: twice when buffers are double.
    on_chip
        Whether the first input, and the last output, lies on chip for all positions: then it
        neither comes nor goes.
    on_chip_bytes
        Bytes that they take.
    """
    return _FusedGroup(chain, copies, on_chip, on_chip_bytes).steps()


@dataclass(frozen=True)
class _FusedGroup:
    """The arguments of `fused`."""

    chain: AlignedChain
    copies: float
    on_chip: tuple[bool, bool]
    on_chip_bytes: float

    @property
    def operators(self) -> tuple[ChainOperator, ...]:
        return self.chain.operators

    @cached_property
    def runs(self) -> list[_Run]:
        """All stretches of operators that may run in turns."""
        count = len(self.operators)
        return [
            _Run(first, last, list(self._extents(first, last)))
            for last in range(1, count + 1)
            for first in range(last)
        ]

    def steps(self) -> GroupSteps:
        """Return the staircase, over all choices of weights that are resident."""
        operators, tiles = self.operators, self.chain.tiles
        first, last = operators[0], operators[-1]
        ends = np.zeros(len(tiles.count))
        if not self.on_chip[0]:
            ends = ends + first.input * first.heads * first.ins * tiles.first_positions
        if not self.on_chip[1]:
            ends = ends + last.output * last.heads * last.outs * tiles.last_positions
        steps: list[GroupSteps] = []
        numbers = np.arange(len(ends))
        for bits in range(1 << len(operators)):
            resident = tuple(bool(bits >> i & 1) for i in range(len(operators)))
            rooms = self._rooms(resident)
            room, traffic = rooms[-1] + self.on_chip_bytes, ends.copy()
            for op, here, passes in zip(operators, resident, tiles.weight_passes, strict=True):
                room = room + op.weight_bytes * here
                traffic += op.all_weight_bytes * (1.0 if here else passes)
            if len(operators) == 3 and not any(self.on_chip):
                steps += self._sliced_ends(resident, bits, traffic, rooms)
            steps.append(GroupSteps(room, traffic, numbers, np.full(len(room), bits), 0 * numbers))
        one_tap = all(op.taps == 1 for op in operators)
        if len(operators) == 2 and not any(self.on_chip) and one_tap:
            if all(op.segments == op.heads == 1 for op in operators):
                steps.append(weight_slices(self.chain, self.copies))
            if min(op.heads for op in operators) == 1:
                steps += blocks(self.chain, self.copies)
        best = falling_steps(steps)
        return best._replace(traffic=best.traffic * self.chain.times)

    def _sliced_ends(
        self, resident: tuple[bool, ...], bits: int, traffic: Floats, rooms: Sequence[Floats]
    ) -> list[GroupSteps]:
        """Return staircases of three operators, two of which share a block slice by slice.

        Either the first input comes once a slice, or the last output is summed up outside.
        """
        chain = self.chain
        weights = sum(
            op.weight_bytes for op, here in zip(self.operators, resident, strict=True) if here
        )
        steps: list[GroupSteps] = []
        for at in (0, 1):
            pair = self.operators[at : at + 2]
            if any(op.taps > 1 or op.heads > 1 or op.segments > 1 for op in pair):
                continue
            complete = (at == 1, at == 0)
            block = block_room(chain, at, self.copies, complete, (resident[at], resident[at + 1]))
            # The third operator runs before, up to the block's input, or after, from its output.
            other = rooms[1] if at else self._rooms(resident, start=2)[-1]
            room = np.maximum(other[:, None], block) + weights
            crossing = traffic[:, None] + refetched_bytes(chain, at, complete)
            steps.append(block_steps(room, crossing, ChannelSlices.of(chain, at), bits))
        return steps

    def _rooms(self, resident: tuple[bool, ...], start: int = 0) -> list[Floats]:
        """Return the least room of each tile up to each tensor, complete if it is inside.

        Of all ways to hold the tensors the least peak, over runs of operators one after another.

        Parameters
        ----------
        start
            The tensor to start from, complete if it is inside.
        """
        best: list[Floats] = [
            np.full(len(self.chain.tiles.count), np.inf) for _ in range(len(self.operators) + 1)
        ]
        best[start] = np.zeros(len(self.chain.tiles.count))
        for first, last, ways in self.runs:
            if first < start:
                continue
            for extents in ways:
                room = self._in_turns(resident, first, last, extents)
                best[last] = np.minimum(best[last], np.maximum(best[first], room))
        return best

    def _extents(self, first: int, last: int) -> Iterator[list[HeldExtent]]:
        """Yield how tensors may be held while all operators between run in turns.

        Only the first input and the last output of the group may be in parts at the ends, unless
        they lie on chip.
        """
        open_start = first == 0 and not self.on_chip[0]
        open_end = last == len(self.operators) and not self.on_chip[1]
        start, end = (
            (HeldExtent.COMPLETE, *_PARTS) if may_be_in_parts else (HeldExtent.COMPLETE,)
            for may_be_in_parts in (open_start, open_end)
        )
        for extents in itertools.product(start, *[_PARTS] * (last - first - 1), end):
            if all(self._runs(first + i, *extents[i : i + 2]) for i in range(last - first)):
                yield list(extents)

    def _runs(self, number: int, before: HeldExtent, after: HeldExtent) -> bool:
        """Tell whether an operator can run with its input and its output held so."""
        for tensor, extent in ((number, before), (number + 1, after)):
            if extent == HeldExtent.HEAD and self._head_channels(tensor) is None:
                return False
        heads = self.operators[number].heads > 1
        complete = (HeldExtent.COMPLETE, HeldExtent.HEAD) if heads else (HeldExtent.COMPLETE,)
        return before in complete or after in complete

    def _in_turns(
        self, resident: tuple[bool, ...], first: int, last: int, extents: Sequence[HeldExtent]
    ) -> Floats:
        """Return the room of operators that run in turns: the better of two ways.

        Element by element of the weights, a complete column of positions in work; or with a column
        of the weights held, position by position.
        """
        operators, positions = self.operators, self.chain.tiles.positions
        column, position = np.zeros(positions.shape[1]), np.zeros(positions.shape[1])
        for tensor, extent in enumerate(extents, first):
            inside = 0 < tensor < len(operators)
            if extent == HeldExtent.CHANNEL:
                width = operators[tensor - 1].partial if tensor else operators[0].input
                column += positions[tensor] * width
                if inside and operators[tensor].taps > 1:
                    # The next kernel looks at several positions of the channel.
                    position += np.inf
                # What comes in or goes out changes with every position.
                position += width * (1 if inside else self.copies)
                continue
            before = extents[tensor - first - 1] if tensor > first else None
            summed = before is not None and self._sums_all(tensor - 1, before, extent)
            width = operators[tensor - 1].partial if summed else self._stored_bytes(tensor)
            at_start = tensor == 0 and self.on_chip[0]
            if at_start or (tensor == len(operators) and self.on_chip[1]):
                # Counted for all positions, but for what is wider while it is summed up.
                width = self._wider_bytes(tensor) if summed else 0.0
            tile_bytes = positions[tensor] * self._channels(tensor, extent) * width
            column += tile_bytes
            position += tile_bytes
            if before is not None and not summed:
                # A channel is summed up wide in its place, and then stored.
                position += self._wider_bytes(tensor)
        turn = np.zeros(positions.shape[1])
        for number in range(first, last):
            op, (before, after) = operators[number], extents[number - first :][:2]
            summed = self._sums_all(number, before, after)
            own = np.full(len(turn), 0.0 if resident[number] else self.copies * op.weight)
            if after != HeldExtent.CHANNEL and not summed:
                own += positions[number + 1] * self._wider_bytes(number + 1)
            turn = np.maximum(turn, own)
            if not resident[number]:
                by_inputs = after == HeldExtent.CHANNEL or not summed
                position += op.weight * op.taps * (op.ins if by_inputs else op.outs)
        return np.minimum(column + turn, position)

    def _sums_all(self, number: int, before: HeldExtent, after: HeldExtent) -> bool:
        """Tell whether an operator sums all its output at once, as its input comes in parts."""
        if after == HeldExtent.CHANNEL:
            return False
        mixed = after == HeldExtent.COMPLETE and self.operators[number].heads == 1
        return before == HeldExtent.CHANNEL or (before == HeldExtent.HEAD and mixed)

    def _head_channels(self, tensor: int) -> int | None:
        """Return the channels of one head of a tensor, where the operators beside it agree."""
        taken = [op.ins for op in self.operators[tensor : tensor + 1] if op.heads > 1]
        left = [op.outs for op in self.operators[:tensor][-1:] if op.heads > 1]
        widths = {*taken, *left}
        return widths.pop() if len(widths) == 1 else None

    def _channels(self, tensor: int, extent: HeldExtent) -> int:
        if extent == HeldExtent.CHANNEL:
            return 1
        if extent == HeldExtent.HEAD:
            width = self._head_channels(tensor)
            assert width is not None
            return width
        if tensor < len(self.operators):
            return self.operators[tensor].heads * self.operators[tensor].ins
        return self.operators[-1].heads * self.operators[-1].outs

    def _wider_bytes(self, tensor: int) -> float:
        """Return by how much an element of a tensor is wider while it is summed up."""
        return max(0.0, self.operators[tensor - 1].partial - self._stored_bytes(tensor))

    def _stored_bytes(self, tensor: int) -> float:
        """Return the bytes of an element of a tensor that is complete."""
        inside = tensor < len(self.operators)
        return self.operators[tensor].input if inside else self.operators[-1].output
