"""A scratchpad, byte by byte: runs a plan and knows what every byte holds.

It reads nothing but the plan, the graph and the sizes; counts its own traffic; and stops at the
first byte that is not what an operator expects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.plan import Plan
from perfmodel.workload.graph import Graph


@dataclass
class Traffic:
    spilled: int = 0
    reloaded: int = 0
    peak: int = 0


def run(plan: Plan, graph: Graph, sizes: Mapping[str, int]) -> Traffic:
    (capacity,) = plan.capacities
    pad: list[tuple[str, int] | None] = [None] * int(capacity.size_bytes)
    outside: dict[str, list[tuple[str, int]]] = {}
    operators = {op.name: op for _, op in graph.walk()}
    maker = {t: op.name for op in operators.values() for t in op.writes}
    root: dict[str, str] = {}
    for op in operators.values():
        if op.kind == "view":
            root[op.writes[0]] = root.get(op.reads[0], op.reads[0])
    for name in graph.tensors:
        if name not in maker:
            outside[name] = [(name, i) for i in range(sizes[name])]
    kernel = {p.operator: p.kernel for p in plan.order}
    resident = {r.tensor for r in plan.residency}
    traffic = Traffic()
    stays = list(plan.residency)
    for step, placement in enumerate(plan.order):
        # 1. what leaves: spills first, they make room
        for move in plan.moves:
            if move.step == step and move.kind == "spill":
                stay = next(r for r in stays if r.tensor == move.tensor and r.last == step - 1)
                assert stay.address is not None
                content = pad[stay.address : stay.address + int(stay.size_bytes)]
                assert content == [(move.tensor, i) for i in range(int(stay.size_bytes))]
                outside[move.tensor] = [c for c in content if c is not None]
                traffic.spilled += int(move.size_bytes)
        # 2. what ended is gone: nobody may count on it
        for r in stays:
            if r.last == step - 1:
                assert r.address is not None
                for i in range(r.address, r.address + int(r.size_bytes)):
                    if pad[i] is not None and pad[i][0] == r.tensor:  # type: ignore[index]
                        pad[i] = None
        operator = operators[placement.operator]
        arriving = [r for r in stays if r.first == step]
        reloads = {m.tensor for m in plan.moves if m.step == step and m.kind == "reload"}
        # 3. what comes in
        for r in arriving:
            brought = r.tensor in reloads or r.tensor not in maker
            if brought:
                assert r.address is not None
                assert r.tensor in outside, f"{r.tensor} is nowhere outside"
                for i in range(int(r.size_bytes)):
                    assert pad[r.address + i] is None, f"{r.tensor} lands on {pad[r.address + i]}"
                    pad[r.address + i] = outside[r.tensor][i]
                if r.tensor in reloads:
                    traffic.reloaded += int(r.size_bytes)
        # 4. the operator reads what must be there, byte for byte
        if operator.kind != "view":
            for name in operator.reads:
                source = root.get(name, name)
                if source not in resident and kernel.get(maker.get(source)) == placement.kernel:
                    continue  # stays inside the kernel
                stay = next(r for r in stays if r.tensor == source and r.first <= step <= r.last)
                assert stay.address is not None
                for i in range(sizes[source]):
                    assert pad[stay.address + i] == (source, i), (operator.name, source, i)
            # 5. and writes
            for r in arriving:
                if r.tensor in operator.writes and r.tensor not in reloads:
                    assert r.address is not None
                    for i in range(int(r.size_bytes)):
                        held = pad[r.address + i]
                        over = held is not None and held[0] == r.takes_over
                        assert held is None or over, f"{r.tensor} is written over {held}"
                        pad[r.address + i] = (r.tensor, i)
        traffic.peak = max(traffic.peak, sum(c is not None for c in pad))
        # What vanishes after this step is gone before the next looks for room.
    return traffic
