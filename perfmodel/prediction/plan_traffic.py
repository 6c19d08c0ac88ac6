"""Prediction of a network under a plan: unrolled graph, and traffic of the planned schedule.

A plan states the order of the operators, which memory holds which tensor when, and every spill and
reload. `unrolled_graph` checks that it belongs to the network and writes out repetitions;
`planned_moves` collects its bytes, row by row; `PlannedMoves.applied` replaces the traffic that the
residency rule would predict for the scheduled memory and recomposes the row times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.operand_bytes import access_bytes, sum_by_row
from perfmodel.cost.residency import crossing, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.formats import Precision
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.protocol import Terms
from perfmodel.plan import Plan
from perfmodel.prediction.placement_traffic import MemoryShares, apply_placement, memory_shares
from perfmodel.prediction.recomposition import recomposed, seconds_of
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import Lowered
from perfmodel.workload.operator_table import PERSISTENT, WEIGHT, OperatorTable
from perfmodel.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class ScheduledTraffic:
    """Activation traffic of a plan into and out of its scheduled memory, row by row.

    Attributes
    ----------
    memory, outer
        Scheduled memory, and the memory that it spills to.
    spilled_bytes
        Bytes of spills and reloads, shape ``(rows, 1)``.
    activation_bytes
        Bytes of spills, reloads, loads of network inputs and stores of outputs, ``(rows, 1)``.
    peak_bytes
        Peak bytes of the plan in the memory.
    """

    memory: str
    outer: str
    spilled_bytes: npt.NDArray[np.float64]
    activation_bytes: npt.NDArray[np.float64]
    peak_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedMoves:
    """Changes that a plan makes to the prediction of its network."""

    scheduled: ScheduledTraffic
    shares: MemoryShares | None

    @property
    def totals(self) -> dict[str, Value]:
        """Bytes of the plan by memory, as read by `perfmodel.cost.capacity.demands`."""
        placed_bytes = {} if self.shares is None else self.shares.totals
        return {
            **placed_bytes,
            f"planned {self.scheduled.memory}": self.scheduled.peak_bytes,
        }

    def apply(self, table: OperatorTable, terms: Terms, setting: Setting) -> Terms:
        """Return the terms with the plan's traffic and memory times, and recomposed row times."""
        terms = apply_scheduled_traffic(table, terms, setting, self.scheduled)
        return terms if self.shares is None else apply_placement(table, terms, setting, self.shares)


def planned_moves(
    plan: Plan, graph: Graph, lowered: Lowered, machine: Machine
) -> PlannedMoves | None:
    """Return the changes that a plan makes; ``None`` if it does not concern memories.

    Raises
    ------
    InputError
        The plan uses a memory that the machine does not have.
    """
    if not plan.residency:
        return None
    shares = memory_shares(plan, graph, lowered, machine)
    return PlannedMoves(scheduled_traffic(plan, graph, lowered), shares)


def unrolled_graph(
    graph: Graph, workload: Workload, plan: Plan, precision: Precision, machine: Machine
) -> Graph:
    """Return the graph that a plan refers to, with repetitions unrolled.

    Raises
    ------
    InputError
        The plan belongs to another network, precision or device, or contains unsupported entries.
    """
    if workload.shape:
        expected = "one number for each dimension of the workload"
        raise input_error("a plan is of one network", path="plan", expected=expected)
    unrolled = graph.unroll(workload.parameters)
    faults = plan.check(unrolled)
    if plan.tiled:
        first = ", ".join(plan.tiled[:3]) + (" ..." if len(plan.tiled) > 3 else "")
        faults.append(
            Fault(
                f"has operators in tiles ({first}), which a prediction does not follow",
                path="plan.tiled",
                expected="a plan without --tiles; bytes and bound of one with tiles "
                "are what `schedule` says",
            )
        )
    if plan.precision and plan.precision != str(precision):
        faults.append(
            Fault(f"is for precision {plan.precision}", path="precision", expected=str(precision))
        )
    name, known = machine.device.name, [m.name for m in machine.device.memories]
    others = [d for d in plan.devices if d not in {"", name}]
    if others:
        faults.append(Fault(f"is for {', '.join(others)}", path="order", expected=name))
    elif plan.devices != ("",):
        faults += [
            Fault(
                f"{name} has no memory '{c.memory}'",
                path=f"capacities.{i}",
                expected=f"one of {', '.join(known)}",
                suggestion=nearest(c.memory, known),
            )
            for i, c in enumerate(plan.capacities)
            if c.memory not in known
        ]
    engines = sorted({p.engine for p in plan.order if p.engine})
    if len(engines) > 1:
        expected = "one engine: an assignment states its own latency"
        faults.append(
            Fault(f"runs on the engines {', '.join(engines)}", path="order", expected=expected)
        )
    if faults:
        raise InputError(faults)
    return unrolled


