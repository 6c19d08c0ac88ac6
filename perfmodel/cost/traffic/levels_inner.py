"""Best inner tiles for every outer tile: the second of two levels, in three classes.

Inside an outer tile one operand stays at the innermost loop. What it costs follows from the loops:
an operand is fetched once an outer tile where it stays, and once for each inner tile along the
extent that it does not depend on where it does not; `docs/traffic.md` has the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.levels_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.levels_splits import Line, starts, useful
from perfmodel.cost.traffic.staircase_axes import Floats, Ints

#: Stands for a width of zero where one divides by it.
_NOTHING = 1e-30
#: Rounding that a capacity forgives, relative.
_SLACK = 1e-12


def fit(room: Floats, each: Floats) -> Floats:
    """Return how many of `each` fit into `room`, as a whole number; 0 where none does."""
    return np.floor(np.maximum(room, 0.0) * (1.0 + _SLACK) / np.maximum(each, _NOTHING))


@dataclass(frozen=True, slots=True)
class Outers:
    """Outer tiles of a line: its splits grouped by the outer tile.

    Attributes
    ----------
    tile, parts
        Outer tiles and how many of them there are, shape (outers,).
    first
        Where the splits of each outer tile begin.
    """

    tile: Floats
    parts: Floats
    first: npt.NDArray[np.intp]

    @staticmethod
    def of(part: Line) -> Outers:
        """Group the splits of a line."""
        first = starts(part.tile[:1])
        return Outers(part.tile[0, first].astype(float), part.parts[0, first].astype(float), first)


class InnerLevelTiles:
    """Inner tiles of a problem of two levels.

    Attributes
    ----------
    outs, ins
        Outer tiles of the output and of the input channels.
    first
        Where the splits of each outer tile of positions begin.
    flat
        Whether positions share no input, so that every tile fetches the same volume.
    """

    def __init__(self, problem: MultilevelTilingProblem) -> None:
        self.problem = problem
        self.outs, self.ins = Outers.of(problem.outs), Outers.of(problem.ins)
        places = problem.places
        self.first = places.first
        self.flat = bool(np.all(places.volume == places.whole))
        self.room = problem.capacities[1]
        slid = places.slid if problem.kept else places.volume
        #: Input bytes for each split where the inputs' tiles follow the innermost loops, or not.
        self.apart, self.along = problem.inputs(places.volume[1]), problem.inputs(slid[1])

    @property
    def useful(self) -> list[Ints]:
        """Splits of each outer tile of positions whose inner tile is useful; see `useful`."""
        return useful(self.problem.nest, self.problem.thin, self.problem.kept)

    def parts_of(self, outer: Outers, extent: int, tile: Floats) -> Floats:
        """Return the inner tiles along a line where so large ones fit; NaN where none does."""
        size = np.minimum(tile, outer.tile)
        bound = np.ceil(outer.tile / np.maximum(size, 1.0))
        return np.where(size < 1, np.nan, np.minimum(outer.parts * bound, extent))

    def output_stays(self, some: slice = slice(None)) -> Floats:
        """Return bytes of input and weight, shape (splits of positions, outer output tiles).

        The innermost loop runs over single input channels.
        """
        q, twice = self.problem, self.problem.held
        patch, area = q.places.patch[1, some, None], q.places.area[1, some, None]
        room = self.room - twice * q.input * patch
        tile = fit(room, twice * q.weight + q.partial * area)
        parts = self.parts_of(self.outs, q.nest.out_channels, tile)
        return self.apart[some, None] * parts + q.weights * q.places.parts[1, some, None]

    def input_stays(self, some: slice = slice(None)) -> Floats:
        """Return how often a partial sum comes, shape (splits of positions, outer input tiles).

        The innermost loop runs over single output channels.
        """
        q, twice = self.problem, self.problem.held
        patch, area = q.places.patch[1, some, None], q.places.area[1, some, None]
        room = self.room - twice * q.partial * area
        tile = fit(room, q.input * patch + twice * q.weight)
        return self.parts_of(self.ins, q.nest.in_channels, tile)

    def weight_stays(
        self, area: Floats, patch: Floats, inputs: Floats, outs: slice = slice(None)
    ) -> Floats:
        """Return bytes of input and partial sums, shape (tiles, output splits, outer input tiles).

        The innermost loops run over positions.

        Parameters
        ----------
        area, patch, inputs
            Positions of a tile, input elements of a channel that it holds, and the input bytes of
            all channels that such tiles fetch; shape (tiles,).
        outs
            Splits of the output channels.
        """
        q, twice = self.problem, self.problem.held
        tile = q.outs.tile[1, outs].astype(float)[None, :, None]
        parts = q.outs.parts[1, outs].astype(float)[None, :, None]
        room = self.room - twice * q.partial * area[:, None, None] * tile
        each = twice * q.input * patch[:, None, None] + q.weight * tile
        again = self.parts_of(self.ins, q.nest.in_channels, fit(room, each))
        return inputs[:, None, None] * parts + q.partials * (again - 1.0)
