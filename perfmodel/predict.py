"""Predict: one machine, one workload, an optional precision and runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.arrays import Value, is_array, namespace
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import network_totals
from perfmodel.errors import Fault, InputError
from perfmodel.formats import FALLBACKS, Precision, as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds import kind
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.prediction import Prediction
from perfmodel.workload.families import Semantics
from perfmodel.workload.fuse import Fusion
from perfmodel.workload.lower import Lowered, OperatorTable, lower
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.plan import Plan

#: Points evaluated at once: small enough for the nearest caches (12 rows x 16,384 x 8 B).
CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class _Static:
    """What does not change with numbers: categories of a device under a runtime."""

    engine: str
    kind: Kind
    levels: tuple[str, ...]
    weights_memory: str
    overlap: str
    fusion: Fusion
    semantics: Semantics
    causal_skips_masked: bool
    keep: tuple[Device, Runtime]


_STATIC: dict[tuple[int, int, str], _Static] = {}


def predict(
    workload: Workload,
    device: Device | Machine,
    *,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    model: str | None = None,
    relaxed: bool = False,
    warm: bool = False,
    plan: Plan | None = None,
) -> Prediction:
    """Predict what a workload costs on a machine.

    Parameters
    ----------
    workload
        A network with its free dimensions bound to numbers or arrays.
    device
        A device, or a machine with facts varied (`Device.vary`).
    precision
        Precision or its text (``w4a16kv8``); by default the file's own, else the first of fp16,
        bf16, fp32 and int8 for which the engine has a peak.
    runtime
        Runtime or its name; by default the device's.
    model
        Kind to cost with instead of the engine's own; ``"roofline"`` is the bare roofline: compute
        peak and main memory bandwidth, nothing else.
    relaxed
        Continuous forms of ceilings and floors, which have a slope.
    warm
        Weights and KV cache stay, from one run to the next, in the nearest memory that holds the
        whole footprint; by default they come from main memory once a run.
    plan
        A schedule of this very graph; one that does not fit it is bad input.

    Returns
    -------
    Prediction
        Scalars where every input is a number; else arrays of the inputs' broadcast shape.

    Raises
    ------
    InputError
        Unknown names, a plan of another graph, inputs that do not broadcast.
    """
    machine = _machine(device, runtime)
    static = _static(machine, model)
    chosen = _precision(precision, workload, machine, static.engine)
    graph = workload.graph(static.semantics)
    if graph.schedulable_only:
        raise InputError(
            Fault(
                f"'{workload.name}' can be scheduled but not predicted: it holds sizes only",
                expected="a workload with operators, such as a model name or an ONNX file",
            )
        )
    if plan is not None and (faults := plan.check(graph)):
        raise InputError(faults)
    bare = model == "roofline"
    lowered = lower(graph, static.fusion, tagged=bool(chosen.weights.overrides))
    job = Job(workload, machine, chosen, static, lowered, bare, relaxed, warm)
    return job.run()


@dataclass(frozen=True, slots=True)
class Job:
    """One prediction: everything but the numbers is resolved."""

    workload: Workload
    machine: Machine
    precision: Precision
    static: _Static
    lowered: Lowered
    bare: bool
    relaxed: bool
    warm: bool

    def run(self) -> Prediction:
        """Evaluate at every point, in chunks, and reduce each chunk to sums over the network."""
        inputs = _Inputs(self)
        if not inputs.shape:
            table, terms, setting = self.rows(inputs.values, inputs.facts, self.precision, 1)
            totals = _sums(table, terms, setting)
            return Prediction(self, totals, (), setting, (table, terms))
        count = int(np.prod(inputs.shape))
        if inputs.foreign or count <= CHUNK:
            values, facts, precision = inputs.chunk(0, count)
            table, terms, setting = self.rows(values, facts, precision, count)
            totals = _sums(table, terms, setting)
            return Prediction(self, totals, inputs.shape, setting, (table, terms))
        out: dict[str, Value] = {}
        setting: Setting | None = None
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            values, facts, precision = inputs.chunk(start, stop)
            table, terms, setting = self.rows(values, facts, precision, stop - start)
            for name, part in _sums(table, terms, setting).items():
                if np.size(part) == 1:
                    out.setdefault(name, np.asarray(part, dtype=float).reshape(1))
                    if out[name].size == 1:
                        continue
                whole = out.get(name)
                if whole is None or whole.size != count:
                    whole = out[name] = np.empty(count)
                whole[start:stop] = part
        assert setting is not None
        whole_setting = replace(setting, facts=inputs.facts, precision=inputs.precision)
        return Prediction(self, out, inputs.shape, whole_setting, None)

    def rows(
        self, values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision,
        points: int,
    ) -> tuple[OperatorTable, Terms, Setting]:  # fmt: skip
        """Return table, terms and setting for flat arrays of `points` points."""
        static = self.static
        setting = Setting(
            facts, static.engine, static.levels, static.weights_memory, precision, static.overlap,
            self.bare, static.causal_skips_masked, self.warm, self.relaxed,
            _space(values, facts, precision),
        )  # fmt: skip
        table = self.lowered.bind(
            values, points, accesses=not self.bare, relaxed=self.relaxed
        )
        return table, static.kind.cost(table, setting), setting

    def at(self, point: int) -> Job:
        """Return the job of one point (its index in the flattened shape)."""
        inputs = _Inputs(self)
        if not inputs.shape:
            return self
        values, facts, precision = inputs.chunk(point, point + 1)
        single = {name: _first(v) for name, v in values.items()}
        changes = {p: _first(facts[p]) for p in self.machine.varied}
        machine = self.machine.vary(changes) if changes else self.machine
        one = precision.with_bits(
            **{role: _first(getattr(precision, role).element_bits) for role in _ROLES
               if is_array(getattr(precision, role).element_bits)}
        )  # fmt: skip
        return replace(self, workload=self.workload.bind(single), machine=machine, precision=one)


_ROLES = ("weights", "activations", "kv")


def _first(value: Value) -> Value:
    return float(np.asarray(value).reshape(-1)[0]) if is_array(value) else value


class _Inputs:
    """The array-valued inputs of a job, flattened to one axis of points."""

    def __init__(self, job: Job) -> None:
        self.values = job.workload.parameters
        self.facts = job.machine.facts
        self.precision = job.precision
        varied = {p: self.facts[p] for p in self.facts if is_array(self.facts[p])}
        bits = {
            role: value for role in _ROLES
            if is_array(value := getattr(job.precision, role).element_bits)
        }  # fmt: skip
        named = {n: v for n, v in self.values.items() if is_array(v)}
        shapes = {
            **{n: np.shape(v) for n, v in named.items()},
            **{n: np.shape(v) for n, v in varied.items()},
            **{f"{n} bits": np.shape(v) for n, v in bits.items()},
        }
        try:
            self.shape = np.broadcast_shapes(*shapes.values())
        except ValueError:
            text = ", ".join(f"{n} {s}" for n, s in shapes.items())
            raise InputError(Fault(f"shapes do not broadcast: {text}")) from None
        everything = (*named.values(), *varied.values(), *bits.values())
        self.foreign = bool(everything) and namespace(*everything) is not np
        self._arrays = {"value": named, "fact": varied, "bits": bits}

    def chunk(
        self, start: int, stop: int
    ) -> tuple[dict[str, Value], Mapping[str, Value], Precision]:
        """Return parameters, facts and precision for a range of points."""
        cut = {
            group: {n: self._cut(v, start, stop) for n, v in arrays.items()}
            for group, arrays in self._arrays.items()
        }
        values = {**self.values, **cut["value"]}
        facts = {**self.facts, **cut["fact"]} if cut["fact"] else self.facts
        precision = self.precision.with_bits(**cut["bits"]) if cut["bits"] else self.precision
        return values, facts, precision

    def _cut(self, value: Value, start: int, stop: int) -> Value:
        if self.foreign:
            xp = namespace(value)
            return xp.broadcast_to(xp.asarray(value), self.shape).reshape(-1)
        if value.ndim == 0:
            return value[()]
        if value.shape == self.shape:
            flat = value.reshape(-1)[start:stop]
        else:
            index = np.unravel_index(np.arange(start, stop), self.shape)
            lead = len(self.shape) - value.ndim
            flat = value[
                tuple(index[lead + i] if n > 1 else 0 for i, n in enumerate(value.shape))
            ]
        # Whole numbers as floats: products of token counts overflow no integer.
        return np.asarray(flat, dtype=float)


def _sums(table: OperatorTable, terms: Terms, setting: Setting) -> dict[str, Value]:
    return network_totals(table, setting, terms.row_s, terms.traffic, terms.operations)


def _space(
    values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision
) -> Any:
    foreign = [
        v
        for v in (*values.values(), *facts.values(), *(getattr(precision, r).element_bits
                                                       for r in _ROLES))
        if type(v) is not float and is_array(v) and not isinstance(v, np.ndarray | np.generic)
    ]  # fmt: skip
    return namespace(*foreign) if foreign else np


def _machine(device: Device | Machine, runtime: str | Runtime | None) -> Machine:
    if isinstance(device, Machine):
        if runtime is None or runtime in (device.runtime, device.runtime.name):
            return device
        return Machine(device.device, runtime).vary(device.varied)
    return device.machine(runtime)


def _static(machine: Machine, model: str | None) -> _Static:
    key = (id(machine.device), id(machine.runtime), model or "")
    found = _STATIC.get(key)
    if found is not None:
        return found
    device, runtime = machine.device, machine.runtime
    name = machine.engine
    engine = device.engine(name)
    main = machine.main_memory
    levels: list[str] = []
    for memory in machine.hierarchy():
        levels.append(memory.name)
        if memory.name == main:
            break
    if main not in levels:
        levels.append(main)
    stores = [m.name for m in device.memories if "weights" in m.roles]
    try:
        chosen = kind(model or engine.kind)
    except KeyError:
        from perfmodel.errors import nearest
        from perfmodel.kinds import BUILT_IN

        raise InputError(
            Fault(
                f"unknown model '{model}'", path="model", expected=f"one of {', '.join(BUILT_IN)}",
                suggestion=nearest(model or engine.kind, BUILT_IN),
            )
        ) from None  # fmt: skip
    fusion = runtime.fusion
    semantics = runtime.semantics
    found = _Static(
        name, chosen, tuple(levels), stores[0] if stores else main, device.overlap,
        Fusion(fusion.elementwise, fusion.attention == "flash"),
        Semantics(semantics.head_on_every_token, semantics.runs_dead_branches),
        semantics.causal_skips_masked, (device, runtime),
    )  # fmt: skip
    if len(_STATIC) >= 1024:
        _STATIC.clear()
    _STATIC[key] = found
    return found


def _precision(
    given: str | Precision | None, workload: Workload, machine: Machine, engine: str
) -> Precision:
    if given is not None:
        return as_precision(given)
    if workload.precision:
        return as_precision(workload.precision)
    for name in ("fp16", "bf16", "fp32", "int8"):
        if f"engines.{engine}.peaks.{name}" in machine.facts:
            return as_precision(name)
    return as_precision("fp16")


def supported(machine: Machine, engine: str, compute: str) -> bool:
    """Tell whether an engine runs a compute format, itself or in a wider form."""
    return any(
        f"engines.{engine}.peaks.{name}" in machine.facts for name in FALLBACKS.get(compute, ())
    )
