"""The question ``patches``: which layers run in patches, in which grid, and at what cost.

`patches` checks its arguments and asks `patch_plan_search.patch_plan` for the best plan;
`PatchResult` compares it with layer-by-layer execution. Where nothing fits, the least possible peak
says how much memory is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, not_among
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.prediction import Prediction
from perfmodel.prediction.presentation import energy_line, energy_terms, interval_ends
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.schedule.infeasible import Infeasible
from perfmodel.schedule.infeasible.levers import DemandTerm, Lever
from perfmodel.schedule.schedule_inputs import ScheduledQuestion
from perfmodel.schedule.target import NO_ENERGY, Target, bytes_of, predicted
from perfmodel.schedule.tiling.feature_maps import network
from perfmodel.schedule.tiling.patch_parameters import MODES
from perfmodel.schedule.tiling.patch_plan_result import PatchPlan, layer_by_layer
from perfmodel.schedule.tiling.patch_plan_search import Objective, patch_plan
from perfmodel.schedule.tiling.patched_run import patched_run
from perfmodel.settings import gathered
from perfmodel.table import Result, Table, plain
from perfmodel.units import binary, show, sizes
from perfmodel.workload.workload import Workload

_OBJECTIVES = ("offchip", "macs", "peak")
_SPATIAL = frozenset({"conv", "depthwise", "pool"})
#: Number of axes that are not spatial: batch and channels.
_NONSPATIAL_AXES = 2


@dataclass(frozen=True, repr=False)
class PatchResult(Result):
    """The best patch plan, compared with layer-by-layer execution.

    Attributes
    ----------
    plan
        None if nothing fits; `infeasible` then has the reason.
    plain
        Plan without patches, in the network's order.
    source
        The network, for predictions of its energy.

    Its plot: ``memory()``.
    """

    noun = "patches"

    workload: str
    at: Target
    objective: str
    plan: PatchPlan | None
    plain: PatchPlan
    infeasible: Infeasible | None = None
    source: Workload | None = field(default=None, compare=False)

    @cached_property
    def prediction(self) -> Prediction | None:
        """Prediction of the network in patches; None without a device or a plan."""
        if self.plan is None or self.source is None:
            return None
        return patched_run(self.source, self.at, self.plan)

    @cached_property
    def unpatched(self) -> Prediction | None:
        """Prediction of the network without patches, as by `predict`; None without a device."""
        return None if self.source is None else predicted(self.source, self.at)

    @property
    def run_energy_j(self) -> float | None:
        """Energy in joules of the network in patches, with the halo that is computed again."""
        return _joule(self.prediction)

    @property
    def unpatched_energy_j(self) -> float | None:
        """Energy in joules of the network without patches, by the same sum."""
        return _joule(self.unpatched)

    @property
    def energy_model(self) -> str:
        """Model of the energies with what it leaves out, or why there are none."""
        return NO_ENERGY if self.unpatched is None else self.unpatched.energy_model

    @property
    def feasible(self) -> bool:
        """Whether some plan fits."""
        return self.plan is not None

    @property
    def decided(self) -> bool:
        """Whether feasibility is known: a plan fits, or it is proved that none fits."""
        return self.infeasible is None or self.infeasible.proved

    @cached_property
    def table(self) -> Table:
        """One row per stretch of layers: from, to, grid, mode, peak, MACs, bytes off chip."""
        stages = () if self.plan is None else self.plan.stages
        layers = self.plain.network.layers
        return Table(
            {
                "first": [layers[s.patches.start].name for s in stages],
                "last": [layers[s.patches.end - 1].name for s in stages],
                "grid": ["x".join(map(str, s.patches.grid)) for s in stages],
                "mode": [s.patches.mode if s.patches.count > 1 else "whole" for s in stages],
                "peak_bytes": [float(s.peak_bytes) for s in stages],
                "kept_bytes": [float(s.kept_bytes) for s in stages],
                "extra_macs": [float(s.extra_macs) for s in stages],
                "map_bytes": [float(s.map_bytes) for s in stages],
                "weight_bytes": [float(s.weight_bytes) for s in stages],
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all results as a dictionary for JSON."""
        out: dict[str, Any] = {
            "workload": self.workload,
            "device": self.at.where.device,
            "capacity_bytes": self.at.capacity_bytes,
            "precision": str(self.at.precision),
            "objective": self.objective,
            "feasible": self.feasible,
            "layer_by_layer": _numbers(self.plain),
        }
        if self.infeasible is not None:
            out["infeasible"] = self.infeasible.to_dict()
        if self.plan is not None:
            out |= {
                **_numbers(self.plan),
                "proved": self.plan.proved,
                "stages": self.table.to_records(),
            }
        out |= {
            "run_energy_j": self.run_energy_j,
            "unpatched_energy_j": self.unpatched_energy_j,
            "energy_model": self.energy_model,
        }
        if self.prediction is not None:
            out |= energy_terms(self.prediction)
            out["energy_interval"] = interval_ends(self.prediction.levels_of("energy_j"))
        return plain(out)

    @property
    def headline(self) -> str:
        """Name of the workload, precision, and objective."""
        return f"{self.workload}: {self.at.precision}, patches for least {self.objective}"

    def glance(self) -> list[tuple[str, str]]:
        """Return the capacity, and peak, MACs and bytes without patches and with them."""
        out: list[tuple[str, str]] = []
        where, capacity = self.at.where, self.at.capacity_bytes
        if capacity is not None:
            on = f" ({where.memory} of {where.device})" if where.device else ""
            out.append(("capacity", f"{binary(capacity)}{on}"))
        over = self.plain.peak_bytes > (capacity or float("inf"))
        out.append(("layer by layer", _summary(self.plain) + (", does not fit" if over else "")))
        if self.plan is not None:
            late = "" if self.plan.proved else "; not proved: time ran out"
            out.append(("in patches", f"{_summary(self.plan)}{late}"))
        out.append(self._energy_line())
        return out

    def _energy_line(self) -> tuple[str, str]:
        """Return the energy in patches, or without, and the other beside it."""
        run = self.unpatched if self.prediction is None else self.prediction
        if run is None:
            return "energy", NO_ENERGY
        label, text = energy_line(run)
        other = self.unpatched_energy_j
        if self.plan is None or other is None:
            return label, text if self.plan is not None else f"{text}, without patches"
        return label, f"{text}; without patches {show(other, 'energy')}"

    def sections(self) -> list[str | Table]:
        """Return the stretches of layers, or the reason why nothing fits."""
        below: list[str | Table] = [] if self.plan is None else [self.table]
        return below if self.infeasible is None else [*below, self.infeasible.text()]


