"""Patches from names, paths and texts: what the word ``patches`` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, nearest
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.schedule.infeasible import Infeasible
from perfmodel.schedule.infeasible.levers import DemandTerm, Lever
from perfmodel.schedule.subject import subject_of
from perfmodel.schedule.target import Target, bytes_of, target
from perfmodel.schedule.tiling.choose import Objective, PatchPlan, layer_by_layer, patch_plan
from perfmodel.schedule.tiling.layers import network
from perfmodel.schedule.tiling.patches import MODES
from perfmodel.settings import gathered
from perfmodel.table import Result, Table
from perfmodel.units import binary, sizes
from perfmodel.workload.workload import Workload

_OBJECTIVES = ("offchip", "macs", "peak")
_SPATIAL = frozenset({"conv", "depthwise", "pool"})
#: Axes that are not positions: batch and channels.
_FLAT = 2


@dataclass(frozen=True, repr=False)
class PatchResult(Result):
    """The best plan of patches beside layer by layer.

    Attributes
    ----------
    plan
        None where nothing fits; `infeasible` says why.
    plain
        Every layer whole, in the network's order.

    Its plot: ``memory()``.
    """

    noun = "patches"

    workload: str
    at: Target
    objective: str
    plan: PatchPlan | None
    plain: PatchPlan
    infeasible: Infeasible | None = None

    @property
    def feasible(self) -> bool:
        """Whether a plan fits."""
        return self.plan is not None

    @property
    def decided(self) -> bool:
        """Whether it is known if anything fits: something does, or nothing is proved to."""
        return self.infeasible is None or self.infeasible.proved

    @cached_property
    def table(self) -> Table:
        """One row for each stretch of layers: from, to, grid, mode, peak, MACs, bytes off chip."""
        stages = () if self.plan is None else self.plan.stages
        layers = self.plain.network.layers
        return Table({
            "first": [layers[s.patches.start].name for s in stages],
            "last": [layers[s.patches.end - 1].name for s in stages],
            "grid": ["x".join(map(str, s.patches.grid)) for s in stages],
            "mode": [s.patches.mode if s.patches.count > 1 else "whole" for s in stages],
            "peak_bytes": [float(s.peak_bytes) for s in stages],
            "kept_bytes": [float(s.kept_bytes) for s in stages],
            "extra_macs": [float(s.extra_macs) for s in stages],
            "map_bytes": [float(s.map_bytes) for s in stages],
            "weight_bytes": [float(s.weight_bytes) for s in stages],
        })  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        out: dict[str, Any] = {
            "workload": self.workload, "device": self.at.where.device,
            "capacity_bytes": self.at.capacity_bytes, "precision": str(self.at.precision),
            "objective": self.objective, "feasible": self.feasible,
            "layer_by_layer": _numbers(self.plain),
        }  # fmt: skip
        if self.infeasible is not None:
            out["infeasible"] = self.infeasible.to_dict()
        if self.plan is not None:
            out |= {**_numbers(self.plan), "proved": self.plan.proved,
                    "stages": self.table.to_records()}  # fmt: skip
        return out

    @property
    def headline(self) -> str:
        """What was looked for."""
        return f"{self.workload}: {self.at.precision}, patches for least {self.objective}"

    def glance(self) -> list[tuple[str, str]]:
        """Return the capacity, and peak, MACs and bytes without patches and with them."""
        out: list[tuple[str, str]] = []
        where, capacity = self.at.where, self.at.capacity_bytes
        if capacity is not None:
            on = f" ({where.memory} of {where.device})" if where.device else ""
            out.append(("capacity", f"{binary(capacity)}{on}"))
        over = self.plain.peak_bytes > (capacity or float("inf"))
        out.append(("layer by layer", _line(self.plain) + (", does not fit" if over else "")))
        if self.plan is not None:
            late = "" if self.plan.proved else "; not proved: time ran out"
            out.append(("in patches", f"{_line(self.plan)}{late}"))
        return out

    def sections(self) -> list[str | Table]:
        """Return the stretches of layers, or why nothing fits."""
        below: list[str | Table] = [] if self.plan is None else [self.table]
        return below if self.infeasible is None else [*below, self.infeasible.text()]


#: Seconds by default, and the share of them for the plan itself: the rest is for what is missing.
_LIMIT_S = 60.0
_SHARE = 0.75
#: Of all the time: what is left is for cutting short.
_ALL = 0.95


def _numbers(plan: PatchPlan) -> dict[str, Any]:
    return {
        "peak_bytes": plan.peak_bytes, "macs": plan.macs, "extra_macs": plan.extra_macs,
        "map_bytes": plan.map_bytes, "weight_bytes": plan.weight_bytes,
        "offchip_bytes": plan.offchip_bytes, "compulsory_bytes": plan.compulsory_bytes,
    }  # fmt: skip


def _line(plan: PatchPlan) -> str:
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
    """Find the stretches of layers that run in patches, their grids, and what the halo costs.

    Parameters
    ----------
    workload
        As for `predict`. It is a network on images.
    device
        As for `predict`. It gives capacity and precision, and may be left out where a capacity is
        stated.
    capacity
        Bytes for activations, or a size with its unit ("256 KiB"). By default what the device's
        scratchpad holds.
    objective
        offchip: fewest bytes across the chip's boundary (maps, outputs, and weights as often as
        they are read); macs: least recomputation with no intermediate map off chip; or peak: least
        memory.
    modes
        What may happen to the overlap of patches: recompute, horizontal, cached. By default any of
        them.
    most_patched
        How many stretches may run in patches; MCUNetV2 allows one.
    in_place_depthwise
        A depthwise convolution overwrites its input, as in TinyEngine.
    memory
        Memory of the device. By default its outermost scratchpad.
    set, runtime, engine
        As for `predict`.
    precision
        As for `predict`. By default the file's own, else the engine's first; without a device int8.
    time_limit_s
        Seconds after which the best so far is returned, not proved. In Python None is no limit.

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
    deadline = Deadline(None if time_limit_s is None else _ALL * time_limit_s)
    faults = gathered()
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    for name, given, known in (
        ("objective", (objective,), _OBJECTIVES), ("modes", modes, MODES),
    ):  # fmt: skip
        for word in given:
            if word not in known:
                expected, meant = f"one of {', '.join(known)}", nearest(word, known)
                faults.append(Fault(f"unknown word '{word}'", name, "", 0, 0, expected, meant))
    for name, number, good in (
        ("most_patched", most_patched, most_patched is None or most_patched >= 0),
        ("time_limit_s", time_limit_s, time_limit_s is None or time_limit_s > 0),
    ):
        if not good:
            wanted = "a count from 0" if name == "most_patched" else "seconds above 0"
            faults.append(Fault(f"{number} is no limit", path=name, expected=wanted))
    size = None if capacity is None else faults.trying(bytes_of, capacity)
    if capacity is None and device is None and objective != "peak":
        expected = "a size such as '256 KiB', or a device"
        faults.append(Fault("no capacity is stated", path="capacity", expected=expected))
    subject = faults.trying(subject_of, workload, device, set, precision, runtime, engine)
    at = None
    if subject is not None:
        faults.extend(_image_faults(subject.workload))
        at = faults.trying(
            target, subject.workload, subject.device, capacity=size, memory=memory,
            precision=subject.precision, runtime=subject.runtime, engine=subject.engine,
        )  # fmt: skip
    faults.settle()
    assert subject is not None
    assert at is not None
    net = network(subject.workload, at.precision)
    options: dict[str, Any] = {
        "modes": modes, "most_patched": most_patched, "in_place_depthwise": in_place_depthwise,
    }  # fmt: skip
    allowed = None if time_limit_s is None else _SHARE * deadline.left()
    search = Deadline(allowed)
    found = patch_plan(
        net, objective, capacity_bytes=at.capacity_bytes, time_limit_s=allowed,
        count_weights=objective == "offchip", **options,
    )  # fmt: skip
    plain = layer_by_layer(net, in_place_depthwise=in_place_depthwise)
    why = None
    if found is None:
        late = objective == "offchip" and search.passed()
        left = None if time_limit_s is None else deadline.left()
        least = patch_plan(net, "peak", time_limit_s=left, **options)
        assert least is not None
        assert at.capacity_bytes is not None
        if least.peak_bytes <= at.capacity_bytes:  # time ran out before it was found
            found = replace(least, proved=False)
        else:
            why = _why(least, at.capacity_bytes, late=late)
    return PatchResult(subject.workload.name, at, objective, found, plain, why)


