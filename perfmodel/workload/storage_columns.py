"""Storage of a graph by slot: permanent elements, and live activations at each kernel step."""

from __future__ import annotations

from perfmodel.workload.format_slots import SlotNames
from perfmodel.workload.graph import Graph
from perfmodel.workload.symbols import Dim, Poly, poly


def stored_elements(graph: Graph, slots: SlotNames) -> dict[str, Dim]:
    """Return slot -> elements of weights, and of KV caches and states between runs."""
    stored: dict[str, Dim] = {}
    for name, times in graph.stored_weights().items():
        tensor = graph.tensors[name]
        slot = slots.with_role(tensor)
        stored[slot] = stored.get(slot, 0) + times * tensor.elements
    phases: dict[str, dict[str, Dim]] = {}
    seen: set[tuple[str, str]] = set()  # a cache shared by several layers is stored once
    for block in graph.blocks:
        names = {access.tensor for op in block.operators for access in op.accesses}
        for name in sorted(n for n in names if graph.tensors[n].role in {"kv", "state"}):
            tensor = graph.tensors[name]
            if (block.phase, name) not in seen:
                seen.add((block.phase, name))
                by_phase = phases.setdefault(slots.with_role(tensor), {})
                size = block.stored * tensor.elements
                by_phase[block.phase] = by_phase.get(block.phase, 0) + size
    for slot, by_phase in phases.items():
        # The cache is longest in the last phase of a request.
        stored[slot] = list(by_phase.values())[-1]
    return stored


def live_elements(
    graph: Graph, lives: dict[str, tuple[int, int]], steps: int, slots: SlotNames
) -> dict[str, list[Dim]]:
    """Return slot -> elements of live activations at each distinct step.

    Parameters
    ----------
    lives
        Activation -> first and last step of its live range.
    steps
        Number of steps; those with equal elements in every slot are returned once.
    """
    changes: list[list[tuple[str, Dim]]] = [[] for _ in range(steps + 1)]
    for name, (first, last) in lives.items():
        tensor = graph.tensors[name]
        slot, elements = slots.of(tensor), tensor.elements
        changes[first].append((slot, elements))
        changes[last + 1].append((slot, -elements))
    names = sorted({slot for change in changes for slot, _ in change})
    live: dict[str, Dim] = dict.fromkeys(names, 0)
    by_step: list[tuple[Poly, ...]] = []
    for change in changes[:steps]:
        for slot, elements in change:
            live[slot] = live[slot] + elements
        by_step.append(tuple(map(poly, live.values())))
    distinct = list(dict.fromkeys(by_step))
    return {slot: [step[i] for step in distinct] for i, slot in enumerate(names)}
