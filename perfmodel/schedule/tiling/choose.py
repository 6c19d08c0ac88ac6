"""Which stretches of a network run in patches, in which grid and mode: exact over the choices.

Between two cuts of a network (where one map alone is live) a stretch runs layer by layer or in
patches; what a stretch costs depends on nothing outside it but where its input and output lie.
So the best plan is a shortest path over cuts, with the place of the live map as state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.tiling.fan import Fan, has_one_source
from perfmodel.schedule.tiling.layers import FeatureMapNetwork
from perfmodel.schedule.tiling.patches import (
    MODES,
    Mode,
    Patches,
    PatchStageCost,
    Weights,
    keeps,
    run_stage,
)
from perfmodel.schedule.tiling.regions import AxisParts, axis_parts

#: What a plan makes least of; ties go to less recomputation, then to fewer readings of weights.
Objective = Literal["peak", "macs", "offchip"]

#: Share of the time for plans with every map on chip, where maps off chip are looked at after.
_INSIDE = 0.5
_PARTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)


@dataclass(frozen=True)
class PatchPlan:
    """Stretches in execution order.

    Attributes
    ----------
    stages
        What runs, with what it costs.
    proved
        No plan over the given grids and modes is better; not where time ran out.
    """

    network: FeatureMapNetwork
    stages: tuple[PatchStageCost, ...]
    proved: bool = True

    @property
    def peak_bytes(self) -> int:
        """Most activation bytes on chip at once."""
        return max(s.peak_bytes for s in self.stages)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those that are done again included."""
        return sum(s.macs for s in self.stages)

    @property
    def extra_macs(self) -> int:
        """Multiply-accumulates beyond those of layer by layer."""
        return sum(s.extra_macs for s in self.stages)

    @property
    def map_bytes(self) -> int:
        """Activations that cross the boundary of the chip: the network's inputs and what is cut."""
        return sum(s.map_bytes for s in self.stages)

    @property
    def input_bytes(self) -> int:
        """The network's inputs, once: the least of `map_bytes`."""
        return sum(m.size_bytes() for m in self.network.maps if m.external)

    @property
    def weight_bytes(self) -> int:
        """Weights read, once a patch."""
        return sum(s.weight_bytes for s in self.stages)

    @property
    def offchip_bytes(self) -> int:
        """All that crosses the boundary of the chip, as of a schedule: maps, outputs, weights."""
        stored = {
            self.network.layers[s.patches.end - 1].writes
            for s in self.stages
            if not s.patches.output_on_chip
        }
        left = sum(self.network.maps[t].size_bytes() for t in self.network.outputs - stored)
        return self.map_bytes + left + self.weight_bytes

    @property
    def compulsory_bytes(self) -> int:
        """Inputs, outputs and weights, each once: no schedule moves less."""
        maps = self.network.maps
        outputs = sum(maps[t].size_bytes() for t in self.network.outputs)
        return self.input_bytes + outputs + layer_by_layer(self.network).weight_bytes

    @property
    def held_bytes(self) -> tuple[int, ...]:
        """For each layer, the most activation bytes on chip while it runs."""
        return tuple(layer for s in self.stages for layer in s.held_bytes)


def layer_by_layer(
    network: FeatureMapNetwork, *, in_place_depthwise: bool = False, weights: Weights = "outside"
) -> PatchPlan:
    """Return the plan without patches: every layer whole, in the network's order."""
    every = Patches(0, len(network.layers), _ones(network), weights=weights)
    return PatchPlan(network, (run_stage(network, every, in_place_depthwise=in_place_depthwise),))


