"""Public function `predict`: cost of one workload on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.overlay import overlaid
from perfmodel.hardware.runtime import Runtime
from perfmodel.plan import Plan
from perfmodel.prediction import Prediction, stages
from perfmodel.prediction.job import PredictionJob
from perfmodel.prediction.planned import moves_of, written_out
from perfmodel.regular import text_of
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve
from perfmodel.settings import gathered
from perfmodel.specfile import MAX_BYTES
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload


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
    """Return the device that a calibration applies to, which must have no modified facts.

    Raises
    ------
    InputError
        The machine has modified facts.
    """
    if isinstance(device, Machine):
        raise input_error(
            "a machine has facts of its own", path="overlay", expected="a device, by name or path"
        )
    return device


def _plan_of(plan: Plan | str | Path | None) -> Plan | None:
    """Return a plan, read from its file if it is a path."""
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
    """Return the prediction for resolved inputs, stage by stage; see `stages`."""
    resolved = stages.resolve(*subject)
    workload, machine, precision = resolved.workload, resolved.machine, resolved.precision
    graph = stages.written(resolved)
    if plan is not None:
        # A plan refers to the original network, without changes by a runtime.
        graph = written_out(graph, workload, plan, precision, machine)
    else:
        graph = stages.execute(resolved, graph)
    rules = stages.fuse(resolved, fuse, flash_attention)
    lowered = stages.lower(graph, rules, precision)
    if not lowered.rows:
        raise InputError(_nothing(workload, graph))
    moves = None if plan is None else moves_of(plan, graph, lowered, machine)
    prediction = PredictionJob.of(resolved, lowered, relaxed=relaxed, warm=warm, plan=moves).run()
    latency = prediction.latency_s
    if isinstance(latency, float) and latency == 0.0:  # with these sizes every tensor is empty
        raise InputError(_nothing(workload, graph))
    return prediction


def _nothing(workload: Workload, graph: Graph) -> list[Fault]:
    """Return the reason for an empty prediction, such as operators without a cost model only."""
    message = f"'{workload.name}' computes nothing"
    if not graph.not_priced:
        return [Fault(message, file=workload.origin, expected="an operator on elements, no view")]
    first = Fault(
        f"{message} that has a price",
        file=workload.origin,
        expected="at least one operator that has",
    )
    return [
        first,
        *(Fault(f"not priced: {reason}", file=workload.origin) for reason in graph.not_priced[:20]),
    ]
