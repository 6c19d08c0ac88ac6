"""Staircase candidates of even tiles: all useful tiles in the three stationarity classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from perfmodel.cost.traffic.axis import AxisTiles, Ints, axis_tiles, useful_tiles
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase_steps import Decoded, StaircaseCandidates
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
from perfmodel.cost.traffic.undominated import undominated

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


class _PlacedTiles(NamedTuple):
    """Extents of tiles of images, positions and taps, with their footprint and fetches."""

    batch: Ints
    out_rows: Ints
    out_columns: Ints
    kernel_rows: Ints
    kernel_columns: Ints
    spatial: SpatialTiles

    def pick(self, which: Ints) -> _PlacedTiles:
        *extents, spatial = self
        return self._make([*(extent[which] for extent in extents), spatial.pick(which)])


def add_classes(tiles: UsefulTiles, candidates: StaircaseCandidates) -> None:
    """Add the candidates of all three classes, and the one with all operands resident."""
    problem = tiles.problem

    def decode(at: Ints) -> Decoded:
        return {name: np.repeat(column, len(at)) for name, column in resident(tiles).items()}

    traffic = np.array([problem.compulsory_bytes])
    candidates.add(np.array([problem.resident_bytes]), traffic, decode)
    placed = _placed(tiles, OUTPUT, tiles.images)
    _add(tiles, candidates, OUTPUT, placed, output_stationary(problem, placed.spatial))
    placed = _placed(tiles, INPUT, tiles.images)
    _add(tiles, candidates, INPUT, placed, input_stationary(problem, placed.spatial))
    # Tiles of several images have a larger footprint and the same traffic in this class. There is
    # one line per tile of input channels.
    placed = _placed(tiles, WEIGHT, tiles.images[:1])
    channels, once, loops = weight_stationary(problem, placed.spatial)
    spot, column = np.indices((len(placed.batch), len(tiles.in_channels)))
    in_tile = tiles.in_channels.astype(float)
    in_count = np.ceil(channels.extent_x / in_tile)
    line = ChannelLine(
        channels=channels.extent_y,
        fixed_bytes=np.outer(channels.bytes_x, in_tile),
        bytes_per_channel=channels.bytes_y[:, None] + np.outer(channels.bytes_xy, in_tile),
        fixed_traffic=np.outer(channels.reload_x, in_count) + once,
        traffic_per_tile=channels.reload_y[spot],
        has_loop=loops,
    )
    line = line._replace(
        **{
            name: getattr(line, name).ravel()
            for name in ("fixed_bytes", "bytes_per_channel", "fixed_traffic", "traffic_per_tile")
        },
        has_loop=np.broadcast_to(np.reshape(loops, (-1, 1)), spot.shape).ravel(),
    )
    rows = _Lines(spot.ravel(), tiles.in_channels[column.ravel()])
    _add(tiles, candidates, WEIGHT, placed, line, rows)


def resident(tiles: UsefulTiles) -> Decoded:
    """Return the candidate in which all operands are resident."""
    last = np.array([-1])
    placed = _combinations(
        tiles, tiles.rows.pick(last), tiles.columns.pick(last), tiles.images[last]
    )
    return _decoded(tiles, placed, ALL, tiles.in_channels[last], tiles.out_channels[last])


class _Lines(NamedTuple):
    """Tile behind each line: index of the placed tile, and tile of input channels."""

    placed: Ints
    in_tile: Ints


def _add(
    tiles: UsefulTiles,
    candidates: StaircaseCandidates,
    stationary: int,
    placed: _PlacedTiles,
    line: ChannelLine,
    lines: _Lines | None = None,
) -> None:
    """Add all candidates of a class: every line with every tile of its channel dimension."""
    channels = tiles.in_channels if stationary == INPUT else tiles.out_channels
    loops: Any = slice(None)
    if not np.all(line.has_loop):
        loops = np.flatnonzero(np.broadcast_to(line.has_loop, line.fixed_bytes.shape))
    numbers = np.arange(len(line.fixed_bytes))[loops]

    def decode(at: Ints, channel: Ints) -> Decoded:
        at, along = numbers[at], channels[channel]
        if lines is not None:
            return _decoded(
                tiles, placed.pick(lines.placed[at]), stationary, lines.in_tile[at], along
            )
        both = (along, np.ones_like(at))
        both = both if stationary == INPUT else both[::-1]
        return _decoded(tiles, placed.pick(at), stationary, *both)

    some = line._replace(
        **{
            name: getattr(line, name)[loops]
            for name in ("fixed_bytes", "bytes_per_channel", "fixed_traffic", "traffic_per_tile")
        }
    )
    candidates.add_line(some, channels, decode)


def _placed(tiles: UsefulTiles, stationary: int, images: Ints) -> _PlacedTiles:
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
) -> _PlacedTiles:
    """Return the Cartesian product of row tiles, column tiles and image tiles."""
    if rows is columns:
        # The axes are equal: a tile and its transpose have equal cost.
        i, j = np.triu_indices(len(rows.tile))
    else:
        i, j = (index.ravel() for index in np.indices((len(rows.tile), len(columns.tile))))
    if len(images) > 1:
        i, j, images = np.tile(i, len(images)), np.tile(j, len(images)), np.repeat(images, len(i))
    down, across = rows.pick(i), columns.pick(j)
    return _PlacedTiles(
        batch=np.broadcast_to(images, i.shape),
        out_rows=down.tile,
        out_columns=across.tile,
        kernel_rows=down.taps,
        kernel_columns=across.taps,
        spatial=spatial_tiles(tiles.problem, down, across, images),
    )


def _decoded(
    tiles: UsefulTiles, placed: _PlacedTiles, stationary: int, in_tile: Ints, out_tile: Ints
) -> Decoded:
    *extents, spatial = placed
    traffic = operand_traffic(tiles.problem, spatial, stationary, in_tile, out_tile)
    ones = np.ones_like(in_tile)
    return {
        **dict(zip(_PlacedTiles._fields, extents, strict=False)),
        "in_channels": in_tile,
        "out_channels": out_tile,
        "stationary": ones * stationary,
        "panels": 0 * ones,
        **{name: column * np.ones(len(ones)) for name, column in traffic._asdict().items()},
    }
