"""Staircase of one fused group of operators: least buffer footprint of each tile of positions.

The traffic of a group follows from its tile of positions: the first input and the last output once,
and the weights of every operator once per tile, or only once where they are resident. What remains
to be minimised is the footprint. A tensor between two operators is held with all channels, one head
at a time, or one channel at a time (`HeldExtent`). An operator requires its input or its output to
be complete in all channels that it mixes, so that its weights are fetched once per tile. A tensor
that is not complete couples its two operators: they execute interleaved, and their footprints add
up. The chain is divided into runs of interleaved operators by dynamic programming; the footprint is
that of the largest run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.chain_alignment import AlignedChain, ChainOperator
from perfmodel.cost.traffic.convolution_axis import Floats
from perfmodel.cost.traffic.fused_gemm_pairs import (
    ChannelSlices,
    GroupSteps,
    block_footprint,
    block_fusion_steps,
    block_steps,
    pareto_steps,
    refetched_bytes,
    weight_slice_steps,
)


class HeldExtent(IntEnum):
    """Part of a tensor in the buffer: all channels, the channels of one head, or one channel."""

    COMPLETE = 0
    HEAD = 1
    CHANNEL = 2


#: Extents of a tensor that is not complete.
_INCOMPLETE = (HeldExtent.HEAD, HeldExtent.CHANNEL)


class _Run(NamedTuple):
    """Interleaved operators between two tensors, with all alternatives of the extents held."""

    first: int
    last: int
    extents: list[list[HeldExtent]]


def fused_group_steps(
    chain: AlignedChain,
    copies: float,
    on_chip: tuple[bool, bool] = (False, False),
    on_chip_bytes: float = 0.0,
) -> GroupSteps:
    """Return the staircase of a fused group of operators.

    Parameters
    ----------
    chain
        Operators with their tiles.
    copies
        Number of buffers of operands that change at the innermost loop: 1 or 2.
    on_chip
        Whether the first input, and the last output, is on chip for all positions and causes no
        traffic.
    on_chip_bytes
        Bytes that these tensors occupy on chip.
    """
    return _FusedGroup(chain, copies, on_chip, on_chip_bytes).steps()


@dataclass(frozen=True)
class _FusedGroup:
    """Arguments of `fused_group_steps`, and the search for the least footprints."""

    chain: AlignedChain
    copies: float
    on_chip: tuple[bool, bool]
    on_chip_bytes: float

    @property
    def operators(self) -> tuple[ChainOperator, ...]:
        return self.chain.operators

    @cached_property
    def runs(self) -> list[_Run]:
        """All ranges of operators that may execute interleaved."""
        count = len(self.operators)
        return [
            _Run(first, last, list(self._extents(first, last)))
            for last in range(1, count + 1)
            for first in range(last)
        ]

    def steps(self) -> GroupSteps:
        """Return the staircase over all choices of resident weights."""
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
            footprints = self._least_footprints(resident)
            footprint, traffic = footprints[-1] + self.on_chip_bytes, ends.copy()
            for op, is_resident, passes in zip(
                operators, resident, tiles.weight_passes, strict=True
            ):
                footprint = footprint + op.weight_bytes * is_resident
                traffic += op.all_weight_bytes * (1.0 if is_resident else passes)
            if len(operators) == 3 and not any(self.on_chip):
                steps += self._sliced_pair_steps(resident, bits, traffic, footprints)
            steps.append(
                GroupSteps(footprint, traffic, numbers, np.full(len(footprint), bits), 0 * numbers)
            )
        one_tap = all(op.taps == 1 for op in operators)
        if len(operators) == 2 and not any(self.on_chip) and one_tap:
            if all(op.segments == op.heads == 1 for op in operators):
                steps.append(weight_slice_steps(self.chain, self.copies))
            if min(op.heads for op in operators) == 1:
                steps += block_fusion_steps(self.chain, self.copies)
        best = pareto_steps(steps)
        return best._replace(traffic=best.traffic * self.chain.repetitions)

    def _sliced_pair_steps(
        self, resident: tuple[bool, ...], bits: int, traffic: Floats, footprints: Sequence[Floats]
    ) -> list[GroupSteps]:
        """Return the staircases of three operators, two of which share a block slice by slice.

        Either the first input is fetched once per slice, or the last output is spilled per slice.
        """
        chain = self.chain
        resident_bytes = sum(
            op.weight_bytes
            for op, is_resident in zip(self.operators, resident, strict=True)
            if is_resident
        )
        steps: list[GroupSteps] = []
        for first in (0, 1):
            pair = self.operators[first : first + 2]
            if any(op.taps > 1 or op.heads > 1 or op.segments > 1 for op in pair):
                continue
            complete = (first == 1, first == 0)
            block = block_footprint(
                chain, first, self.copies, complete, (resident[first], resident[first + 1])
            )
            # The third operator precedes the block or follows it.
            other = footprints[1] if first else self._least_footprints(resident, start=2)[-1]
            footprint = np.maximum(other[:, None], block) + resident_bytes
            sliced_traffic = traffic[:, None] + refetched_bytes(chain, first, complete)
            slices = ChannelSlices.of(chain, first)
            steps.append(block_steps(footprint, sliced_traffic, slices, bits))
        return steps

    def _least_footprints(self, resident: tuple[bool, ...], start: int = 0) -> list[Floats]:
        """Return the least peak footprint of the operators up to each tensor, in bytes per tile.

        Dynamic programming over consecutive runs of interleaved operators. Tensors at the
        boundaries between runs are complete.

        Parameters
        ----------
        start
            First tensor of the first run.
        """
        best: list[Floats] = [
            np.full(len(self.chain.tiles.count), np.inf) for _ in range(len(self.operators) + 1)
        ]
        best[start] = np.zeros(len(self.chain.tiles.count))
        for first, last, alternatives in self.runs:
            if first < start:
                continue
            for extents in alternatives:
                footprint = self._interleaved_footprint(resident, first, last, extents)
                best[last] = np.minimum(best[last], np.maximum(best[first], footprint))
        return best

    def _extents(self, first: int, last: int) -> Iterator[list[HeldExtent]]:
        """Yield the feasible extents of the tensors of a run of interleaved operators.

        The tensors at both ends of a run are complete, except the first input and the last output
        of the group if they are off chip.
        """
        open_start = first == 0 and not self.on_chip[0]
        open_end = last == len(self.operators) and not self.on_chip[1]
        start, end = (
            (HeldExtent.COMPLETE, *_INCOMPLETE) if is_off_chip else (HeldExtent.COMPLETE,)
            for is_off_chip in (open_start, open_end)
        )
        for extents in itertools.product(start, *[_INCOMPLETE] * (last - first - 1), end):
            if all(self._is_feasible(first + i, *extents[i : i + 2]) for i in range(last - first)):
                yield list(extents)

    def _is_feasible(self, number: int, before: HeldExtent, after: HeldExtent) -> bool:
        """Return whether an operator can execute with these extents of its input and output."""
        for tensor, extent in ((number, before), (number + 1, after)):
            if extent == HeldExtent.HEAD and self._head_channels(tensor) is None:
                return False
        heads = self.operators[number].heads > 1
        complete = (HeldExtent.COMPLETE, HeldExtent.HEAD) if heads else (HeldExtent.COMPLETE,)
        return before in complete or after in complete

    def _interleaved_footprint(
        self, resident: tuple[bool, ...], first: int, last: int, extents: Sequence[HeldExtent]
    ) -> Floats:
        """Return the footprint of interleaved operators in bytes: the smaller of two schedules.

        Either single weight elements stream past all positions of a tile, or a column of the
        weights is held while single positions stream.
        """
        operators, positions = self.operators, self.chain.tiles.positions
        all_positions, one_position = np.zeros(positions.shape[1]), np.zeros(positions.shape[1])
        for tensor, extent in enumerate(extents, first):
            inside = 0 < tensor < len(operators)
            if extent == HeldExtent.CHANNEL:
                width = operators[tensor - 1].partial if tensor else operators[0].input
                all_positions += positions[tensor] * width
                if inside and operators[tensor].taps > 1:
                    # The next kernel reads several positions of the channel.
                    one_position += np.inf
                # The group's input and output change with every position.
                one_position += width * (1 if inside else self.copies)
                continue
            before = extents[tensor - first - 1] if tensor > first else None
            summed = before is not None and self._accumulates_all(tensor - 1, before, extent)
            width = operators[tensor - 1].partial if summed else self._stored_bytes(tensor)
            at_start = tensor == 0 and self.on_chip[0]
            if at_start or (tensor == len(operators) and self.on_chip[1]):
                # On-chip ends are counted for all positions elsewhere; only the additional bytes of
                # partial sums remain.
                width = self._wider_bytes(tensor) if summed else 0.0
            tile_bytes = positions[tensor] * self._channels(tensor, extent) * width
            all_positions += tile_bytes
            one_position += tile_bytes
            if before is not None and not summed:
                # A channel is accumulated in place as partial sums, and then converted.
                one_position += self._wider_bytes(tensor)
        per_turn = np.zeros(positions.shape[1])
        for number in range(first, last):
            op, (before, after) = operators[number], extents[number - first :][:2]
            summed = self._accumulates_all(number, before, after)
            turn_bytes = np.full(
                len(per_turn), 0.0 if resident[number] else self.copies * op.weight
            )
            if after != HeldExtent.CHANNEL and not summed:
                turn_bytes += positions[number + 1] * self._wider_bytes(number + 1)
            per_turn = np.maximum(per_turn, turn_bytes)
            if not resident[number]:
                by_inputs = after == HeldExtent.CHANNEL or not summed
                one_position += op.weight * op.taps * (op.ins if by_inputs else op.outs)
        return np.minimum(all_positions + per_turn, one_position)

    def _accumulates_all(self, number: int, before: HeldExtent, after: HeldExtent) -> bool:
        """Return whether all output is accumulated at once, because the input arrives in parts."""
        if after == HeldExtent.CHANNEL:
            return False
        mixed = after == HeldExtent.COMPLETE and self.operators[number].heads == 1
        return before == HeldExtent.CHANNEL or (before == HeldExtent.HEAD and mixed)

    def _head_channels(self, tensor: int) -> int | None:
        """Return the channels per head of a tensor; ``None`` if its operators disagree."""
        read = [op.ins for op in self.operators[tensor : tensor + 1] if op.heads > 1]
        produced = [op.outs for op in self.operators[:tensor][-1:] if op.heads > 1]
        widths = {*read, *produced}
        return widths.pop() if len(widths) == 1 else None

    def _channels(self, tensor: int, extent: HeldExtent) -> int:
        """Return the number of channels of a tensor that are held under an extent."""
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
        """Return the bytes by which a partial sum of a tensor exceeds its stored element."""
        return max(0.0, self.operators[tensor - 1].partial - self._stored_bytes(tensor))

    def _stored_bytes(self, tensor: int) -> float:
        """Return the bytes per element of a complete tensor."""
        inside = tensor < len(self.operators)
        return self.operators[tensor].input if inside else self.operators[-1].output
