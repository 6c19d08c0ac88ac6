"""Uneven tiles that may be steps of a staircase: all undominated tiles of every retention layout.

Under uneven allocation an operand may retain a panel, its full extent along some loops, and only a
tile along the others. For one layout (`retention_layouts`) footprint and traffic are products over
the loops l. With B the bytes per element, e = 2 for a double-buffered operand, F the extent of a
tile and R the number of its fetches due to a loop,

    footprint = sum over operands of e B prod_l F(l)
    traffic   = I prod_l R_input(l) + W prod_l R_weight(l) + O + U (prod_l R_output(l) - 1)

in bytes (I, W, O the operands once, with input halos in I; U all partial sums written out and read
back). `add_uneven` drops the dominated tiles of each loop first, combines the remaining ones loop
by loop (positions, input channels, output channels), and prunes the combinations that cannot become
a step of the staircase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.candidate_front import Decoded, StaircaseCandidates
from perfmodel.cost.traffic.convolution_axis import AxisTiles, Floats, Ints
from perfmodel.cost.traffic.even_tile_candidates import UsefulTiles
from perfmodel.cost.traffic.pareto_filters import undominated
from perfmodel.cost.traffic.retention_layouts import (
    INDEXED,
    INPUT,
    LOOP_OF,
    OPERANDS,
    OUTPUT,
    WEIGHT,
    TileRetentionLayout,
    layouts,
    panel_mask,
)
from perfmodel.cost.traffic.stationarity import STATIONARY, TilingProblem

Bools = npt.NDArray[np.bool_]


class _LoopTileFactors(NamedTuple):
    """Factors of footprint and traffic for the tiles of one loop, or of both loops of an axis.

    Attributes
    ----------
    tile, taps
        Tile size, and its number of taps.
    footprint
        Factors of the footprint of input, weight and output, shape (3, tiles).
    refetch
        Number of fetches of input, weight and output for this loop, shape (3, tiles).
    fetched
        Factor of the input that all tiles fetch in one pass.
    moves
        Whether an innermost loop of the layout has several tiles.
    """

    tile: Ints
    taps: Ints
    footprint: Floats
    refetch: Floats
    fetched: Floats
    moves: Bools

    def pick(self, which: Ints | Bools) -> _LoopTileFactors:
        """Return a subset of the tiles."""
        return self._make(column[..., which] for column in self)

    def thinned(self) -> _LoopTileFactors:
        """Return the undominated tiles."""
        columns = [*self.footprint, *self.refetch, self.fetched, np.where(self.moves, 0.0, 1.0)]
        return self.pick(undominated([c for c in columns if np.any(c != c[0])] or columns[:1]))

    def times(self, other: _LoopTileFactors) -> _LoopTileFactors:
        """Return the element-wise products of both loops' factors; the tile is that of `self`."""
        return self._replace(
            footprint=self.footprint * other.footprint,
            refetch=self.refetch * other.refetch,
            fetched=self.fetched * other.fetched,
            moves=self.moves | other.moves,
        )


#: Properties that the tiles of a loop depend on -> their factors.
_Factors = dict[tuple[object, ...], _LoopTileFactors]


def add_uneven(tiles: UsefulTiles, candidates: StaircaseCandidates) -> None:
    """Add the candidates of all layouts with a panel of some operand."""
    nest, conventions = tiles.problem.nest, tiles.problem.conventions
    active = "".join(loop for extent, loop in LOOP_OF.items() if getattr(nest, extent) > 1)
    if not active:
        return
    factors: _Factors = {}
    for layout in layouts(
        active,
        slides=conventions.slides,
        double=conventions.copies > 1,
        square=tiles.rows is tiles.columns,
    ):
        if not layout.even:
            _LayoutTiles.of(tiles, layout, factors).add(candidates)


