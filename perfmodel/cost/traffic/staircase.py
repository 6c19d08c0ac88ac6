"""Exact staircases of tiled traffic: for a fixed nest, capacity -> least bytes across a boundary.

A buffer of a given capacity lies between an engine and a backing store. One loop over tiles for
each extent of the nest, in any order, brings tiles in; an operand is fetched again whenever its
tile index changes. The least traffic over all tiles and all orders is a falling staircase of the
capacity. It is found once, from all useful tiles (the smallest of each count) of the three
stationarity classes, and looked up after that. `docs/traffic.md` has the equations.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import frexp, isfinite
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import Floats, Ints, flattened
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.points import columns_of
from perfmodel.cost.traffic.staircase_classes import UsefulTiles, add_classes, resident
from perfmodel.cost.traffic.staircase_layouts import LOOPS, OPERANDS
from perfmodel.cost.traffic.staircase_steps import Decoded, StaircaseCandidates
from perfmodel.cost.traffic.staircase_uneven import add_uneven
from perfmodel.cost.traffic.stationarity import STATIONARY, OperandTraffic

#: Staircases that are remembered; one takes some 10 kB.
REMEMBERED = 2048


class Tile(NamedTuple):
    """One tile: extents in the flattened nest of its staircase, and the operand that stays.

    Attributes
    ----------
    stationary
        The operand whose tile stays at the innermost loop: ``output``, ``input``, ``weight``;
        ``all`` where every operand is resident.
    panels
        With uneven tiles, operand -> the extents of which it keeps a panel, whatever the tile.
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


_EXTENTS = Tile._fields[:-2]
_LOOP_OF = dict(zip(_EXTENTS, "NPQKCRS", strict=True))


@dataclass(frozen=True, eq=False)
class Staircase:
    """Least traffic of one nest against the capacity of the buffer.

    Calling it looks capacities up.

    Attributes
    ----------
    nest
        The nest as it was asked for.
    tiled
        The nest whose extents the tiles cut; see `flattened`.
    capacity_bytes
        Capacities at which the traffic falls, ascending; shape (steps,).
    traffic_bytes
        Traffic from each step on, strictly falling; the sum of the parts.
    input_bytes, weight_bytes, output_bytes
        Parts of it; the output's count partial sums written and read.
    partial_read_bytes
        Partial sums that come back, a part of `output_bytes`.
    tiles
        Columns of `Tile`, each of shape (steps,); `stationary` and `panels` as numbers.
    padded
        `traffic_bytes` after an infinity, for what lies below the first step.
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
        """Traffic of each operand from each step on."""
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
        """Bytes of each operand once: the traffic of the last step."""
        return self._traffics[-1]

    @overload
    def __call__(self, capacity: float) -> float: ...
    @overload
    def __call__(self, capacity: npt.NDArray[Any]) -> Floats: ...
    def __call__(self, capacity: Any) -> Any:
        """Return the least traffic in a buffer of a capacity.

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
        """Return the step that a capacity stands on, -1 below the first."""
        if isinstance(capacity, float | int):
            return bisect_right(self._capacities, capacity) - 1
        points: Floats = np.asarray(capacity, dtype=float)
        return self.capacity_bytes.searchsorted(points, side="right") - 1

    def parts(self, capacity: Any) -> OperandTraffic:
        """Return the traffic of each operand, in the shape of the capacity."""
        step: Ints = self.index(np.asarray(capacity, dtype=float))
        return OperandTraffic(*(np.where(step >= 0, c[step], np.inf)[()] for c in self.operands))

    def tile(self, capacity: float) -> Tile | None:
        """Return a tile that moves the least in this capacity; ``None`` where none fits."""
        step = self.index(float(capacity))
        return None if step < 0 else self.step_tile(step)

    def step_tile(self, step: int) -> Tile:
        """Return the tile of a step."""
        stationary = STATIONARY[int(self.tiles["stationary"][step])]
        extents = (int(self.tiles[name][step]) for name in _EXTENTS)
        bits, panels = int(self.tiles["panels"][step]), dict[str, tuple[str, ...]]()
        for i, operand in enumerate(OPERANDS):
            loops = bits >> (i * len(LOOPS))
            names = tuple(name for name, loop in _LOOP_OF.items() if loops >> LOOPS.index(loop) & 1)
            if names:
                panels[operand] = names
        return Tile(*extents, stationary=stationary, panels=panels)


def staircase(
    nest: TileNest,
    widths: Widths,
    conventions: Conventions = Conventions(),  # noqa: B008
) -> Staircase:
    """Return the exact staircase of a nest; remembered by content.

    Parameters
    ----------
    nest
        Extents, all at least 1. Each of its `groups` is a problem of its own, one after another.
    widths
        Bytes of an element; 0 for an operand that neither crosses the boundary nor is held.

    Raises
    ------
    ValueError
        An extent below 1, or a width that is negative or not finite.
    """
    return _staircase(nest, widths, conventions)


@lru_cache(maxsize=REMEMBERED)
def _staircase(nest: TileNest, widths: Widths, conventions: Conventions) -> Staircase:
    values = check_sizes(nest, widths)
    # Bytes scale with the widths: a power of two changes no other bit of a float.
    scale = 2.0 ** frexp(max(values))[1] if max(values) > 0 else 1.0
    tiled = flattened(nest)
    footprint, steps = _group(
        replace(tiled, groups=1), Widths(*(v / scale for v in values)), conventions
    )
    parts = OperandTraffic(
        *(steps[name] * (scale * nest.groups) for name in OperandTraffic._fields)
    )
    traffic = parts.input + parts.weight + parts.output
    # Widths that are no binary fractions round: steps of a last bit are none.
    falls = np.append(True, traffic[1:] < np.minimum.accumulate(traffic)[:-1])
    return Staircase(
        nest,
        tiled,
        widths,
        conventions,
        footprint[falls] * scale,
        traffic[falls],
        *(part[falls] for part in parts),
        tiles={name: steps[name][falls] for name in (*_EXTENTS, "stationary", "panels")},
    )


def check_sizes(nest: TileNest, widths: Widths) -> list[float]:
    """Return the widths; a `ValueError` says which sizes are none."""
    values = columns_of(widths)
    if any(value < 1 for value in columns_of(nest)):
        raise ValueError(f"extents, strides and dilations are at least 1: {nest}")
    if any(not (isfinite(v) and v >= 0) for v in values):
        raise ValueError(f"widths are finite and not negative: {widths}")
    return values


@lru_cache(maxsize=REMEMBERED)
def _group(nest: TileNest, widths: Widths, conventions: Conventions) -> tuple[Floats, Decoded]:
    tiles = UsefulTiles.of(nest, widths, conventions)
    # Every tile holds an element of each operand, none more than all of them twice.
    least = widths.input + widths.weight + widths.partial
    if least == 0:
        # Nothing is held, so that a buffer of any size is enough.
        return np.zeros(1), resident(tiles)
    candidates = StaircaseCandidates(least, 2 * tiles.problem.resident_bytes)
    add_classes(tiles, candidates)
    if conventions.allocation == "uneven":
        add_uneven(tiles, candidates)
    return candidates.steps()
