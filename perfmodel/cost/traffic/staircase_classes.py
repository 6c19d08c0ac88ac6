"""The three stationarity classes of a nest: footprint and traffic of all useful tiles.

Loops over the tiles of one group run between the backing store and the buffer. The innermost loop
with more than one tile decides which operand stays:

* output stationary: a reduction (input channels, taps) is innermost. Input and weight are fetched
  for every tile, the output is written once.
* input stationary: output channels are innermost. The input is fetched once, the weight for every
  tile of positions, the output goes out and comes back for every tile of a reduction.
* weight stationary: positions (images, rows, columns) are innermost. The weight is fetched once,
  the input for every tile of output channels, the output goes out and comes back.

Of the orders within a class one is best in all operands at once; extents that nothing depends on
stay 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase_axes import (
    Floats,
    Ints,
    StaircaseAxisTiles,
    axes,
    undominated,
    useful_tiles,
)
from perfmodel.cost.traffic.staircase_steps import Decoded, StaircaseCandidates

#: Names of the classes, by their number.
STATIONARY = ("output", "input", "weight", "all")
OUTPUT, INPUT, WEIGHT, ALL = range(4)


@dataclass(frozen=True, slots=True)
class StaircaseProblem:
    """One group of a flattened nest with everything that the classes share.

    Attributes
    ----------
    copies
        How often an operand is held whose tile changes at the innermost loop.
    images, out_channels, in_channels
        Useful tiles of these extents.
    rows, columns
        Tiles along both axes.
    input, weight, output, partial
        Bytes of each operand once across the boundary; `partial` out and back.
    """

    nest: TileNest
    widths: Widths
    copies: float
    kept: bool
    images: Ints
    out_channels: Ints
    in_channels: Ints
    rows: StaircaseAxisTiles
    columns: StaircaseAxisTiles
    input: float
    weight: float
    output: float
    partial: float

    @classmethod
    def of(cls, nest: TileNest, widths: Widths, conventions: Conventions) -> StaircaseProblem:
        """Return the problem of a nest without groups."""
        rows, columns = axes(nest)
        touched = nest.batch * nest.in_channels * rows.whole * columns.whole
        weights = nest.out_channels * nest.in_channels * nest.kernel_rows * nest.kernel_columns
        outputs = nest.batch * nest.out_rows * nest.out_columns * nest.out_channels
        return cls(
            nest, widths, 2.0 if conventions.buffering == "double" else 1.0,
            conventions.halo == "kept",
            useful_tiles(nest.batch), useful_tiles(nest.out_channels),
            useful_tiles(nest.in_channels), rows, columns,
            touched * widths.input, weights * widths.weight, outputs * widths.output,
            2.0 * outputs * widths.partial,
        )  # fmt: skip

    @property
    def resident(self) -> float:
        """Bytes of all operands held whole."""
        return self.input + self.weight + self.partial / 2


@dataclass(frozen=True, slots=True)
class SpatialTileCandidates:
    """Tiles of images, positions and taps, shape (spots,).

    Attributes
    ----------
    images, rows, columns
        Which tile along each.
    input_held, outputs, taps
        Input bytes of one channel, output elements of one channel, taps that a tile holds.
    input
        Bytes of input, all channels, that all tiles fetch once.
    count, tap_count
        Tiles of positions, and of taps.
    """

    images: Ints
    rows: Ints
    columns: Ints
    input_held: Floats
    outputs: Floats
    taps: Floats
    input: Floats
    count: Floats
    tap_count: Floats

    def pick(self, which: npt.NDArray[np.bool_]) -> SpatialTileCandidates:
        """Return some of the spots."""
        if which.all():
            return self
        return SpatialTileCandidates(
            self.images[which], self.rows[which], self.columns[which], self.input_held[which],
            self.outputs[which], self.taps[which], self.input[which], self.count[which],
            self.tap_count[which],
        )  # fmt: skip


def spots(
    problem: StaircaseProblem,
    rows: StaircaseAxisTiles,
    columns: StaircaseAxisTiles,
    images: Ints,
    slides: str,
) -> SpatialTileCandidates:
    """Return all tiles of positions and taps.

    Parameters
    ----------
    slides
        Along what the window may slide, where it keeps what it shares: ``positions``, ``taps``,
        ``both``, or nothing.
    """
    if rows is columns:
        # The same in both directions: a tile and its transpose cost the same.
        i, j = np.triu_indices(len(rows))
    else:
        i, j = (a.ravel() for a in np.indices((len(rows), len(columns))))
    fetched = rows.refetched[i] * columns.refetched[j]
    if slides and problem.kept:
        fetched = np.minimum(
            _slid(rows, slides)[i] * columns.refetched[j],
            rows.refetched[i] * _slid(columns, slides)[j],
        )
    nest, width = problem.nest, problem.widths.input
    held = rows.rows[i] * columns.rows[j] * width
    outputs = (rows.tile[i] * columns.tile[j]).astype(float)
    taps = (rows.taps[i] * columns.taps[j]).astype(float)
    count = (rows.count[i] * columns.count[j]).astype(float)
    tap_count = (rows.tap_count[i] * columns.tap_count[j]).astype(float)
    fetched = fetched * (nest.batch * nest.in_channels * width)
    n, many = np.zeros(len(i), np.int64) + images[0], len(images)
    if many == 1 and images[0] == 1:
        return SpatialTileCandidates(
            n, i, j, held, outputs, taps, fetched, count * nest.batch, tap_count
        )
    tiles, parts = images.astype(float), (-(-nest.batch // images)).astype(float)
    return SpatialTileCandidates(
        np.repeat(images, len(i)), np.tile(i, many), np.tile(j, many),
        np.outer(tiles, held).ravel(), np.outer(tiles, outputs).ravel(), np.tile(taps, many),
        np.tile(fetched, many), np.outer(parts, count).ravel(),
        np.tile(tap_count, many),
    )  # fmt: skip


def _slid(axis: StaircaseAxisTiles, slides: str) -> Floats:
    if slides == "positions":
        return axis.slid
    if slides == "taps":
        return axis.tap_slid
    return np.minimum(axis.slid, axis.tap_slid)


def add_classes(problem: StaircaseProblem, found: StaircaseCandidates) -> None:
    """Add the candidates of all three classes, and everything held whole."""
    _add_resident(problem, found)
    _add_output_stationary(problem, found)
    _add_input_stationary(problem, found)
    _add_weight_stationary(problem, found)


def resident(problem: StaircaseProblem) -> Decoded:
    """Return the one candidate that holds every operand whole."""
    nest = problem.nest
    whole = {
        "batch": nest.batch, "out_rows": nest.out_rows, "out_columns": nest.out_columns,
        "out_channels": nest.out_channels, "in_channels": nest.in_channels,
        "kernel_rows": nest.kernel_rows, "kernel_columns": nest.kernel_columns, "stationary": ALL,
        "panels": 0,
        "input": problem.input, "weight": problem.weight, "output": problem.output, "partial": 0.0,
    }  # fmt: skip
    return {name: np.array([value]) for name, value in whole.items()}


def _add_resident(problem: StaircaseProblem, found: StaircaseCandidates) -> None:
    traffic = problem.input + problem.weight + problem.output

    def decode(at: Ints) -> Decoded:
        return {name: np.repeat(column, len(at)) for name, column in resident(problem).items()}

    found.add(np.array([problem.resident]), np.array([traffic]), decode)


def _add_output_stationary(problem: StaircaseProblem, found: StaircaseCandidates) -> None:
    nest, copies, widths = problem.nest, problem.copies, problem.widths
    rows, columns = _thinned(problem, ("rows", "tile", "taps", "count", "refetched"), "tap_slid")
    at = spots(problem, rows, columns, problem.images, "taps")
    if copies > 1 and nest.in_channels == 1:
        at = at.pick(at.tap_count > 1)
    tiles, counts = problem.out_channels, -(-nest.out_channels // problem.out_channels)
    fixed = copies * at.input_held
    slope = copies * widths.weight * at.taps + widths.partial * at.outputs
    once = problem.weight * at.count + problem.output

    def decode(s: Ints, c: Ints) -> Decoded:
        return _decoded(
            at, rows, columns, s, tiles[c], np.ones_like(c), OUTPUT, at.input[s] * counts[c],
            problem.weight * at.count[s], problem.output, np.zeros(len(s)),
        )  # fmt: skip

    found.add_lines(fixed, slope, tiles, once, at.input, counts, decode)


def _add_input_stationary(problem: StaircaseProblem, found: StaircaseCandidates) -> None:
    nest, copies, widths = problem.nest, problem.copies, problem.widths
    if copies > 1 and nest.out_channels == 1:
        return
    rows, columns = _thinned(
        problem, ("rows", "tile", "taps", "count", "tap_count", "refetched"), "slid", "tap_slid"
    )
    at = spots(problem, rows, columns, problem.images, "both")
    tiles, counts = problem.in_channels, -(-nest.in_channels // problem.in_channels)
    fixed = (copies * widths.partial) * at.outputs
    slope = at.input_held + copies * widths.weight * at.taps
    once = at.input + problem.weight * at.count + (problem.output - problem.partial)
    again = problem.partial * at.tap_count

    def decode(s: Ints, c: Ints) -> Decoded:
        return _decoded(
            at, rows, columns, s, np.ones_like(c), tiles[c], INPUT, at.input[s],
            problem.weight * at.count[s], problem.output,
            problem.partial * (at.tap_count[s] * counts[c] - 1),
        )  # fmt: skip

    found.add_lines(fixed, slope, tiles, once, again, counts, decode)


def _add_weight_stationary(problem: StaircaseProblem, found: StaircaseCandidates) -> None:
    nest, copies, widths = problem.nest, problem.copies, problem.widths
    rows, columns = _thinned(problem, ("rows", "tile", "taps", "tap_count", "refetched"), "slid")
    # More images in a tile save nothing here.
    at = spots(problem, rows, columns, problem.images[:1], "positions")
    if copies > 1:
        at = at.pick(at.count > 1)
    ins, in_counts = problem.in_channels, -(-nest.in_channels // problem.in_channels)
    outs, out_counts = problem.out_channels, -(-nest.out_channels // problem.out_channels)
    # One row for a tile of positions, taps and input channels.
    s, c = (a.ravel() for a in np.indices((len(at.taps), len(ins))))
    fixed = copies * at.input_held[s] * ins[c]
    slope = copies * widths.partial * at.outputs[s] + widths.weight * at.taps[s] * ins[c]
    once = problem.partial * at.tap_count[s] * in_counts[c]
    once += problem.weight + problem.output - problem.partial

    def decode(row: Ints, o: Ints) -> Decoded:
        spot, i = s[row], c[row]
        return _decoded(
            at, rows, columns, spot, outs[o], ins[i], WEIGHT, at.input[spot] * out_counts[o],
            np.full(len(spot), problem.weight), problem.output,
            problem.partial * (at.tap_count[spot] * in_counts[i] - 1),
        )  # fmt: skip

    found.add_lines(fixed, slope, outs, once, at.input[s], out_counts, decode)


def _thinned(
    problem: StaircaseProblem, names: tuple[str, ...], *slid: str
) -> tuple[StaircaseAxisTiles, StaircaseAxisTiles]:
    """Return the axes' tiles that no other is better than in every attribute of a class."""
    use = (*names, *slid) if problem.kept else names

    def thin(axis: StaircaseAxisTiles) -> StaircaseAxisTiles:
        if len(axis) == 1:
            return axis
        if axis.taps[-1] == 1:
            # Nothing overlaps: tiles differ in extent and count only.
            return axis if "count" in names else axis.pick(axis.tile == 1)
        return axis.pick(undominated([getattr(axis, n).astype(float) for n in use]))

    rows = thin(problem.rows)
    return rows, rows if problem.columns is problem.rows else thin(problem.columns)


def _decoded(
    at: SpatialTileCandidates,
    rows: StaircaseAxisTiles,
    columns: StaircaseAxisTiles,
    s: Ints,
    out_channels: Ints,
    in_channels: Ints,
    stationary: int,
    read: Floats,
    weight: Floats,
    output: float,
    partial: Floats,
) -> Decoded:
    i, j = at.rows[s], at.columns[s]
    return {
        "batch": at.images[s], "out_rows": rows.tile[i], "out_columns": columns.tile[j],
        "out_channels": out_channels, "in_channels": in_channels,
        "kernel_rows": rows.taps[i], "kernel_columns": columns.taps[j],
        "stationary": np.full(len(s), stationary), "panels": np.zeros(len(s), np.int64),
        "input": read, "weight": weight, "output": np.full(len(s), output) + partial,
        "partial": partial / 2,
    }  # fmt: skip