#: Default limit in seconds.
_LIMIT_S = 60.0
#: Share of the limit for all searches; the rest is for stopping them.
_SEARCHES_SHARE = 0.95
#: Share of that time for the plan of the objective; the rest is for the least peak if none fits.
_PLAN_SHARE = 0.75


#: Metrics of a plan in its JSON.
_NUMBERS = (
    "peak_bytes",
    "macs",
    "extra_macs",
    "map_bytes",
    "weight_bytes",
    "offchip_bytes",
    "compulsory_bytes",
)


def _joule(run: Prediction | None) -> float | None:
    """Return the energy of a run in joules; None if it is unknown."""
    return None if run is None or math.isnan(run.energy_j) else float(run.energy_j)


def _numbers(plan: PatchPlan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in _NUMBERS}


def _summary(plan: PatchPlan) -> str:
    """Return peak, recomputation and traffic of a plan in one line."""
    macs = sum(s.least_macs for s in plan.stages)
    more = f"{100.0 * plan.extra_macs / macs:.1f} % more MACs" if macs else "no MACs"
    return f"peak {binary(plan.peak_bytes)}, {more}, {binary(plan.offchip_bytes)} off chip"


def patches(
    workload: WorkloadLike,
    device: DeviceLike | None = None,
    *,
    capacity: str | float | None = None,
    objective: Objective = "offchip",
    modes: str | Iterable[str] = MODES,
    most_patched: int | None = None,
    in_place_depthwise: bool = False,
    memory: str | None = None,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    time_limit_s: float | None = _LIMIT_S,
) -> PatchResult:
    """Find the layer sequences to run in patches, their grids, and the cost of the halo.

    Parameters
    ----------
    workload
        As for `predict`. It must be a network on images.
    device
        As for `predict`. It provides capacity and precision, and may be omitted if a capacity is
        stated.
    capacity
        Bytes for activations, or a size with its unit ("256 KiB"). By default the capacity of the
        device's scratchpad.
    objective
        offchip: fewest bytes across the chip's boundary (feature maps, outputs, and weights as
        often as they are read); macs: least recomputation with no intermediate feature map off
        chip; peak: least memory.
    modes
        How the overlap of patches may be treated: recompute, horizontal or cached. By default any
        of these may be used.
    most_patched
        Maximum number of layer sequences that run in patches; MCUNetV2 allows one.
    in_place_depthwise
        A depthwise convolution overwrites its input, as in TinyEngine.
    memory
        Memory of the device. By default its outermost scratchpad.
    set, runtime, engine
        As for `predict`.
    precision
        As for `predict`. By default those stored in the model file, else the engine's first;
        without a device int8.
    time_limit_s
        Seconds after which the best solution found so far is returned, without a proof. In Python,
        None means no limit.

    Raises
    ------
    InputError
        Every fault at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.patches("mlperf_tiny_ic", capacity="20 KiB").feasible
    True
    """
    return PatchQuestion(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class PatchQuestion(ScheduledQuestion):
    """Parameters of `patches`."""

    capacity: str | float | None
    objective: Objective
    modes: str | Iterable[str]
    most_patched: int | None
    in_place_depthwise: bool

    def answer(self) -> PatchResult:
        """Return the result of `patches`, with the same errors."""
        limit = self.time_limit_s
        deadline = Deadline(None if limit is None else _SEARCHES_SHARE * limit)
        faults = gathered()
        modes: tuple[Any, ...] = (self.modes,) if isinstance(self.modes, str) else tuple(self.modes)
        faults += self._option_faults(modes)
        size = None if self.capacity is None else faults.trying(bytes_of, self.capacity)
        if self.capacity is None and self.device is None and self.objective != "peak":
            expected = "a size such as '256 KiB', or a device"
            faults.append(Fault("no capacity is stated", path="capacity", expected=expected))
        subject = faults.trying(self.resolved)
        at = None
        if subject is not None:
            faults.extend(_image_faults(subject.workload))
            at = faults.trying(self.target, subject, size)
        faults.settle()
        assert subject is not None
        assert at is not None
        net = network(subject.workload, at.precision)
        planned = partial(
            patch_plan,
            net,
            modes=modes,
            most_patched=self.most_patched,
            in_place_depthwise=self.in_place_depthwise,
        )
        offchip = self.objective == "offchip"
        allowed = None if limit is None else _PLAN_SHARE * deadline.left()
        search = Deadline(allowed)
        capacity = at.capacity_bytes
        plan = planned(
            self.objective, capacity_bytes=capacity, count_weights=offchip, time_limit_s=allowed
        )
        why = None
        if plan is None:
            late = offchip and search.passed()
            left = None if limit is None else deadline.left()
            least = planned("peak", time_limit_s=left)
            assert least is not None
            assert capacity is not None
            if least.peak_bytes <= capacity:  # time ran out before a plan was found
                plan = replace(least, bound=-math.inf)
            else:
                why = _shortfall(least, capacity, late=late)
        single = layer_by_layer(net, in_place_depthwise=self.in_place_depthwise)
        workload = subject.workload
        return PatchResult(workload.name, at, self.objective, plan, single, why, source=workload)

    def _option_faults(self, modes: Iterable[str]) -> list[Fault]:
        faults = [
            fault
            for name, words, accepted in (
                ("objective", (self.objective,), _OBJECTIVES),
                ("modes", modes, MODES),
            )
            for word in words
            for fault in not_among(f"unknown word '{word}'", word, accepted, name)
        ]
        most, limit = self.most_patched, self.time_limit_s
        if most is not None and not most >= 0:
            faults.append(
                Fault(f"{most} is not a limit", "most_patched", expected="a count from 0")
            )
        if limit is not None and not limit > 0:
            faults.append(
                Fault(f"{limit} is not a limit", "time_limit_s", expected="seconds above 0")
            )
        return faults


def _image_faults(workload: Workload) -> list[Fault]:
    """Return the properties of a workload that prevent patches, as faults."""
    graph, expected = workload.graph(), "a network of images"
    if graph.schedulable_only:
        message = f"'{workload.name}' has no shapes: it holds sizes only"
        return [Fault(message, path="workload", expected=expected)]
    spatial = any(
        op.kind in _SPATIAL
        and any(len(graph.tensors[t].shape) > _NONSPATIAL_AXES for t in op.reads)
        for _, op in graph.walk()
    )
    if spatial:
        return []
    message = f"'{workload.name}' has no images to cut into patches"
    expected += ": convolutions or pools over positions"
    return [Fault(message, path="workload", expected=expected)]


def _shortfall(least: PatchPlan, capacity: int, *, late: bool) -> Infeasible:
    """Explain the shortfall; with maps off chip or after a timeout (`late`) it is not proved."""
    worst = max(least.stages, key=lambda stage: stage.peak_bytes)
    name = least.network.layers[worst.patches.end - 1].name
    gap = least.peak_bytes - capacity
    subject = "any plan of patches with its maps on chip needs"
    if not least.proved:
        subject = "was found before time ran out"
    needed, there = sizes(least.peak_bytes, capacity)
    statement = (
        f"the least that {subject} is {needed} (the stretch up to '{name}'), "
        f"of {there}: {binary(gap)} too much"
    )
    if late and least.proved:
        statement += ", and time ran out for plans with maps off chip"
    return Infeasible.of(
        statement,
        least.peak_bytes,
        capacity,
        (DemandTerm(f"stretch up to {name}", float(least.peak_bytes)),),
        (Lever(f"{binary(gap)} more", float(gap), True),),
        proved=least.proved and not late,
    )
