"""Public function `predict`: cost of one workload on one machine.

It resolves its arguments (`perfmodel.resolve`) and runs the stages of `perfmodel.prediction.stages`
one after the other: rewrite the graph as the runtime does, fuse, lower to a table of kernels, bind
the numbers, cost the rows, and sum them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.prediction import Prediction, stages
from perfmodel.prediction.job import PredictionJob
from perfmodel.regular_files import read_text
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve
from perfmodel.settings import gathered
from perfmodel.source_positions import Marks
from perfmodel.specfile import MAX_BYTES, read, validate
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.plan import Plan


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
    """Predict latency, energy, traffic and memory of a workload on a device.

    Parameters
    ----------
    workload
        A model of the library, or a path to a model file. In Python also a `Workload` with its
        free dimensions bound to numbers or arrays.
    device
        A device of the library, or a path to a spec file (.yaml). In Python also a `Device`, or a
        `Machine` with facts varied.
    precision
        Formats of weights, activations and KV cache, such as fp16, w4a16kv8 or q4_k_m. By default
        those stored in the model file, else the first of fp16, bf16, fp32, int8 and int16 for which
        the engine has a peak rate.
    runtime
        Software that runs the workload. By default the usual runtime of the device for this type of
        workload, or `generic` if none of the device's runtimes can run it.
    set
        Further settings by name: facts of the device by path (``{"memories.main.bandwidth": "25
        GB/s"}``), parameters of the workload (``{"batch": 8}``), ``weight_bits``,
        ``activation_bits``, ``kv_bits``. Numbers may be arrays, which broadcast.
    engine
        Engine of the device that runs the workload. By default the one that the runtime uses.
    model
        Cost model to use in place of the engine's own, by the name of a hardware kind. "roofline"
        is the plain roofline: peak compute rate and memory bandwidth, nothing else.
    fuse
        Run elementwise operators in one kernel with the operator before them. By default the
        runtime decides.
    flash_attention
        Keep attention scores on the chip instead of writing them to memory. By default the runtime
        decides.
    relaxed
        Replace ceilings and floors by continuous functions, so that results have derivatives. In
        Python this applies to every dimension that is a float, an array or a tracer; integers are
        constants.
    warm
        Keep weights and KV cache from one run to the next in the nearest memory that holds the
        whole footprint. By default every run reads them from main memory.
    plan
        File of a schedule for exactly this network, written by `perfmodel schedule --save-plan`.
        Activations then cross the boundary of the scheduled memory as the plan states, and weights
        and caches are read from the memories where it places them. A plan for another network is an
        error. In Python also a `Plan`.
    overlay
        File of calibrated facts, written by `perfmodel calibrate -o`.

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
    loaded_plan, marks = faults.trying(_read_plan, plan) or (None, None)
    varied = device if overlay is None else faults.trying(_calibrated, device, runtime, overlay)
    subject = resolve(
        workload, varied or device, precision, runtime, set, engine, model, faults=faults
    )
    return run_stages(subject, fuse, flash_attention, relaxed, warm, loaded_plan, marks=marks)


def _calibrated(
    device: DeviceLike, runtime: str | Path | Runtime | None, overlay: str | Path
) -> Machine:
    """Return a device with calibrated facts.

    Raises
    ------
    InputError
        Lists every fault of the names and of the file, or the device has modified facts.
    """
    from perfmodel.hardware.calibration_overlay import apply_calibration_by_name

    if isinstance(device, Machine):
        raise input_error(
            "a calibration does not apply to a machine",
            path="overlay",
            expected="a device, by name or path",
        )
    return apply_calibration_by_name(device, runtime, overlay)


def _read_plan(plan: Plan | str | Path | None) -> tuple[Plan | None, Marks | None]:
    """Return a plan, and the positions of its values if it is read from a file."""
    if isinstance(plan, str | Path):
        from perfmodel.plan import Plan

        data, marks = read(read_text(Path(plan), MAX_BYTES), str(plan), json_text=True)
        return validate(Plan, data, marks, str(plan)), marks
    return plan, None


def run_stages(
    subject: PredictionInputs,
    fuse: bool | None = None,
    flash_attention: bool | None = None,
    relaxed: bool = False,
    warm: bool = False,
    plan: Plan | None = None,
    *,
    points: int = 0,
    marks: Marks | None = None,
) -> Prediction:
    """Return the prediction for resolved inputs, stage by stage; see `stages`.

    Parameters
    ----------
    points
        Points of a sweep of which the inputs are a part.
    marks
        Positions of the plan's values in its file.
    """
    resolved = stages.resolve(*subject)
    workload, machine, precision = resolved.workload, resolved.machine, resolved.precision
    graph = stages.source_graph(resolved)
    if plan is not None:
        from perfmodel.prediction.plan_traffic import unrolled_graph

        # A plan refers to the original network, without changes by a runtime.
        graph = unrolled_graph(graph, workload, plan, precision, machine, marks)
    else:
        graph = stages.execute(resolved, graph)
    rules = stages.fuse(resolved, fuse, flash_attention)
    lowered = stages.lower(graph, rules, precision)
    if not lowered.rows:
        raise InputError(_empty_network_faults(workload, graph))
    moves = None
    if plan is not None:
        from perfmodel.prediction.plan_traffic import planned_moves

        moves = planned_moves(plan, graph, lowered, machine)
    job = PredictionJob.of(resolved, lowered, relaxed=relaxed, warm=warm, plan=moves)
    prediction = job.run(points)
    latency = prediction.latency_s
    if isinstance(latency, float) and latency == 0.0:  # with these sizes every tensor is empty
        raise InputError(_empty_network_faults(workload, graph))
    return prediction


def _empty_network_faults(workload: Workload, graph: Graph) -> list[Fault]:
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
