"""Exact staircases of tiled traffic: for a fixed nest, capacity -> least bytes across a boundary.

A buffer of a given capacity lies between an engine and a backing store. One loop over tiles for
each extent of the nest, in any order, brings tiles in; an operand is fetched again whenever its
tile index changes. The least traffic over all tiles and all orders is a falling staircase of the
capacity. It is found once, from all useful tiles (the smallest of each count) of the three
stationarity classes, and looked up after that. `docs/traffic.md` has the equations.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from math import frexp, isfinite
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase_axes import Floats, Ints, flattened
from perfmodel.cost.traffic.staircase_classes import (
    STATIONARY,
    StaircaseProblem,
    add_classes,
    resident,
)
from perfmodel.cost.traffic.staircase_layouts import LOOPS
from perfmodel.cost.traffic.staircase_steps import Decoded, StaircaseCandidates
from perfmodel.cost.traffic.staircase_uneven import add_uneven

#: Staircases that are remembered; one takes some 10 kB.
REMEMBERED = 2048


class OperandTraffic(NamedTuple):
    """Bytes of traffic by operand; infinite where nothing fits.

    Attributes
    ----------
    input, weight
        Read.
    output
        Written at the end, and every partial sum written and read.
    partial_reads
        The part of `output` that is read: partial sums coming back.
    """

    input: Any
    weight: Any
    output: Any
    partial_reads: Any

    @property
    def reads(self) -> Any:
        """Bytes read from the backing store."""
        return self.input + self.weight + self.partial_reads

    @property
    def writes(self) -> Any:
        """Bytes written to the backing store."""
        reads = np.where(np.isinf(self.output), 0.0, self.partial_reads)
        return (self.output - reads)[()]


class Tile(NamedTuple):
    """One tile: extents in the flattened nest of its staircase, and the operand that stays.

    Attributes
    ----------
    stationary
        The operand whose tile stays at the innermost loop: ``output``, ``input``, ``weight``;
        ``all`` where every operand is held whole.
    panels
        With uneven tiles, operand -> the extents along which it is held whole, whatever the tile.
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
_OPERANDS = ("input", "weight", "output")
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
        for column in (*self._columns(), *self.tiles.values()):
            column.setflags(write=False)
        set_ = object.__setattr__
        set_(self, "_capacities", self.capacity_bytes.tolist())
        set_(self, "padded", np.concatenate([[np.inf], self.traffic_bytes]))
        set_(self, "_traffics", self.padded.tolist())

    def _columns(self) -> list[Floats]:
        return [
            self.capacity_bytes, self.traffic_bytes, self.input_bytes, self.weight_bytes,
            self.output_bytes, self.partial_read_bytes,
        ]  # fmt: skip

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
        columns = self._columns()[2:]
        if isinstance(capacity, float | int):
            i = self.index(float(capacity))
            return OperandTraffic(*(float(c[i]) if i >= 0 else float("inf") for c in columns))
        step: Ints = self.index(np.asarray(capacity, dtype=float))
        return OperandTraffic(*(np.where(step >= 0, c[step], np.inf) for c in columns))

    def tile(self, capacity: float) -> Tile | None:
        """Return a tile that moves the least in this capacity; ``None`` where none fits."""
        step = self.index(float(capacity))
        return None if step < 0 else self.step_tile(step)

    def step_tile(self, step: int) -> Tile:
        """Return the tile of a step."""
        kind = STATIONARY[int(self.tiles["stationary"][step])]
        extents = (int(self.tiles[name][step]) for name in _EXTENTS)
        bits, panels = int(self.tiles["panels"][step]), dict[str, tuple[str, ...]]()
        for i, operand in enumerate(_OPERANDS):
            whole = bits >> (i * len(_EXTENTS))
            names = tuple(name for name, loop in _LOOP_OF.items() if whole >> LOOPS.index(loop) & 1)
            if names:
                panels[operand] = names
        return Tile(*extents, stationary=kind, panels=panels)


def staircase(
    nest: TileNest, widths: Widths, conventions: Conventions = Conventions()  # noqa: B008
) -> Staircase:  # fmt: skip
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
    return _whole(nest, widths, conventions)


@lru_cache(maxsize=REMEMBERED)
def _whole(nest: TileNest, widths: Widths, conventions: Conventions) -> Staircase:
    values = [getattr(widths, f.name) for f in fields(widths)]
    if any(getattr(nest, f.name) < 1 for f in fields(nest)):
        raise ValueError(f"extents, strides and dilations are at least 1: {nest}")
    if any(not (isfinite(v) and v >= 0) for v in values):
        raise ValueError(f"widths are finite and not negative: {widths}")
    # Bytes scale with the widths: a power of two changes no other bit of a float.
    scale = 2.0 ** frexp(max(values))[1] if max(values) > 0 else 1.0
    unit = Widths(*(v / scale for v in values))
    tiled = flattened(nest)
    footprint, found = _group(replace(tiled, groups=1), unit, conventions)
    times = scale * nest.groups
    read, weight = found["input"] * times, found["weight"] * times
    output, partial = found["output"] * times, found["partial"] * times
    traffic = read + weight + output
    # Widths that are no binary fractions round: steps of a last bit are none.
    falls = np.append(True, traffic[1:] < np.minimum.accumulate(traffic)[:-1])
    tiles: dict[str, Ints] = {name: found[name] for name in (*_EXTENTS, "stationary", "panels")}
    return Staircase(
        nest, tiled, widths, conventions, footprint[falls] * scale, traffic[falls], read[falls],
        weight[falls], output[falls], partial[falls],
        {name: column[falls] for name, column in tiles.items()},
    )  # fmt: skip


@lru_cache(maxsize=REMEMBERED)
def _group(nest: TileNest, widths: Widths, conventions: Conventions) -> tuple[Floats, Decoded]:
    problem = StaircaseProblem.of(nest, widths, conventions)
    # Every tile holds an element of each operand, none more than all of them twice.
    least = widths.input + widths.weight + widths.partial
    if least == 0:
        # Nothing is held, so that a buffer of any size is enough.
        return np.zeros(1), resident(problem)
    found = StaircaseCandidates(least, 2 * problem.resident)
    add_classes(problem, found)
    if conventions.allocation == "uneven":
        add_uneven(problem, found)
    return found.steps()
