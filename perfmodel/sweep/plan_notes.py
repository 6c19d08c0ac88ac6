"""Notes of a sweep: what costs, areas, temperatures and energies of several devices are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perfmodel.hardware.device import CLASS_BOUNDARY
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.ownership import unknown_costs
from perfmodel.kinds.silicon import silicon_of
from perfmodel.metrics import ENERGIES, lacks_items
from perfmodel.workload import Workload


def plan_notes(
    machines: Sequence[Machine],
    workloads: Iterable[Workload],
    columns: Iterable[str],
    settings: Mapping[str, Any],
    metrics: Iterable[str],
) -> list[str]:
    """Return what a reader of costs, temperatures and requested energies should know."""
    requested = tuple(metrics)
    return [
        *_ownership_notes(machines, columns, settings),
        *_boundary_notes(machines, requested),
        *_lacking_notes(machines, workloads, settings, requested),
    ]


def _lacking_notes(
    machines: Iterable[Machine],
    workloads: Iterable[Workload],
    settings: Mapping[str, Any],
    metrics: Sequence[str],
) -> list[str]:
    """Return why requested metrics are empty for a workload, or for a device without a battery."""
    from perfmodel.sweep.plan import METRICS
    from perfmodel.sweep.summary import few_names

    metrics = [name for name in metrics if name not in METRICS]
    notes = [
        f"{workload.name} yields {workload.unit}: no {few_names(lacking)}"
        for workload in workloads
        if (lacking := [name for name in metrics if lacks_items(name, workload.unit)])
    ]
    batteries = [name for name in metrics if name.startswith("battery")]
    without = [m.device.name for m in machines if "power.battery" not in {**m.facts, **settings}]
    if batteries and without:
        notes.append(f"{few_names(without)}: no battery is stated (power.battery)")
    return notes


def _boundary_notes(machines: Sequence[Machine], metrics: Iterable[str]) -> list[str]:
    """Return what requested energies of devices are of, if they are not all of the same."""
    from perfmodel.sweep.summary import few_names

    by_boundary: dict[str, list[str]] = {}
    for device in (machine.device for machine in machines):
        boundary = device.power.boundary if device.power else CLASS_BOUNDARY
        by_boundary.setdefault(boundary, []).append(device.name)
    if len(by_boundary) < 2 or ENERGIES.isdisjoint(metrics):
        return []
    texts = (f"{boundary} ({few_names(names)})" for boundary, names in by_boundary.items())
    return [f"energies have different boundaries: {', '.join(texts)}"]


def _ownership_notes(
    machines: Sequence[Machine], columns: Iterable[str], settings: Mapping[str, Any]
) -> list[str]:
    """Return why devices have no cost or emissions, and what an infinite burst means."""
    from perfmodel.sweep.summary import few_names

    notes: list[str] = []
    lacking: dict[str, list[str]] = {}
    for part, word in (("price", "usd"), ("embodied", "carbon")):
        if any(word in name for name in columns):
            for machine in machines:
                known = {**machine.device.defaults, **machine.facts, **settings}
                if not isinstance(silicon_of(machine.device, machine.facts, 0.0), str):
                    known.setdefault("area", "of its blocks")
                if part in (reasons := unknown_costs(known)):
                    lacking.setdefault(reasons[part], []).append(machine.device.name)
    if "area_mm2" in columns:
        of_blocks = "area_mm2 has the blocks that the spec states, which are part of the die (area)"
        for machine in machines:
            blocks = silicon_of(machine.device, machine.facts, 0.0)
            reason = of_blocks if "area" in machine.facts else ""
            if isinstance(blocks, str):
                reason = blocks
            lacking.setdefault(reason, []).append(machine.device.name)
        lacking.pop("", None)
    notes += [f"{few_names(names)}: {reason}" for reason, names in lacking.items() if names]
    if "steady_celsius" in columns:
        notes.append(
            "steady_celsius is where full speed for ever would lead; a device that throttles "
            "(sustained_speed below 1) stays at its limit"
        )
    if "burst_s" in columns:
        notes.append(
            "an infinite burst_s: no more power than the body sheds at its limit, so that the "
            "device never throttles; none: neither a device nor its class states how it sheds heat"
        )
    return notes
