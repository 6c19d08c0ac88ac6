"""Candidates of uneven tiles: every layout with every tile that it can use."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import AxisTiles, Floats, Ints
from perfmodel.cost.traffic.staircase_classes import UsefulTiles
from perfmodel.cost.traffic.staircase_layouts import (
    INDEXED,
    LOOPS,
    OPERANDS,
    TileRetentionLayout,
    layouts,
)
from perfmodel.cost.traffic.staircase_steps import Decoded, StaircaseCandidates
from perfmodel.cost.traffic.stationarity import STATIONARY, TilingProblem
from perfmodel.cost.traffic.undominated import undominated

Bools = npt.NDArray[np.bool_]


class _LoopTileFactors(NamedTuple):
    """Tiles of one loop, or of the two loops of an axis, as factors of what a layout holds.

    Attributes
    ----------
    tile, taps
        The tile itself.
    footprint
        Factors of the input, weight and output in the buffer, shape (3, tiles).
    refetch
        How often each is fetched for it, shape (3, tiles).
    fetched
        Factor of the input that all tiles fetch once.
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
        """Return some of the tiles."""
        return self._make(column[..., which] for column in self)

    def thinned(self) -> _LoopTileFactors:
        """Return the tiles that no other beats."""
        columns = [*self.footprint, *self.refetch, self.fetched, np.where(self.moves, 0.0, 1.0)]
        return self.pick(undominated([c for c in columns if np.any(c != c[0])] or columns[:1]))

    def times(self, other: _LoopTileFactors) -> _LoopTileFactors:
        """Return the factors of both loops, paired; the tile is of this one."""
        return self._replace(
            footprint=self.footprint * other.footprint,
            refetch=self.refetch * other.refetch,
            fetched=self.fetched * other.fetched,
            moves=self.moves | other.moves,
        )


#: What the tiles of loops depend on -> their factors.
_Factors = dict[tuple[object, ...], _LoopTileFactors]


def add_uneven(tiles: UsefulTiles, candidates: StaircaseCandidates) -> None:
    """Add the candidates that keep panels of some operand along some loops, and not of others."""
    nest = tiles.problem.nest
    extents = {
        "N": nest.batch,
        "P": nest.out_rows,
        "Q": nest.out_columns,
        "K": nest.out_channels,
        "C": nest.in_channels,
        "R": nest.kernel_rows,
        "S": nest.kernel_columns,
    }
    active = "".join(loop for loop in LOOPS if extents[loop] > 1)
    if not active:
        return
    factors: _Factors = {}
    conventions = tiles.problem.conventions
    for layout in layouts(
        active,
        slides=conventions.slides,
        double=conventions.copies > 1,
        square=tiles.rows is tiles.columns,
    ):
        if not layout.even:
            _add_layout(tiles, layout, candidates, factors)


def _add_layout(
    tiles: UsefulTiles,
    layout: TileRetentionLayout,
    candidates: StaircaseCandidates,
    factors: _Factors,
) -> None:
    problem, nest, widths = tiles.problem, tiles.problem.nest, tiles.problem.widths
    rows = _axis_factors(tiles.rows, "PR", layout, factors)
    columns = _axis_factors(tiles.columns, "QS", layout, factors)
    images = _loop_factors(tiles.images, nest.batch, "N", layout, factors)
    ins = _loop_factors(tiles.in_channels, nest.in_channels, "C", layout, factors)
    outs = _loop_factors(tiles.out_channels, nest.out_channels, "K", layout, factors)
    copies = np.array([2.0 if hold.twice else 1.0 for hold in layout.holds])
    element_bytes = copies * (widths.input, widths.weight, widths.partial)
    outs_move = outs.moves if layout.innermost else np.ones_like(outs.moves)
    outs_least, outs_may = outs.footprint.min(axis=1), bool(outs_move.any())

    def once(refetch: Floats) -> Floats:
        """Bytes of weight and output, which output channels refetch no more."""
        partial = problem.spill_bytes * (refetch[2] - 1)
        return problem.weight_bytes * refetch[1] + partial + problem.output_bytes

    def may_matter(part: _LoopTileFactors, footprint: Floats, refetch: Floats) -> Bools:
        traffic = part.fetched * outs.refetch[0].min() + once(refetch)
        return candidates.may_matter(outs_least @ footprint, traffic)

    # Tiles of positions and taps; then one line for each with a tile of input channels, output
    # channels along it. Both times what cannot become a step is left out.
    row, column, image = (
        index.ravel() for index in np.indices((len(rows.tile), len(columns.tile), len(images.tile)))
    )
    spots = rows.pick(row).times(columns.pick(column)).times(images.pick(image))
    footprint = element_bytes[:, None] * spots.footprint
    input_bytes = nest.batch * nest.in_channels * widths.input
    spots = spots._replace(footprint=footprint, fetched=spots.fetched * input_bytes)
    least_footprint = spots.footprint * ins.footprint.min(axis=1)[:, None]
    least_refetch = spots.refetch * ins.refetch.min(axis=1)[:, None]
    moves = spots.moves | bool(ins.moves.any()) | outs_may
    spot = np.flatnonzero(may_matter(spots, least_footprint, least_refetch) & moves)
    if not len(spot):
        return
    spot, in_tile = np.repeat(spot, len(ins.tile)), np.tile(np.arange(len(ins.tile)), len(spot))
    lines = spots.pick(spot).times(ins.pick(in_tile))
    moves = lines.moves | outs_may
    good = np.flatnonzero(may_matter(lines, lines.footprint, lines.refetch) & moves)
    if not len(good):
        return
    lines, spot, in_tile = lines.pick(good), spot[good], in_tile[good]
    footprint: Floats = np.einsum("al,ao->lo", lines.footprint, outs.footprint)
    traffic = lines.fetched[:, None] * outs.refetch[0] + once(lines.refetch)[:, None]
    traffic[~(lines.moves[:, None] | outs_move)] = np.inf

    def decode(index: Ints) -> Decoded:
        at, out = np.divmod(index, len(outs.tile))
        by_row, by_column, by_image = row[spot[at]], column[spot[at]], image[spot[at]]
        tile: Decoded = {
            "batch": images.tile[by_image],
            "out_rows": rows.tile[by_row],
            "out_columns": columns.tile[by_column],
            "out_channels": outs.tile[out],
            "in_channels": ins.tile[in_tile[at]],
            "kernel_rows": rows.taps[by_row],
            "kernel_columns": columns.taps[by_column],
        }
        fetched = lines.fetched[at] * outs.refetch[0, out]
        return tile | _traffic_of(problem, layout, fetched, lines.refetch[:, at])

    candidates.add(footprint, traffic, decode)


