"""Optimal patch plan of a network: stretches, grids and modes, by a shortest path over cuts.

Between two cuts of a network (positions with a single live map) a stretch runs layer by layer or in
patches; its cost depends on nothing outside it but the location of its input and output. Hence the
optimal plan is a shortest path over cuts, with the location of the live map as state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.tiling.evaluation import PatchEvaluation, run_stage
from perfmodel.schedule.tiling.layers import FeatureMapNetwork
from perfmodel.schedule.tiling.patches import (
    MODES,
    Mode,
    Patches,
    PatchStageCost,
    Weights,
)
from perfmodel.schedule.tiling.regions import AxisParts, axis_parts

#: Objective of a plan; ties go to less recomputation, then to fewer reads of weights.
Objective = Literal["peak", "macs", "offchip"]

#: Share of the time for plans with every map on chip, if maps off chip are considered afterwards.
_INSIDE = 0.5
_PARTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)


@dataclass(frozen=True, kw_only=True)
class PatchPlan(Certified[tuple[PatchStageCost, ...]]):
    """Stretches in execution order, as `Certified`.

    The solution consists of stages with their costs; the value is that of the objective: bytes or
    multiply-accumulates. The bound holds for all plans over the given grids and modes; if time ran
    out it is trivial.
    """

    network: FeatureMapNetwork

    @property
    def stages(self) -> tuple[PatchStageCost, ...]:
        """Stretches in execution order."""
        return self.solution or ()

    def worth(self, value: int, *, proved: bool = True) -> PatchPlan:
        """Return the plan with its value by another objective."""
        return replace(self, value=value, bound=value if proved else -math.inf)

    @property
    def peak_bytes(self) -> int:
        """Peak of the activation bytes on chip."""
        return max(s.peak_bytes for s in self.stages)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, including recomputation."""
        return sum(s.macs for s in self.stages)

    @property
    def extra_macs(self) -> int:
        """Multiply-accumulates in addition to those of layer-by-layer execution."""
        return sum(s.extra_macs for s in self.stages)

    @property
    def map_bytes(self) -> int:
        """Activation bytes across the chip boundary: network inputs, and off-chip maps at cuts."""
        return sum(s.map_bytes for s in self.stages)

    @property
    def input_bytes(self) -> int:
        """Bytes of the network inputs, once each: the minimum of `map_bytes`."""
        return sum(m.size_bytes() for m in self.network.maps if m.external)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights read, once per patch."""
        return sum(s.weight_bytes for s in self.stages)

    @property
    def offchip_bytes(self) -> int:
        """Total bytes across the chip boundary, as for a schedule: maps, outputs, weights."""
        stored = {
            self.network.layers[s.patches.end - 1].writes
            for s in self.stages
            if not s.patches.output_on_chip
        }
        left = sum(self.network.maps[t].size_bytes() for t in self.network.outputs - stored)
        return self.map_bytes + left + self.weight_bytes

    @property
    def compulsory_bytes(self) -> int:
        """Bytes of inputs, outputs and weights, once each: a lower bound for any schedule."""
        maps = self.network.maps
        outputs = sum(maps[t].size_bytes() for t in self.network.outputs)
        return self.input_bytes + outputs + layer_by_layer(self.network).weight_bytes

    @property
    def held_bytes(self) -> tuple[int, ...]:
        """Peak of the activation bytes on chip while each layer runs."""
        return tuple(layer for s in self.stages for layer in s.held_bytes)


def layer_by_layer(
    network: FeatureMapNetwork, *, in_place_depthwise: bool = False, weights: Weights = "outside"
) -> PatchPlan:
    """Return the plan without patches: every layer over full maps, in the network's order."""
    every = Patches(0, len(network.layers), _ones(network), weights=weights)
    stage = run_stage(network, every, in_place_depthwise=in_place_depthwise)
    return PatchPlan((stage,), 0, 0, network=network)


