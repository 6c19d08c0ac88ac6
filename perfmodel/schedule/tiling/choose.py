"""Which stretches of a network run in patches, in which grid and mode: exact over the choices.

Between two cuts of a network (where one map alone is live) a stretch runs layer by layer or in
patches; what a stretch costs depends on nothing outside it but where its input and output lie.
So the best plan is a shortest path over cuts, with the place of the live map as state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
            for s in self.stages if not s.patches.output_on_chip
        }  # fmt: skip
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
        return tuple(held for s in self.stages for held in s.held_bytes)


def layer_by_layer(
    network: FeatureMapNetwork, *, in_place_depthwise: bool = False, weights: Weights = "outside"
) -> PatchPlan:
    """Return the plan without patches: every layer whole, in the network's order."""
    whole = Patches(0, len(network.layers), _ones(network), weights=weights)
    return PatchPlan(network, (run_stage(network, whole, in_place_depthwise=in_place_depthwise),))


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
    network: FeatureMapNetwork, objective: Objective = "macs", *, capacity_bytes: int | None = None,
    grids: Iterable[tuple[int, ...]] | None = None, modes: Sequence[Mode] = MODES,
    in_place_depthwise: bool = False, most_patched: int | None = None, clipped: bool = True,
    count_weights: bool = False, weights_inside: bool = False, time_limit_s: float | None = None,
) -> PatchPlan | None:  # fmt: skip
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
        of a stretch all the while, read once, whichever is better.
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
    chooser = _Chooser(
        network, None if grids is None else tuple(grids), tuple(modes), in_place_depthwise, clipped,
        len(network.cuts) if most_patched is None else most_patched, count_weights, weights_inside,
        Deadline(time_limit_s),
    )  # fmt: skip
    if objective != "peak":
        assert capacity_bytes is not None
        if objective == "macs":
            return chooser.within(capacity_bytes, False)
        inside = chooser.within(capacity_bytes, False, share=_INSIDE)
        if inside is not None and not (inside.extra_macs or count_weights or chooser.skips):
            left = inside.map_bytes - inside.input_bytes
            if not left and inside.proved:
                return inside
        outside = chooser.within(capacity_bytes, True)
        found = [replace(plan, proved=False) for plan in (outside, inside) if plan is not None]
        return min(found, key=chooser.across, default=None) if chooser.stopped else outside
    best = layer_by_layer(
        network, in_place_depthwise=in_place_depthwise,
        weights="streamed" if weights_inside else "outside",
    )  # fmt: skip
    if capacity_bytes is not None and best.peak_bytes > capacity_bytes:
        found = chooser.within(capacity_bytes, False)
        if found is None:
            return None
        best = found
    while True:  # each round finds the least recomputation under a smaller peak, until none fits
        better = chooser.within(best.peak_bytes - 1, False, peak=True)
        best = better or best
        if chooser.stopped:
            return replace(best, proved=False)
        if better is None:
            least = chooser.within(best.peak_bytes, False)
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
            parts = axis_parts(network, start, end, axis, finest, kept=True)
            if any(int(p.made.sum()) < maps[t].extents[axis] for t, p in parts.items()):
                return True
    return False


_Cost = tuple[int, int, int]


