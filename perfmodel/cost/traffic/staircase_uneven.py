"""Candidates of uneven tiles: every layout with every tile that it can use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.staircase_axes import Floats, Ints, StaircaseAxisTiles, undominated
from perfmodel.cost.traffic.staircase_classes import INPUT, OUTPUT, WEIGHT, StaircaseProblem
from perfmodel.cost.traffic.staircase_layouts import INDEXED, LOOPS, TileRetentionLayout, layouts
from perfmodel.cost.traffic.staircase_steps import Decoded, StaircaseCandidates

_STATIONARY = (INPUT, WEIGHT, OUTPUT)


@dataclass(frozen=True, slots=True)
class _LoopTileFactors:
    """Tiles of one loop, or of the two loops of an axis, as factors of what a layout holds.

    Attributes
    ----------
    tile, taps
        The tile itself.
    held
        Factors of the held input, weight and output, shape (3, tiles).
    again
        How often each is fetched for it, shape (3, tiles).
    fetched
        Factor of the input that all tiles fetch once.
    moves
        Whether an innermost loop of the layout has several tiles.
    """

    tile: Ints
    taps: Ints
    held: Floats
    again: Floats
    fetched: Floats
    moves: npt.NDArray[np.bool_]

    def thinned(self) -> _LoopTileFactors:
        """Return the tiles that no other beats."""
        columns = [*self.held, *self.again, self.fetched, np.where(self.moves, 0.0, 1.0)]
        kept = undominated([c for c in columns if np.any(c != c[0])] or columns[:1])
        return _LoopTileFactors(
            self.tile[kept], self.taps[kept], self.held[:, kept], self.again[:, kept],
            self.fetched[kept], self.moves[kept],
        )  # fmt: skip


def add_uneven(problem: StaircaseProblem, found: StaircaseCandidates) -> None:
    """Add the candidates that hold some operand whole along some loops, and others not."""
    nest = problem.nest
    extents = {
        "N": nest.batch, "P": nest.out_rows, "Q": nest.out_columns, "K": nest.out_channels,
        "C": nest.in_channels, "R": nest.kernel_rows, "S": nest.kernel_columns,
    }  # fmt: skip
    active = "".join(loop for loop in LOOPS if extents[loop] > 1)
    if not active:
        return
    blocks: dict[tuple[object, ...], _LoopTileFactors] = {}
    for layout in layouts(
        active, kept=problem.kept, double=problem.copies > 1,
        square=problem.rows is problem.columns,
    ):  # fmt: skip
        if not layout.even:
            _add_layout(problem, layout, found, blocks)


def _add_layout(
    problem: StaircaseProblem,
    layout: TileRetentionLayout,
    found: StaircaseCandidates,
    blocks: dict[tuple[object, ...], _LoopTileFactors],
) -> None:
    nest, widths = problem.nest, problem.widths
    rows = _axis_block(problem.rows, "PR", layout, blocks)
    columns = _axis_block(problem.columns, "QS", layout, blocks)
    images = _block(problem.images, nest.batch, "N", layout, blocks)
    ins = _block(problem.in_channels, nest.in_channels, "C", layout, blocks)
    outs = _block(problem.out_channels, nest.out_channels, "K", layout, blocks)
    copies = [2.0 if hold.twice else 1.0 for hold in layout.holds]
    width = (widths.input, widths.weight, widths.partial)

    # Tiles of positions and taps; then one line for each with a tile of input channels, output
    # channels along it. Both times what cannot become a step is left out.
    shape = len(rows.tile), len(columns.tile), len(images.tile)
    r, c, n = (a.ravel() for a in np.indices(shape))
    held = np.stack([
        copies[x] * width[x] * rows.held[x, r] * columns.held[x, c] * images.held[x, n]
        for x in range(3)
    ])  # fmt: skip
    read = rows.fetched[r] * columns.fetched[c] * (nest.batch * nest.in_channels * widths.input)
    again = rows.again[:, r] * columns.again[:, c] * images.again[:, n]
    moves = rows.moves[r] | columns.moves[c] | images.moves[n]
    outs_move = outs.moves if layout.innermost else np.ones_like(outs.moves)
    outs_least, outs_may = outs.held.min(axis=1), bool(outs_move.any())

    def kept(held: Floats, read: Floats, again: Floats) -> npt.NDArray[np.bool_]:
        once = problem.weight * again[1] + problem.partial * (again[2] - 1) + problem.output
        return found.may_matter(outs_least @ held, read * outs.again[0].min() + once)

    spot = np.flatnonzero(
        kept(held * ins.held.min(axis=1)[:, None], read, again * ins.again.min(axis=1)[:, None])
        & (moves | bool(ins.moves.any()) | outs_may)
    )
    if not len(spot):
        return
    line, i = np.repeat(spot, len(ins.tile)), np.tile(np.arange(len(ins.tile)), len(spot))
    held, read, again = held[:, line] * ins.held[:, i], read[line], again[:, line] * ins.again[:, i]
    moves = moves[line] | ins.moves[i]
    good = np.flatnonzero(kept(held, read, again) & (moves | outs_may))
    if not len(good):
        return
    held, read, again, moves = held[:, good], read[good], again[:, good], moves[good]
    line, i = line[good], i[good]
    r, c, n = r[line], c[line], n[line]
    once = problem.weight * again[1] + problem.partial * (again[2] - 1) + problem.output
    footprint = np.zeros((len(r), len(outs.tile)))
    for x in range(3):
        footprint += np.outer(held[x], outs.held[x])
    traffic = np.outer(read, outs.again[0])
    traffic += once[:, None]
    valid = moves[:, None] | outs_move
    traffic[~valid] = np.inf

    def decode(at: Ints) -> Decoded:
        at, o = np.divmod(at, len(outs.tile))
        partial = problem.partial * (again[2, at] - 1)
        many = len(at)
        return {
            "batch": images.tile[n[at]],
            "out_rows": rows.tile[r[at]], "out_columns": columns.tile[c[at]],
            "out_channels": outs.tile[o], "in_channels": ins.tile[i[at]],
            "kernel_rows": rows.taps[r[at]], "kernel_columns": columns.taps[c[at]],
            "stationary": np.full(many, _STATIONARY[layout.stationary]),
            "panels": np.full(many, panel_bits(layout)),
            "input": read[at] * outs.again[0, o], "weight": problem.weight * again[1, at],
            "output": problem.output + partial, "partial": partial / 2,
        }  # fmt: skip

    found.add(footprint, traffic, decode)


def panel_bits(layout: TileRetentionLayout) -> int:
    """Return a bit for each operand and loop along which it is held whole."""
    bits = 0
    for x, hold in enumerate(layout.holds):
        for loop in hold.whole:
            bits |= 1 << (x * len(LOOPS) + LOOPS.index(loop))
    return bits


def _axis_block(
    axis: StaircaseAxisTiles,
    loops: str,
    layout: TileRetentionLayout,
    blocks: dict[tuple[object, ...], _LoopTileFactors],
) -> _LoopTileFactors:
    position, tap = loops
    key = (id(axis), *_flags(layout, position), *_flags(layout, tap))
    if key in blocks:
        return blocks[key]
    cuts = len(np.unique(axis.taps))
    index = np.arange(len(axis)).reshape(-1, cuts)
    i, j = (a.ravel() for a in np.indices(index.shape))
    # For each operand the tile that it holds: the last of an axis is whole.
    held = [
        index[np.where(position in h.whole, len(index) - 1, i), np.where(tap in h.whole, -1, j)]
        for h in layout.holds
    ]
    fetched = {position: axis.slid, tap: axis.tap_slid}.get(layout.slides, axis.refetched)[held[0]]
    one = np.ones(len(axis))
    again = np.stack([
        one,
        axis.count * one if position in layout.holds[1].again else one,
        axis.tap_count * one if tap in layout.holds[2].again else one,
    ])  # fmt: skip
    moves = (axis.count > 1) & (position in layout.innermost)
    moves |= (axis.tap_count > 1) & (tap in layout.innermost)
    if not layout.innermost:
        moves = np.ones(len(axis), dtype=bool)
    block = _LoopTileFactors(
        axis.tile, axis.taps,
        np.stack([axis.rows[held[0]], axis.taps[held[1]], axis.tile[held[2]]]).astype(float),
        again, fetched, moves,
    ).thinned()  # fmt: skip
    blocks[key] = block
    return block


def _block(
    tiles: Ints,
    extent: int,
    loop: str,
    layout: TileRetentionLayout,
    blocks: dict[tuple[object, ...], _LoopTileFactors],
) -> _LoopTileFactors:
    key = (loop, *_flags(layout, loop))
    if key in blocks:
        return blocks[key]
    counts = (-(-extent // tiles)).astype(float)
    one = np.ones(len(tiles))
    held = np.stack([
        one if loop not in indexed else one * extent if loop in hold.whole else tiles.astype(float)
        for indexed, hold in zip(INDEXED, layout.holds, strict=True)
    ])  # fmt: skip
    again = np.stack([counts if loop in hold.again else one for hold in layout.holds])
    moves = (counts > 1) & (loop in layout.innermost)
    if not layout.innermost:
        moves = np.ones(len(tiles), dtype=bool)
    block = _LoopTileFactors(tiles, np.ones_like(tiles), held, again, one, moves).thinned()
    blocks[key] = block
    return block


def _flags(layout: TileRetentionLayout, loop: str) -> tuple[object, ...]:
    """Return everything of a layout that the tiles of a loop depend on."""
    return (
        tuple((loop in h.whole, loop in h.again) for h in layout.holds),
        layout.slides == loop, loop in layout.innermost, bool(layout.innermost),
    )  # fmt: skip
