"""Assignment problem of a network on devices: seconds of rows, and of tensors between engines.

Rows are fused kernels, timed on every engine by its hardware kind (`device_engines.py`). Sending a
tensor of ``size`` bytes and ``elements`` from engine e to engine f takes, in seconds,

``size * extra / main_memory_rate + handover[f] + conversion`` on one device,

``link.latency + size / link.bandwidth + handover[f] + conversion`` between devices,

with ``conversion = 2 * elements / vector_rate[f]`` if the two multiply activations in different
formats, else 0, and ``extra`` from 0 to 2 as follows.

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
from perfmodel.schedule.assign.device_engines import (
    UNFUSED_SUFFIX,
    DeviceEngine,
    EngineProfile,
    device_engines,
    main_memory_rate,
    profile_rows,
)
from perfmodel.schedule.assign.device_links import DeviceLink, link_between
from perfmodel.schedule.assign.kernel_splitting import split_kernels, split_rows, split_seconds
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
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
    profiles
        Profile of each engine.
    flows
        Tensors of the problem, in its order.
    links
        Link between each pair of devices.
    per_run_s
        Overhead of the first device's runtime per run.
    """

    workload: Workload
    graph: Graph
    lowered: Lowered
    precision: Precision
    profiles: tuple[EngineProfile, ...]
    flows: tuple[AssignmentTensor, ...]
    links: dict[tuple[str, str], DeviceLink]
    problem: AssignmentProblem
    per_run_s: float

    @property
    def device_engines(self) -> list[DeviceEngine]:
        """Engines of the network."""
        return [m.device_engine for m in self.profiles]

    @property
    def kinds(self) -> list[str]:
        """Operator class of each row."""
        return [row.kind.removesuffix(UNFUSED_SUFFIX) for row in self.lowered.rows]

    @property
    def kernels(self) -> list[FusedKernel]:
        """Fused kernels, one per row."""
        return self.lowered.kernels


def network_problem(
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
        As for `perfmodel.predict`. A fused kernel that an engine supports only in part is split
        (`perfmodel.schedule.assign.kernel_splitting`).
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
    engines_used = device_engines(workload, devices, runtime, engines, precision)
    subject = stages.resolve(workload, engines_used[0].machine, precision)
    formats = subject.precision
    graph = stages.source_graph(subject, "assigned").unroll(workload.parameters)
    rules = stages.fuse(subject, fuse)
    fused = lowered = stages.lower(graph, rules, formats)
    split_graph = split_kernels(graph, fused.kernels, engines_used) if rules.elementwise else None
    if split_graph is not None:
        lowered = stages.lower(split_graph, rules, formats)
    if not lowered.rows:
        raise input_error(f"'{workload.name}' computes nothing", file=workload.origin)

    def profiled(rows: Lowered) -> tuple[EngineProfile, ...]:
        return tuple(profile_rows(s, workload, formats, rows, warm=warm) for s in engines_used)

    profiles = profiled(lowered)
    flows = tuple(_flows(graph, lowered.kernels, workload, formats))
    seconds = _seconds(profiles)
    separation_s: Floats = np.zeros((len(flows), 1, len(engines_used)))
    if split_graph is not None:
        parts = split_rows(fused.kernels, lowered.kernels)
        seconds, separation_s = _split_seconds(_seconds(profiled(fused)), seconds, parts, flows)
    links = _links(engines_used, link)
    channel_of, channels = _channels(engines_used)
    demand, limits = _memories(graph, lowered.kernels, workload, formats, profiles)
    problem = AssignmentProblem.with_tensors(
        seconds,
        [f.maker for f in flows],
        [f.readers for f in flows],
        _delays(flows, profiles, links) + separation_s,
        channels=channel_of,
        operators=[k.head.name for k in lowered.kernels],
        engines=[s.name for s in engines_used],
        # With one engine the memory time is within the rows already.
        shared=_shared(profiles) if channels else None,
        demand=demand if fits else None,
        limits=limits if fits else (),
    )
    per_run_s = _seconds_per_run(subject.machine, workload)
    return AssignmentNetwork(
        workload, graph, lowered, formats, profiles, flows, links, problem, per_run_s
    )


def _devices(profiles: Sequence[EngineProfile]) -> list[str]:
    """Return the names of the devices, in the order of their engines."""
    return list(dict.fromkeys(each.device_engine.device for each in profiles))


def _seconds(profiles: Sequence[EngineProfile]) -> Floats:
    """Return the seconds of all rows, ``(rows, engines)``."""
    return np.stack([each.seconds for each in profiles], axis=1)


def _shared(profiles: Sequence[EngineProfile]) -> Floats:
    """Return the seconds of main memory, ``(devices, rows, engines)``."""
    labels = _devices(profiles)
    shared: Floats = np.zeros((len(labels), len(profiles[0].memory_s), len(profiles)))
    for e, each in enumerate(profiles):
        shared[labels.index(each.device_engine.device), :, e] = each.memory_s
    return shared


def _split_seconds(
    fused: Floats,
    seconds: Floats,
    parts: Sequence[tuple[int, int, int]],
    flows: Sequence[AssignmentTensor],
) -> tuple[Floats, Floats]:
    """Return the seconds of split kernels, and the extra seconds on their flows if separated."""
    between = {(f.maker, f.readers[0]): t for t, f in enumerate(flows) if len(f.readers) == 1}
    parts = [part for part in parts if part[1:] in between]
    seconds, extra = split_seconds(fused, seconds, parts)
    separation_s: Floats = np.zeros((len(flows), 1, fused.shape[1]))
    for _, first, second in parts:
        separation_s[between[first, second], 0] = extra[second]
    return seconds, separation_s


def _seconds_per_run(machine: Machine, workload: Workload) -> float:
    """Return the overhead of a runtime per run, in seconds."""
    per_run, per_sequence, per_prompt = (
        float(np.asarray(machine.get(f"runtime.{name}", 0.0)))
        for name in ("per_run", "per_sequence", "per_prompt")
    )
    sequences = float(np.asarray(workload.parameters.get("batch", 1.0)))
    return per_run + per_sequence * sequences + per_prompt * ("prompt" in workload.parameters)


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
    profiles: Sequence[EngineProfile],
) -> tuple[Floats, Floats]:
    """Return the bytes that each kernel needs in each device's main memory, and the capacity.

    Weights and caches are counted at the first kernel that touches them. The activations of the
    full network, as on that device alone, are subtracted from the capacity. Weights in a separate
    memory do not count.
    """
    labels = _devices(profiles)
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
    demand: Floats = np.zeros((len(labels), len(kernels), len(profiles)))
    limits: Floats = np.zeros(len(labels))
    for e, one in enumerate(profiles):
        device = labels.index(one.device_engine.device)
        machine = one.device_engine.machine
        main = machine.main_memory
        is_separate = engine_model(machine).setting.weights_memory != main
        weights = 0.0 if is_separate else stored["weight"]
        demand[device, :, e] = stored["kv"] + stored["state"] + weights
        room = machine.facts[f"memories.{main}.capacity"]
        room -= machine.facts.get(f"memories.{main}.reserved", 0.0)
        left = float(room) - float(np.asarray(one.prediction.activation_bytes))
        limits[device] = max(left, 0.0)
    return demand, limits