def _image_faults(workload: Workload) -> list[Fault]:
    """Return what keeps a workload from running in patches."""
    graph, expected = workload.graph(), "a network of images"
    if graph.schedulable_only:
        said = f"'{workload.name}' has no shapes: it holds sizes only"
        return [Fault(said, path="workload", expected=expected)]
    spatial = any(
        op.kind in _SPATIAL and any(len(graph.tensors[t].shape) > _FLAT for t in op.reads)
        for _, op in graph.walk()
    )
    if spatial:
        return []
    said = f"'{workload.name}' has no images to cut into patches"
    expected += ": convolutions or pools over positions"
    return [Fault(said, path="workload", expected=expected)]


def _why(least: PatchPlan, capacity: int, *, late: bool) -> Infeasible:
    """Say what is missing; with maps off chip less may be, of which `late` leaves no proof."""
    worst = max(least.stages, key=lambda s: s.peak_bytes)
    name = least.network.layers[worst.patches.end - 1].name
    gap = least.peak_bytes - capacity
    what = "any plan of patches with its maps on chip needs"
    if not least.proved:
        what = "was found before time ran out"
    needed, there = sizes(least.peak_bytes, capacity)
    said = (
        f"the least that {what} is {needed} (the stretch up to '{name}'), "
        f"of {there}: {binary(gap)} too much"
    )
    if late and least.proved:
        said += ", and time ran out for plans with maps off chip"
    return Infeasible(
        said, float(least.peak_bytes), float(capacity), float(gap),
        terms=(DemandTerm(f"stretch up to {name}", float(least.peak_bytes)),),
        levers=(Lever(f"{binary(gap)} more", float(gap), True),), proved=least.proved and not late,
    )  # fmt: skip