@dataclass(frozen=True, slots=True)
class _LayoutTiles:
    """Undominated tiles of each loop in a layout.

    Attributes
    ----------
    rows, columns
        Tiles of both axes, positions and taps together.
    images, in_channels, out_channels
        Tiles of these loops.
    """

    problem: TilingProblem
    layout: TileRetentionLayout
    rows: _LoopTileFactors
    columns: _LoopTileFactors
    images: _LoopTileFactors
    in_channels: _LoopTileFactors
    out_channels: _LoopTileFactors

    @classmethod
    def of(cls, tiles: UsefulTiles, layout: TileRetentionLayout, factors: _Factors) -> _LayoutTiles:
        """Return the tiles of a layout; `factors` caches loops that layouts have in common."""
        nest = tiles.problem.nest
        return cls(
            tiles.problem,
            layout,
            _axis_factors(tiles.rows, "PR", layout, factors),
            _axis_factors(tiles.columns, "QS", layout, factors),
            _loop_factors(tiles.images, nest.batch, "N", layout, factors),
            _loop_factors(tiles.in_channels, nest.in_channels, "C", layout, factors),
            _loop_factors(tiles.out_channels, nest.out_channels, "K", layout, factors),
        )

    def fixed_bytes(self, refetch: Floats) -> Floats:
        """Return the traffic of weight and output, independent of output channel tiles."""
        problem = self.problem
        partial = problem.spill_bytes * (refetch[OUTPUT] - 1)
        return problem.weight_bytes * refetch[WEIGHT] + partial + problem.output_bytes

    def positions(self) -> tuple[_LoopTileFactors, list[Ints]]:
        """Return all tiles of positions, taps and images in bytes, and their index in each loop."""
        nest, widths = self.problem.nest, self.problem.widths
        loops = self.rows, self.columns, self.images
        numbers = [number.ravel() for number in np.indices([len(loop.tile) for loop in loops])]
        rows, columns, images = map(_LoopTileFactors.pick, loops, numbers)
        tiles = rows.times(columns).times(images)
        copies = np.array(
            [2.0 if retention.double_buffered else 1.0 for retention in self.layout.retentions]
        )
        element_bytes = copies * (widths.input, widths.weight, widths.partial)
        footprint = element_bytes[:, None] * tiles.footprint
        input_bytes = nest.batch * nest.in_channels * widths.input
        return tiles._replace(footprint=footprint, fetched=tiles.fetched * input_bytes), numbers

    def add(self, candidates: StaircaseCandidates) -> None:
        """Add candidates loop by loop: positions, then input channels, then output channels."""
        ins, outs = self.in_channels, self.out_channels
        outs_move = outs.moves if self.layout.innermost else np.ones_like(outs.moves)
        least_out, any_out_moves = outs.footprint.min(axis=1), bool(outs_move.any())

        def useful(tiles: _LoopTileFactors) -> Ints:
            traffic = tiles.fetched * outs.refetch[INPUT].min() + self.fixed_bytes(tiles.refetch)
            may_be_step = candidates.may_be_steps(least_out @ tiles.footprint, traffic)
            return np.flatnonzero(may_be_step & (tiles.moves | any_out_moves))

        positions, numbers = self.positions()
        position = useful(
            positions._replace(
                footprint=positions.footprint * ins.footprint.min(axis=1)[:, None],
                refetch=positions.refetch * ins.refetch.min(axis=1)[:, None],
                moves=positions.moves | bool(ins.moves.any()),
            )
        )
        if not len(position):
            return
        in_tile = np.tile(np.arange(len(ins.tile)), len(position))
        position = np.repeat(position, len(ins.tile))
        lines = positions.pick(position).times(ins.pick(in_tile))
        useful_lines = useful(lines)
        if not len(useful_lines):
            return
        lines = lines.pick(useful_lines)
        position, in_tile = position[useful_lines], in_tile[useful_lines]
        # Sum over the operands a of all pairs of a line l and a tile of output channels o.
        footprint: Floats = np.einsum("al,ao->lo", lines.footprint, outs.footprint)
        fixed = self.fixed_bytes(lines.refetch)
        traffic = lines.fetched[:, None] * outs.refetch[INPUT] + fixed[:, None]
        traffic[~(lines.moves[:, None] | outs_move)] = np.inf

        def decode(index: Ints) -> Decoded:
            line, out_tile = np.divmod(index, len(outs.tile))
            row, column, image = (number[position[line]] for number in numbers)
            tile: Decoded = {
                "batch": self.images.tile[image],
                "out_rows": self.rows.tile[row],
                "out_columns": self.columns.tile[column],
                "out_channels": outs.tile[out_tile],
                "in_channels": ins.tile[in_tile[line]],
                "kernel_rows": self.rows.taps[row],
                "kernel_columns": self.columns.taps[column],
            }
            fetched = lines.fetched[line] * outs.refetch[INPUT, out_tile]
            return tile | _traffic_of(self.problem, self.layout, fetched, lines.refetch[:, line])

        candidates.add(footprint, traffic, decode)


