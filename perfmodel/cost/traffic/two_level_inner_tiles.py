"""Traffic across the inner boundary of a two-level problem, by stationarity class.

The innermost loop over inner tiles leaves one operand stationary. That operand is fetched once per
outer tile; every other operand is fetched once per inner tile along the extent that it is invariant
in. Within a class the largest tile that fits the inner buffer has the least traffic; with C the
capacity, A, B and S the bytes per element of the input, of the weights of one pair of channels and
of a partial sum, i and o the input elements and outputs of a tile of positions, and e the number of
buffers::

    output-stationary   k <= (C - e A i) / (e B + S o)
    input-stationary    c <= (C - e S o) / (A i + e B)
    weight-stationary   c <= (C - e S o k) / (e A i + B k)

for k output and c input channels. `docs/traffic.md` has the table of the traffic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.convolution_axis import Floats, Ints
from perfmodel.cost.traffic.multilevel_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.nested_splits import INNER, OUTER, AxisSplits, run_starts, useful_splits
from perfmodel.cost.traffic.two_tile import SLACK, TINY


def tiles_that_fit(available: Floats, each: Floats) -> Floats:
    """Return ``floor(available / each)``, both in bytes, with a slack for rounding; at least 0."""
    return np.floor(np.maximum(available, 0.0) * (1.0 + SLACK) / np.maximum(each, TINY))


class OuterTiles(NamedTuple):
    """Outer tiles of a channel dimension, each with its run of splits.

    Attributes
    ----------
    tile, counts
        Sizes of the outer tiles and their numbers, shape (outers,).
    first
        Index of the first split of each outer tile.
    channels
        Extent of the channel dimension.
    """

    tile: Floats
    counts: Floats
    first: npt.NDArray[np.intp]
    channels: int

    @staticmethod
    def of(splits: AxisSplits, channels: int) -> OuterTiles:
        """Group the splits of `channels` channels by their outer tile."""
        first = run_starts(splits.tile[:1])
        tile = splits.tile[OUTER, first].astype(float)
        counts = splits.counts[OUTER, first].astype(float)
        return OuterTiles(tile, counts, first, channels)

    def inner_count(self, tile: Floats) -> Floats:
        """Return the total number of inner tiles of size `tile`; NaN where `tile` is below 1."""
        size = np.minimum(tile, self.tile)
        bound = np.ceil(self.tile / np.maximum(size, 1.0))
        return np.where(size < 1, np.nan, np.minimum(self.counts * bound, self.channels))


class InnerLevelTiles:
    """Inner tiles of a two-level problem.

    Attributes
    ----------
    outs, ins
        Outer tiles of the output and of the input channels.
    flat
        Whether no two positions share input, so that no tile fetches a halo.
    capacity, usable_capacity
        Bytes of the inner buffer, without and with a slack for rounding.
    refetched_bytes, sliding_bytes
        Input bytes that all inner tiles of a split of positions fetch: with the halo refetched, and
        with a sliding window if the conventions allow it.
    """

    def __init__(self, problem: MultilevelTilingProblem) -> None:
        self.problem = problem
        nest, splits = problem.group.nest, problem.splits
        self.outs = OuterTiles.of(problem.outs, nest.out_channels)
        self.ins = OuterTiles.of(problem.ins, nest.in_channels)
        self.flat = bool(np.all(splits.fetched == splits.touched))
        self.capacity = problem.capacities[INNER]
        self.usable_capacity = problem.usable_capacities[INNER]
        self.copies, self.widths = problem.group.conventions.copies, problem.group.widths
        self.refetched_bytes = problem.input_bytes(splits.fetched[INNER])
        self.sliding_bytes = problem.input_bytes(problem.slid[INNER])

    @property
    def useful(self) -> list[Ints]:
        """Splits with undominated inner tiles for each outer tile of positions; `useful_splits`."""
        group = self.problem.group
        return useful_splits(group.nest, self.problem.thin, group.conventions.slides)

    def _inputs_and_positions(self, selected: slice) -> tuple[Floats, Floats]:
        """Return the input elements and positions of the inner tiles of selected splits."""
        splits = self.problem.splits
        return splits.inputs[INNER, selected, None], splits.positions[INNER, selected, None]

    def out_tile(self, inputs: Floats, positions: Floats) -> Floats:
        """Return the most output channels that fit in the output-stationary class."""
        available = self.capacity - self.copies * self.widths.input * inputs
        each = self.copies * self.problem.pair_weight_bytes + self.widths.partial * positions
        return tiles_that_fit(available, each)

    def in_tile(self, inputs: Floats, positions: Floats) -> Floats:
        """Return the most input channels that fit in the input-stationary class."""
        available = self.capacity - self.copies * self.widths.partial * positions
        each = self.widths.input * inputs + self.copies * self.problem.pair_weight_bytes
        return tiles_that_fit(available, each)

    def in_tile_beside(self, inputs: Floats, positions: Floats, outs: Floats) -> Floats:
        """Return the most input channels that fit with `outs` output ones, weight-stationary."""
        available = self.capacity - self.copies * self.widths.partial * positions * outs
        each = self.copies * self.widths.input * inputs + self.problem.pair_weight_bytes * outs
        return tiles_that_fit(available, each)

    def output_stationary_bytes(self, selected: slice = slice(None)) -> Floats:
        """Return input and weight bytes of the output-stationary class.

        The innermost loop runs over input channels, one at a time.

        Returns
        -------
        array
            Bytes, shape (splits of positions, outer output tiles).
        """
        count = self.outs.inner_count(self.out_tile(*self._inputs_and_positions(selected)))
        weights = self.problem.group.weight_bytes * self.problem.splits.count[INNER, selected, None]
        return self.refetched_bytes[selected, None] * count + weights

    def input_stationary_passes(self, selected: slice = slice(None)) -> Floats:
        """Return the passes over the partial sums in the input-stationary class.

        The innermost loop runs over output channels, one at a time.

        Returns
        -------
        array
            Number of tiles of input channels, shape (splits of positions, outer input tiles).
        """
        return self.ins.inner_count(self.in_tile(*self._inputs_and_positions(selected)))

    def weight_stationary_bytes(
        self, positions: Floats, inputs: Floats, fetched: Floats, outs: slice = slice(None)
    ) -> Floats:
        """Return input and partial-sum bytes of the weight-stationary class.

        The innermost loops run over positions.

        Parameters
        ----------
        positions, inputs, fetched
            Positions and input elements per channel of a tile, and input bytes of all channels that
            all such tiles fetch; shape (tiles,).
        outs
            Splits of the output channels.

        Returns
        -------
        array
            Bytes, shape (tiles, output splits, outer input tiles).
        """
        splits = self.problem.outs
        tile, count = (
            column[INNER, outs].astype(float)[None, :, None]
            for column in (splits.tile, splits.counts)
        )
        in_tile = self.in_tile_beside(inputs[:, None, None], positions[:, None, None], tile)
        passes = self.ins.inner_count(in_tile)
        return fetched[:, None, None] * count + self.problem.group.spill_bytes * (passes - 1.0)
