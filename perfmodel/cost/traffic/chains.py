"""Chains of operators against capacity: least traffic layer by layer, fused, and best cut.

The output of each operator is the input of the next. In a fused group, tiles of the last output's
positions (rows of products; rows and columns of images, traced back through all kernels) pass
through all operators, and no intermediate leaves the chip. Between groups, and layer by layer,
intermediates are written and read. The cuts that move least are found for every capacity. As in
Huang et al., "Mind the Gap: Attainable Data Movement and Operational Intensity Bounds for Tensor
Algorithms", ISCA 2024 (Orojenesis); `docs/traffic.md` tells what differs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.chains_alone import alone
from perfmodel.cost.traffic.chains_blocks import Fused
from perfmodel.cost.traffic.chains_groups import fused
from perfmodel.cost.traffic.chains_links import lined
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase_axes import Floats, Ints

#: First and last operator of a group; whether its input and its output lie on chip whole.
_Key: TypeAlias = tuple[int, int, bool, bool]


@dataclass(frozen=True, slots=True)
class ChainGroup:
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
    lies_on_chip
        Whether its first input, and its last output, lies on chip whole for all positions, between
        this group and the one before or after it.
    """

    first: int
    last: int
    traffic_bytes: float
    tile: tuple[int, int, int] = (0, 0, 0)
    kept_weights: tuple[int, ...] = ()
    slice_channels: int = 0
    recomputed: float = 1.0
    lies_on_chip: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, eq=False)
class ChainStaircase:
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
    _groups: dict[_Key, Fused]

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

    def group(
        self, first: int, last: int, capacity: Any, lies_on_chip: tuple[bool, bool] = (False, False)
    ) -> Any:
        """Return the bytes of the operators from `first` to `last` as one group.

        Parameters
        ----------
        first, last
            Operators, counted from 0.
        capacity
            Bytes; a number or an array.
        lies_on_chip
            Whether the first input, and the last output, lies in the buffer whole and so neither
            comes nor goes.

        Returns
        -------
        float or array
            Infinite where the group has no room, and for groups that are never of use.
        """
        key = (first, last, *lies_on_chip)
        if key not in self._groups:
            return _look_up(np.zeros(0), np.zeros(0), capacity)
        return _look_up(self._groups[key].capacity, self._groups[key].traffic, capacity)

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

    def partition(self, capacity: float) -> tuple[ChainGroup, ...]:
        """Return the groups that move least in a buffer; none where an operator has no room."""
        moved, keys = _least(self._groups, len(self.nests), np.array([float(capacity)]))
        if not np.isfinite(moved[0]):
            return ()
        groups: list[ChainGroup] = []
        at, lies = len(self.nests), False
        while at:
            key = keys[at, lies][0]
            groups.append(self._described(key, capacity))
            at, lies = key[0], key[2]
        return tuple(groups[::-1])

    def _described(self, key: _Key, capacity: float) -> ChainGroup:
        first, last = key[:2]
        found = self._groups[key]
        at = int(found.capacity.searchsorted(capacity, side="right")) - 1
        moved, tile, kept = float(found.traffic[at]), int(found.tile[at]), int(found.kept[at])
        operators = tuple(first + i for i in range(last - first + 1) if kept >> i & 1)
        shape, work = (0, 0, 0), 1.0
        if tile >= 0:
            tiles = lined(
                self.nests[first : last + 1], self.widths[first : last + 1],
                self.conventions.halo == "kept",
            ).tiles  # fmt: skip
            images, rows, columns = (int(t[tile]) for t in tiles.tile)
            shape, work = (images, rows, columns), float(tiles.work[tile])
        return ChainGroup(
            first, last, moved, shape, operators, int(found.width[at]), work, (key[2], key[3])
        )  # fmt: skip


