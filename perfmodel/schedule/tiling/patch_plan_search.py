"""Optimal patch plan of a network: dynamic programming over its cuts (a shortest path).

A cut is a position between two layers with a single live map. Between two cuts a stretch of layers
runs layer by layer or in patches; its cost depends on nothing outside it but the location of its
input and output map. Hence, with the location of the live map (and the number of stretches in
patches so far) as state, the least cost up to cut j is
``best(j, state') = min over i < j and options of best(i, state) + cost(i, j, option)``. Options are
grids of patches and treatments of their overlap (`patch_parameters`), evaluated by
`patch_evaluation` and subject to the capacity. Lower bounds avoid most evaluations: weights are
read at least once per patch, and a layer that does not fit as a whole lies in a stretch in patches.
`patches` and the levers of infeasible schedules call `patch_plan`.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork
from perfmodel.schedule.tiling.patch_evaluation import PatchEvaluation
from perfmodel.schedule.tiling.patch_parameters import (
    MODES,
    Mode,
    Patches,
    PatchStageCost,
    Weights,
)
from perfmodel.schedule.tiling.patch_plan_result import PatchPlan, layer_by_layer, single_patch
from perfmodel.schedule.tiling.patch_regions import AxisParts, axis_parts

#: Objective of a plan; ties go to less recomputation, then to fewer reads of weights.
Objective = Literal["peak", "macs", "offchip"]

#: Share of the time for plans with all maps on chip, if maps off chip are considered afterwards.
_ON_CHIP_SHARE = 0.5
#: Numbers of parts along an axis in the default grids.
_STRIP_COUNTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)


def default_grids(extents: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the default grids of an output: near-square patches, and strips of rows."""
    grids: dict[tuple[int, ...], None] = {}
    for parts in _STRIP_COUNTS:
        if parts <= extents[0]:
            grids[tuple(min(parts, n) for n in extents)] = None
            grids[(parts, *(1 for _ in extents[1:]))] = None
    if extents[0] > _STRIP_COUNTS[-1]:  # one row per patch
        grids[(extents[0], *(1 for _ in extents[1:]))] = None
    return tuple(grids)


def patch_plan(
    network: FeatureMapNetwork,
    objective: Objective = "macs",
    *,
    capacity_bytes: int | None = None,
    grids: Iterable[tuple[int, ...]] | None = None,
    modes: Sequence[Mode] = MODES,
    in_place_depthwise: bool = False,
    most_patched: int | None = None,
    clipped: bool = True,
    count_weights: bool = False,
    weights_inside: bool = False,
    time_limit_s: float | None = None,
) -> PatchPlan | None:
    """Return the best plan over all stretches between cuts, grids and modes.

    Parameters
    ----------
    objective
        ``peak``: least peak memory; ``macs``: least recomputation within the capacity, with no
        intermediate map off chip; ``offchip``: fewest activation bytes across the chip boundary
        within the capacity.
    capacity_bytes
        Capacity of the on-chip memory for activations; required for all objectives but ``peak``.
    grids
        Numbers of patches along each axis; by default `default_grids` of each stretch's output.
    most_patched
        Maximum number of stretches in patches; MCUNetV2 allows one.
    count_weights
        Count reads of weights in ``offchip``, with weights stored off chip.
    weights_inside
        Include weights in this memory: either one filter at a time, read again for every patch, or
        all weights of a stretch for all of its patches, read once, whichever is better.
    time_limit_s
        Wall-clock limit in seconds after which the best plan so far is returned, not proved; None
        for no limit.

    Returns
    -------
    PatchPlan or None
        None if no plan fits the capacity, or none was found in time.

    Raises
    ------
    ValueError
        The capacity is missing, or the objective is unknown.
    """
    if objective not in ("peak", "macs", "offchip"):
        raise ValueError(f"objective '{objective}' is none of peak, macs, offchip")
    if objective != "peak" and capacity_bytes is None:
        raise ValueError(f"objective '{objective}' needs a capacity")
    weights: tuple[Weights, ...] = ("resident", "streamed") if weights_inside else ("outside",)
    search = _PlanSearch(
        network=network,
        grids=None if grids is None else tuple(grids),
        modes=tuple(modes),
        depthwise=in_place_depthwise,
        clipped=clipped,
        most_patched=len(network.cuts) if most_patched is None else most_patched,
        count_weights=count_weights,
        weights=weights,
        deadline=Deadline(time_limit_s),
    )
    if objective == "peak":
        return _least_peak(search, capacity_bytes)
    assert capacity_bytes is not None
    on_chip = _Goal(capacity_bytes)
    if objective == "macs":
        return search.within(on_chip)
    inside = search.within(on_chip, share=_ON_CHIP_SHARE)
    if inside is not None and not (
        inside.extra_macs or count_weights or search.has_unread_positions
    ):
        left = inside.map_bytes - inside.input_bytes
        if not left and not search.stopped:
            return inside.worth(search.offchip_bytes(inside))
    outside = search.within(_Goal(capacity_bytes, offchip=True))
    if not search.stopped:
        return outside
    plans = [plan for plan in (outside, inside) if plan is not None]
    best = min(plans, key=search.offchip_bytes, default=None)
    return None if best is None else best.worth(search.offchip_bytes(best), proved=False)


