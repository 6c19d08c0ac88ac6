"""Tiling problem over several nested buffers: footprint and traffic of a tile at any level.

The equations are those of one buffer (`stationarity`), applied at every level: a tile of c input
channels, k output channels, o positions and i input elements per channel has the footprint

    e_I A i c + e_W B c k + e_O S o k    (bytes)

where A, B and S are the bytes per element of the input, of the weights of one pair of channels and
of a partial sum, and e is 1 for the stationary operand and the number of buffers for the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.cost.traffic.convolution_axis import Floats
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.nested_splits import (
    AxisSplits,
    PositionSplits,
    channel_splits,
    position_splits,
)
from perfmodel.cost.traffic.staircase import check_sizes
from perfmodel.cost.traffic.stationarity import INPUT, OUTPUT, WEIGHT, TilingProblem
from perfmodel.cost.traffic.two_tile import SLACK


@dataclass(frozen=True, slots=True)
class MultilevelTilingProblem:
    """Tiling problem of one group of a nest over several memory levels.

    Attributes
    ----------
    group
        Flattened nest and the bytes of its operands.
    capacities
        Bytes of each level, outermost first.
    splits, outs, ins
        Splits of the positions, of the output channels and of the input channels.
    thin
        Minimum ratio of neighbouring tile sizes in the lists of tiles; 1 keeps all tiles.
    """

    group: TilingProblem
    capacities: tuple[float, ...]
    splits: PositionSplits
    outs: AxisSplits
    ins: AxisSplits
    thin: float

    @staticmethod
    def of(
        nest: TileNest,
        widths: Widths,
        capacities: Sequence[float],
        conventions: Conventions,
        thin: float = 1.0,
    ) -> MultilevelTilingProblem:
        """Return the problem of one group.

        Raises
        ------
        ValueError
            Invalid sizes, capacities that are negative or rise inwards, uneven tiles, or a kept
            halo with a dilated kernel.
        """
        check_sizes(nest, widths)
        if any(b > a for a, b in itertools.pairwise(capacities)):
            raise ValueError(
                f"capacities must not increase from the outermost level inwards: {capacities}"
            )
        if not all(c >= 0 for c in capacities):
            raise ValueError(f"capacities must not be negative: {capacities}")
        if conventions.allocation != "even":
            raise ValueError("several levels take even tiles only: allocation='even'")
        group = TilingProblem.of(nest, widths, conventions)
        if conventions.slides and max(group.rows.dilation, group.columns.dilation) > 1:
            raise ValueError("several levels keep no halo of a dilated kernel; ask for 'refetched'")
        levels = len(capacities)
        return MultilevelTilingProblem(
            group=group,
            capacities=tuple(float(c) for c in capacities),
            splits=position_splits(group.nest, levels, thin),
            outs=channel_splits(group.nest.out_channels, levels, thin),
            ins=channel_splits(group.nest.in_channels, levels, thin),
            thin=thin,
        )

    @property
    def usable_capacities(self) -> Floats:
        """Capacity of each level in bytes, plus a slack for rounding errors."""
        return np.array(self.capacities) * (1 + SLACK)

    @property
    def pair_weight_bytes(self) -> float:
        """Weight bytes of one pair of input and output channel."""
        return self.group.widths.weight * self.group.nest.taps

    @property
    def slid(self) -> Floats:
        """Input elements per channel that all tiles of `splits` fetch; less if windows slide."""
        return self.splits.slid if self.group.conventions.slides else self.splits.fetched

    def footprint(
        self, inputs: Floats, positions: Floats, outs: Floats, ins: Floats, stationary: int | None
    ) -> Floats:
        """Return the footprint of a tile in bytes; the stationary operand is single-buffered.

        Parameters
        ----------
        inputs, positions, outs, ins
            Input elements per channel, positions, output and input channels of the tile.
        stationary
            Class number; ``None`` if there is one tile only, which needs no second buffer.
        """
        copies = [self.group.conventions.copies if stationary is not None else 1.0] * 3
        if stationary is not None:
            copies[stationary] = 1.0
        widths = self.group.widths
        return (
            copies[INPUT] * widths.input * inputs * ins
            + copies[WEIGHT] * self.pair_weight_bytes * outs * ins
            + copies[OUTPUT] * widths.partial * positions * outs
        )

    def input_bytes(self, elements: Floats) -> Floats:
        """Return the bytes of all input channels for a number of elements per channel."""
        channel_bytes = self.group.widths.input * self.group.nest.in_channels
        return np.asarray(channel_bytes * elements, dtype=np.float64)

    def traffic(
        self, fetched: Floats, position_count: Floats, out_count: Floats, in_count: Floats
    ) -> Floats:
        """Return the traffic across a boundary in bytes, ``I n_K + W n_PQ + O + U (n_C - 1)``.

        Parameters
        ----------
        fetched
            Input elements per channel that all tiles of positions fetch in one pass.
        position_count, out_count, in_count
            Passes over the weight, the input and the output (n_PQ, n_K, n_C); 1 for a stationary
            operand.
        """
        group = self.group
        return (
            self.input_bytes(fetched) * out_count
            + group.weight_bytes * position_count
            + group.output_bytes
            + group.spill_bytes * (in_count - 1.0)
        )
