"""From a placement to a plan of its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.errors import InputError
from perfmodel.plan import Capacity, Placement, Plan, Residency
from perfmodel.workload.fuse import aliases
from perfmodel.workload.lower import lower
from perfmodel.workload.symbols import evaluate

if TYPE_CHECKING:
    from perfmodel.schedule.place.result import PlacementResult


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
    kernels = lower(graph, job.static.fusion).kernels
    kernel = {op.name: k.head.name for k in kernels if len(k.operators) > 1 for op in k.operators}
    # What only its own kernel reads stays inside it, in no memory.
    crossing = {n for k in kernels for n in (*k.reads, *k.writes)} | {*graph.inputs, *graph.outputs}
    users: dict[str, set[str]] = {}
    first: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    end: dict[str, int] = {}
    for i, (_, op) in enumerate(graph.walk()):
        for access in op.accesses:
            if graph.tensors[access.tensor].role == "activation":
                first.setdefault(access.tensor, i)
                end[access.tensor] = i
                users.setdefault(access.tensor, set()).add(kernel.get(op.name, ""))
    for name in graph.outputs:
        end[name] = last
    alias = aliases(graph)
    for name, stop in end.items():
        if (
            alias.get(name, name) not in crossing
            and len(users[name]) == 1
            and "" not in users[name]
        ):
            continue
        tensor = graph.tensors[name]
        bits = job.precision.bits(tensor.slot)
        # A view is another name of what it shows, and takes no room of its own.
        size = (
            0.0 if name in alias else first_number(evaluate(tensor.elements, values) * bits / 8.0)
        )
        residency.append(Residency(tensor=name, memory=main, device=device, first=first[name],
                                   last=stop, size_bytes=size, address=None))  # fmt: skip
    peak = float(prediction.activation_bytes)
    # Main memory first: it is the one that activations are in.
    levels = sorted(result.levels, key=lambda level: level.name != main)
    capacities = [
        Capacity(memory=v.name, device=device,
                 size_bytes=v.capacity_bytes + (peak if v.name == main else 0.0))
        for v in levels if np.isfinite(v.capacity_bytes) and v.capacity_bytes > 0
    ]  # fmt: skip
    where = {"device": device, "engine": machine.engine}
    return Plan(
        graph=graph.content_hash(), precision=str(job.precision), method=f"place, {result.method}",
        order=tuple(
            Placement(operator=n, kernel=kernel.get(n, ""), start_s=None, end_s=None, **where)
            for n in order
        ),
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