def _least_peak(search: _PlanSearch, capacity_bytes: int | None) -> PatchPlan | None:
    """Return the plan of least peak memory, with the least recomputation among these."""
    weights: Weights = "streamed" if "streamed" in search.weights else "outside"
    best = layer_by_layer(search.network, in_place_depthwise=search.depthwise, weights=weights)
    if capacity_bytes is not None and best.peak_bytes > capacity_bytes:
        fitting = search.within(_Goal(capacity_bytes))
        if fitting is None:
            return None
        best = fitting
    while True:  # least recomputation under ever smaller peaks, until none fits
        better = search.within(_Goal(best.peak_bytes - 1, peak=True))
        best = better or best
        if search.stopped:
            return best.worth(best.peak_bytes, proved=False)
        if better is None:
            least = search.within(_Goal(best.peak_bytes))
            complete = least is not None and not search.stopped
            best = least if least is not None and complete else best
            return best.worth(best.peak_bytes, proved=complete)


def _has_unread_positions(network: FeatureMapNetwork, axes: Iterable[int]) -> bool:
    """Return whether some positions are never read, so that patches need not compute them."""
    maps = network.maps
    for axis in axes:
        for end in network.cuts[1:]:
            finest = maps[network.gridded(end)].extents[axis]
            start = max(k for k in network.cuts if k < end)
            parts = axis_parts(network, start, end, axis, finest, cached=True)
            if any(int(p.computed.sum()) < maps[t].extents[axis] for t, p in parts.items()):
                return True
    return False


class _Cost(NamedTuple):
    """Cost of a plan, compared lexicographically: bytes off chip (or peak), work, weights."""

    first: int
    extra_macs: int
    weight_bytes: int


class _Goal(NamedTuple):
    """Constraints and priorities of a plan.

    Attributes
    ----------
    capacity
        Capacity on chip in bytes.
    offchip
        Whether maps may be off chip, with fewest bytes across the boundary as first objective.
    peak
        Whether a smaller peak takes precedence over recomputation, stretch by stretch.
    """

    capacity: int
    offchip: bool = False
    peak: bool = False

    def joined(self, before: _Cost, after: _Cost) -> _Cost:
        """Return the cost of a prefix and the stretch after it: sums, or the larger peak."""
        return _Cost(
            (max if self.peak else operator.add)(before.first, after.first),
            before.extra_macs + after.extra_macs,
            before.weight_bytes + after.weight_bytes,
        )


class _State(NamedTuple):
    """State at a cut: location of the live map, and number of stretches in patches before it."""

    on_chip: bool
    patched: int


class _Prefix(NamedTuple):
    """Best stages up to a cut, with their cost."""

    cost: _Cost
    stages: tuple[PatchStageCost, ...]

    def worse_than(self, cost: _Cost, start: int) -> bool:
        """Return whether a stretch from `start` is better; of ties, the longest stretch is."""
        return (cost, start) < (self.cost, self.stages[-1].patches.start)