def _links(
    engines_used: Sequence[DeviceEngine], link: str | None
) -> dict[tuple[str, str], DeviceLink]:
    """Return the link between each pair of devices."""
    machines = {s.device: s.machine for s in engines_used}
    return {
        (a, b): link_between(machines[a], machines[b], link) for a, b in permutations(machines, 2)
    }


def _channels(engines_used: Sequence[DeviceEngine]) -> tuple[Index, int]:
    """Return the channel between each pair of engines: a device's memory, or a link one way."""
    names: dict[tuple[str, str], int] = {}
    channel_of: Index = np.full((len(engines_used), len(engines_used)), -1, dtype=np.intp)
    for (e, one), (f, two) in permutations(enumerate(engines_used), 2):
        channel_of[e, f] = names.setdefault((one.device, two.device), len(names))
    return channel_of, len(names)


def _delays(
    flows: Sequence[AssignmentTensor],
    profiles: Sequence[EngineProfile],
    links: dict[tuple[str, str], DeviceLink],
) -> Floats:
    """Return seconds to send each tensor from engine to engine, by the equations of the module."""
    m = len(profiles)
    size: Floats = np.array([flow.size_bytes for flow in flows])
    elements: Floats = np.array([flow.elements for flow in flows])
    delays: Floats = np.zeros((len(flows), m, m))
    for (e, one), (f, two) in permutations(enumerate(profiles), 2):
        machine = two.device_engine.machine
        handover = machine.get(f"engines.{two.device_engine.engine}.handover") or 0.0
        if one.device_engine.device == two.device_engine.device:
            # A tensor in a private memory must be written to the shared one.
            passes = _extra(flows, one) + _extra(flows, two)
            seconds: Floats = size * passes / main_memory_rate(machine)
        else:
            seconds = links[one.device_engine.device, two.device_engine.device].seconds(size)
        if one.activation_format != two.activation_format:
            seconds = seconds + CONVERSION_OPS * elements / two.vector_rate
        delays[:, e, f] = seconds + float(handover)
    return delays


def _extra(flows: Sequence[AssignmentTensor], profile: EngineProfile) -> Floats:
    """Return 1 for each tensor that the engine would otherwise keep out of main memory."""
    resident = [not f.cached and not profile.crosses_main_memory.get(f.tensor, True) for f in flows]
    return np.array(resident, dtype=np.float64)
