"""From a network and devices to a problem: times of rows, and of what flows between them.

On one device engines share its main memory. A tensor that both keep in memories of their own must
be written there and read back; the part that passes through main memory anyway is in the rows'
times already. Then the engine that takes over waits for its `handover`. Between devices a tensor
takes a link. Where the engines multiply activations in different formats, each element is converted
once, on the vector units of the engine that takes over. An operator that would ride on a kernel if
it were on the same engine costs what a kernel of its own does, and the difference counts with what
reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.errors import input_error
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.prediction import stages
from perfmodel.prediction.engine_model import engine_model
from perfmodel.schedule.assign.joins import Join, join
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.riders import cut, parts_of, together
from perfmodel.schedule.assign.stations import ALONE, Station, StationProfile, measure, stations
from perfmodel.workload.fuse import FusedKernel, aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import Lowered
from perfmodel.workload.symbols import Dim, evaluate
from perfmodel.workload.workload import Workload

#: Vector operations to convert an element: a scale and a rounding, or a scale and a shift.
CONVERSION_OPS = 2.0


@dataclass(frozen=True, slots=True)
class AssignmentTensor:
    """A tensor that flows from one row to others.

    Attributes
    ----------
    elements, size_bytes
        What its maker writes.
    kept
        KV cache or a state: it lies in main memory whatever the engine.
    """

    tensor: str
    maker: int
    readers: tuple[int, ...]
    elements: float
    size_bytes: float
    cached: bool


@dataclass(frozen=True)
class AssignmentNetwork:
    """A network on engines, ready to be assigned.

    Attributes
    ----------
    graph
        Repetitions written out.
    measured
        Of each engine.
    flows
        Tensors of the problem, in its order.
    joins
        Between each pair of devices.
    per_run_s
        What the first device's runtime takes beside operators.
    """

    workload: Workload
    graph: Graph
    lowered: Lowered
    precision: Precision
    measured: tuple[StationProfile, ...]
    flows: tuple[AssignmentTensor, ...]
    joins: dict[tuple[str, str], Join]
    problem: AssignmentProblem
    per_run_s: float

    @property
    def stations(self) -> list[Station]:
        """The engines."""
        return [m.station for m in self.measured]

    @property
    def kinds(self) -> list[str]:
        """Class of each row."""
        return [row.kind.removesuffix(ALONE) for row in self.lowered.rows]

    @property
    def kernels(self) -> list[FusedKernel]:
        """Rows: operators that run as one."""
        return self.lowered.kernels


def network(
    workload: Workload,
    devices: Sequence[Device | Machine],
    *,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    engines: Sequence[str] | None = None,
    link: str | None = None,
    warm: bool = False,
    fuse: bool | None = None,
    fits: bool = True,
) -> AssignmentNetwork:
    """Return the problem of a network on the engines of some devices.

    Parameters
    ----------
    precision, runtime
        As for `perfmodel.predict`, of the first device.
    engines
        Names of the engines to use.
    link
        Link between devices by name, or its bandwidth: ``"12.5 GB/s"``; by default the fastest that
        they have in common, else any that one of them has.
    warm, fuse
        As for `perfmodel.predict`. A fused kernel of which an engine lacks a part is cut there
        (`perfmodel.schedule.assign.riders`).
    fits
        Weights and caches must fit the memories.

    Raises
    ------
    InputError
        Unknown names; dimensions that are arrays; a network of sizes alone.
    """
    if workload.shape:
        expected = "one number for each dimension of the workload"
        raise input_error("an assignment is of one network", "workload", expected=expected)
    engines_used = stations(workload, devices, runtime, engines, precision)
    subject = stages.resolve(workload, engines_used[0].machine, precision)
    formats = subject.precision
    graph = stages.written(subject, "assigned").unroll(workload.parameters)
    rules = stages.fuse(subject, fuse)
    fused = lowered = stages.lower(graph, rules, formats)
    loose = cut(graph, fused.kernels, engines_used) if rules.elementwise else None
    if loose is not None:
        lowered = stages.lower(loose, rules, formats)
    if not lowered.rows:
        raise input_error(f"'{workload.name}' computes nothing", file=workload.origin)
    measured = tuple(measure(s, workload, formats, lowered, warm=warm) for s in engines_used)
    flows = tuple(_flows(graph, lowered.kernels, workload, formats))
    seconds: Floats = np.stack([m.seconds for m in measured], axis=1)
    apart: Floats = np.zeros((len(flows), 1, len(engines_used)))
    if loose is not None:
        joined = [measure(s, workload, formats, fused, warm=warm).seconds for s in engines_used]
        parts = parts_of(fused.kernels, lowered.kernels)
        seconds, apart = _cut_seconds(np.stack(joined, axis=1), seconds, parts, flows)
    joins = _joins(engines_used, link)
    lanes, channels = _channels(engines_used)
    demand, limits = _memories(graph, lowered.kernels, workload, formats, measured)
    problem = AssignmentProblem.with_tensors(
        seconds,
        [f.maker for f in flows],
        [f.readers for f in flows],
        _delays(flows, measured, joins) + apart,
        channels=lanes,
        operators=[k.head.name for k in lowered.kernels],
        engines=[s.name for s in engines_used],
        # A single engine cannot ask more of its memory than it takes itself.
        shared=_shared(measured) if channels else None,
        demand=demand if fits else None,
        limits=limits if fits else (),
    )
    return AssignmentNetwork(
        workload,
        graph,
        lowered,
        formats,
        measured,
        flows,
        joins,
        problem,
        _seconds_per_run(subject.machine, workload),
    )


def _devices(measured: Sequence[StationProfile]) -> list[str]:
    return list(dict.fromkeys(each.station.device for each in measured))


def _shared(measured: Sequence[StationProfile]) -> Floats:
    """Return seconds of main memory, ``(devices, rows, engines)``."""
    labels = _devices(measured)
    shared: Floats = np.zeros((len(labels), len(measured[0].memory_s), len(measured)))
    for e, each in enumerate(measured):
        shared[labels.index(each.station.device), :, e] = each.memory_s
    return shared


def _cut_seconds(
    fused: Floats,
    seconds: Floats,
    parts: Sequence[tuple[int, int, int]],
    flows: Sequence[AssignmentTensor],
) -> tuple[Floats, Floats]:
    """Return seconds of kernels that were cut, and what apart engines add to their flows."""
    between = {(f.maker, f.readers[0]): t for t, f in enumerate(flows) if len(f.readers) == 1}
    parts = [part for part in parts if part[1:] in between]
    seconds, extra = together(fused, seconds, parts)
    apart: Floats = np.zeros((len(flows), 1, fused.shape[1]))
    for _, first, second in parts:
        apart[between[first, second], 0] = extra[second]
    return seconds, apart


def _seconds_per_run(machine: Machine, workload: Workload) -> float:
    """Return what a runtime takes for every run beside operators."""
    per_run, per_sequence = (
        float(np.asarray(machine.get(f"runtime.{name}", 0.0)))
        for name in ("per_run", "per_sequence")
    )
    return per_run + per_sequence * float(np.asarray(workload.parameters.get("batch", 1.0)))


def _flows(
    graph: Graph, kernels: Sequence[FusedKernel], workload: Workload, precision: Precision
) -> list[AssignmentTensor]:
    """Return what each kernel writes and later ones read, by its last writer before them."""
    alias = aliases(graph)
    values = {**graph.defaults, **workload.parameters}
    last: dict[str, tuple[int, Dim]] = {}
    readers: dict[tuple[str, int], list[int]] = {}
    size: dict[tuple[str, int], Dim] = {}
    for i, kernel in enumerate(kernels):
        for name in kernel.reads:
            writer = last.get(alias.get(name, name))
            if writer is not None and writer[0] != i:
                key = (alias.get(name, name), writer[0])
                readers.setdefault(key, []).append(i)
                size[key] = writer[1]
        for name, elements in kernel.writes.items():
            last[alias.get(name, name)] = (i, elements)
    flows: list[AssignmentTensor] = []
    for (name, maker), read in readers.items():
        tensor = graph.tensors[name]
        elements = float(evaluate(size[name, maker], values))
        bits = first_number(precision.bits(tensor.slot))
        cached = tensor.role in ("kv", "state")
        flows.append(
            AssignmentTensor(name, maker, tuple(read), elements, elements * bits / 8.0, cached)
        )
    return flows


def _memories(
    graph: Graph,
    kernels: Sequence[FusedKernel],
    workload: Workload,
    precision: Precision,
    measured: Sequence[StationProfile],
) -> tuple[Floats, Floats]:
    """Return bytes that each kernel keeps in each device's main memory, and what there is.

    Weights and caches, each counted at the first kernel that touches it. Activations of the whole
    network are taken off what a device has, as they would be on it alone. Weights in a memory of
    their own do not count.
    """
    labels = _devices(measured)
    alias = aliases(graph)
    values = {**graph.defaults, **workload.parameters}
    seen: set[str] = set()
    stored: dict[str, Floats] = {role: np.zeros(len(kernels)) for role in ("weight", "kv", "state")}
    for i, kernel in enumerate(kernels):
        for touched in (*kernel.reads, *kernel.writes):
            name = alias.get(touched, touched)
            tensor = graph.tensors[name]
            if tensor.role in stored and name not in seen:
                seen.add(name)
                bits = first_number(precision.bits(tensor.slot))
                stored[tensor.role][i] += float(evaluate(tensor.elements, values)) * bits / 8.0
    demand: Floats = np.zeros((len(labels), len(kernels), len(measured)))
    limits: Floats = np.zeros(len(labels))
    for e, one in enumerate(measured):
        device = labels.index(one.station.device)
        machine = one.station.machine
        main = machine.main_memory
        apart = engine_model(machine).setting.weights_memory != main
        demand[device, :, e] = stored["kv"] + stored["state"] + (0.0 if apart else stored["weight"])
        room = machine.facts[f"memories.{main}.capacity"] - machine.facts.get(
            f"memories.{main}.reserved", 0.0
        )
        left = float(room) - float(np.asarray(one.prediction.activation_bytes))
        limits[device] = max(left, 0.0)
    return demand, limits


def _joins(engines_used: Sequence[Station], link: str | None) -> dict[tuple[str, str], Join]:
    machines = {s.device: s.machine for s in engines_used}
    return {
        (a, b): join(machines[a], machines[b], link) for a in machines for b in machines if a != b
    }


def _channels(engines_used: Sequence[Station]) -> tuple[Index, int]:
    """Return the channel between each pair of engines: a device's memory, or a link one way."""
    names: dict[tuple[str, str], int] = {}
    lanes: Index = np.full((len(engines_used), len(engines_used)), -1, dtype=np.intp)
    for e, one in enumerate(engines_used):
        for f, two in enumerate(engines_used):
            if e != f:
                lanes[e, f] = names.setdefault((one.device, two.device), len(names))
    return lanes, len(names)