def default_grids(extents: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return grids of near-square patches and of strips of rows for an output."""
    grids: dict[tuple[int, ...], None] = {}
    for parts in _PARTS:
        if parts <= extents[0]:
            grids[tuple(min(parts, n) for n in extents)] = None
            grids[(parts, *(1 for _ in extents[1:]))] = None
    if extents[0] > _PARTS[-1]:  # a row at a time
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
        intermediate map off chip; ``offchip``: least activation bytes across the chip's boundary
        within the capacity.
    capacity_bytes
        What the on-chip memory holds of activations; needed for all but ``peak``.
    grids
        Patches along each axis; by default `default_grids` of each stretch's output.
    most_patched
        Stretches that may run in patches; MCUNetV2 allows one.
    count_weights
        Weights lie off chip, and ``offchip`` counts their readings.
    weights_inside
        Weights pass through this memory: a filter at a time, read again for every patch, or those
        of a stretch for all of its patches, read once, whichever is better.
    time_limit_s
        Seconds of the wall clock after which the best so far is returned, not proved; None for
        none.

    Returns
    -------
    PatchPlan or None
        None where no plan fits the capacity, or none was found before time ran out.

    Raises
    ------
    ValueError
        No capacity, or an objective that is none.
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
        if not left and inside.proved:
            return inside
    outside = chooser.within(_Goal(capacity_bytes, offchip=True))
    if not chooser.stopped:
        return outside
    plans = [replace(plan, proved=False) for plan in (outside, inside) if plan is not None]
    return min(plans, key=chooser.across, default=None)


def _least_peak(chooser: _Chooser, capacity_bytes: int | None) -> PatchPlan | None:
    """Return the plan of least peak memory, and of least recomputation with it."""
    weights: Weights = "streamed" if "streamed" in chooser.weights else "outside"
    best = layer_by_layer(chooser.network, in_place_depthwise=chooser.depthwise, weights=weights)
    if capacity_bytes is not None and best.peak_bytes > capacity_bytes:
        fitting = chooser.within(_Goal(capacity_bytes))
        if fitting is None:
            return None
        best = fitting
    while True:  # each round finds the least recomputation under a smaller peak, until none fits
        better = chooser.within(_Goal(best.peak_bytes - 1, peak=True))
        best = better or best
        if chooser.stopped:
            return replace(best, proved=False)
        if better is None:
            least = chooser.within(_Goal(best.peak_bytes))
            return least if least is not None and least.proved else replace(best, proved=False)


def _ones(network: FeatureMapNetwork) -> tuple[int, ...]:
    return (1,) * len(network.maps[0].extents)


def _skips(network: FeatureMapNetwork) -> bool:
    """Tell whether there are positions that nothing reads, which patches need not compute."""
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
    """What is made least, in this order: bytes off chip (or the peak), then work, then weights."""

    first: int
    extra_macs: int
    weight_bytes: int


class _Goal(NamedTuple):
    """What a plan must keep to, and what comes first.

    Attributes
    ----------
    capacity
        Bytes on chip.
    offchip
        Whether maps may lie off chip, where fewest bytes across the boundary come first.
    peak
        Whether the smaller peak goes before recomputation, stretch by stretch.
    """

    capacity: int
    offchip: bool = False
    peak: bool = False


class _State(NamedTuple):
    """Where the live map of a cut lies, and how many stretches before it run in patches."""

    on_chip: bool
    patched: int


class _Prefix(NamedTuple):
    """The best stages up to a cut."""

    cost: _Cost
    stages: tuple[PatchStageCost, ...]


@dataclass
class _Chooser:
    """The ways to run each stretch, evaluated once, and the shortest path over cuts."""

    network: FeatureMapNetwork
    grids: tuple[tuple[int, ...], ...] | None
    modes: tuple[Mode, ...]
    depthwise: bool
    clipped: bool
    most_patched: int
    count_weights: bool
    weights: tuple[Weights, ...]
    deadline: Deadline
    #: The last call of `within` left ways out, since time ran out.
    stopped: bool = False
    runs: dict[Patches, PatchStageCost] = field(default_factory=dict[Patches, PatchStageCost])
    peaks: dict[Patches, int] = field(default_factory=dict[Patches, int])
    parts: dict[tuple[int, int, int, bool], dict[int, AxisParts]] = field(
        default_factory=dict[tuple[int, int, int, bool], dict[int, AxisParts]]
    )
    fans: dict[tuple[int, tuple[int, ...], Mode], Fan] = field(
        default_factory=dict[tuple[int, tuple[int, ...], Mode], Fan]
    )

    def __post_init__(self) -> None:
        self.allowed = self.deadline
        self.skips = _skips(self.network)
        self.fanned = has_one_source(self.network)

    def within(self, goal: _Goal, *, share: float = 1.0) -> PatchPlan | None:
        """Return the plan of least cost under a capacity.

        When time runs out, what is left of the network runs layer by layer, cut by cut.

        Parameters
        ----------
        share
            Of the time left.
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
        _, stages = min(best[-1].values(), key=lambda prefix: prefix.cost)
        return PatchPlan(self.network, stages, not self.stopped)

    def across(self, plan: PatchPlan) -> int:
        """Return the bytes that a plan moves across the chip's boundary."""
        return plan.map_bytes + (plan.weight_bytes if self.count_weights else 0)

    def _late(self) -> bool:
        """Tell whether time has run out, for a way that is left out then."""
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
        """Try every way to run the stretch between two cuts after the best of what is before."""
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
        """Return the bytes of the maps at the ends that lie on chip: no way has a lower peak."""
        network, maps = self.network, self.network.maps
        layers = network.layers[stretch.start : stretch.end]
        sources = {t for layer in layers for t in layer.reads if network.maker[t] < stretch.start}
        entering = sum(maps[t].size_bytes() for t in sources) if stretch.input_on_chip else 0
        leaving = maps[layers[-1].writes].size_bytes() if stretch.output_on_chip else 0
        return entering + leaving

    def _ways(self, stretch: Patches, goal: _Goal) -> list[PatchStageCost]:
        """Return the best way to run a stretch that fits: the least peak, or the least cost."""
        start, end = stretch.start, stretch.end
        uncut = replace(stretch, clipped=True, weights=self.weights[-1])
        stage = self._run(uncut)
        fits = stage.peak_bytes <= goal.capacity
        # Layer by layer computes nothing twice and loads everything once.
        if fits and not self.skips and not goal.peak:
            return [stage]
        too_large = self._ends_bytes(stretch) > goal.capacity
        if too_large or not self.most_patched or self.network.leaves_inside(start, end):
            return [stage] if fits else []
        out = self.network.maps[self.network.gridded(end)].extents
        # Cost, peak where it is known, and the way.
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
        """Return what a way costs, without its memory; as `_spent` of its stage."""
        if not self.fanned:
            return self._spent(self._run(patches), offchip)
        across, macs, weights = self._fan(patches).price(
            patches.start, patches.input_on_chip, patches.output_on_chip, patches.weights
        )
        across += weights if self.count_weights else 0
        return _Cost(across if offchip else 0, macs, weights)

    def _peak(self, patches: Patches) -> int:
        if patches.count == 1 or not self.fanned:
            return self._run(patches).peak_bytes
        if patches not in self.peaks:
            self.peaks[patches] = self._fan(patches).peak(
                patches.start, patches.input_on_chip, patches.output_on_chip, patches.weights
            )
        return self.peaks[patches]

    def _fan(self, patches: Patches) -> Fan:
        key = (patches.end, patches.grid, patches.mode)
        if key not in self.fans:
            longest = replace(patches, start=0)
            axes = [self._parts(longest, axis) for axis in range(len(patches.grid))]
            self.fans[key] = Fan(self.network, longest, axes, self.depthwise)
        return self.fans[key]

    def _parts(self, patches: Patches, axis: int) -> dict[int, AxisParts]:
        """Return the regions along an axis; they do not depend on where the stretch begins.

        Every reader of the one map that is live at the beginning comes after it.
        """
        end, parts, cached = patches.end, patches.grid[axis], keeps(patches)[axis]
        key = (end, axis, parts, cached)
        if key not in self.parts:
            self.parts[key] = axis_parts(
                self.network, 0, end, axis, parts, cached=cached, clipped=patches.clipped
            )
        return self.parts[key]

    def _run(self, patches: Patches) -> PatchStageCost:
        if patches not in self.runs:
            layers = self.network.layers[patches.start : patches.end]
            touched = {t for layer in layers for t in (*layer.reads, layer.writes)}
            axes = [
                {t: parts for t, parts in self._parts(patches, axis).items() if t in touched}
                for axis in range(len(patches.grid))
            ]
            self.runs[patches] = run_stage(
                self.network, patches, in_place_depthwise=self.depthwise, axes=axes
            )
        return self.runs[patches]
