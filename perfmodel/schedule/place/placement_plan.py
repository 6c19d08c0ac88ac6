"""Conversion of a placement into a plan of its graph, for `predict(..., plan=...)`.

Weights and caches have a residency in each memory that holds some of their copies, over the full
run; activations are in main memory while they are live.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.errors import InputError
from perfmodel.plan import Capacity, Placement, Plan, Residency
from perfmodel.workload.fuse import FusedKernel, aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import lower
from perfmodel.workload.symbols import evaluate

if TYPE_CHECKING:
    from perfmodel.schedule.place.result import PlacementResult


def to_plan(result: PlacementResult) -> Plan:
    """Return the plan; see `PlacementResult.to_plan`."""
    if not result.feasible:
        raise InputError([str(v) for v in result.violations])
    prediction = result.prediction
    job = prediction.job
    main = prediction.setting.levels[-1]
    graph = job.lowered.graph.unroll(job.workload.parameters)
    device = job.machine.device.name
    order = [op.name for _, op in graph.walk()]
    kernels = lower(graph, job.model.fusion).kernels
    kernel = {op.name: k.head.name for k in kernels if len(k.operators) > 1 for op in k.operators}
    peak = float(prediction.activation_bytes)
    # Main memory comes first, since activations are in it.
    levels = sorted(result.levels, key=lambda level: level.name != main)
    return Plan(
        graph=graph.content_hash(),
        precision=str(job.precision),
        method=f"place, {result.method}",
        order=tuple(
            Placement(
                operator=name,
                kernel=kernel.get(name, ""),
                device=device,
                engine=job.machine.engine,
            )
            for name in order
        ),
        capacities=tuple(
            Capacity(
                memory=level.name,
                device=device,
                size_bytes=level.capacity_bytes + (peak if level.name == main else 0.0),
            )
            for level in levels
            if np.isfinite(level.capacity_bytes) and level.capacity_bytes > 0
        ),
        residency=(
            *_stored(result, graph, len(order) - 1),
            *_activations(result, graph, kernels, kernel, main),
        ),
    )


def _stored(result: PlacementResult, graph: Graph, last: int) -> Iterator[Residency]:
    """Yield the residencies of weights and caches, over the full run."""
    device = result.prediction.machine.device.name
    for (tensor, memory), size in _stored_bytes(result).items():
        stem, _, index = tensor.rpartition("#")
        name = f"{stem}@{index}" if f"{stem}@{index}" in graph.tensors else stem
        yield Residency(
            tensor=name,
            memory=memory,
            device=device,
            first=0,
            last=last,
            size_bytes=size,
        )


def _activations(
    result: PlacementResult,
    graph: Graph,
    kernels: Sequence[FusedKernel],
    kernel: Mapping[str, str],
    main: str,
) -> Iterator[Residency]:
    """Yield activations in main memory; those internal to a kernel are omitted.

    Parameters
    ----------
    kernel
        Head of the kernel of each operator, for kernels with several operators.
    """
    job = result.prediction.job
    crossing = {n for k in kernels for n in (*k.reads, *k.writes)} | {*graph.inputs, *graph.outputs}
    users: dict[str, set[str]] = {}
    first: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    end: dict[str, int] = {}
    step = 0
    for step, (_, op) in enumerate(graph.walk()):
        for access in op.accesses:
            if graph.tensors[access.tensor].role == "activation":
                first.setdefault(access.tensor, step)
                end[access.tensor] = step
                users.setdefault(access.tensor, set()).add(kernel.get(op.name, ""))
    end |= dict.fromkeys(graph.outputs, step)
    alias = aliases(graph)
    for name, last in end.items():
        inside = len(users[name]) == 1 and "" not in users[name]
        if inside and alias.get(name, name) not in crossing:
            continue
        tensor = graph.tensors[name]
        size = 0.0  # a view is an alias and needs no memory
        if name not in alias:
            elements = evaluate(tensor.elements, job.workload.parameters)
            size = first_number(elements * job.precision.bits(tensor.slot) / 8.0)
        yield Residency(
            tensor=name,
            memory=main,
            device=job.machine.device.name,
            first=first[name],
            last=last,
            size_bytes=size,
        )


def _stored_bytes(result: PlacementResult) -> dict[tuple[str, str], float]:
    """Return the bytes of each (``tensor#copy``, memory)."""
    graph = result.prediction.job.lowered.graph
    number = result.prediction.workload.number
    times = {n: int(float(number(t))) for n, t in graph.stored_weights().items()}
    sizes: dict[tuple[str, str], float] = {}
    for item, counts in zip(result.items, result.counts, strict=True):
        start = 0
        for level, count in zip(result.levels, counts, strict=True):
            for copy in range(start, start + count):
                for part in item.parts:
                    # Experts that are alike are distributed cyclically over the layers.
                    layers = times.get(part.tensor, item.copies) if part.expert >= 0 else 0
                    index = copy % layers if layers else copy
                    key = (f"{part.tensor}#{index}", level.name)
                    sizes[key] = sizes.get(key, 0.0) + part.size_bytes
            start += count
    return sizes