def default_grids(extents: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the default grids of an output: near-square patches, and strips of rows."""
    grids: dict[tuple[int, ...], None] = {}
    for parts in _PARTS:
        if parts <= extents[0]:
            grids[tuple(min(parts, n) for n in extents)] = None
            grids[(parts, *(1 for _ in extents[1:]))] = None
    if extents[0] > _PARTS[-1]:  # one row per patch
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
    chooser = _Chooser(
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
        return _least_peak(chooser, capacity_bytes)
    assert capacity_bytes is not None
    on_chip = _Goal(capacity_bytes)
    if objective == "macs":
        return chooser.within(on_chip)
    inside = chooser.within(on_chip, share=_INSIDE)
    if inside is not None and not (inside.extra_macs or count_weights or chooser.skips):
        left = inside.map_bytes - inside.input_bytes
        if not left and not chooser.stopped:
            return inside.worth(chooser.across(inside))
    outside = chooser.within(_Goal(capacity_bytes, offchip=True))
    if not chooser.stopped:
        return outside
    plans = [plan for plan in (outside, inside) if plan is not None]
    best = min(plans, key=chooser.across, default=None)
    return None if best is None else best.worth(chooser.across(best), proved=False)


def _least_peak(chooser: _Chooser, capacity_bytes: int | None) -> PatchPlan | None:
    """Return the plan of least peak memory, with the least recomputation among these."""
    weights: Weights = "streamed" if "streamed" in chooser.weights else "outside"
    best = layer_by_layer(chooser.network, in_place_depthwise=chooser.depthwise, weights=weights)
    if capacity_bytes is not None and best.peak_bytes > capacity_bytes:
        fitting = chooser.within(_Goal(capacity_bytes))
        if fitting is None:
            return None
        best = fitting
    while True:  # least recomputation under ever smaller peaks, until none fits
        better = chooser.within(_Goal(best.peak_bytes - 1, peak=True))
        best = better or best
        if chooser.stopped:
            return best.worth(best.peak_bytes, proved=False)
        if better is None:
            least = chooser.within(_Goal(best.peak_bytes))
            complete = least is not None and not chooser.stopped
            best = least if least is not None and complete else best
            return best.worth(best.peak_bytes, proved=complete)


def _ones(network: FeatureMapNetwork) -> tuple[int, ...]:
    return (1,) * len(network.maps[0].extents)


def _skips(network: FeatureMapNetwork) -> bool:
    """Return whether some positions are never read, so that patches need not compute them."""
    maps = network.maps
    for axis in range(len(maps[0].extents)):
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


class _State(NamedTuple):
    """State at a cut: location of the live map, and number of stretches in patches before it."""

    on_chip: bool
    patched: int


class _Prefix(NamedTuple):
    """Best stages up to a cut, with their cost."""

    cost: _Cost
    stages: tuple[PatchStageCost, ...]


@dataclass
class _Chooser:
    """Shortest path over cuts, with the options of each stretch evaluated once."""

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
        self.parts: dict[tuple[int, int, int, bool], dict[int, AxisParts]] = {}
        self.evaluations: dict[tuple[int, tuple[int, ...], Mode], PatchEvaluation] = {}
        self.skips = _skips(self.network)

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
        cuts = self.network.cuts
        best: list[dict[_State, _Prefix]] = [{} for _ in cuts]
        nothing = _Prefix(_Cost(0, 0, 0), ())
        best[0] = {_State(False, 0): nothing, _State(True, 0): nothing}
        for j in range(1, len(cuts)):
            leaving = (True, False) if goal.offchip and j < len(cuts) - 1 else (True,)
            nearest = max(i for i in range(j) if best[i])
            for i in range(j):
                if not best[i] or (i < nearest and self._late()):
                    continue
                for inside, outside in itertools.product((True, False), leaving):
                    self._extend(best, i, j, inside, outside, goal)
        if not best[-1]:
            return None
        cost, stages = min(best[-1].values(), key=lambda prefix: prefix.cost)
        value = cost.first if goal.offchip or goal.peak else cost.extra_macs
        bound = -math.inf if self.stopped else value
        return PatchPlan(stages, value, bound, network=self.network)

    def across(self, plan: PatchPlan) -> int:
        """Return the bytes that a plan moves across the chip boundary."""
        return plan.map_bytes + (plan.weight_bytes if self.count_weights else 0)

    def _late(self) -> bool:
        """Return whether time has run out, and record that an option is omitted."""
        self.stopped = self.stopped or self.allowed.passed()
        return self.stopped

    def _extend(
        self,
        best: list[dict[_State, _Prefix]],
        i: int,
        j: int,
        inside: bool,
        outside: bool,
        goal: _Goal,
    ) -> None:
        """Try every option for the stretch between two cuts after the best prefix per state."""
        prefixes = {state: prefix for state, prefix in best[i].items() if state.on_chip == inside}
        if not prefixes:
            return
        cuts = self.network.cuts
        stretch = Patches(
            cuts[i], cuts[j], _ones(self.network), "recompute", inside, outside, self.clipped
        )
        for stage in self._ways(stretch, goal):
            spent = self._spent(stage, goal.offchip)
            for (_, patched), (cost, stages) in prefixes.items():
                state = _State(outside, patched + (stage.patches.count > 1))
                if state.patched > self.most_patched:
                    continue
                first = cost.first + spent.first
                if goal.peak:
                    first = max(cost.first, stage.peak_bytes)
                total = _Cost(
                    first,
                    cost.extra_macs + spent.extra_macs,
                    cost.weight_bytes + spent.weight_bytes,
                )
                if state not in best[j] or total < best[j][state].cost:
                    best[j][state] = _Prefix(total, (*stages, stage))

    def _spent(self, stage: PatchStageCost, offchip: bool) -> _Cost:
        weights = stage.weight_bytes
        across = stage.map_bytes + (weights if self.count_weights else 0)
        return _Cost(across if offchip else 0, stage.extra_macs, weights)

    def _ends_bytes(self, stretch: Patches) -> int:
        """Return the bytes of the end maps on chip: a lower bound on the peak of any option."""
        network, ends = self.network, list[int]()
        if stretch.input_on_chip:
            ends += network.sources(stretch.start, stretch.end)
        if stretch.output_on_chip:
            ends.append(network.layers[stretch.end - 1].writes)
        return sum(network.maps[t].size_bytes() for t in ends)

    def _ways(self, stretch: Patches, goal: _Goal) -> list[PatchStageCost]:
        """Return the best feasible options of a stretch: the least peak, or the least cost."""
        start, end = stretch.start, stretch.end
        uncut = replace(stretch, clipped=True, weights=self.weights[-1])
        stage = self._run(uncut)
        fits = stage.peak_bytes <= goal.capacity
        # Layer-by-layer execution recomputes nothing and loads everything once.
        if fits and not self.skips and not goal.peak:
            return [stage]
        too_large = self._ends_bytes(stretch) > goal.capacity
        if too_large or not self.most_patched or self.network.leaves_inside(start, end):
            return [stage] if fits else []
        out = self.network.maps[self.network.gridded(end)].extents
        # Cost, peak if known, and the option.
        tries = [(self._spent(stage, goal.offchip), stage.peak_bytes, uncut)]
        for grid in default_grids(out) if self.grids is None else self.grids:
            if math.prod(grid) == 1 or any(g > n for g, n in zip(grid, out, strict=True)):
                continue
            if self._late():
                break
            for mode, weights in itertools.product(self.modes, self.weights):
                patches = replace(stretch, grid=grid, mode=mode, weights=weights)
                tries.append((self._price(patches, goal.offchip), -1, patches))
        if goal.peak:
            ways = [(self._peak(patches), cost, patches) for cost, _, patches in tries]
            lowest, _, patches = min(ways, key=lambda way: way[:2])
            return [self._run(patches)] if lowest <= goal.capacity else []
        for _, known, patches in sorted(tries, key=lambda t: t[0]):
            if (known if known >= 0 else self._peak(patches)) <= goal.capacity:
                return [self._run(patches)]
        return []

    def _price(self, patches: Patches, offchip: bool) -> _Cost:
        """Return the cost of an option without its memory; equal to `_spent` of its stage."""
        across, macs, weights = self._evaluation(patches).price(patches)
        across += weights if self.count_weights else 0
        return _Cost(across if offchip else 0, macs, weights)

    def _peak(self, patches: Patches) -> int:
        if patches.count == 1:
            return self._run(patches).peak_bytes
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
        key = (end, axis, parts, cached)
        if key not in self.parts:
            self.parts[key] = axis_parts(
                self.network, 0, end, axis, parts, cached=cached, clipped=patches.clipped
            )
        return self.parts[key]

    def _run(self, patches: Patches) -> PatchStageCost:
        if patches not in self.runs:
            self.runs[patches] = self._evaluation(patches).stage(patches)
        return self.runs[patches]
