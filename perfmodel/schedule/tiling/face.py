"""Patches from names, paths and texts: what the word ``patches`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.schedule.face import subject_of
from perfmodel.schedule.infeasible import Infeasible
from perfmodel.schedule.levers import Lever, Term
from perfmodel.schedule.target import Target, bytes_of, target
from perfmodel.schedule.tiling.choose import Objective, PatchPlan, layer_by_layer, patch_plan
from perfmodel.schedule.tiling.layers import network
from perfmodel.schedule.tiling.patches import MODES
from perfmodel.settings import FaultList
from perfmodel.units import binary

if TYPE_CHECKING:
    from perfmodel.table import Table

__all__ = ["PatchResult", "patches"]

#: Axes that the input of a network of images has at least.
_AXES = 2

_OBJECTIVES = ("offchip", "macs", "peak")


@dataclass(frozen=True)
class PatchResult:
    """The best plan of patches beside layer by layer.

    Attributes
    ----------
    plan
        None where nothing fits; `infeasible` says why.
    plain
        Every layer whole, in the network's order.
    """

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
    def table(self) -> Table:
        """One row a stretch of layers: from, to, grid, mode, peak, MACs, bytes off chip."""
        from perfmodel.table import Table

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
            "offchip_bytes": [float(s.offchip_bytes) for s in stages],
            "weight_bytes": [float(s.weight_bytes) for s in stages],
        })  # fmt: skip

    @property
    def plot(self) -> Any:
        """Plots: ``.memory()``."""
        from perfmodel.catalog import plots_of

        return plots_of(self, "patches")

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

    def __repr__(self) -> str:
        where = self.at.where
        lines = [f"{self.workload}: {self.at.precision}, patches for least {self.objective}"]
        if self.at.capacity_bytes is not None:
            on = f" ({where.memory} of {where.device})" if where.device else ""
            lines.append(f"  capacity        {binary(self.at.capacity_bytes)}{on}")
        over = self.plain.peak_bytes > (self.at.capacity_bytes or float("inf"))
        said = ", does not fit" if over else ""
        lines.append(f"  layer by layer  {_line(self.plain)}{said}")
        if self.plan is not None:
            lines += [f"  in patches      {_line(self.plan)}", "", str(self.table)]
        if self.infeasible is not None:
            lines += ["", self.infeasible.text()]
        return "\n".join(lines)


def _numbers(plan: PatchPlan) -> dict[str, Any]:
    return {
        "peak_bytes": plan.peak_bytes, "macs": plan.macs, "extra_macs": plan.extra_macs,
        "offchip_bytes": plan.offchip_bytes, "weight_bytes": plan.weight_bytes,
    }  # fmt: skip


def _line(plan: PatchPlan) -> str:
    macs = sum(s.least_macs for s in plan.stages)
    more = f"{100.0 * plan.extra_macs / macs:.1f} % more MACs" if macs else "no MACs"
    return f"peak {binary(plan.peak_bytes)}, {more}, {binary(plan.offchip_bytes)} off chip"


def patches(
    workload: WorkloadLike, device: DeviceLike | None = None, *,
    capacity: str | float | None = None, objective: Objective = "offchip",
    set: Mapping[str, Any] | None = None, precision: Any = None, memory: str | None = None,
    modes: tuple[str, ...] = MODES, most_patched: int | None = None,
    in_place_depthwise: bool = False, faults: FaultList | None = None,
) -> PatchResult:  # fmt: skip
    """Find the stretches of layers that run in patches, their grids, and what the halo costs.

    Parameters
    ----------
    workload
        A network of images: a name, a path or an object.
    device
        Gives capacity and precision; may be left out.
    capacity
        Bytes for activations, or a text with a unit; by default what the device's scratchpad holds.
    objective
        ``offchip``: fewest activation bytes across the chip's boundary; ``macs``: least
        recomputation with no intermediate map off chip; ``peak``: least memory.
    modes
        What may happen to the overlap of patches: ``recompute``, ``horizontal``, ``cached``.
    most_patched
        Stretches that may run in patches; MCUNetV2 allows one.
    in_place_depthwise
        A depthwise convolution overwrites its input, as in TinyEngine.

    Raises
    ------
    InputError
        Every fault at once.
    """
    faults = FaultList() if faults is None else faults
    for name, given, known in (
        ("objective", (objective,), _OBJECTIVES), ("modes", modes, MODES),
    ):  # fmt: skip
        for word in given:
            if word not in known:
                expected, meant = f"one of {', '.join(known)}", nearest(word, known)
                faults.append(Fault(f"unknown word '{word}'", name, "", 0, 0, expected, meant))
    if capacity is not None:
        faults.trying(bytes_of, capacity)
    subject = faults.trying(subject_of, workload, device, set, precision, None, None)
    if subject is not None and subject.workload.graph().schedulable_only:
        said = f"'{subject.workload.name}' has no shapes: it holds sizes only"
        faults.append(Fault(said, path="workload", expected="a network of images"))
    faults.settle()
    assert subject is not None
    at = target(
        subject.workload, subject.device, capacity=capacity, memory=memory,
        precision=subject.precision,
    )  # fmt: skip
    if at.capacity_bytes is None and objective != "peak":
        expected = "a size such as '256 KiB', or a device"
        raise InputError(Fault("no capacity is stated", path="capacity", expected=expected))
    net = network(subject.workload, at.precision)
    if len(net.maps[0].extents) < _AXES:
        said = f"'{subject.workload.name}' has no images to cut into patches"
        raise InputError(Fault(said, path="workload", expected="a network of images"))
    options: dict[str, Any] = {
        "modes": modes, "most_patched": most_patched, "in_place_depthwise": in_place_depthwise,
    }  # fmt: skip
    found = patch_plan(net, objective, capacity_bytes=at.capacity_bytes, **options)
    plain = layer_by_layer(net, in_place_depthwise=in_place_depthwise)
    why = None
    if found is None:
        least = patch_plan(net, "peak", **options)
        assert least is not None
        assert at.capacity_bytes is not None
        why = _why(least, at.capacity_bytes)
    return PatchResult(subject.workload.name, at, objective, found, plain, why)


def _why(least: PatchPlan, capacity: int) -> Infeasible:
    worst = max(least.stages, key=lambda s: s.peak_bytes)
    name = least.network.layers[worst.patches.end - 1].name
    gap = least.peak_bytes - capacity
    said = (
        f"the least that any plan of patches needs is {binary(least.peak_bytes)} (the stretch up "
        f"to '{name}'), of {binary(capacity)}: {binary(gap)} too much"
    )
    return Infeasible(
        said, float(least.peak_bytes), float(capacity), float(gap),
        terms=(Term(f"stretch up to {name}", float(least.peak_bytes)),),
        levers=(Lever(f"{binary(gap)} more", float(gap), True),),
    )  # fmt: skip