def chain(
    nests: Sequence[TileNest],
    widths: Sequence[Widths] | Widths,
    conventions: Conventions = Conventions(),  # noqa: B008
    *,
    longest: int = 6,
) -> ChainStaircase:
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
) -> ChainStaircase:
    held = 2 if conventions.buffering == "double" else 1
    kept = conventions.halo == "kept"
    number = len(nests)
    groups: dict[_Key, Fused] = {}
    for i, (nest, width) in enumerate(zip(nests, widths, strict=True)):
        room, moved = alone(nest, width, conventions)
        none: Ints = np.zeros(len(room), np.int64)
        groups[i, i, False, False] = Fused(room, moved, none - 2, none, none)
    if number > 1:
        # The whole chain must line up, also where no group is so long.
        lined(nests, widths, kept)
    for a, b in _spans(number, longest):
        if b > a:
            group = lined(nests[a : b + 1], widths[a : b + 1], kept)
            groups[a, b, False, False] = fused(group, held)
    # An intermediate that lies on chip must leave room before all fused moves everything once.
    whole = groups.get((0, number - 1, False, False))
    most = float(whole.capacity[-1]) if whole is not None else float("inf")
    for a, b in _spans(number, longest):
        for before, after in ((False, True), (True, False), (True, True)):
            if (before and a == 0) or (after and b == number - 1):
                continue
            lies, room = (before, after), 0.0
            if before:
                room += _size(nests, widths, a)
            if after:
                room += _size(nests, widths, b + 1)
            if room < most:
                group = lined(nests[a : b + 1], widths[a : b + 1], kept)
                if after:
                    last = replace(group.links[-1], output=widths[b + 1].input)
                    group = replace(group, links=(*group.links[:-1], last))
                groups[a, b, before, after] = fused(group, held, lies, room)
    capacity = np.unique(np.concatenate([g.capacity for g in groups.values()]))
    traffic, _ = _least(groups, number, capacity)
    falls = np.flatnonzero(np.isfinite(traffic) & (traffic < np.r_[np.inf, traffic[:-1]]))
    return ChainStaircase(nests, widths, conventions, capacity[falls], traffic[falls], groups)


def _spans(number: int, longest: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(number) for b in range(a, min(number, a + longest))]


def _size(nests: Sequence[TileNest], widths: Sequence[Widths], tensor: int) -> float:
    """Return the bytes of a whole intermediate, the output of the operator before `tensor`."""
    nest = nests[tensor - 1]
    positions = nest.batch * nest.out_rows * nest.out_columns
    return widths[tensor].input * nest.groups * positions * nest.out_channels


def _least(
    groups: dict[_Key, Fused], number: int, capacity: Floats
) -> tuple[Floats, dict[tuple[int, bool], list[_Key]]]:  # fmt: skip
    """Return the least bytes of any partition, and the last group up to each cut that gives it.

    A cut either has its tensor off chip or lying on it whole.
    """
    best: dict[tuple[int, bool], Floats] = {(0, False): np.zeros(len(capacity))}
    keys: dict[tuple[int, bool], list[_Key]] = {}
    for b, lies in itertools.product(range(1, number + 1), (False, True)):
        ways = [k for k in groups if k[1] == b - 1 and k[3] == lies and (k[0], k[2]) in best]
        if not ways:
            continue
        moved = np.array([
            best[k[0], k[2]] + _look_up(groups[k].capacity, groups[k].traffic, capacity)
            for k in ways
        ])  # fmt: skip
        which = np.argmin(moved, axis=0)
        best[b, lies] = np.take_along_axis(moved, which[None], axis=0)[0]
        keys[b, lies] = [ways[w] for w in which.tolist()] if len(capacity) == 1 else []
    return best[number, False], keys


def _look_up(capacity: Floats, traffic: Floats, points: Any) -> Any:
    at: Floats = np.asarray(points, dtype=float)
    padded: Floats = np.concatenate([[np.inf], traffic])
    found: npt.NDArray[np.float64] = padded[capacity.searchsorted(at, side="right")]
    return float(found) if at.ndim == 0 else found