class _Chooser:
    def __init__(
        self,
        network: FeatureMapNetwork,
        grids: tuple[tuple[int, ...], ...] | None,
        modes: tuple[Mode, ...],
        in_place_depthwise: bool,
        clipped: bool,
        most: int,
        count_weights: bool,
        weights_inside: bool,
        deadline: Deadline,
    ) -> None:
        self.deadline = self.allowed = deadline
        #: The last call of `within` left ways out, since time ran out.
        self.stopped = False
        self.network, self.grids, self.modes = network, grids, modes
        self.depthwise, self.clipped, self.most = in_place_depthwise, clipped, most
        self.count_weights = count_weights
        self.weights: tuple[Weights, ...] = (
            ("resident", "streamed") if weights_inside else ("outside",)
        )
        self.sizes = [m.size_bytes() for m in network.maps]
        self.runs: dict[Patches, PatchStageCost] = {}
        self.skips = _skips(network)
        self.parts: dict[tuple[int, int, int, bool], dict[int, AxisParts]] = {}
        self.fans: dict[tuple[int, tuple[int, ...], Mode], Fan] = {}
        self.peaks: dict[Patches, int] = {}
        self.fanned = has_one_source(network)

    def within(
        self, capacity: int, offchip: bool, *, peak: bool = False, share: float = 1.0
    ) -> PatchPlan | None:
        """Return the plan of least cost under a capacity.

        When time runs out, what is left of the network runs layer by layer, cut by cut.

        Parameters
        ----------
        peak
            The smaller peak goes before recomputation, stretch by stretch.
        share
            Of the time left.
        """
        self.stopped = False
        self.allowed = self.deadline
        if self.deadline.left() < math.inf:
            self.allowed = self.deadline.within(share * self.deadline.left())
        cuts = self.network.cuts
        # (place of the live map, patched stretches so far) -> (cost, stages)
        best: list[dict[tuple[bool, int], tuple[_Cost, tuple[PatchStageCost, ...]]]] = [
            {} for _ in cuts
        ]
        best[0] = {(False, 0): ((0, 0, 0), ()), (True, 0): ((0, 0, 0), ())}
        for j in range(1, len(cuts)):
            last = j == len(cuts) - 1
            nearest = max(i for i in range(j) if best[i])
            for i in range(j):
                if not best[i] or (i < nearest and self._late()):
                    continue
                for inside in (True, False):
                    for outside in (True,) if last or not offchip else (True, False):
                        self._extend(best, i, j, inside, outside, capacity, offchip, peak)
        if not best[-1]:
            return None
        _, stages = min(best[-1].values(), key=lambda entry: entry[0])
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
        best: list[dict[tuple[bool, int], tuple[_Cost, tuple[PatchStageCost, ...]]]],
        i: int,
        j: int,
        inside: bool,
        outside: bool,
        capacity: int,
        offchip: bool,
        peak: bool,
    ) -> None:
        """Try every way to run the stretch between two cuts after the best of what is before."""
        network = self.network
        start, end = network.cuts[i], network.cuts[j]
        states = [(state, entry) for state, entry in best[i].items() if state[0] == inside]
        if not states:
            return
        sources = {t for layer in network.layers[start:end] for t in layer.reads}
        entering = sum(
            self.sizes[t] for t in sources if network.maker[t] < start and inside
        )  # lower bound
        leaving = self.sizes[network.layers[end - 1].writes] if outside else 0
        ways = self._ways(start, end, inside, outside, capacity, entering + leaving, offchip, peak)
        for stage in ways:
            patched = stage.patches.count > 1
            spent = self._spent(stage, offchip)
            for (_, used), (cost, stages) in states:
                if used + patched > self.most:
                    continue
                key = (outside, used + patched)
                first = max(cost[0], stage.peak_bytes) if peak else cost[0] + spent[0]
                total = (first, cost[1] + spent[1], cost[2] + spent[2])
                if key not in best[j] or total < best[j][key][0]:
                    best[j][key] = (total, (*stages, stage))

    def _spent(self, stage: PatchStageCost, offchip: bool) -> _Cost:
        weights = stage.weight_bytes
        across = stage.map_bytes + (weights if self.count_weights else 0)
        return across if offchip else 0, stage.extra_macs, weights

    def _ways(
        self, start: int, end: int, inside: bool, outside: bool, capacity: int, least: int,
        offchip: bool, peak: bool,
    ) -> list[PatchStageCost]:  # fmt: skip
        """Return the best way to run a stretch that fits: the least peak, or the least cost."""
        whole = Patches(
            start, end, _ones(self.network), "recompute", inside, outside,
            weights=self.weights[-1],
        )  # fmt: skip
        stage = self._run(whole)
        fits = stage.peak_bytes <= capacity
        # Layer by layer computes nothing twice and loads everything once.
        if fits and not self.skips and not peak:
            return [stage]
        if least > capacity or not self.most or self.network.leaves_inside(start, end):
            return [stage] if fits else []
        out = self.network.maps[self.network.gridded(end)].extents
        tries = [(self._spent(stage, offchip), stage.peak_bytes, whole)]
        for grid in default_grids(out) if self.grids is None else self.grids:
            if math.prod(grid) == 1 or any(g > n for g, n in zip(grid, out, strict=True)):
                continue
            if self._late():
                break
            for mode, weights in itertools.product(self.modes, self.weights):
                patches = Patches(start, end, grid, mode, inside, outside, self.clipped, weights)
                tries.append((self._price(patches, offchip), -1, patches))
        if peak:
            ways = [(self._peak(p), cost, p) for cost, _, p in tries]
            lowest, _, patches = min(ways, key=lambda way: way[:2])
            return [self._run(patches)] if lowest <= capacity else []
        for _, known, patches in sorted(tries, key=lambda t: t[0]):
            if (known if known >= 0 else self._peak(patches)) <= capacity:
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
        return across if offchip else 0, macs, weights

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
            axes = [self._parts(longest, a) for a in range(len(patches.grid))]
            self.fans[key] = Fan(self.network, longest, axes, self.depthwise)
        return self.fans[key]

    def _parts(self, patches: Patches, axis: int) -> dict[int, AxisParts]:
        """Return the regions along an axis; they do not depend on where the stretch begins.

        Every reader of the one map that is live at the beginning comes after it.
        """
        key = (patches.end, axis, patches.grid[axis], keeps(patches)[axis])
        if key not in self.parts:
            self.parts[key] = axis_parts(
                self.network, 0, patches.end, axis, key[2], kept=key[3], clipped=patches.clipped
            )
        return self.parts[key]

    def _run(self, patches: Patches) -> PatchStageCost:
        if patches not in self.runs:
            network, p = self.network, patches
            touched = {t for layer in network.layers[p.start : p.end] for t in layer.reads}
            touched |= {layer.writes for layer in network.layers[p.start : p.end]}
            axes = [
                {t: regions for t, regions in self._parts(p, a).items() if t in touched}
                for a in range(len(p.grid))
            ]
            self.runs[patches] = run_stage(
                network, patches, in_place_depthwise=self.depthwise, axes=axes
            )
        return self.runs[patches]