def _delays(
    flows: Sequence[AssignmentTensor],
    measured: Sequence[StationProfile],
    joins: dict[tuple[str, str], Join],
) -> Floats:
    """Return seconds to send each tensor from engine to engine; see the module."""
    m = len(measured)
    size: Floats = np.array([flow.size_bytes for flow in flows])
    elements: Floats = np.array([flow.elements for flow in flows])
    delays: Floats = np.zeros((len(flows), m, m))
    for e, one in enumerate(measured):
        # What leaves a memory of its own is written to the one that is shared.
        written = _extra(flows, one)
        for f, two in enumerate(measured):
            if e == f:
                continue
            machine = two.station.machine
            handover = machine.get(f"engines.{two.station.engine}.handover") or 0.0
            if one.station.device == two.station.device:
                main = machine.main_memory
                rate = machine.facts[f"memories.{main}.bandwidth"] * machine.facts.get(
                    f"memories.{main}.sustained_fraction", 1.0
                )
                seconds: Floats = size * (written + _extra(flows, two)) / float(rate)
            else:
                seconds = joins[one.station.device, two.station.device].seconds(size)
            if one.activation_format != two.activation_format:
                seconds = seconds + CONVERSION_OPS * elements / two.vector_rate
            delays[:, e, f] = seconds + float(handover)
    return delays


def _extra(flows: Sequence[AssignmentTensor], measured: StationProfile) -> Floats:
    """Return 1 for each tensor that the engine alone would keep off main memory."""
    resident = [not f.cached and not measured.through.get(f.tensor, True) for f in flows]
    return np.array(resident, dtype=np.float64)
