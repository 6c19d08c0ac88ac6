"""What a plan changes: the bytes that cross the boundary of the memory it schedules."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.residency import access_bytes, crossing, sum_by_row, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth
from perfmodel.plan import Plan
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import KEPT, WEIGHT, Lowered, OperatorTable

__all__ = ["Crossings", "crossings", "planned"]


@dataclass(frozen=True, slots=True)
class Crossings:
    """Bytes of activations that a plan moves in and out of its memory, row by row.

    Attributes
    ----------
    memory, outer
        The memory that is scheduled, and where spills go.
    spilled_bytes
        Spills and reloads; shape ``(rows, 1)``.
    activation_bytes
        Those, loads of network inputs and stores of outputs; shape ``(rows, 1)``.
    held_bytes
        Most that the plan holds in the memory at once.
    """

    memory: str
    outer: str
    spilled_bytes: npt.NDArray[np.float64]
    activation_bytes: npt.NDArray[np.float64]
    held_bytes: float = 0.0

    @property
    def totals(self) -> dict[str, float]:
        """``planned MEMORY`` -> bytes held there, as `perfmodel.cost.capacity.demands` reads it."""
        return {f"planned {self.memory}": self.held_bytes}


def crossings(plan: Plan, graph: Graph, lowered: Lowered) -> Crossings:
    """Return the bytes of a plan that fits `graph`, at the rows of its lowering."""
    row_of = {op.name: i for i, k in enumerate(lowered.kernels) for op in k.operators}
    n = len(lowered.kernels)
    # A view moves nothing: what happens before it happens before the next row.
    at = [0] * (len(plan.order) + 1)
    at[-1] = n - 1
    for i in range(len(plan.order) - 1, -1, -1):
        at[i] = row_of.get(plan.order[i].operator, at[i + 1])
    moved = np.zeros((n, 1))
    for move in plan.moves:
        moved[at[move.step], 0] += move.size_bytes
    spilled = moved.copy()
    alias = aliases(graph)
    outputs = {alias.get(name, name) for name in graph.outputs}
    made = {name for _, op in graph.walk() for name in op.writes}
    reloaded = {(m.tensor, m.step) for m in plan.moves if m.kind == "reload"}
    for stay in plan.residency:
        activation = graph.tensors[stay.tensor].role == "activation"
        if not activation or (stay.tensor, stay.first) in reloaded:
            continue
        if stay.tensor not in made:
            moved[at[stay.first], 0] += stay.size_bytes
        if stay.tensor in outputs:
            moved[at[stay.first], 0] += stay.size_bytes
    memory = plan.capacities[0].memory if plan.capacities else plan.residency[0].memory
    outer = next((m.target for m in plan.moves if m.kind == "spill"), "")
    device = plan.residency[0].device
    held = max(plan.held_bytes(memory, device), default=0.0)
    return Crossings(memory, outer, spilled, moved, held)


def planned(table: OperatorTable, terms: Terms, setting: Setting, plan: Crossings) -> Terms:
    """Return the terms with the plan's bytes across the boundary of its memory.

    Weights, caches and states cross as they did, once each; activations as the plan says. The time
    of that level follows its bytes, and rows are composed again.
    """
    assert table.accesses is not None
    if plan.memory == setting.levels[-1]:
        return _beyond_main(terms, setting, plan)
    inner = setting.levels.index(plan.memory) if plan.memory in setting.levels[:-1] else None
    outer = setting.levels[-1] if inner is None else setting.levels[inner + 1]
    if outer not in terms.traffic:
        return terms
    kept = np.isin(table.accesses.tensor, (WEIGHT, KEPT))
    if setting.weights_memory != setting.levels[-1] and outer == setting.levels[-1]:
        kept &= table.accesses.tensor != WEIGHT
    moved: Value = access_bytes(table, setting) * kept[:, None]
    if inner is not None:
        capacity = usable_capacity(setting, setting.levels[inner])
        moved = moved * crossing(table, setting, capacity)
    through: Value = sum_by_row(moved, table, setting) + plan.activation_bytes
    before, seconds = terms.traffic[outer], terms.memory.get(outer)
    traffic = {**terms.traffic, outer: through}
    memory = dict(terms.memory)
    if seconds is not None:
        xp = setting.xp
        plain = through / bandwidth(setting, outer)
        # The kind's own time of a byte, where it moved any.
        scaled = seconds * (through / xp.where(before > 0, before, 1.0))
        memory[outer] = xp.where(before > 0, scaled, plain)
    was = compose(terms.compute, terms.memory, terms.overhead, setting.overlap, terms.cold)
    now = compose(terms.compute, memory, terms.overhead, setting.overlap, terms.cold)
    return replace(
        terms, traffic=traffic, memory=memory, row_s=terms.row_s + (now - was),
        traffic_model=f"as planned between {plan.memory} and {outer}",
    )  # fmt: skip


def _beyond_main(terms: Terms, setting: Setting, plan: Crossings) -> Terms:
    """Return the terms with the spills of main memory itself, to storage behind it."""
    path = f"memories.{plan.outer}.bandwidth"
    if path not in setting.facts or not plan.spilled_bytes.any():
        return terms
    seconds = plan.spilled_bytes / bandwidth(setting, plan.outer)
    traffic, memory = dict(terms.traffic), dict(terms.memory)
    traffic[plan.outer] = traffic.get(plan.outer, 0.0) + plan.spilled_bytes
    memory[plan.outer] = memory.get(plan.outer, 0.0) + seconds
    was = compose(terms.compute, terms.memory, terms.overhead, setting.overlap, terms.cold)
    now = compose(terms.compute, memory, terms.overhead, setting.overlap, terms.cold)
    return replace(
        terms, traffic=traffic, memory=memory, row_s=terms.row_s + (now - was),
        traffic_model=f"as planned between {plan.memory} and {plan.outer}",
    )  # fmt: skip
