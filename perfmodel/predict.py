"""Predict: one machine, one workload, an optional precision and runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.facts import choices
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.memory import law_of
from perfmodel.hardware.overlay import overlaid
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds import kind
from perfmodel.kinds.protocol import Kind
from perfmodel.plan import Plan
from perfmodel.prediction import Prediction
from perfmodel.prediction.job import PredictionJob, Static
from perfmodel.prediction.placed import shares_of
from perfmodel.prediction.planned import crossings
from perfmodel.regular import text_of
from perfmodel.resolve import (
    DeviceLike,
    PredictionInputs,
    WorkloadLike,
    machine_of,
    precision_for,
    resolve,
    variant_of,
)
from perfmodel.settings import gathered
from perfmodel.specfile import MAX_BYTES
from perfmodel.workload.executed import ExecutionPolicy, executed
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.layouts import PLAIN, BlockedChannelLayout
from perfmodel.workload.lower import lower
from perfmodel.workload.panels import Panels
from perfmodel.workload.workload import Workload

_STATIC: dict[tuple[int, int, str], Static] = {}


def predict(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    set: Mapping[str, Any] | None = None,
    engine: str | None = None,
    model: str | None = None,
    fuse: bool | None = None,
    flash_attention: bool | None = None,
    relaxed: bool = False,
    warm: bool = False,
    plan: Plan | str | Path | None = None,
    overlay: str | Path | None = None,
) -> Prediction:
    """Predict what a workload costs on a device.

    Parameters
    ----------
    workload
        A model of the library, or a path to a model file. In Python also a `Workload` with its
        free dimensions bound to numbers or arrays.
    device
        A device of the library, or a path to a spec file (.yaml). In Python also a `Device`, or a
        `Machine` with facts varied.
    precision
        Formats of weights, activations and KV cache (fp16, w4a16kv8, q4_k_m, ...). By default the
        file's own, else the first of fp16, bf16, fp32, int8 and int16 for which the engine has a
        peak.
    runtime
        Software that runs it. By default the usual one of the device for such a workload, or
        `generic` where the device has none that runs it.
    set
        Further settings by name: facts of the device by path
        (``{"memories.main.bandwidth": "25 GB/s"}``), parameters of the workload
        (``{"batch": 8}``), ``weight_bits``, ``kv_bits``. Numbers may be arrays, which broadcast.
    engine
        Engine of the device. By default the one that the runtime drives.
    model
        Kind of cost model to use instead of the engine's own. "roofline" is the bare roofline:
        compute peak and memory bandwidth, nothing else.
    fuse
        Elementwise operators run with the operator before them. By default as the runtime does.
    flash_attention
        Attention scores stay on the chip. By default as the runtime does.
    relaxed
        Use continuous forms of ceilings and floors, which have a slope. In Python these are of
        every dimension given as a float, an array or a tracer; an integer is a constant.
    warm
        Weights and KV cache stay, from one run to the next, in the nearest memory that holds the
        whole footprint. By default they come from main memory once a run.
    plan
        The file of a schedule of this very network, as `perfmodel schedule --save-plan` writes it.
        Activations cross the boundary of its memory as it says, and weights and caches are read
        from the memories in which it has them. A plan of another network is bad input. In Python
        also a `Plan`.
    overlay
        A file of calibrated facts, as `perfmodel calibrate -o` writes it.

    Returns
    -------
    Prediction
        Numbers where every input is a number; else arrays of the inputs' broadcast shape.

    Raises
    ------
    InputError
        Every fault of the input at once. A workload that does not fit is a result, not an error.

    Examples
    --------
    >>> import perfmodel as pm
    >>> p = pm.predict("resnet50", "jetson_agx_orin", precision="int8", set={"batch": 8})
    >>> p.feasible
    True
    """
    faults = gathered()
    read = faults.trying(_plan_of, plan)
    varied = (
        device if overlay is None else faults.trying(overlaid, _named(device), runtime, overlay)
    )
    subject = resolve(
        workload, varied or device, precision, runtime, set, engine, model, faults=faults
    )
    return _predicted(subject, fuse, flash_attention, relaxed, warm, read)


def _named(device: DeviceLike) -> str | Path | Device:
    """Return what a calibration can be of: a device without facts varied.

    Raises
    ------
    InputError
        It has facts varied.
    """
    if isinstance(device, Machine):
        raise input_error(
            "a machine has facts of its own", path="overlay", expected="a device, by name or path"
        )
    return device


def _plan_of(plan: Plan | str | Path | None) -> Plan | None:
    """Return a plan, read from its file where that is what was given."""
    if isinstance(plan, str | Path):
        return Plan.from_json(text_of(Path(plan), MAX_BYTES), str(plan))
    return plan


def _predicted(
    subject: PredictionInputs,
    fuse: bool | None,
    flash_attention: bool | None,
    relaxed: bool,
    warm: bool,
    plan: Plan | None,
) -> Prediction:
    workload, device, precision, runtime, engine, model = subject
    machine = machine_for(workload, device, runtime, engine, precision)
    static = static_for(machine, model)
    chosen = precision_for(precision, workload, machine, static.engine)
    graph = workload.graph(static.semantics)
    if graph.schedulable_only:
        raise input_error(
            f"'{workload.name}' can be scheduled but not predicted: it holds sizes only",
            expected="a workload with operators, such as a model name or an ONNX file",
        )
    if plan is not None:
        graph = _written_out(graph, workload, plan, chosen, machine)
    bare = model == "roofline"
    if static.execution is not None and plan is None and not bare:
        # A plan is of the network itself: what a runtime adds to it is in no plan.
        graph = executed(graph, static.execution, chosen.activations.compute)
    fusion = static.fusion
    if fuse is not None or flash_attention is not None:
        fusion = fusion._replace(
            elementwise=fusion.elementwise if fuse is None else fuse,
            flash_attention=fusion.flash_attention if flash_attention is None else flash_attention,
        )
    lowered = lower(graph, fusion, tagged=bool(chosen.weights.overrides))
    if not lowered.rows:
        raise InputError(_nothing(workload, graph))
    moved = shares = None
    if plan is not None and plan.residency:
        moved = crossings(plan, graph, lowered)
        shares = shares_of(plan, graph, lowered, machine)
    job = PredictionJob(
        workload, machine, chosen, static, lowered, bare, relaxed, warm, moved, shares
    )
    found = job.run()
    latency = found.latency_s
    if isinstance(latency, float) and latency == 0.0:  # its sizes leave every tensor empty
        raise InputError(_nothing(workload, graph))
    return found


def _written_out(
    graph: Graph, workload: Workload, plan: Plan, precision: Precision, machine: Machine
) -> Graph:
    """Return the graph that a plan is for: repetitions written out."""
    if workload.shape:
        expected = "one number for each dimension of the workload"
        raise input_error("a plan is of one network", path="plan", expected=expected)
    whole = graph.unroll(workload.parameters)
    faults = plan.check(whole)
    if plan.tiled:
        first = ", ".join(plan.tiled[:3]) + (" ..." if len(plan.tiled) > 3 else "")
        faults.append(Fault(f"has operators in tiles ({first}), which a prediction does not follow",
                            path="plan.tiled",
                            expected="a plan without --tiles; bytes and bound of one with tiles "
                                     "are what `schedule` says"))  # fmt: skip
    if plan.precision and plan.precision != str(precision):
        faults.append(Fault(f"is for precision {plan.precision}", path="precision",
                            expected=str(precision)))  # fmt: skip
    name, known = machine.device.name, [m.name for m in machine.device.memories]
    others = [d for d in plan.devices if d not in {"", name}]
    if others:
        faults.append(Fault(f"is for {', '.join(others)}", path="order", expected=name))
    elif plan.devices != ("",):
        faults += [
            Fault(f"{name} has no memory '{c.memory}'", path=f"capacities.{i}",
                  expected=f"one of {', '.join(known)}", suggestion=nearest(c.memory, known))
            for i, c in enumerate(plan.capacities)
            if c.memory not in known
        ]  # fmt: skip
    engines = sorted({p.engine for p in plan.order if p.engine})
    if len(engines) > 1:
        expected = "one engine: an assignment states its own latency"
        faults.append(
            Fault(f"runs on the engines {', '.join(engines)}", path="order", expected=expected)
        )
    if faults:
        raise InputError(faults)
    return whole


def _nothing(workload: Workload, graph: Graph) -> list[Fault]:
    """Return why there is nothing to predict: what is not priced, if that is all there is."""
    said = f"'{workload.name}' computes nothing"
    if not graph.not_priced:
        return [Fault(said, file=workload.origin, expected="an operator on elements, no view")]
    first = Fault(f"{said} that has a price", file=workload.origin,
                  expected="at least one operator that has")  # fmt: skip
    return [
        first,
        *(Fault(f"not priced: {reason}", file=workload.origin) for reason in graph.not_priced[:20]),
    ]


def machine_for(
    workload: Workload,
    device: Device | Machine,
    runtime: str | Runtime | None,
    engine: str | None,
    precision: str | Precision | None,
) -> Machine:
    """Return the machine that a workload is predicted on: its runtime and engine resolved."""
    machine = machine_of(device, runtime, {}, workload, precision, engine)
    if engine is None or engine == machine.engine:
        return machine
    names = [e.name for e in machine.device.engines]
    if engine not in names:
        message = f"{machine.device.name} has no engine '{engine}'"
        raise input_error(
            message,
            path="engine",
            expected=f"one of {', '.join(names)}",
            suggestion=nearest(engine, names),
        )
    runtime = variant_of(machine.runtime, machine.device, engine)
    return Machine(machine.device, _driving(runtime, engine)).vary(machine.varied)


_DRIVING: dict[tuple[int, str], tuple[Runtime, Runtime]] = {}


def _driving(runtime: Runtime, engine: str) -> Runtime:
    """Return the runtime with another engine, one object each so that facts stay cached."""
    found = _DRIVING.get((id(runtime), engine))
    if found is None:
        found = _DRIVING[id(runtime), engine] = (
            runtime,
            runtime.model_copy(update={"engine": engine}),
        )
    return found[1]


def static_for(machine: Machine, model: str | None) -> Static:
    """Return what does not change with numbers, cached by device and runtime."""
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
        from perfmodel.kinds import names

        known = names()
        raise input_error(
            f"unknown model '{model}'",
            path="model",
            expected=f"one of {', '.join(known)}",
            suggestion=nearest(model or engine.kind, known),
        ) from None
    fusion = runtime.fusion
    semantics = runtime.semantics
    found = Static(
        name, chosen, tuple(levels), stores[0] if stores else main, _overlap(device, runtime),
        FusionRules(
            fusion.elementwise, fusion.attention == "flash", fusion.elementwise_into,
            Panels() if model == "roofline" else _panels(runtime, chosen),
            0 if model == "roofline" else _narrow(runtime, chosen),
        ),
        ExecutionSemantics(semantics.head_on_every_token, semantics.runs_dead_branches),
        semantics.causal_skips_masked, (device, runtime),
        {m.name: law for m in device.memories if (law := law_of(m.kind)) is not None},
        _choices(engine, runtime),
        execution_of(runtime, fixed="cpu" not in engine.tags
                     or not chosen.any_algorithm),
    )  # fmt: skip
    if len(_STATIC) >= 1024:
        _STATIC.clear()
    _STATIC[key] = found
    return found


def _overlap(device: Device, runtime: Runtime) -> str:
    """Return how times of a row compose: a bound hides weights that a runtime fetches ahead."""
    hidden = device.overlap == "cold_weights_add" and "bound" in runtime.tags
    return "full" if hidden else device.overlap


def _panels(runtime: Runtime, kind: Kind) -> Panels:
    """Return how a runtime cuts the products of convolutions, for kinds that take it in."""
    kernel = runtime.kernels.get("conv")
    if kernel is None or kernel.panel is None or not kind.takes_panels:
        return Panels()
    depth = 0 if kernel.panel_depth is None else int(kernel.panel_depth.value)
    return Panels(int(kernel.panel.value), depth)


def _narrow(runtime: Runtime, kind: Kind) -> int:
    """Return the channels of a vector of depthwise kernels, where a runtime tells few of them."""
    kernel = runtime.kernels.get("depthwise")
    if kernel is None or kernel.narrow_launch is None or kernel.multiple is None:
        return 0
    return int(kernel.multiple.value) if kind.takes_panels else 0


def execution_of(runtime: Runtime, *, fixed: bool = False) -> ExecutionPolicy | None:
    """Return what a runtime adds to a network; ``None`` where it runs it as it is.

    Parameters
    ----------
    fixed
        Whether the engine multiplies what it is made for, as all but CPUs do: the bound over all
        algorithms is none of its.
    """
    b = runtime.blocks
    found = ExecutionPolicy(
        tuple((key, tuple(formats)) for key, formats in runtime.executes.items()),
        tuple(
            (key, k.algorithms)
            for key, k in runtime.kernels.items()
            if k.algorithms and not (fixed and "fewest" in k.algorithms)
        ),
        runtime.semantics.active_neurons if runtime.semantics.active_neurons < 1.0 else 0.0,
        BlockedChannelLayout(
            b.channels, b.functions, b.stored_with, b.grouped, b.broadcasts, b.joins
        )
        if b.channels
        else PLAIN,
        runtime.semantics.dispatches_views,
    )
    return None if found == ExecutionPolicy() else found


def _choices(engine: Engine, runtime: Runtime) -> Mapping[str, Any]:
    """Return what engine and runtime say beside numbers."""
    found = choices(engine)
    if runtime.accumulator is not None:
        found["accumulator"] = runtime.accumulator
    if runtime.multiplies_in:
        found["multiplies_in"] = runtime.multiplies_in
    return found
