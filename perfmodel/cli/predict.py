"""``perfmodel predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.calibrate.overlay import calibrated, read_overlay
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import Count, print_json, say, scalars, write_result
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.cli.words import DeviceSpec, ModelFile
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.plan import Plan
from perfmodel.predict import predict as run
from perfmodel.prediction import Prediction
from perfmodel.regular import text_of
from perfmodel.resolve import resolve
from perfmodel.settings import FaultList
from perfmodel.specfile import MAX_BYTES

_SUFFIXES = (".json", ".csv", ".parquet", ".txt")


def predict(
    workload: ModelFile,
    device: DeviceSpec,
    /,
    *,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    relaxed: bool = False,
    warm: bool = False,
    fuse: Annotated[bool | None, Parameter(negative="--no-fuse")] = None,
    flash_attention: Annotated[bool | None, Parameter(negative="--no-flash-attention")] = None,
    plan: Path | None = None,
    overlay: Path | None = None,
    explain: bool = False,
    rows: Count = 8,
    report: Path | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Predict latency, energy, traffic and memory of a workload on a device.

    Parameters
    ----------
    workload
        A model of the library, or a path to a model file.
    device
        A device of the library, or a path to a spec file.
    set
        NAME=VALUE, as often as needed: memories.main.bandwidth="25 GB/s", batch=8, phase=prefill.
    precision
        Formats of weights, activations and KV cache: fp16, w4a16kv8, q4_k_m, ...
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device; by default the runtime's.
    model
        Kind of cost model; "roofline" is the bare roofline.
    relaxed
        Continuous forms of ceilings and floors.
    warm
        Weights stay in the nearest memory that holds everything, from one run to the next.
    fuse
        Elementwise operators ride on the operator before them; by default as the runtime does.
    flash_attention
        Attention scores stay on chip; by default as the runtime does.
    plan
        A schedule of this network, as `perfmodel schedule --plan` writes it: activations move so.
    overlay
        Facts of a calibration, as `perfmodel calibrate -o` writes them.
    explain
        Show the arithmetic behind the latency, with sources, and the table of kernels.
    rows
        How many kernels --explain opens; 8 by default.
    report
        Write the answer as one HTML file that needs nothing else.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv and .parquet one row a kernel.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    faults.extend(report_faults(report))
    scheduled = None if plan is None else faults.trying(_plan, plan)
    machine = device if overlay is None else faults.trying(_calibrated, device, runtime, overlay)
    subject = resolve(
        workload,
        machine or device,
        precision,
        runtime,
        settings,
        engine=engine,
        model=model,
        faults=faults,
    )
    found = run(
        subject.workload, subject.device, precision=subject.precision, runtime=subject.runtime,
        engine=subject.engine, model=subject.model, relaxed=relaxed, warm=warm, fuse=fuse,
        flash_attention=flash_attention, plan=scheduled,
    )  # fmt: skip
    text = _text(found, explain, rows)
    write_report(report, "prediction", found)
    if output is not None:
        write_result(output, found, text=text)
    if json:
        data = found.to_dict()
        if explain:
            data["table"] = found.table.to_records()
            data["explain"] = found.explain(rows)
        print_json(data)
    elif output is None:
        say(text)
    return DONE if found.feasible else INFEASIBLE


def _calibrated(device: str, runtime: str | None, path: Path) -> Machine:
    """Return the device with the facts of an overlay, which must be of it and of the runtime."""
    faults = FaultList()
    spec = faults.trying(hardware, device)
    chosen = None if runtime is None else faults.trying(find_runtime, runtime)
    if spec is not None and not faults:
        return calibrated(path, spec, chosen)
    faults.trying(read_overlay, path)
    raise InputError(faults)


def _plan(path: Path) -> Plan:
    return Plan.from_json(text_of(path, MAX_BYTES), str(path))


def _text(found: Prediction, explain: bool, rows: Count) -> str:
    if not explain:
        return repr(found)
    return f"{found.explain(rows)}\n\n{found.table}"
