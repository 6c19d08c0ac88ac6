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
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import Floats
from perfmodel.cost.traffic.chains_aligned import aligned
from perfmodel.cost.traffic.chains_alone import alone
from perfmodel.cost.traffic.chains_blocks import GroupSteps
from perfmodel.cost.traffic.chains_groups import fused
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths


class _Span(NamedTuple):
    """First and last operator of a group; whether its input and its output lie on chip."""

    first: int
    last: int
    input_on_chip: bool = False
    output_on_chip: bool = False


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
        Whether its first input, and its last output, lies on chip for all positions, between this
        group and the one before or after it.
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
    _groups: dict[_Span, GroupSteps]

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
            Whether the first input, and the last output, lies in the buffer for all positions and
            so neither comes nor goes.

        Returns
        -------
        float or array
            Infinite where the group has no room, and for groups that are never of use.
        """
        steps = self._groups.get(_Span(first, last, *lies_on_chip))
        if steps is None:
            return _look_up(np.zeros(0), np.zeros(0), capacity)
        return _look_up(steps.capacity, steps.traffic, capacity)

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
        traffic, last = _least(self._groups, len(self.nests), np.array([float(capacity)]))
        if not np.isfinite(traffic[0]):
            return ()
        groups: list[ChainGroup] = []
        cut, on_chip = len(self.nests), False
        while cut:
            span = last[cut, on_chip][0]
            groups.append(self._described(span, capacity))
            cut, on_chip = span.first, span.input_on_chip
        return tuple(groups[::-1])

    def _described(self, span: _Span, capacity: float) -> ChainGroup:
        steps = self._groups[span]
        at = int(steps.capacity.searchsorted(capacity, side="right")) - 1
        number, resident = int(steps.tile[at]), int(steps.resident[at])
        tile, work = (0, 0, 0), 1.0
        if number >= 0:
            operators = slice(span.first, span.last + 1)
            tiles = aligned(
                self.nests[operators], self.widths[operators], self.conventions.slides
            ).tiles
            tile = int(tiles.images[number]), int(tiles.rows[number]), int(tiles.columns[number])
            work = float(tiles.work[number])
        return ChainGroup(
            first=span.first,
            last=span.last,
            traffic_bytes=float(steps.traffic[at]),
            tile=tile,
            kept_weights=tuple(
                op for op in range(span.first, span.last + 1) if resident >> (op - span.first) & 1
            ),
            slice_channels=int(steps.slice_channels[at]),
            recomputed=work,
            lies_on_chip=(span.input_on_chip, span.output_on_chip),
        )


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
    copies, slides = conventions.copies, conventions.slides
    number = len(nests)
    groups: dict[_Span, GroupSteps] = {}
    for i, (nest, width) in enumerate(zip(nests, widths, strict=True)):
        room, traffic = alone(nest, width, conventions)
        none = np.zeros(len(room), np.int64)
        groups[_Span(i, i)] = GroupSteps(room, traffic, none - 2, none, none)
    if number > 1:
        # The whole chain must line up, also where no group is so long.
        aligned(nests, widths, slides)
    spans = [(a, b) for a in range(number) for b in range(a, min(number, a + longest))]
    for a, b in spans:
        if b > a:
            group = aligned(nests[a : b + 1], widths[a : b + 1], slides)
            groups[_Span(a, b)] = fused(group, copies)
    # An intermediate that lies on chip must leave room before all fused moves everything once.
    all_fused = groups.get(_Span(0, number - 1))
    most = float(all_fused.capacity[-1]) if all_fused is not None else float("inf")
    for (a, b), before, after in itertools.product(spans, (False, True), (False, True)):
        outermost = (before and a == 0) or (after and b == number - 1)
        if outermost or not (before or after):
            continue
        room = _tensor_bytes(nests, widths, a) * before
        room += _tensor_bytes(nests, widths, b + 1) * after
        if room < most:
            group = aligned(nests[a : b + 1], widths[a : b + 1], slides)
            if after:
                last = replace(group.operators[-1], output=widths[b + 1].input)
                group = replace(group, operators=(*group.operators[:-1], last))
            groups[_Span(a, b, before, after)] = fused(group, copies, (before, after), room)
    capacity = np.unique(np.concatenate([g.capacity for g in groups.values()]))
    traffic, _ = _least(groups, number, capacity)
    falls = np.flatnonzero(np.isfinite(traffic) & (traffic < np.r_[np.inf, traffic[:-1]]))
    return ChainStaircase(nests, widths, conventions, capacity[falls], traffic[falls], groups)


def _tensor_bytes(nests: Sequence[TileNest], widths: Sequence[Widths], tensor: int) -> float:
    """Return the bytes of an intermediate, the output of the operator before `tensor`."""
    if not 0 < tensor < len(nests):
        return 0.0
    nest = nests[tensor - 1]
    return widths[tensor].input * nest.groups * nest.positions * nest.out_channels


def _least(
    groups: dict[_Span, GroupSteps], number: int, capacity: Floats
) -> tuple[Floats, dict[tuple[int, bool], list[_Span]]]:
    """Return the least bytes of any partition, and the last group up to each cut that gives it.

    A cut has its tensor either off chip or on it for all positions.
    """
    best: dict[tuple[int, bool], Floats] = {(0, False): np.zeros(len(capacity))}
    last: dict[tuple[int, bool], list[_Span]] = {}
    for cut, on_chip in itertools.product(range(1, number + 1), (False, True)):
        ways = [
            span
            for span in groups
            if (span.last, span.output_on_chip) == (cut - 1, on_chip)
            and (span.first, span.input_on_chip) in best
        ]
        if not ways:
            continue
        traffic = np.array(
            [
                best[span.first, span.input_on_chip]
                + _look_up(groups[span].capacity, groups[span].traffic, capacity)
                for span in ways
            ]
        )
        which = np.argmin(traffic, axis=0)
        best[cut, on_chip] = np.take_along_axis(traffic, which[None], axis=0)[0]
        last[cut, on_chip] = [ways[w] for w in which.tolist()] if len(capacity) == 1 else []
    return best[number, False], last


def _look_up(capacity: Floats, traffic: Floats, points: Any) -> Any:
    at: Floats = np.asarray(points, dtype=float)
    steps: npt.NDArray[np.float64] = np.concatenate([[np.inf], traffic])[
        capacity.searchsorted(at, side="right")
    ]
    return float(steps) if at.ndim == 0 else steps
