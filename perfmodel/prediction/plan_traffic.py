"""Prediction of a network under a plan: unrolled graph, and traffic of the planned schedule.

A plan states the order of the operators, which memory holds which tensor when, and every spill and
reload. `unrolled_graph` checks that it belongs to the network and writes out repetitions;
`planned_moves` collects its bytes, row by row; `PlannedMoves.applied` replaces the traffic that the
residency rule would predict for the scheduled memory and recomposes the row times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

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
from perfmodel.source_positions import Marks
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.lower import Lowered
from perfmodel.workload.operator_table import PERSISTENT, WEIGHT, OperatorTable
from perfmodel.workload.symbols import Dim, evaluate
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
    weight_bytes
        Bytes of reads of weights that kernels in tiles make beside the first, ``(rows, 1)``.
    """

    memory: str
    outer: str
    spilled_bytes: npt.NDArray[np.float64]
    activation_bytes: npt.NDArray[np.float64]
    peak_bytes: float
    weight_bytes: npt.NDArray[np.float64]


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
    if not plan.residency and not plan.tiles:
        return None
    shares = memory_shares(plan, graph, lowered, machine)
    return PlannedMoves(scheduled_traffic(plan, graph, lowered), shares)


def unrolled_graph(
    graph: Graph,
    workload: Workload,
    plan: Plan,
    precision: Precision,
    machine: Machine,
    marks: Marks | None = None,
) -> Graph:
    """Return the graph that a plan refers to, with repetitions unrolled.

    Parameters
    ----------
    marks
        Positions of the plan's values in its file.

    Raises
    ------
    InputError
        The plan belongs to another network, precision or device, or contains unsupported entries.
    """
    if workload.shape:
        expected = "one number for each dimension of the workload"
        raise input_error("a plan is of one network", path="plan", expected=expected)
    unrolled = graph.unroll(workload.parameters)
    sizes = _activation_bytes(unrolled, workload, precision)
    faults = plan.check(unrolled, sizes)
    if not faults:
        faults += _tile_faults(plan, unrolled, workload, sizes)
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
    if marks is not None:
        faults = [_located(fault, marks) for fault in faults]
    if faults:
        raise InputError(faults)
    return unrolled


def _located(fault: Fault, marks: Marks) -> Fault:
    """Return a fault with its place in the plan's file."""
    path = tuple(int(part) if part.isdigit() else part for part in fault.path.split("."))
    line, column = marks.at(path)
    return replace(fault, file=marks.file(path), line=line, column=column)


def _activation_bytes(graph: Graph, workload: Workload, precision: Precision) -> dict[str, float]:
    """Return the whole bytes of each activation of an unrolled graph."""
    values = dict(workload.parameters)
    sizes: dict[tuple[str, Dim], float] = {}
    out: dict[str, float] = {}
    for name, tensor in graph.tensors.items():
        if tensor.role == "activation":
            key = tensor.slot, tensor.elements
            if key not in sizes:
                bits = float(evaluate(key[1], values)) * float(precision.bits(key[0]))
                sizes[key] = math.ceil(bits / 8.0 - 1e-9)
            out[name] = sizes[key]
    return out


def _tile_faults(
    plan: Plan, graph: Graph, workload: Workload, sizes: Mapping[str, float]
) -> Iterator[Fault]:
    """Yield tensors of kernels in tiles of which fewer bytes cross than are read or written."""
    alias = aliases(graph)
    operators = {op.name: op for _, op in graph.walk()}
    labels = {p.operator: p.kernel or p.operator for p in plan.order}
    members: dict[str, list[Operator]] = {}
    for name, label in labels.items():
        members.setdefault(label, []).append(operators[name])
    for i, kernel in enumerate(plan.tiles):
        least: dict[str, float] = {}
        for op in members[labels[kernel.operator]]:
            share = _share_read(op, graph, workload)
            for name in op.reads:
                source = alias.get(name, name)
                least[source] = max(least.get(source, 0.0), share)
            least |= {alias.get(name, name): 1.0 for name in op.writes}
        for j, tensor in enumerate(kernel.tensors):
            size = sizes[tensor.tensor] * least[tensor.tensor]
            if tensor.size_bytes < math.floor(size):
                yield Fault(
                    f"{tensor.size_bytes:g} bytes of '{tensor.tensor}' cross",
                    f"tiles.{i}.tensors.{j}",
                    expected=f"{size:g} bytes or more, which the kernel reads or writes",
                )


