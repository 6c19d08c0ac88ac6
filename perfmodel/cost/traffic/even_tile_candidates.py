"""Even tiles that may be steps of a staircase: all useful tiles in the three stationarity classes.

Under even allocation all operands share one tile. For given tiles of images, positions and taps,
footprint and traffic of a class are linear in one channel tile (`stationarity.ChannelLine`), so
that `add_classes` adds whole lines of candidates to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from perfmodel.cost.traffic.candidate_front import Decoded, StaircaseCandidates
from perfmodel.cost.traffic.convolution_axis import AxisTiles, Ints, axis_tiles, useful_tiles
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.pareto_filters import undominated
from perfmodel.cost.traffic.stationarity import (
    ALL,
    INPUT,
    OUTPUT,
    WEIGHT,
    ChannelLine,
    SpatialTiles,
    TilingProblem,
    input_stationary,
    operand_traffic,
    output_stationary,
    spatial_tiles,
    weight_stationary,
)

#: Class -> fields of `AxisTiles` that its footprint and traffic depend on; the second tuple only
#: where windows slide.
_RELEVANT_FIELDS = {
    OUTPUT: (("rows", "tile", "taps", "count", "fetched"), ("tap_slid",)),
    INPUT: (("rows", "tile", "taps", "count", "tap_count", "fetched"), ("slid", "tap_slid")),
    WEIGHT: (("rows", "tile", "taps", "tap_count", "fetched"), ("slid",)),
}


@dataclass(frozen=True, slots=True)
class UsefulTiles:
    """Tiling problem with the useful tiles of each extent in ascending order.

    Attributes
    ----------
    problem
        One group of the nest.
    images, out_channels, in_channels
        Tile sizes of the batch, the output channels and the input channels.
    rows, columns
        Tiles along both axes; the same object where the axes are equal.
    """

    problem: TilingProblem
    images: Ints
    out_channels: Ints
    in_channels: Ints
    rows: AxisTiles
    columns: AxisTiles

    @classmethod
    def of(cls, nest: TileNest, widths: Widths, conventions: Conventions) -> UsefulTiles:
        """Return the useful tiles of one group of a nest."""
        problem = TilingProblem.of(nest, widths, conventions)
        return cls(
            problem,
            images=useful_tiles(nest.batch),
            out_channels=useful_tiles(nest.out_channels),
            in_channels=useful_tiles(nest.in_channels),
            rows=axis_tiles(problem.rows),
            columns=axis_tiles(problem.columns),
        )


class _PositionTiles(NamedTuple):
    """Extents of tiles of images, positions and taps, with their footprint and fetched bytes."""

    batch: Ints
    out_rows: Ints
    out_columns: Ints
    kernel_rows: Ints
    kernel_columns: Ints
    spatial: SpatialTiles

    def pick(self, which: Ints) -> _PositionTiles:
        *extents, spatial = self
        return self._make([*(extent[which] for extent in extents), spatial.pick(which)])


def add_classes(tiles: UsefulTiles, candidates: StaircaseCandidates) -> None:
    """Add the candidates of all three classes, and the one with all operands resident."""
    problem = tiles.problem

    def decode(at: Ints) -> Decoded:
        return {name: np.repeat(column, len(at)) for name, column in resident(tiles).items()}

    traffic = np.array([problem.compulsory_bytes])
    candidates.add(np.array([problem.resident_bytes]), traffic, decode)
    positions = _undominated_position_tiles(tiles, OUTPUT, tiles.images)
    _add_lines(tiles, candidates, OUTPUT, positions, output_stationary(problem, positions.spatial))
    positions = _undominated_position_tiles(tiles, INPUT, tiles.images)
    _add_lines(tiles, candidates, INPUT, positions, input_stationary(problem, positions.spatial))
    # Tiles of several images have a larger footprint and the same traffic in this class. There is
    # one line per tile of input channels.
    positions = _undominated_position_tiles(tiles, WEIGHT, tiles.images[:1])
    channels, once, loops = weight_stationary(problem, positions.spatial)
    position, column = np.indices((len(positions.batch), len(tiles.in_channels)))
    in_tile = tiles.in_channels.astype(float)
    in_count = np.ceil(channels.extent_x / in_tile)
    bytes_per_channel = channels.bytes_y[:, None] + np.outer(channels.bytes_xy, in_tile)
    line = ChannelLine(
        channels=channels.extent_y,
        fixed_bytes=np.outer(channels.bytes_x, in_tile).ravel(),
        bytes_per_channel=bytes_per_channel.ravel(),
        fixed_traffic=(np.outer(channels.reload_x, in_count) + once).ravel(),
        traffic_per_tile=channels.reload_y[position].ravel(),
        has_loop=np.broadcast_to(np.reshape(loops, (-1, 1)), position.shape).ravel(),
    )
    indices = _WeightLines(position.ravel(), tiles.in_channels[column.ravel()])
    _add_lines(tiles, candidates, WEIGHT, positions, line, indices)


def resident(tiles: UsefulTiles) -> Decoded:
    """Return the candidate in which all operands are resident."""
    last = np.array([-1])
    positions = _combinations(
        tiles, tiles.rows.pick(last), tiles.columns.pick(last), tiles.images[last]
    )
    return _decoded(tiles, positions, ALL, tiles.in_channels[last], tiles.out_channels[last])


class _WeightLines(NamedTuple):
    """Tile of each weight-stationary line: index of its tile of positions, and input channels."""

    position: Ints
    in_tile: Ints


def _add_lines(
    tiles: UsefulTiles,
    candidates: StaircaseCandidates,
    stationary: int,
    positions: _PositionTiles,
    line: ChannelLine,
    lines: _WeightLines | None = None,
) -> None:
    """Add all candidates of a class: every line with every tile of its channel dimension."""
    channels = tiles.in_channels if stationary == INPUT else tiles.out_channels
    with_loop: Any = slice(None)
    if not np.all(line.has_loop):
        with_loop = np.flatnonzero(np.broadcast_to(line.has_loop, line.fixed_bytes.shape))
    numbers = np.arange(len(line.fixed_bytes))[with_loop]

    def decode(line_index: Ints, channel_index: Ints) -> Decoded:
        number, channel_tile = numbers[line_index], channels[channel_index]
        if lines is not None:
            position = positions.pick(lines.position[number])
            return _decoded(tiles, position, stationary, lines.in_tile[number], channel_tile)
        one = np.ones_like(number)
        is_input = stationary == INPUT
        in_tile, out_tile = (channel_tile, one) if is_input else (one, channel_tile)
        return _decoded(tiles, positions.pick(number), stationary, in_tile, out_tile)

    lines_with_loop = line._replace(
        **{
            name: getattr(line, name)[with_loop]
            for name in ("fixed_bytes", "bytes_per_channel", "fixed_traffic", "traffic_per_tile")
        }
    )
    candidates.add_line(lines_with_loop, channels, decode)


def _undominated_position_tiles(
    tiles: UsefulTiles, stationary: int, images: Ints
) -> _PositionTiles:
    """Return the tiles of images, positions and taps that are undominated within a class."""
    always, sliding = _RELEVANT_FIELDS[stationary]
    names = (*always, *sliding) if tiles.problem.conventions.slides else always

    def thinned(axis: AxisTiles) -> AxisTiles:
        if len(axis.tile) == 1:
            return axis
        if axis.taps[-1] == 1:
            # Windows do not overlap: tiles differ in extent and count only.
            return axis if "count" in names else axis.pick(axis.tile == 1)
        return axis.pick(undominated([getattr(axis, name).astype(float) for name in names]))

    rows = thinned(tiles.rows)
    columns = rows if tiles.columns is tiles.rows else thinned(tiles.columns)
    return _combinations(tiles, rows, columns, images)


def _combinations(
    tiles: UsefulTiles, rows: AxisTiles, columns: AxisTiles, images: Ints
) -> _PositionTiles:
    """Return the Cartesian product of row tiles, column tiles and image tiles."""
    if rows is columns:
        # The axes are equal: a tile and its transpose have equal cost.
        row, column = np.triu_indices(len(rows.tile))
    else:
        row, column = (i.ravel() for i in np.indices((len(rows.tile), len(columns.tile))))
    if len(images) > 1:
        copies = len(images)
        images = np.repeat(images, len(row))
        row, column = np.tile(row, copies), np.tile(column, copies)
    rows, columns = rows.pick(row), columns.pick(column)
    return _PositionTiles(
        batch=np.broadcast_to(images, row.shape),
        out_rows=rows.tile,
        out_columns=columns.tile,
        kernel_rows=rows.taps,
        kernel_columns=columns.taps,
        spatial=spatial_tiles(tiles.problem, rows, columns, images),
    )


def _decoded(
    tiles: UsefulTiles, positions: _PositionTiles, stationary: int, in_tile: Ints, out_tile: Ints
) -> Decoded:
    *extents, spatial = positions
    traffic = operand_traffic(tiles.problem, spatial, stationary, in_tile, out_tile)
    ones = np.ones_like(in_tile)
    return {
        **dict(zip(_PositionTiles._fields, extents, strict=False)),
        "in_channels": in_tile,
        "out_channels": out_tile,
        "stationary": ones * stationary,
        "panels": 0 * ones,
        **{name: column * np.ones(len(ones)) for name, column in traffic._asdict().items()},
    }
