"""Joint tiling for two memory levels: Pareto front of the traffic across both boundaries.

A tile in the outer buffer is cut into tiles of the inner buffer. The two boundaries compete: the
separate minima of both are jointly infeasible in general, and the mapping with the least outer
traffic can have many times the least inner traffic. `levels_front` returns every Pareto-optimal
pair (outer bytes, inner bytes) of a nest; `two_levels` selects the pair with the least energy
``e_outer bytes_outer + e_inner bytes_inner`` or the least transfer time
``max(bytes_outer / bandwidth_outer, bytes_inner / bandwidth_inner)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perfmodel.caches import cached
from perfmodel.cost.traffic.convolution_axis import Floats, Ints
from perfmodel.cost.traffic.multilevel_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.two_level_front import FrontPoints, front_points
from perfmodel.cost.traffic.two_level_recovery import LevelTile, pair_tiles


@dataclass(frozen=True, slots=True)
class LevelsOptimum:
    """Optimal mapping over several memory levels, outermost first.

    Attributes
    ----------
    bytes
        Traffic of all groups across each boundary, bytes; infinite where no tile fits.
    tiles
        Tile of each level in the flattened nest of one group; empty where no tile fits.
    objective
        Value of the minimised objective: joules or seconds.
    """

    bytes: tuple[float, ...]
    tiles: tuple[LevelTile, ...]
    objective: float

    @property
    def outer_bytes(self) -> float:
        """Bytes across the outermost boundary."""
        return self.bytes[0]

    @property
    def inner_bytes(self) -> float:
        """Bytes across the innermost boundary."""
        return self.bytes[-1]


@dataclass(frozen=True, eq=False)
class LevelsFront:
    """Pareto front of (outer bytes, inner bytes) of one nest in two nested buffers.

    Attributes
    ----------
    nest, widths, capacities, conventions
        Problem that the front belongs to; capacities in bytes, the outer one first.
    outer_bytes, inner_bytes
        Traffic across the outer boundary, ascending, and across the inner one, descending; shape
        (pairs,), empty where no tile fits.
    """

    nest: TileNest
    widths: Widths
    capacities: tuple[float, float]
    conventions: Conventions
    outer_bytes: Floats
    inner_bytes: Floats
    _problem: MultilevelTilingProblem = field(repr=False)
    _points: FrontPoints = field(repr=False)

    def __len__(self) -> int:
        return len(self.outer_bytes)

    def energy(self, outer_per_byte: Any, inner_per_byte: Any) -> Any:
        """Return the minimum energy in joules, in the broadcast shape of the arguments.

        Parameters
        ----------
        outer_per_byte, inner_per_byte
            Joules per byte across each boundary; numbers or arrays.
        """
        return self._values(np.multiply, np.add, outer_per_byte, inner_per_byte)[0]

    def time(self, outer_bandwidth: Any, inner_bandwidth: Any) -> Any:
        """Return the minimum transfer time in seconds, in the broadcast shape of the arguments.

        Both boundaries transfer concurrently: the time is that of the slower one.

        Parameters
        ----------
        outer_bandwidth, inner_bandwidth
            Bytes per second across each boundary; numbers or arrays.
        """
        return self._values(np.divide, np.maximum, outer_bandwidth, inner_bandwidth)[0]

    def cheapest(self, outer_per_byte: Any, inner_per_byte: Any) -> Ints:
        """Return the index of the pair with minimum energy; -1 where no tile fits."""
        return self._values(np.multiply, np.add, outer_per_byte, inner_per_byte)[1]

    def fastest(self, outer_bandwidth: Any, inner_bandwidth: Any) -> Ints:
        """Return the index of the pair with minimum time; -1 where no tile fits."""
        return self._values(np.divide, np.maximum, outer_bandwidth, inner_bandwidth)[1]

    def _values(self, scale: np.ufunc, join: np.ufunc, outer: Any, inner: Any) -> tuple[Any, Ints]:
        """Return the minimum of `energy` or `time` at each point and the index of its pair."""
        rates = np.broadcast_arrays(np.asarray(outer, float), np.asarray(inner, float))
        if not len(self):
            return np.full(rates[0].shape, np.inf)[()], np.full(rates[0].shape, -1)
        boundaries = zip((self.outer_bytes, self.inner_bytes), rates, strict=True)
        values = join(*(scale(column, rate[..., None]) for column, rate in boundaries))
        pair = np.argmin(values, axis=-1)
        return np.take_along_axis(values, pair[..., None], axis=-1)[..., 0][()], pair

    def optimum(self, row: int, objective: float = float("nan")) -> LevelsOptimum:
        """Return the mapping of a pair with its tiles."""
        tiles = pair_tiles(self._problem, self._points, row)
        pair = (float(self.outer_bytes[row]), float(self.inner_bytes[row]))
        return LevelsOptimum(pair, tiles, objective)


def levels_front(
    nest: TileNest,
    widths: Widths,
    outer_capacity: float,
    inner_capacity: float,
    conventions: Conventions = Conventions(),  # noqa: B008
    thin: float = 1.0,
) -> LevelsFront:
    """Return the front of a nest in two nested buffers; cached by content.

    Parameters
    ----------
    nest
        Loop nest; its `groups` are separate problems executed one after another.
    widths
        Bytes per element across both boundaries.
    outer_capacity, inner_capacity
        Bytes; the outer capacity is at least the inner one.
    conventions
        ``allocation`` must be ``even``. Kernel taps are never cut.
    thin
        Minimum ratio of neighbouring tile sizes: 1 is exact; 1.15 is faster and yields feasible
        tiles, never below the optimum.

    Raises
    ------
    ValueError
        Extents below 1, invalid widths, an inner capacity above the outer one, or uneven tiles.
    """
    return _front(nest, widths, float(outer_capacity), float(inner_capacity), conventions, thin)


@cached()
def _front(
    nest: TileNest,
    widths: Widths,
    outer: float,
    inner: float,
    conventions: Conventions,
    thin: float,
) -> LevelsFront:
    problem = MultilevelTilingProblem.of(nest, widths, (outer, inner), conventions, thin)
    points = front_points(problem)
    outer_bytes, inner_bytes = points.outer * nest.groups, points.inner * nest.groups
    for column in (outer_bytes, inner_bytes):
        column.setflags(write=False)
    capacities = (outer, inner)
    return LevelsFront(
        nest, widths, capacities, conventions, outer_bytes, inner_bytes, problem, points
    )


def two_levels(
    nest: TileNest,
    widths: Widths,
    outer_capacity: float,
    inner_capacity: float,
    outer_energy_per_byte: float = 0.0,
    inner_energy_per_byte: float = 0.0,
    conventions: Conventions = Conventions(),  # noqa: B008
    *,
    bandwidths: Sequence[float] = (),
    thin: float = 1.0,
) -> LevelsOptimum:
    """Return the optimal pair of nested tiles in two buffers.

    The objective is the energy of the traffic across both boundaries or, with `bandwidths`, the
    transfer time of the slower boundary.

    Parameters
    ----------
    nest, widths, outer_capacity, inner_capacity, conventions, thin
        As in `levels_front`.
    outer_energy_per_byte, inner_energy_per_byte
        Joules per byte across each boundary.
    bandwidths
        Bytes per second across the outer and the inner boundary; if given, energies are ignored.

    Returns
    -------
    LevelsOptimum
        Traffic across each boundary, both tiles, and the minimum in joules or seconds.
    """
    front = levels_front(nest, widths, outer_capacity, inner_capacity, conventions, thin)
    if not len(front):
        return LevelsOptimum((float("inf"), float("inf")), (), float("inf"))
    if bandwidths:
        return front.optimum(int(front.fastest(*bandwidths)), front.time(*bandwidths))
    prices = (outer_energy_per_byte, inner_energy_per_byte)
    return front.optimum(int(front.cheapest(*prices)), front.energy(*prices))
