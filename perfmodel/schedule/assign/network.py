"""Assignment problem of a network on devices: seconds of rows, and of tensors between them.

On one device engines share its main memory. A tensor that both engines would keep in their own
memories must be written there and read back; traffic through main memory that occurs anyway is
already in the seconds of the rows. Then the receiving engine waits for its `handover`. Between
devices a tensor crosses a link. If the engines multiply activations in different formats, each
element is converted once, on the vector units of the receiving engine. An operator that would be
fused into a kernel on the same engine costs as much as a separate kernel elsewhere, and the
difference is added to the transfer that reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

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
from perfmodel.schedule.assign.riders import cut, parts_of, split_costs
from perfmodel.schedule.assign.stations import (
    ALONE,
    Station,
    StationProfile,
    main_memory_rate,
    measure,
    stations,
)
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
        Elements and bytes written by the maker.
    cached
        Whether it is a KV cache or a state, which is in main memory on any engine.
    """

    tensor: str
    maker: int
    readers: tuple[int, ...]
    elements: float
    size_bytes: float
    cached: bool


@dataclass(frozen=True)
class AssignmentNetwork:
    """A network on engines, with its assignment problem.

    Attributes
    ----------
    graph
        The graph with its repetitions unrolled.
    measured
        Profile of each engine.
    flows
        Tensors of the problem, in its order.
    joins
        Link between each pair of devices.
    per_run_s
        Overhead of the first device's runtime per run.
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
        """Engines of the network."""
        return [m.station for m in self.measured]

    @property
    def kinds(self) -> list[str]:
        """Operator class of each row."""
        return [row.kind.removesuffix(ALONE) for row in self.lowered.rows]

    @property
    def kernels(self) -> list[FusedKernel]:
        """Fused kernels, one per row."""
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
        As for `perfmodel.predict`, for the first device.
    engines
        Names of the engines to use.
    link
        Link between devices by name, or its bandwidth: ``"12.5 GB/s"``; by default the fastest that
        they have in common, else any that one of them has.
    warm, fuse
        As for `perfmodel.predict`. A fused kernel that an engine supports only in part is cut
        (`perfmodel.schedule.assign.riders`).
    fits
        Require that weights and caches fit the memories.

    Raises
    ------
    InputError
        Unknown names, dimensions that are arrays, or a network of sizes only.
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
        # With one engine the memory time is within the rows already.
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
    """Return the seconds of main memory, ``(devices, rows, engines)``."""
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
    """Return the seconds of cut kernels, and the extra seconds on their flows if separated."""
    between = {(f.maker, f.readers[0]): t for t, f in enumerate(flows) if len(f.readers) == 1}
    parts = [part for part in parts if part[1:] in between]
    seconds, extra = split_costs(fused, seconds, parts)
    apart: Floats = np.zeros((len(flows), 1, fused.shape[1]))
    for _, first, second in parts:
        apart[between[first, second], 0] = extra[second]
    return seconds, apart


def _seconds_per_run(machine: Machine, workload: Workload) -> float:
    """Return the overhead of a runtime per run, in seconds."""
    per_run, per_sequence = (
        float(np.asarray(machine.get(f"runtime.{name}", 0.0)))
        for name in ("per_run", "per_sequence")
    )
    return per_run + per_sequence * float(np.asarray(workload.parameters.get("batch", 1.0)))


def _flows(
    graph: Graph, kernels: Sequence[FusedKernel], workload: Workload, precision: Precision
) -> list[AssignmentTensor]:
    """Return the tensors that each kernel writes and later ones read, by their last writer."""
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
    """Return the bytes that each kernel needs in each device's main memory, and the capacity.

    Weights and caches are counted at the first kernel that touches them. The activations of the
    full network, as on that device alone, are subtracted from the capacity. Weights in a separate
    memory do not count.
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
        room = machine.facts[f"memories.{main}.capacity"]
        room -= machine.facts.get(f"memories.{main}.reserved", 0.0)
        left = float(room) - float(np.asarray(one.prediction.activation_bytes))
        limits[device] = max(left, 0.0)
    return demand, limits


def _joins(engines_used: Sequence[Station], link: str | None) -> dict[tuple[str, str], Join]:
    machines = {s.device: s.machine for s in engines_used}
    return {(a, b): join(machines[a], machines[b], link) for a, b in permutations(machines, 2)}


def _channels(engines_used: Sequence[Station]) -> tuple[Index, int]:
    """Return the channel between each pair of engines: a device's memory, or a link one way."""
    names: dict[tuple[str, str], int] = {}
    lanes: Index = np.full((len(engines_used), len(engines_used)), -1, dtype=np.intp)
    for (e, one), (f, two) in permutations(enumerate(engines_used), 2):
        lanes[e, f] = names.setdefault((one.device, two.device), len(names))
    return lanes, len(names)


def _delays(
    flows: Sequence[AssignmentTensor],
    measured: Sequence[StationProfile],
    joins: dict[tuple[str, str], Join],
) -> Floats:
    """Return seconds to send each tensor from engine to engine, as the module describes."""
    m = len(measured)
    size: Floats = np.array([flow.size_bytes for flow in flows])
    elements: Floats = np.array([flow.elements for flow in flows])
    delays: Floats = np.zeros((len(flows), m, m))
    for (e, one), (f, two) in permutations(enumerate(measured), 2):
        machine = two.station.machine
        handover = machine.get(f"engines.{two.station.engine}.handover") or 0.0
        if one.station.device == two.station.device:
            # A tensor in a private memory must be written to the shared one.
            twice = _extra(flows, one) + _extra(flows, two)
            seconds: Floats = size * twice / main_memory_rate(machine)
        else:
            seconds = joins[one.station.device, two.station.device].seconds(size)
        if one.activation_format != two.activation_format:
            seconds = seconds + CONVERSION_OPS * elements / two.vector_rate
        delays[:, e, f] = seconds + float(handover)
    return delays


def _extra(flows: Sequence[AssignmentTensor], measured: StationProfile) -> Floats:
    """Return 1 for each tensor that the engine would otherwise keep out of main memory."""
    resident = [not f.cached and not measured.through.get(f.tensor, True) for f in flows]
    return np.array(resident, dtype=np.float64)
