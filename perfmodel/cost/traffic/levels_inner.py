"""Best inner tiles for every outer tile: the second of two levels, in three classes.

Inside an outer tile one operand stays at the innermost loop. What it costs follows from the loops:
an operand is fetched once an outer tile where it stays, and once for each inner tile along the
extent that it does not depend on where it does not; `docs/traffic.md` has the table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import Floats, Ints
from perfmodel.cost.traffic.levels_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.levels_splits import AxisSplits, starts, useful_splits
from perfmodel.cost.traffic.two_tile import SLACK, TINY


def tiles_that_fit(room: Floats, each: Floats) -> Floats:
    """Return how many of `each` fit into `room`, as a whole number; 0 where none does."""
    return np.floor(np.maximum(room, 0.0) * (1.0 + SLACK) / np.maximum(each, TINY))


class OuterTiles(NamedTuple):
    """Outer tiles of channels: splits grouped by the outer tile.

    Attributes
    ----------
    tile, counts
        Outer tiles and how many of them there are, shape (outers,).
    first
        Where the splits of each outer tile begin.
    channels
        How many there are in all.
    """

    tile: Floats
    counts: Floats
    first: npt.NDArray[np.intp]
    channels: int

    @staticmethod
    def of(splits: AxisSplits, channels: int) -> OuterTiles:
        """Group splits."""
        first = starts(splits.tile[:1])
        tile, counts = splits.tile[0, first].astype(float), splits.counts[0, first].astype(float)
        return OuterTiles(tile, counts, first, channels)

    def inner_count(self, tile: Floats) -> Floats:
        """Return the inner tiles in all where so large ones fit; NaN where none does."""
        size = np.minimum(tile, self.tile)
        bound = np.ceil(self.tile / np.maximum(size, 1.0))
        return np.where(size < 1, np.nan, np.minimum(self.counts * bound, self.channels))


class InnerLevelTiles:
    """Inner tiles of a problem of two levels.

    Attributes
    ----------
    outs, ins
        Outer tiles of the output and of the input channels.
    flat
        Whether positions share no input, so that every tile fetches the same elements.
    apart, along
        Input bytes for each split where the inputs' tiles follow the innermost loops, or not.
    """

    def __init__(self, problem: MultilevelTilingProblem) -> None:
        self.problem = problem
        nest, splits = problem.group.nest, problem.splits
        self.outs = OuterTiles.of(problem.outs, nest.out_channels)
        self.ins = OuterTiles.of(problem.ins, nest.in_channels)
        self.flat = bool(np.all(splits.fetched == splits.touched))
        self.capacity, self.room = problem.capacities[1], problem.rooms[1]
        self.copies, self.widths = problem.group.conventions.copies, problem.group.widths
        self.apart = problem.input_bytes(splits.fetched[1])
        self.along = problem.input_bytes(problem.slid[1])

    @property
    def useful(self) -> list[Ints]:
        """Splits of each outer tile of positions whose inner tile is useful; `useful_splits`."""
        group = self.problem.group
        return useful_splits(group.nest, self.problem.thin, group.conventions.slides)

    def _inputs_and_positions(self, some: slice) -> tuple[Floats, Floats]:
        splits = self.problem.splits
        return splits.inputs[1, some, None], splits.positions[1, some, None]

    def out_tile(self, inputs: Floats, positions: Floats) -> Floats:
        """Return the output channels that fit beside single input channels innermost."""
        room = self.capacity - self.copies * self.widths.input * inputs
        each = self.copies * self.problem.pair_weight_bytes + self.widths.partial * positions
        return tiles_that_fit(room, each)

    def in_tile(self, inputs: Floats, positions: Floats) -> Floats:
        """Return the input channels that fit beside single output channels innermost."""
        room = self.capacity - self.copies * self.widths.partial * positions
        each = self.widths.input * inputs + self.copies * self.problem.pair_weight_bytes
        return tiles_that_fit(room, each)

    def in_tile_beside(self, inputs: Floats, positions: Floats, outs: Floats) -> Floats:
        """Return the input channels that fit beside output channels, positions innermost."""
        room = self.capacity - self.copies * self.widths.partial * positions * outs
        each = self.copies * self.widths.input * inputs + self.problem.pair_weight_bytes * outs
        return tiles_that_fit(room, each)

    def output_stays(self, some: slice = slice(None)) -> Floats:
        """Return bytes of input and weight, shape (splits of positions, outer output tiles).

        The innermost loop runs over single input channels.
        """
        count = self.outs.inner_count(self.out_tile(*self._inputs_and_positions(some)))
        weights = self.problem.group.weight_bytes * self.problem.splits.count[1, some, None]
        return self.apart[some, None] * count + weights

    def input_stays(self, some: slice = slice(None)) -> Floats:
        """Return how often a partial sum comes, shape (splits of positions, outer input tiles).

        The innermost loop runs over single output channels.
        """
        return self.ins.inner_count(self.in_tile(*self._inputs_and_positions(some)))

    def weight_stays(
        self, positions: Floats, inputs: Floats, fetched: Floats, outs: slice = slice(None)
    ) -> Floats:
        """Return bytes of input and partial sums, shape (tiles, output splits, outer input tiles).

        The innermost loops run over positions.

        Parameters
        ----------
        positions, inputs, fetched
            Positions of a tile, input elements of a channel that it holds, and the input bytes of
            all channels that such tiles fetch; shape (tiles,).
        outs
            Splits of the output channels.
        """
        splits = self.problem.outs
        tile, count = (
            column[1, outs].astype(float)[None, :, None] for column in (splits.tile, splits.counts)
        )
        in_tile = self.in_tile_beside(inputs[:, None, None], positions[:, None, None], tile)
        passes = self.ins.inner_count(in_tile)
        return fetched[:, None, None] * count + self.problem.group.spill_bytes * (passes - 1.0)