def _share_read(op: Operator, graph: Graph, workload: Workload) -> float:
    """Return the least share of its input that an operator with windows reads; else 1.

    Windows of k positions at steps of s reach ``(outputs - 1) min(k, s) + k`` positions along an
    axis, of which padding is at most the sum of both ends.
    """
    window = dict(op.attributes)
    if window.get("transposed") or not {"kernel", "stride", "padding"} <= window.keys():
        return 0.0 if window.get("transposed") else 1.0
    values, share = dict(workload.parameters), 1.0
    source, target = (graph.tensors[names[0]].shape for names in (op.reads, op.writes))
    for i, (k, step, pad) in enumerate(
        zip(window["kernel"], window["stride"], window["padding"], strict=True)
    ):
        extent, outputs = (float(evaluate(shape[i + 2], values)) for shape in (source, target))
        dilated = window.get("dilation", (1,) * (i + 1))[i] > 1
        reach = outputs if dilated else (outputs - 1.0) * min(k, step) + k
        padded = 2.0 * pad if isinstance(pad, int) else float(sum(pad))
        share *= min(1.0, max(0.0, reach - padded) / extent)
    return share


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
    weight_bytes = np.zeros((n, 1))
    for kernel in plan.tiles:
        row = row_of[kernel.operator]
        activation_bytes[row, 0] += sum(tensor.size_bytes for tensor in kernel.tensors)
        weight_bytes[row, 0] += kernel.weight_bytes
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
    outers = (m.target for m in plan.moves if m.kind == "spill")
    outer = next(chain(outers, (kernel.memory for kernel in plan.tiles)), "")
    peak = max(plan.held_bytes(memory, plan.order[0].device), default=0.0)
    return ScheduledTraffic(memory, outer, spilled, activation_bytes, peak, weight_bytes)


def apply_scheduled_traffic(
    table: OperatorTable, terms: Terms, setting: Setting, plan: ScheduledTraffic
) -> Terms:
    """Return the terms with the plan's traffic across the boundary of its memory.

    Weights, caches and states still cross once each; activations cross as planned. The time
    of that level follows from its bytes, and row times are recomposed.
    """
    assert table.accesses is not None
    main = setting.levels[-1]
    change: dict[str, Value] = {}
    if plan.memory == main:
        # Spills from main memory to storage.
        outer, stored = plan.outer, setting.weights_memory
        source = outer if stored == main else stored
        if f"memories.{outer}.bandwidth" in setting.facts and plan.spilled_bytes.any():
            change[outer] = terms.traffic.get(outer, 0.0) + plan.spilled_bytes
    else:
        inner = setting.levels.index(plan.memory) if plan.memory in setting.levels else None
        outer = main if inner is None else setting.levels[inner + 1]
        if outer not in terms.traffic:
            return terms
        change[outer] = _boundary_bytes(table, setting, plan, inner, outer)
        source = setting.weights_memory if outer == main else outer
    # Weights that are read again come from where they are stored.
    if plan.weight_bytes.any() and f"memories.{source}.bandwidth" in setting.facts:
        change[source] = change.get(source, terms.traffic.get(source, 0.0)) + plan.weight_bytes
    if not change:
        return terms
    memory = dict(terms.memory)
    for name, through in change.items():
        if name in memory or plan.memory == main:
            memory[name] = seconds_of(terms, setting, name, through)
    model = f"as planned between {plan.memory} and {outer}"
    return recomposed(terms, setting, {**terms.traffic, **change}, memory, model, terms.cold)


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