def _traffic_of(
    problem: TilingProblem, layout: TileRetentionLayout, fetched: Floats, refetch: Floats
) -> Decoded:
    """Return how tiles stay, and the bytes of each operand that cross the boundary."""
    partial = problem.spill_bytes * (refetch[2] - 1)
    ones = np.ones(len(fetched), dtype=np.intp)
    return {
        "stationary": ones * STATIONARY.index(OPERANDS[layout.stationary]),
        "panels": ones * panel_bits(layout),
        "input": fetched,
        "weight": problem.weight_bytes * refetch[1],
        "output": problem.output_bytes + partial,
        "partial_reads": partial / 2,
    }


def panel_bits(layout: TileRetentionLayout) -> int:
    """Return a bit for each operand and each loop along which a panel of it stays."""
    bits = 0
    for operand, hold in enumerate(layout.holds):
        for loop in hold.panel:
            bits |= 1 << (operand * len(LOOPS) + LOOPS.index(loop))
    return bits


def _axis_factors(
    axis: AxisTiles, loops: str, layout: TileRetentionLayout, factors: _Factors
) -> _LoopTileFactors:
    position, tap = loops
    key = (id(axis), *_flags(layout, position), *_flags(layout, tap))
    if key in factors:
        return factors[key]
    cuts = len(np.unique(axis.taps))
    index = np.arange(len(axis.tile)).reshape(-1, cuts)
    i, j = (a.ravel() for a in np.indices(index.shape))
    # For each operand the tile that it holds: the last of an axis is all of it.
    tiles = [
        index[np.where(position in h.panel, len(index) - 1, i), np.where(tap in h.panel, -1, j)]
        for h in layout.holds
    ]
    by_slide = {position: axis.slid, tap: axis.tap_slid}
    one = np.ones(len(axis.tile))
    moves = (axis.count > 1) & (position in layout.innermost)
    moves |= (axis.tap_count > 1) & (tap in layout.innermost)
    factors[key] = _LoopTileFactors(
        tile=axis.tile,
        taps=axis.taps,
        footprint=np.stack(
            [
                axis.rows[tiles[0]],
                axis.taps[tiles[1]].astype(float),
                axis.tile[tiles[2]].astype(float),
            ]
        ),
        refetch=np.stack(
            [
                one,
                axis.count * one if position in layout.holds[1].refetch else one,
                axis.tap_count * one if tap in layout.holds[2].refetch else one,
            ]
        ),
        fetched=by_slide.get(layout.slides, axis.fetched)[tiles[0]],
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
    footprint = [
        one if loop not in indexed else one * extent if loop in h.panel else tiles.astype(float)
        for indexed, h in zip(INDEXED, layout.holds, strict=True)
    ]
    factors[key] = _LoopTileFactors(
        tile=tiles,
        taps=np.ones_like(tiles),
        footprint=np.stack(footprint),
        refetch=np.stack([counts if loop in hold.refetch else one for hold in layout.holds]),
        fetched=one,
        moves=(counts > 1) & (loop in layout.innermost) | (not layout.innermost),
    ).thinned()
    return factors[key]


def _flags(layout: TileRetentionLayout, loop: str) -> tuple[object, ...]:
    """Return everything of a layout that the tiles of a loop depend on."""
    return (
        tuple((loop in h.panel, loop in h.refetch) for h in layout.holds),
        layout.slides == loop,
        loop in layout.innermost,
        bool(layout.innermost),
    )
