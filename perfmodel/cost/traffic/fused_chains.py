"""Least traffic of a chain of operators over buffer capacity: unfused, fused, best partition.

The output of each operator is the input of the next. In a fused group, tiles of the last output's
positions (rows of GEMMs; rows and columns of images, traced back through all kernels) pass through
all operators, and no intermediate leaves the chip. Between groups, intermediates are written to and
read from the backing store. The partition with the least traffic is determined for every capacity
by dynamic programming. The model follows Huang et al., "Mind the Gap: Attainable Data Movement and
Operational Intensity Bounds for Tensor Algorithms", ISCA 2024 (Orojenesis); `docs/traffic.md` lists
the differences.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.caches import cached
from perfmodel.cost.traffic.chain_alignment import align
from perfmodel.cost.traffic.convolution_axis import Floats
from perfmodel.cost.traffic.fused_gemm_pairs import UNFUSED, GroupSteps
from perfmodel.cost.traffic.fused_groups import fused_group_steps
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.unfused_operator import single_operator_steps


class _Span(NamedTuple):
    """First and last operator of a group, and whether its input and its output are on chip."""

    first: int
    last: int
    input_on_chip: bool = False
    output_on_chip: bool = False


@dataclass(frozen=True, slots=True)
class ChainGroup:
    """Group of fused operators, or a single operator, at one buffer capacity.

    Attributes
    ----------
    first, last
        Indices of the first and the last operator, from 0.
    traffic_bytes
        Traffic of the group in bytes.
    tile
        Images, rows and columns of a tile of the last output; all zero for a single operator and
        where slices of the weights stay on chip instead.
    kept_weights
        Indices of the operators whose weights are resident.
    slice_channels
        Channels of the intermediate per slice where two GEMMs are fused slice by slice; else 0.
    recomputed
        Multiply-accumulates relative to those without recomputation: overlaps of intermediate tiles
        are recomputed unless the halo is kept.
    lies_on_chip
        Whether the first input, and the last output, is on chip for all positions, between this
        group and its neighbours.
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
    """Least traffic of a chain as a function of the buffer capacity.

    Calling the object evaluates this function. All arrays have shape (steps,).

    Attributes
    ----------
    nests, widths, conventions
        Problem that the staircase belongs to.
    capacity_bytes
        Capacities at which the least traffic of any partition decreases, ascending.
    traffic_bytes
        Least traffic from each step on, strictly decreasing.
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
        """Return the least traffic of any partition in bytes; infinite where it cannot fit.

        Parameters
        ----------
        capacity
            Bytes; a number or an array.
        """
        return _look_up(self.capacity_bytes, self.traffic_bytes, capacity)

    def unfused(self, capacity: Any) -> Any:
        """Return the traffic without fusion in bytes, each operator using the whole buffer."""
        return np.sum([self.group(i, i, capacity) for i in range(len(self.nests))], axis=0)

    def fused(self, capacity: Any) -> Any:
        """Return the traffic of all operators as one group in bytes; infinite if it cannot fit."""
        return self.group(0, len(self.nests) - 1, capacity)

    def group(
        self, first: int, last: int, capacity: Any, lies_on_chip: tuple[bool, bool] = (False, False)
    ) -> Any:
        """Return the traffic of the operators `first` to `last` as one group.

        Parameters
        ----------
        first, last
            Indices of operators, from 0.
        capacity
            Bytes; a number or an array.
        lies_on_chip
            Whether the first input, and the last output, is in the buffer for all positions and
            causes no traffic.

        Returns
        -------
        float or array
            Bytes; infinite where the group does not fit, and for groups that no partition uses.
        """
        steps = self._groups.get(_Span(first, last, *lies_on_chip))
        if steps is None:
            return _look_up(np.zeros(0), np.zeros(0), capacity)
        return _look_up(steps.capacity, steps.traffic, capacity)

    @property
    def fused_capacity_bytes(self) -> float:
        """Least capacity at which fusion reduces traffic, bytes; infinite if it never does."""
        gain = np.flatnonzero(self.traffic_bytes < self.unfused(self.capacity_bytes))
        return float(self.capacity_bytes[gain[0]]) if gain.size else float("inf")

    @property
    def effectual_capacity_bytes(self) -> float:
        """Capacity in bytes beyond which traffic does not decrease further."""
        return float(self.capacity_bytes[-1])

    @property
    def compulsory_bytes(self) -> float:
        """Bytes of the first input, all weights and the last output, each transferred once."""
        return float(self.traffic_bytes[-1])

    def partition(self, capacity: float) -> tuple[ChainGroup, ...]:
        """Return the groups of the partition with the least traffic; none if it cannot fit."""
        traffic, last = _least_traffic(self._groups, len(self.nests), np.array([float(capacity)]))
        if not np.isfinite(traffic[0]):
            return ()
        groups: list[ChainGroup] = []
        cut, on_chip = len(self.nests), False
        while cut:
            span = last[cut, on_chip][0]
            groups.append(self._group_at(span, capacity))
            cut, on_chip = span.first, span.input_on_chip
        return tuple(groups[::-1])

    def _group_at(self, span: _Span, capacity: float) -> ChainGroup:
        """Return a group with its tile and resident weights at a capacity."""
        steps = self._groups[span]
        step = int(steps.capacity.searchsorted(capacity, side="right")) - 1
        number, resident = int(steps.tile[step]), int(steps.resident[step])
        tile, work = (0, 0, 0), 1.0
        if number >= 0:
            operators = slice(span.first, span.last + 1)
            tiles = align(
                self.nests[operators], self.widths[operators], self.conventions.slides
            ).tiles
            tile = int(tiles.images[number]), int(tiles.rows[number]), int(tiles.columns[number])
            work = float(tiles.work[number])
        return ChainGroup(
            first=span.first,
            last=span.last,
            traffic_bytes=float(steps.traffic[step]),
            tile=tile,
            kept_weights=tuple(
                op for op in range(span.first, span.last + 1) if resident >> (op - span.first) & 1
            ),
            slice_channels=int(steps.slice_channels[step]),
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
    """Return the staircase of a chain of operators; cached by content.

    Parameters
    ----------
    nests
        Operators in order. The output of each has the same elements as the next input: GEMMs with
        common rows (attention heads are groups; the sequences of a batch are further groups with
        fewer rows), or convolutions of the same images. Elementwise operators between them are
        free.
    widths
        Bytes per element, for each operator or for all. A complete intermediate is stored at the
        width of the next input; during accumulation, at that of a partial sum.
    conventions
        Buffering and halo. With the halo refetched, overlapping parts of intermediates are
        recomputed; with the halo kept, a window slides along one axis and retains them.
    longest
        Maximum number of operators in a fused group.

    Raises
    ------
    ValueError
        No operators, a different number of widths, or an output that does not match the next input.
    """
    several = (widths,) * len(nests) if isinstance(widths, Widths) else tuple(widths)
    if not nests or len(several) != len(nests):
        raise ValueError("a chain has an operator, and widths for each")
    return _chain(tuple(nests), several, conventions, longest)


@cached()
def _chain(
    nests: tuple[TileNest, ...], widths: tuple[Widths, ...], conventions: Conventions, longest: int
) -> ChainStaircase:
    copies, slides = conventions.copies, conventions.slides
    number = len(nests)
    groups: dict[_Span, GroupSteps] = {}
    for i, (nest, width) in enumerate(zip(nests, widths, strict=True)):
        footprint, traffic = single_operator_steps(nest, width, conventions)
        none = np.zeros(len(footprint), np.int64)
        groups[_Span(i, i)] = GroupSteps(footprint, traffic, none + UNFUSED, none, none)
    if number > 1:
        # All operators must align, even if no group is as long as the chain.
        align(nests, widths, slides)
    spans = [(i, j) for i in range(number) for j in range(i, min(number, i + longest))]
    for first, last in spans:
        if last > first:
            group = align(nests[first : last + 1], widths[first : last + 1], slides)
            groups[_Span(first, last)] = fused_group_steps(group, copies)
    # On-chip intermediates are useful only below the capacity at which full fusion is compulsory.
    all_fused = groups.get(_Span(0, number - 1))
    most = float(all_fused.capacity[-1]) if all_fused is not None else float("inf")
    for (first, last), before, after in itertools.product(spans, (False, True), (False, True)):
        outermost = (before and first == 0) or (after and last == number - 1)
        if outermost or not (before or after):
            continue
        on_chip_bytes = _tensor_bytes(nests, widths, first) * before
        on_chip_bytes += _tensor_bytes(nests, widths, last + 1) * after
        if on_chip_bytes < most:
            group = align(nests[first : last + 1], widths[first : last + 1], slides)
            if after:
                final = replace(group.operators[-1], output=widths[last + 1].input)
                group = replace(group, operators=(*group.operators[:-1], final))
            groups[_Span(first, last, before, after)] = fused_group_steps(
                group, copies, (before, after), on_chip_bytes
            )
    capacity = np.unique(np.concatenate([g.capacity for g in groups.values()]))
    traffic, _ = _least_traffic(groups, number, capacity)
    falls = np.flatnonzero(np.isfinite(traffic) & (traffic < np.r_[np.inf, traffic[:-1]]))
    return ChainStaircase(nests, widths, conventions, capacity[falls], traffic[falls], groups)


def _tensor_bytes(nests: Sequence[TileNest], widths: Sequence[Widths], tensor: int) -> float:
    """Return the bytes of intermediate `tensor`, 0 for the first input and the last output."""
    if not 0 < tensor < len(nests):
        return 0.0
    nest = nests[tensor - 1]
    return widths[tensor].input * nest.groups * nest.positions * nest.out_channels


def _least_traffic(
    groups: dict[_Span, GroupSteps], number: int, capacity: Floats
) -> tuple[Floats, dict[tuple[int, bool], list[_Span]]]:
    """Return the least traffic of any partition, and the optimal last group before each cut.

    Dynamic programming over the cuts between operators: with F(c) the least traffic of the first c
    operators in bytes, ``F(c) = min over groups from c' to c of F(c') + traffic of the group``. The
    tensor at a cut is off chip, or on chip for all positions. Groups are returned for a single
    capacity only.
    """
    best: dict[tuple[int, bool], Floats] = {(0, False): np.zeros(len(capacity))}
    last: dict[tuple[int, bool], list[_Span]] = {}
    for cut, on_chip in itertools.product(range(1, number + 1), (False, True)):
        last_groups = [
            span
            for span in groups
            if (span.last, span.output_on_chip) == (cut - 1, on_chip)
            and (span.first, span.input_on_chip) in best
        ]
        if not last_groups:
            continue
        traffic = np.array(
            [
                best[span.first, span.input_on_chip]
                + _look_up(groups[span].capacity, groups[span].traffic, capacity)
                for span in last_groups
            ]
        )
        which = np.argmin(traffic, axis=0)
        best[cut, on_chip] = np.take_along_axis(traffic, which[None], axis=0)[0]
        last[cut, on_chip] = [last_groups[i] for i in which.tolist()] if len(capacity) == 1 else []
    return best[number, False], last


def _look_up(capacity: Floats, traffic: Floats, points: Any) -> Any:
    """Return the traffic of the last step at or below each capacity; infinite below all steps."""
    points = np.asarray(points, dtype=float)
    values: npt.NDArray[np.float64] = np.concatenate([[np.inf], traffic])[
        capacity.searchsorted(points, side="right")
    ]
    return float(values) if points.ndim == 0 else values