def _traffic_of(
    problem: TilingProblem, layout: TileRetentionLayout, fetched: Floats, refetch: Floats
) -> Decoded:
    """Return the stationarity of tiles, and the traffic of each operand."""
    partial = problem.spill_bytes * (refetch[OUTPUT] - 1)
    ones = np.ones(len(fetched), dtype=np.intp)
    return {
        "stationary": ones * STATIONARY.index(OPERANDS[layout.stationary]),
        "panels": ones * panel_mask(layout),
        "input": fetched,
        "weight": problem.weight_bytes * refetch[WEIGHT],
        "output": problem.output_bytes + partial,
        "partial_reads": partial / 2,
    }


def _axis_factors(
    axis: AxisTiles, loops: str, layout: TileRetentionLayout, factors: _Factors
) -> _LoopTileFactors:
    position, tap = loops
    key = (id(axis), *_flags(layout, position), *_flags(layout, tap))
    if key in factors:
        return factors[key]
    cuts = len(np.unique(axis.taps))
    index = np.arange(len(axis.tile)).reshape(-1, cuts)
    by_position, by_tap = (i.ravel() for i in np.indices(index.shape))
    # Tile of each operand in the buffer; the last tile of an axis is its full extent.
    input, weight, output = (
        index[
            np.where(position in retention.panel, len(index) - 1, by_position),
            np.where(tap in retention.panel, -1, by_tap),
        ]
        for retention in layout.retentions
    )
    by_slide = {position: axis.slid, tap: axis.tap_slid}
    one = np.ones(len(axis.tile))
    moves = (axis.count > 1) & (position in layout.innermost)
    moves |= (axis.tap_count > 1) & (tap in layout.innermost)
    factors[key] = _LoopTileFactors(
        tile=axis.tile,
        taps=axis.taps,
        footprint=np.stack(
            [axis.rows[input], axis.taps[weight].astype(float), axis.tile[output].astype(float)]
        ),
        refetch=np.stack(
            [
                one,
                axis.count * one if position in layout.retentions[WEIGHT].refetch else one,
                axis.tap_count * one if tap in layout.retentions[OUTPUT].refetch else one,
            ]
        ),
        fetched=by_slide.get(layout.slides, axis.fetched)[input],
        moves=moves if layout.innermost else np.ones(len(axis.tile), dtype=bool),
    ).thinned()
    return factors[key]


def _loop_factors(
    tiles: Ints, extent: int, loop: str, layout: TileRetentionLayout, factors: _Factors
) -> _LoopTileFactors:
    key = (loop, *_flags(layout, loop))
    if key in factors:
        return factors[key]
    counts = (-(-extent // tiles)).astype(float)
    one = np.ones(len(tiles))
    extents: list[Floats] = []
    for indexed, retention in zip(INDEXED, layout.retentions, strict=True):
        tile = one * extent if loop in retention.panel else tiles.astype(float)
        extents.append(tile if loop in indexed else one)
    factors[key] = _LoopTileFactors(
        tile=tiles,
        taps=np.ones_like(tiles),
        footprint=np.stack(extents),
        refetch=np.stack(
            [counts if loop in retention.refetch else one for retention in layout.retentions]
        ),
        fetched=one,
        moves=(counts > 1) & (loop in layout.innermost) | (not layout.innermost),
    ).thinned()
    return factors[key]


def _flags(layout: TileRetentionLayout, loop: str) -> tuple[object, ...]:
    """Return the properties of a layout that the tiles of a loop depend on."""
    return (
        tuple((loop in operand.panel, loop in operand.refetch) for operand in layout.retentions),
        layout.slides == loop,
        loop in layout.innermost,
        bool(layout.innermost),
    )