@dataclass
class _PlanSearch:
    """Dynamic programme over cuts, with the options of each stretch evaluated once."""

    network: FeatureMapNetwork
    grids: tuple[tuple[int, ...], ...] | None
    modes: tuple[Mode, ...]
    depthwise: bool
    clipped: bool
    most_patched: int
    count_weights: bool
    weights: tuple[Weights, ...]
    deadline: Deadline
    #: Whether the last call of `within` omitted options because time ran out.
    stopped: bool = False

    def __post_init__(self) -> None:
        self.allowed = self.deadline
        self.runs: dict[Patches, PatchStageCost] = {}
        self.peaks: dict[Patches, int] = {}
        self.parts: dict[tuple[int, int, int, bool, bool], dict[int, AxisParts]] = {}
        self.evaluations: dict[tuple[int, tuple[int, ...], Mode], PatchEvaluation] = {}
        along = [
            (
                [feature_map.extents[axis] for feature_map in self.network.maps],
                [windows[axis] for layer in self.network.layers for windows in layer.windows],
            )
            for axis in range(len(self.network.maps[0].extents))
        ]
        #: First axis with the same extents and windows as each axis, and so with the same regions.
        self.first_alike = [along.index(sizes) for sizes in along]
        self.has_unread_positions = _has_unread_positions(
            self.network, sorted(set(self.first_alike))
        )
        every = Patches(
            0, len(self.network.layers), single_patch(self.network), weights=self.weights[-1]
        )
        evaluation = self._evaluation(every)
        #: Bytes of weights from each layer to the end of the network, each read once.
        self.weights_to_end = evaluation.weights
        #: Lower bounds on the bytes on chip while each layer runs, layer by layer. A map at a cut
        #: that waits off chip for a later layer would need fewer.
        waits = any(
            not set(self.network.live(k)) <= set(self.network.layers[k].reads)
            for k in self.network.cuts[:-1]
        )
        full = evaluation.stage(every).held_bytes
        self.layer_bytes = (0,) * len(full) if waits else full

    def within(self, goal: _Goal, *, share: float = 1.0) -> PatchPlan | None:
        """Return the plan of least cost under a capacity.

        After the deadline the remaining layers run layer by layer, cut by cut.

        Parameters
        ----------
        share
            Fraction of the remaining time.
        """
        self.stopped = False
        self.allowed = self.deadline
        if self.deadline.left() < math.inf:
            self.allowed = self.deadline.within(share * self.deadline.left())
        cuts, ones = self.network.cuts, single_patch(self.network)
        best: list[dict[_State, _Prefix]] = [{} for _ in cuts]
        empty = _Prefix(_Cost(0, 0, 0), ())
        best[0] = {_State(False, 0): empty, _State(True, 0): empty}
        for j in range(1, len(cuts)):
            leaving = (True, False) if goal.offchip and j < len(cuts) - 1 else (True,)
            nearest = max(i for i in range(j) if best[i])
            # Layer by layer first: it is fast to evaluate, and rules out most options in patches.
            for in_patches, i in itertools.product((False, True), range(j)):
                if not best[i] or (i < nearest and self._is_out_of_time()):
                    continue
                for inside, outside in itertools.product((True, False), leaving):
                    stretch = Patches(
                        cuts[i], cuts[j], ones, "recompute", inside, outside, self.clipped
                    )
                    self._extend(best[i], best[j], stretch, goal, in_patches=in_patches)
        if not best[-1]:
            return None
        _, (cost, stages) = min(best[-1].items(), key=lambda item: (item[1].cost, item[0].patched))
        value = cost.first if goal.offchip or goal.peak else cost.extra_macs
        bound = -math.inf if self.stopped else value
        return PatchPlan(stages, value, bound, network=self.network)

    def offchip_bytes(self, plan: PatchPlan) -> int:
        """Return the bytes that a plan moves across the chip boundary."""
        return plan.map_bytes + (plan.weight_bytes if self.count_weights else 0)

    def _is_out_of_time(self) -> bool:
        """Return whether time has run out, and record that an option is omitted."""
        self.stopped = self.stopped or self.allowed.passed()
        return self.stopped

    def _extend(
        self,
        before: dict[_State, _Prefix],
        after: dict[_State, _Prefix],
        stretch: Patches,
        goal: _Goal,
        *,
        in_patches: bool,
    ) -> None:
        """Extend the best prefixes at a cut by a stretch, layer by layer or in patches."""

        def improved(cost: _Cost) -> list[tuple[_State, _Prefix, _Cost]]:
            """Return each state after a stretch of a cost that has no better prefix so far."""
            return [
                (state, prefix, total)
                for (on_chip, patched), prefix in before.items()
                if on_chip == stretch.input_on_chip
                for state in [_State(stretch.output_on_chip, patched + in_patches)]
                if self._can_be_completed(state, stretch.end, goal)
                for total in [goal.joined(prefix.cost, cost)]
                if state not in after or after[state].worse_than(total, stretch.start)
            ]

        if not improved(self._least_cost(stretch, goal)):
            return
        plain = self._layer_by_layer(stretch, goal)
        if not in_patches:
            stage = plain
        elif plain is None or self.has_unread_positions or goal.peak:
            stage = self._in_patches(stretch, goal, improved)
        else:  # layer by layer recomputes nothing and loads everything once
            return
        if stage is not None:
            for state, prefix, total in improved(self._stage_cost(stage, goal)):
                after[state] = _Prefix(total, (*prefix.stages, stage))

    def _least_cost(self, patches: Patches, goal: _Goal) -> _Cost:
        """Return a lower bound on the cost of a stretch: that of its weights."""
        weights = self.weights_to_end[patches.start] - self.weights_to_end[patches.end]
        weights *= 1 if "resident" in self.weights else patches.count
        return self._cost(goal, 0, 0, 0, weights)

    def _can_be_completed(self, state: _State, cut: int, goal: _Goal) -> bool:
        """Return whether a plan may continue from a state at a cut."""
        if state.patched < self.most_patched:
            return True
        return state.patched == self.most_patched and self._may_fit_unpatched(
            cut, len(self.layer_bytes), goal
        )

    def _may_fit_unpatched(self, start: int, end: int, goal: _Goal) -> bool:
        """Return False if some layer of a stretch does not fit without patches."""
        return max(self.layer_bytes[start:end], default=0) <= goal.capacity

    def _stage_cost(self, stage: PatchStageCost, goal: _Goal) -> _Cost:
        """Return the cost of an evaluated stretch."""
        price = stage.map_bytes, stage.extra_macs, stage.weight_bytes
        return self._cost(goal, stage.peak_bytes, *price)

    def _price(self, patches: Patches, goal: _Goal) -> _Cost:
        """Return the cost of an option without its stage; equal to `_stage_cost` of it."""
        peak = self._peak(patches) if goal.peak else 0
        return self._cost(goal, peak, *self._evaluation(patches).price(patches))

    def _cost(self, goal: _Goal, peak: int, map_bytes: int, macs: int, weights: int) -> _Cost:
        """Return a cost whose first entry is what the goal minimises first."""
        if goal.offchip:
            return _Cost(map_bytes + (weights if self.count_weights else 0), macs, weights)
        return _Cost(peak if goal.peak else 0, macs, weights)

    def _ends_bytes(self, stretch: Patches) -> int:
        """Return the bytes of the end maps on chip: a lower bound on the peak of any option."""
        network, ends = self.network, list[int]()
        if stretch.input_on_chip:
            ends += network.sources(stretch.start, stretch.end)
        if stretch.output_on_chip:
            ends.append(network.layers[stretch.end - 1].writes)
        return sum(network.maps[t].size_bytes() for t in ends)

    def _layer_by_layer(self, stretch: Patches, goal: _Goal) -> PatchStageCost | None:
        """Return a stretch without patches, if it fits."""
        if not self._may_fit_unpatched(stretch.start, stretch.end, goal):
            return None
        stage = self._stage(replace(stretch, clipped=True, weights=self.weights[-1]))
        return stage if stage.peak_bytes <= goal.capacity else None

    def _in_patches(
        self, stretch: Patches, goal: _Goal, improved: Callable[[_Cost], Sequence[object]]
    ) -> PatchStageCost | None:
        """Return the cheapest option of a stretch in patches that fits.

        Parameters
        ----------
        improved
            What a stretch of a cost improves; nothing if it need not be evaluated.
        """
        end = stretch.end
        too_large = self._ends_bytes(stretch) > goal.capacity
        if too_large or self.network.leaves_inside(stretch.start, end):
            return None
        out = self.network.maps[self.network.gridded(end)].extents
        options: list[tuple[_Cost, Patches]] = []
        for grid in default_grids(out) if self.grids is None else self.grids:
            if math.prod(grid) == 1 or any(g > n for g, n in zip(grid, out, strict=True)):
                continue
            if self._is_out_of_time():
                break
            if not improved(self._least_cost(replace(stretch, grid=grid), goal)):
                continue
            for mode, weights in itertools.product(self.modes, self.weights):
                patches = replace(stretch, grid=grid, mode=mode, weights=weights)
                options.append((self._price(patches, goal), patches))
        for cost, patches in sorted(options, key=operator.itemgetter(0)):
            if not improved(cost):
                break
            if self._peak(patches) <= goal.capacity:
                return self._stage(patches)
        return None

    def _peak(self, patches: Patches) -> int:
        if patches.count == 1:
            return self._stage(patches).peak_bytes
        if patches not in self.peaks:
            self.peaks[patches] = self._evaluation(patches).peak(patches)
        return self.peaks[patches]

    def _evaluation(self, patches: Patches) -> PatchEvaluation:
        """Return the evaluation of all stretches with one end; for one patch, of one stretch."""
        longest = patches if patches.count == 1 else replace(patches, start=0)
        key = (patches.end, patches.grid, patches.mode)
        if longest is not patches and key in self.evaluations:
            return self.evaluations[key]
        axes = [self._parts(longest, axis) for axis in range(len(patches.grid))]
        evaluation = PatchEvaluation(self.network, longest, axes, self.depthwise)
        if longest is not patches:
            self.evaluations[key] = evaluation
        return evaluation

    def _parts(self, patches: Patches, axis: int) -> dict[int, AxisParts]:
        """Return the regions along an axis, which do not depend on the start of the stretch.

        Every reader of the single map that is live at the start comes after it.
        """
        end, parts, cached = patches.end, patches.grid[axis], patches.cached_axes[axis]
        axis = self.first_alike[axis]
        key = (end, axis, parts, cached, patches.clipped)
        if key not in self.parts:
            self.parts[key] = axis_parts(
                self.network, 0, end, axis, parts, cached=cached, clipped=patches.clipped
            )
        return self.parts[key]

    def _stage(self, patches: Patches) -> PatchStageCost:
        if patches not in self.runs:
            self.runs[patches] = self._evaluation(patches).stage(patches)
        return self.runs[patches]
