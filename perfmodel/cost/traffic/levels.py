"""Two levels of memory jointly: bytes across both boundaries of one nest under the best tiles.

A tile lives in the outer buffer and is cut into tiles of the inner one. What is best for one
boundary is not for the other: the least traffic of each alone adds up to too little, and the outer
optimum taken first can cost the inner boundary many times its least. The front lists every pair
(outer bytes, inner bytes) that no other beats in both; prices of the two are then a lookup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from perfmodel.cost.traffic.axis import Floats, Ints
from perfmodel.cost.traffic.levels_front import FrontPoints, candidates
from perfmodel.cost.traffic.levels_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.levels_trace import LevelTile, pair_tiles
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths


@dataclass(frozen=True, slots=True)
class LevelsOptimum:
    """Traffic of one mapping across several boundaries, the outermost first.

    Attributes
    ----------
    bytes
        Bytes across each boundary, of all groups; infinite where nothing fits.
    tiles
        The tile in each level, in the flattened nest of one group; empty where nothing fits.
    objective
        What was minimised: joules or seconds.
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
    """Pairs (outer bytes, inner bytes) of one nest in two buffers that no other pair beats.

    Attributes
    ----------
    nest, widths, capacities, conventions
        What it holds for; capacities in bytes, the outer one first.
    outer_bytes, inner_bytes
        Traffic across the outer boundary, rising, and across the inner one, falling; shape
        (pairs,), empty where nothing fits.
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
        """Return the least joules, in the broadcast shape of the prices.

        Parameters
        ----------
        outer_per_byte, inner_per_byte
            Joules a byte across each boundary; numbers or arrays.
        """
        return self._values(np.multiply, np.add, outer_per_byte, inner_per_byte)[0]

    def time(self, outer_bandwidth: Any, inner_bandwidth: Any) -> Any:
        """Return the least seconds of both boundaries at work at once, in the broadcast shape.

        Parameters
        ----------
        outer_bandwidth, inner_bandwidth
            Bytes a second across each boundary; numbers or arrays.
        """
        return self._values(np.divide, np.maximum, outer_bandwidth, inner_bandwidth)[0]

    def cheapest(self, outer_per_byte: Any, inner_per_byte: Any) -> Ints:
        """Return the pair of least energy for each price; -1 where nothing fits."""
        return self._values(np.multiply, np.add, outer_per_byte, inner_per_byte)[1]

    def fastest(self, outer_bandwidth: Any, inner_bandwidth: Any) -> Ints:
        """Return the pair of least time for each bandwidth; -1 where nothing fits."""
        return self._values(np.divide, np.maximum, outer_bandwidth, inner_bandwidth)[1]

    def _values(self, scale: np.ufunc, join: np.ufunc, outer: Any, inner: Any) -> tuple[Any, Ints]:
        """Return the least value for each point, and the pair that has it."""
        o, i = np.broadcast_arrays(np.asarray(outer, float), np.asarray(inner, float))
        if not len(self):
            return np.full(o.shape, np.inf)[()], np.full(o.shape, -1)
        values = join(scale(self.outer_bytes, o[..., None]), scale(self.inner_bytes, i[..., None]))
        pair = np.argmin(values, axis=-1)
        return np.take_along_axis(values, pair[..., None], axis=-1)[..., 0][()], pair

    def optimum(self, row: int, objective: float = float("nan")) -> LevelsOptimum:
        """Return the mapping of a pair."""
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
    """Return the front of a nest in two buffers, one inside the other; remembered by content.

    Parameters
    ----------
    nest
        Each of its `groups` is a problem of its own, one after another.
    widths
        Bytes of an element across both boundaries.
    outer_capacity, inner_capacity
        Bytes; the outer one is at least the inner one.
    conventions
        ``allocation`` must be ``even``. Kernel taps stay whole in every tile.
    thin
        Tiles closer than this ratio are left out of the lists: 1 is exact; 1.15 is quicker, and
        never below the optimum.

    Raises
    ------
    ValueError
        Extents below 1, bad widths, an inner capacity above the outer, uneven tiles.
    """
    return _front(nest, widths, float(outer_capacity), float(inner_capacity), conventions, thin)


@lru_cache(maxsize=512)
def _front(
    nest: TileNest,
    widths: Widths,
    outer: float,
    inner: float,
    conventions: Conventions,
    thin: float,
) -> LevelsFront:
    problem = MultilevelTilingProblem.of(nest, widths, (outer, inner), conventions, thin)
    points = candidates(problem)
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
    """Return the best pair of nested tiles in two buffers.

    Least is the energy of the bytes across both boundaries or, with `bandwidths`, the time of the
    slower boundary.

    Parameters
    ----------
    nest, widths, outer_capacity, inner_capacity, conventions, thin
        As in `levels_front`.
    outer_energy_per_byte, inner_energy_per_byte
        Joules a byte across each boundary.
    bandwidths
        Bytes a second across the outer and the inner boundary; then energies are not used.

    Returns
    -------
    LevelsOptimum
        Bytes across each boundary, both tiles, and the joules or seconds.
    """
    front = levels_front(nest, widths, outer_capacity, inner_capacity, conventions, thin)
    if not len(front):
        return LevelsOptimum((float("inf"), float("inf")), (), float("inf"))
    if bandwidths:
        far, near = bandwidths
        return front.optimum(int(front.fastest(far, near)), front.time(far, near))
    prices = (outer_energy_per_byte, inner_energy_per_byte)
    return front.optimum(int(front.cheapest(*prices)), front.energy(*prices))