def scheduled_traffic(plan: Plan, graph: Graph, lowered: Lowered) -> ScheduledTraffic:
    """Return the traffic of a plan for `graph`, by the rows of the lowered graph."""
    row_of = {op.name: i for i, k in enumerate(lowered.kernels) for op in k.operators}
    n = len(lowered.kernels)
    # A view has no row: events before it are assigned to the next row.
    row_at = [0] * (len(plan.order) + 1)
    row_at[-1] = n - 1
    for i in range(len(plan.order) - 1, -1, -1):
        row_at[i] = row_of.get(plan.order[i].operator, row_at[i + 1])
    activation_bytes = np.zeros((n, 1))
    for move in plan.moves:
        activation_bytes[row_at[move.step], 0] += move.size_bytes
    spilled = activation_bytes.copy()
    alias = aliases(graph)
    outputs = {alias.get(name, name) for name in graph.outputs}
    produced = {name for _, op in graph.walk() for name in op.writes}
    reloaded = {(m.tensor, m.step) for m in plan.moves if m.kind == "reload"}
    for residence in plan.residency:
        is_activation = graph.tensors[residence.tensor].role == "activation"
        if not is_activation or (residence.tensor, residence.first) in reloaded:
            continue
        if residence.tensor not in produced:
            activation_bytes[row_at[residence.first], 0] += residence.size_bytes
        if residence.tensor in outputs:
            activation_bytes[row_at[residence.first], 0] += residence.size_bytes
    memory = plan.capacities[0].memory if plan.capacities else plan.residency[0].memory
    outer = next((m.target for m in plan.moves if m.kind == "spill"), "")
    device = plan.residency[0].device
    peak = max(plan.held_bytes(memory, device), default=0.0)
    return ScheduledTraffic(memory, outer, spilled, activation_bytes, peak)


def apply_scheduled_traffic(
    table: OperatorTable, terms: Terms, setting: Setting, plan: ScheduledTraffic
) -> Terms:
    """Return the terms with the plan's traffic across the boundary of its memory.

    Weights, caches and states still cross once each; activations cross as planned. The time
    of that level follows from its bytes, and row times are recomposed.
    """
    assert table.accesses is not None
    if plan.memory == setting.levels[-1]:
        # Spills from main memory to storage.
        outer, spilled = plan.outer, plan.spilled_bytes
        if f"memories.{outer}.bandwidth" not in setting.facts or not spilled.any():
            return terms
        through: Value = terms.traffic.get(outer, 0.0) + spilled
    else:
        inner = setting.levels.index(plan.memory) if plan.memory in setting.levels else None
        outer = setting.levels[-1] if inner is None else setting.levels[inner + 1]
        if outer not in terms.traffic:
            return terms
        through = _boundary_bytes(table, setting, plan, inner, outer)
    memory = dict(terms.memory)
    if outer in memory or plan.memory == setting.levels[-1]:
        memory[outer] = seconds_of(terms, setting, outer, through)
    model = f"as planned between {plan.memory} and {outer}"
    return recomposed(terms, setting, {**terms.traffic, outer: through}, memory, model, terms.cold)


def _boundary_bytes(
    table: OperatorTable, setting: Setting, plan: ScheduledTraffic, inner: int | None, outer: str
) -> Value:
    """Return the bytes between the scheduled memory and the next outer one, row by row."""
    assert table.accesses is not None
    persistent = np.isin(table.accesses.tensor, (WEIGHT, PERSISTENT))
    if setting.weights_memory != setting.levels[-1] and outer == setting.levels[-1]:
        persistent &= table.accesses.tensor != WEIGHT
    bytes_: Value = access_bytes(table, setting) * persistent[:, None]
    if inner is not None:
        capacity = usable_capacity(setting, setting.levels[inner])
        bytes_ = bytes_ * crossing(table, setting, capacity)
    return sum_by_row(bytes_, table, setting) + plan.activation_bytes
