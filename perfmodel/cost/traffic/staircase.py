"""Exact minimum traffic of a loop nest as a step function of buffer capacity (a staircase).

A buffer of a given capacity is located between an engine and a backing store. One loop over tiles
per extent of the nest, in any order, fetches tiles; an operand is fetched whenever its tile index
changes. The minimum traffic over all tiles and loop orders decreases in steps as the capacity grows
(the bound of Huang et al., "Mind the Gap", ISCA 2024, Orojenesis). It is computed once per nest,
as the Pareto front of footprint and traffic of all useful tiles (the smallest of each tile count)
of the three stationarity classes, and then looked up. `stationarity` and `docs/traffic.md` have the
equations.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from math import frexp, isfinite
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from perfmodel.caches import cached
from perfmodel.cost.traffic.candidate_front import Decoded, StaircaseCandidates
from perfmodel.cost.traffic.convolution_axis import Floats, Ints, flatten_nest
from perfmodel.cost.traffic.even_tile_candidates import UsefulTiles, add_classes, resident
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.pointwise import columns_of
from perfmodel.cost.traffic.retention_layouts import LOOP_OF, panels_of
from perfmodel.cost.traffic.stationarity import STATIONARY, OperandTraffic
from perfmodel.cost.traffic.uneven_tile_candidates import add_uneven


class Tile(NamedTuple):
    """Tile in the flattened nest of a staircase, with its stationary operand.

    Attributes
    ----------
    batch, out_rows, out_columns, out_channels, in_channels, kernel_rows, kernel_columns
        Extents of the tile.
    stationary
        Operand that is stationary at the innermost loop: ``output``, ``input`` or ``weight``;
        ``all`` where every operand is resident.
    panels
        Operand -> extents along which it holds a full panel (uneven tiles only).
    """

    batch: int
    out_rows: int
    out_columns: int
    out_channels: int
    in_channels: int
    kernel_rows: int
    kernel_columns: int
    stationary: str
    panels: dict[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Staircase:
    """Least traffic of one nest as a function of the buffer capacity.

    Calling the object evaluates this function. Arrays have shape (steps,).

    Attributes
    ----------
    nest
        Original nest.
    tiled
        Flattened nest whose extents the tiles cut; see `flatten_nest`.
    widths, conventions
        Bytes per element, and constraints on the tiles.
    capacity_bytes
        Capacities at which the traffic decreases, ascending.
    traffic_bytes
        Traffic from each step on, strictly decreasing; the sum of the three parts below.
    input_bytes, weight_bytes, output_bytes
        Traffic of each operand; that of the output includes partial sums written and read back.
    partial_read_bytes
        Partial sums read back, a part of `output_bytes`.
    tiles
        Columns of `Tile`; `stationary` and `panels` encoded as integers.
    padded
        `traffic_bytes` preceded by infinity, the traffic below the first step; shape (steps + 1,).
    """

    nest: TileNest
    tiled: TileNest
    widths: Widths
    conventions: Conventions
    capacity_bytes: Floats
    traffic_bytes: Floats
    input_bytes: Floats
    weight_bytes: Floats
    output_bytes: Floats
    partial_read_bytes: Floats
    tiles: dict[str, Ints]
    _capacities: list[float] = field(init=False, repr=False)
    _traffics: list[float] = field(init=False, repr=False)
    padded: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for column in (
            self.capacity_bytes,
            self.traffic_bytes,
            *self.operands,
            *self.tiles.values(),
        ):
            column.setflags(write=False)
        set_ = object.__setattr__
        set_(self, "_capacities", self.capacity_bytes.tolist())
        set_(self, "padded", np.concatenate([[np.inf], self.traffic_bytes]))
        set_(self, "_traffics", self.padded.tolist())

    @property
    def operands(self) -> OperandTraffic:
        """Traffic of each operand from each step on, bytes."""
        return OperandTraffic(
            self.input_bytes, self.weight_bytes, self.output_bytes, self.partial_read_bytes
        )

    def __len__(self) -> int:
        return len(self._capacities)

    def __repr__(self) -> str:
        return (
            f"Staircase of {len(self)} steps, {self.capacity_bytes[0]:g} to "
            f"{self.capacity_bytes[-1]:g} bytes held, {self.traffic_bytes[0]:g} to "
            f"{self.traffic_bytes[-1]:g} bytes moved, {self.conventions}"
        )

    @property
    def compulsory_bytes(self) -> float:
        """Compulsory traffic in bytes: that of the last step, with each operand once."""
        return self._traffics[-1]

    @overload
    def __call__(self, capacity: float) -> float: ...
    @overload
    def __call__(self, capacity: npt.NDArray[Any]) -> Floats: ...
    def __call__(self, capacity: Any) -> Any:
        """Return the least traffic at a buffer capacity.

        Parameters
        ----------
        capacity
            Bytes; a number or an array of any shape.

        Returns
        -------
        float or array
            Bytes; infinite below the smallest tile.
        """
        if isinstance(capacity, float | int):
            return self._traffics[bisect_right(self._capacities, capacity)]
        points: Floats = np.asarray(capacity, dtype=float)
        return self.padded[self.capacity_bytes.searchsorted(points, side="right")]

    @overload
    def index(self, capacity: float) -> int: ...
    @overload
    def index(self, capacity: npt.NDArray[Any]) -> Ints: ...
    def index(self, capacity: Any) -> Any:
        """Return the index of the step at a capacity; -1 below the first step."""
        if isinstance(capacity, float | int):
            return bisect_right(self._capacities, capacity) - 1
        points: Floats = np.asarray(capacity, dtype=float)
        return self.capacity_bytes.searchsorted(points, side="right") - 1

    def parts(self, capacity: Any) -> OperandTraffic:
        """Return the traffic of each operand in bytes, in the shape of `capacity`."""
        step: Ints = self.index(np.asarray(capacity, dtype=float))
        return OperandTraffic(*(np.where(step >= 0, c[step], np.inf)[()] for c in self.operands))

    def tile(self, capacity: float) -> Tile | None:
        """Return a tile with the least traffic at a capacity; ``None`` if no tile fits."""
        step = self.index(float(capacity))
        return None if step < 0 else self.step_tile(step)

    def step_tile(self, step: int) -> Tile:
        """Return the tile of a step."""
        stationary = STATIONARY[int(self.tiles["stationary"][step])]
        extents = (int(self.tiles[name][step]) for name in LOOP_OF)
        panels = panels_of(int(self.tiles["panels"][step]))
        return Tile(*extents, stationary=stationary, panels=panels)


@cached()
def staircase(
    nest: TileNest,
    widths: Widths,
    conventions: Conventions = Conventions(),  # noqa: B008
) -> Staircase:
    """Return the exact staircase of a nest; cached by content.

    Parameters
    ----------
    nest
        Loop nest; its `groups` are separate problems executed one after another.
    widths
        Bytes per element; 0 for an operand that neither crosses the boundary nor is buffered.
    conventions
        Constraints on the tiles.

    Raises
    ------
    ValueError
        An extent below 1, or a width that is negative or not finite.
    """
    values = check_sizes(nest, widths)
    # Nests whose widths differ by a power of two share a cache entry; this scaling is exact.
    scale = 2.0 ** frexp(max(values))[1] if max(values) > 0 else 1.0
    tiled = flatten_nest(nest)
    footprint, steps = _group(
        replace(tiled, groups=1), Widths(*(v / scale for v in values)), conventions
    )
    parts = OperandTraffic(
        *(steps[name] * (scale * nest.groups) for name in OperandTraffic._fields)
    )
    traffic = parts.input + parts.weight + parts.output
    # Rounding of widths that are not binary fractions can create steps of one last bit.
    falls = np.append(True, traffic[1:] < np.minimum.accumulate(traffic)[:-1])
    return Staircase(
        nest,
        tiled,
        widths,
        conventions,
        footprint[falls] * scale,
        traffic[falls],
        *(part[falls] for part in parts),
        tiles={name: steps[name][falls] for name in (*LOOP_OF, "stationary", "panels")},
    )


def check_sizes(nest: TileNest, widths: Widths) -> list[float]:
    """Return the widths as a list; raise a `ValueError` for invalid extents or widths."""
    values = columns_of(widths)
    if any(value < 1 for value in columns_of(nest)):
        raise ValueError(f"extents, strides and dilations are at least 1: {nest}")
    if any(not (isfinite(v) and v >= 0) for v in values):
        raise ValueError(f"widths are finite and not negative: {widths}")
    return values


@cached()
def _group(nest: TileNest, widths: Widths, conventions: Conventions) -> tuple[Floats, Decoded]:
    tiles = UsefulTiles.of(nest, widths, conventions)
    # A tile holds at least one element of each operand, and at most two buffers of all of them.
    least = widths.input + widths.weight + widths.partial
    if least == 0:
        # With a footprint of zero any capacity is sufficient.
        return np.zeros(1), resident(tiles)
    candidates = StaircaseCandidates(least, 2 * tiles.problem.resident_bytes)
    add_classes(tiles, candidates)
    if conventions.allocation == "uneven":
        add_uneven(tiles, candidates)
    return candidates.steps()
