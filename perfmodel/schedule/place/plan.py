"""From a placement to a plan of its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perfmodel.errors import InputError
from perfmodel.plan import Capacity, Placement, Plan, Residency
from perfmodel.workload.symbols import evaluate

if TYPE_CHECKING:
    from perfmodel.schedule.place.result import PlacementResult

__all__ = ["to_plan"]


def to_plan(result: PlacementResult) -> Plan:
    """Return the plan; see `PlacementResult.to_plan`."""
    if not result.feasible:
        raise InputError([str(v) for v in result.violations])
    prediction = result.prediction
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    machine, values = job.machine, job.workload.parameters
    whole = job.lowered.graph
    graph = whole.unroll(values)
    device = machine.device.name
    order = [op.name for _, op in graph.walk()]
    last = len(order) - 1
    main = prediction._setting.levels[-1]  # pyright: ignore[reportPrivateUsage]
    residency: list[Residency] = []
    for (tensor, memory), size in _held(result).items():
        stem, _, index = tensor.rpartition("#")
        name = f"{stem}@{index}" if f"{stem}@{index}" in graph.tensors else stem
        residency.append(Residency(tensor=name, memory=memory, device=device, first=0, last=last,
                                   size_bytes=size, address=None))  # fmt: skip
    first: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    end: dict[str, int] = {}
    for i, (_, op) in enumerate(graph.walk()):
        for access in op.accesses:
            if graph.tensors[access.tensor].role == "activation":
                first.setdefault(access.tensor, i)
                end[access.tensor] = i
    for name in graph.outputs:
        end[name] = last
    for name, stop in end.items():
        tensor = graph.tensors[name]
        bits = job.precision.bits(tensor.slot)
        size = float(np.asarray(evaluate(tensor.elements, values) * bits / 8.0).reshape(-1)[0])
        residency.append(Residency(tensor=name, memory=main, device=device, first=first[name],
                                   last=stop, size_bytes=size, address=None))  # fmt: skip
    capacities = [
        Capacity(memory=level.name, device=device, size_bytes=level.capacity_bytes)
        for level in result.levels
        if np.isfinite(level.capacity_bytes) and level.capacity_bytes > 0 and level.name != main
    ]
    where = {"device": device, "engine": machine.engine}
    return Plan(
        graph=graph.content_hash(), precision=str(job.precision), method=f"place, {result.method}",
        order=tuple(Placement(operator=n, start_s=None, end_s=None, **where) for n in order),
        capacities=tuple(capacities), residency=tuple(residency),
    )  # fmt: skip


def _held(result: PlacementResult) -> dict[tuple[str, str], float]:
    """Return (``tensor#copy``, memory) -> bytes of it that lie there."""
    graph = result.prediction._job.lowered.graph  # pyright: ignore[reportPrivateUsage]
    number = result.prediction.workload.number
    times = {n: int(float(number(t))) for n, t in graph.stored_weights().items()}
    held: dict[tuple[str, str], float] = {}
    for item, counts in zip(result.items, result.counts, strict=True):
        start = 0
        for level, count in zip(result.levels, counts, strict=True):
            for copy in range(start, start + count):
                for part in item.parts:
                    # Experts that are alike go round the layers.
                    layers = times.get(part.tensor, item.copies) if part.expert >= 0 else 0
                    index = copy % layers if layers else copy
                    key = (f"{part.tensor}#{index}", level.name)
                    held[key] = held.get(key, 0.0) + part.size_bytes
            start += count
    return held
