"""Chains of operators against capacity: least traffic layer by layer, fused, and best cut.

The output of each operator is the input of the next. In a fused group, tiles of the last output's
positions (rows of products; rows and columns of images, traced back through all kernels) pass
through all operators, and no intermediate leaves the chip. Between groups, and layer by layer,
intermediates are written and read. The cuts that move least are found for every capacity. As in
Huang et al., "Mind the Gap: Attainable Data Movement and Operational Intensity Bounds for Tensor
Algorithms", ISCA 2024 (Orojenesis); `docs/traffic.md` tells what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.chains_alone import alone
from perfmodel.cost.traffic.chains_blocks import Fused
from perfmodel.cost.traffic.chains_groups import fused
from perfmodel.cost.traffic.chains_links import lined
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase_axes import Floats, Ints

__all__ = ["Chain", "Group", "chain"]


@dataclass(frozen=True, slots=True)
class Group:
    """Operators that run together in a buffer of some capacity.

    Attributes
    ----------
    first, last
        The first and the last operator, counted from 0.
    traffic_bytes
        Bytes that the group moves.
    tile
        Images, rows and columns of the last output in a tile, for a fused group; all zero for one
        operator alone and where slices of the weights stay instead.
    kept_weights
        Operators whose weights stay on chip throughout.
    slice_channels
        Channels of the intermediate in a slice, where two products go slice by slice; else 0.
    recomputed
        Multiply-accumulates over those without recomputation: overlaps of intermediate tiles are
        made again unless the halo is kept.
    """

    first: int
    last: int
    traffic_bytes: float
    tile: tuple[int, int, int] = (0, 0, 0)
    kept_weights: tuple[int, ...] = ()
    slice_channels: int = 0
    recomputed: float = 1.0


@dataclass(frozen=True, eq=False)
class Chain:
    """Least traffic of a chain against the capacity of the buffer.

    Calling it looks capacities up. All arrays are of shape (steps,).

    Attributes
    ----------
    nests, widths, conventions
        What it holds for.
    capacity_bytes
        Capacities at which the least traffic of any partition falls, ascending.
    traffic_bytes
        Least traffic from each step on, strictly falling.
    """

    nests: tuple[TileNest, ...]
    widths: tuple[Widths, ...]
    conventions: Conventions
    capacity_bytes: Floats
    traffic_bytes: Floats
    _groups: dict[tuple[int, int], Fused]

    def __len__(self) -> int:
        return len(self.capacity_bytes)

    def __call__(self, capacity: Any) -> Any:
        """Return the least traffic of any partition: bytes, infinite where an operator has no room.

        Parameters
        ----------
        capacity
            Bytes; a number or an array.
        """
        return _look_up(self.capacity_bytes, self.traffic_bytes, capacity)

    def unfused(self, capacity: Any) -> Any:
        """Return the bytes of all operators one by one, each with the whole buffer."""
        return np.sum([self.group(i, i, capacity) for i in range(len(self.nests))], axis=0)

    def fused(self, capacity: Any) -> Any:
        """Return the bytes of all operators as one group; infinite where that has no room."""
        return self.group(0, len(self.nests) - 1, capacity)

    def group(self, first: int, last: int, capacity: Any) -> Any:
        """Return the bytes of the operators from `first` to `last` as one group."""
        if (first, last) not in self._groups:
            return _look_up(np.zeros(0), np.zeros(0), capacity)
        found = self._groups[first, last]
        return _look_up(found.capacity, found.traffic, capacity)

    @property
    def fused_capacity_bytes(self) -> float:
        """Least capacity at which some fusion moves less than all operators one by one.

        Infinite where none ever does.
        """
        gain = np.flatnonzero(self.traffic_bytes < self.unfused(self.capacity_bytes))
        return float(self.capacity_bytes[gain[0]]) if gain.size else float("inf")

    @property
    def effectual_capacity_bytes(self) -> float:
        """Capacity from which on more room saves nothing."""
        return float(self.capacity_bytes[-1])

    @property
    def compulsory_bytes(self) -> float:
        """Bytes of the first input, of all weights and of the last output, each once."""
        return float(self.traffic_bytes[-1])

    def partition(self, capacity: float) -> tuple[Group, ...]:
        """Return the groups that move least in a buffer; none where an operator has no room."""
        number = len(self.nests)
        best: list[tuple[float, int]] = [(0.0, 0)]
        for b in range(1, number + 1):
            best.append(min(
                (best[a][0] + float(self.group(a, b - 1, capacity)), a) for a in range(b)
            ))  # fmt: skip
        if not np.isfinite(best[-1][0]):
            return ()
        groups: list[Group] = []
        b = number
        while b:
            a = best[b][1]
            groups.append(self._described(a, b - 1, capacity))
            b = a
        return tuple(groups[::-1])

    def _described(self, first: int, last: int, capacity: float) -> Group:
        moved = float(self.group(first, last, capacity))
        if first == last:
            return Group(first, last, moved)
        found = self._groups[first, last]
        at = int(found.capacity.searchsorted(capacity, side="right")) - 1
        tile, kept = int(found.tile[at]), int(found.kept[at])
        operators = tuple(first + i for i in range(last - first + 1) if kept >> i & 1)
        if tile < 0:
            return Group(first, last, moved, (0, 0, 0), operators, int(found.width[at]))
        tiles = lined(
            self.nests[first : last + 1], self.widths[first : last + 1],
            self.conventions.halo == "kept",
        ).tiles  # fmt: skip
        images, rows, columns = (int(t[tile]) for t in tiles.tile)
        work = float(tiles.work[tile])
        slice_ = int(found.width[at])
        return Group(first, last, moved, (images, rows, columns), operators, slice_, work)


def chain(
    nests: Sequence[TileNest],
    widths: Sequence[Widths] | Widths,
    conventions: Conventions = Conventions(),  # noqa: B008
    *,
    longest: int = 6,
) -> Chain:
    """Return the least traffic of a chain of operators against capacity; remembered by content.

    Parameters
    ----------
    nests
        The operators in order. The output of each has the elements of the next input: products of
        the same rows (heads of attention are groups; a batch of sequences are more groups of fewer
        rows), or convolutions of the same images. Elementwise work between them is free.
    widths
        Bytes of an element, for each operator or for all. A whole intermediate is held in the
        width of the next input; while it is summed, in that of a partial sum.
    conventions
        With the halo refetched, overlapping parts of intermediates are made again; kept, a window
        slides along one axis and keeps them.
    longest
        Most operators in a fused group.

    Raises
    ------
    ValueError
        No operator, widths of another number, or an output that is not the next input.
    """
    several = (widths,) * len(nests) if isinstance(widths, Widths) else tuple(widths)
    if not nests or len(several) != len(nests):
        raise ValueError("a chain has an operator, and widths for each")
    return _chain(tuple(nests), several, conventions, longest)


@lru_cache(maxsize=64)
def _chain(
    nests: tuple[TileNest, ...], widths: tuple[Widths, ...], conventions: Conventions, longest: int
) -> Chain:
    held = 2 if conventions.buffering == "double" else 1
    kept = conventions.halo == "kept"
    groups: dict[tuple[int, int], Fused] = {}
    for i, (nest, width) in enumerate(zip(nests, widths, strict=True)):
        room, moved = alone(nest, width, conventions)
        none: Ints = np.zeros(len(room), np.int64)
        groups[i, i] = Fused(room, moved, none, none, none)
    if len(nests) > 1:
        # The whole chain must line up, also where no group is so long.
        lined(nests, widths, kept)
    for a in range(len(nests)):
        for b in range(a + 1, min(len(nests), a + longest)):
            groups[a, b] = fused(lined(nests[a : b + 1], widths[a : b + 1], kept), held)
    capacity = np.unique(np.concatenate([g.capacity for g in groups.values()]))
    best = [np.zeros(len(capacity))]
    for b in range(1, len(nests) + 1):
        ways = [
            best[a] + _look_up(groups[a, b - 1].capacity, groups[a, b - 1].traffic, capacity)
            for a in range(b) if (a, b - 1) in groups
        ]  # fmt: skip
        best.append(np.min(ways, axis=0))
    traffic = best[-1]
    falls = np.flatnonzero(np.isfinite(traffic) & (traffic < np.r_[np.inf, traffic[:-1]]))
    return Chain(nests, widths, conventions, capacity[falls], traffic[falls], groups)


def _look_up(capacity: Floats, traffic: Floats, points: Any) -> Any:
    at: Floats = np.asarray(points, dtype=float)
    padded: Floats = np.concatenate([[np.inf], traffic])
    found: npt.NDArray[np.float64] = padded[capacity.searchsorted(at, side="right")]
    return float(found) if at.ndim == 0 else found
