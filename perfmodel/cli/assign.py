"""``perfmodel assign``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import outcome
from perfmodel.cli.common import Whole, answer, listed, named_options, scalars
from perfmodel.cli.words import ModelFile
from perfmodel.errors import Fault
from perfmodel.hardware.library import hardware
from perfmodel.schedule.assign import assign as run
from perfmodel.schedule.assign.run import name_faults, option_faults, settled
from perfmodel.settings import FaultList

_SUFFIXES = (".json", ".csv", ".txt")
_OPTIONS = {
    "objective": "--objective", "parallel": "--parallel", "any_order": "--any-order",
    "engines": "--engines", "link": "--link", "time_limit_s": "--time-limit", "looks": "--looks",
}  # fmt: skip


def assign(
    workload: ModelFile,
    devices: list[str],
    /,
    *,
    objective: str = "latency_s",
    parallel: bool = False,
    contiguous: bool = False,
    any_order: bool = False,
    engines: str | None = None,
    link: str | None = None,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    warm: bool = False,
    fuse: Annotated[bool | None, Parameter(negative="--no-fuse")] = None,
    ignore_memory: bool = False,
    time_limit: float = 10.0,
    looks: Whole = 2000,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    plan: Path | None = None,
    plot: Path | None = None,
) -> int:
    """Find the engine of every operator, on one device or over several.

    Parameters
    ----------
    workload
        A model of the library, or a path to a model file.
    devices
        One or several devices of the library, or paths to spec files; a name given twice is two.
    objective
        latency_s of one run, or throughput of runs that follow each other.
    parallel
        Engines work on one run at the same time; otherwise one thing happens at a time.
    contiguous
        Each engine runs one stretch of the network, engines in the order of the devices.
    any_order
        Of contiguous stretches: engines in whatever order is best.
    engines
        Engines to use, by name: "npu,cpu"; all by default.
    link
        Link between devices by name, or its bandwidth: "12.5 GB/s".
    set
        NAME=VALUE for parameters of the workload and, with one device, its facts:
        engines.npu.handover="50 us".
    precision
        Formats of weights, activations and KV cache.
    runtime
        Software that runs it; by default the first device's.
    warm
        Weights stay in the nearest memory that holds everything, from one run to the next.
    fuse
        Elementwise operators ride on the operator before them; by default as the runtime does. A
        fused kernel of which an engine lacks a part is cut there.
    ignore_memory
        Weights and caches need not fit the memories.
    time_limit
        Seconds after which the best so far is returned, with a bound; 10 by default.
    looks
        Assignments that a local search looks at where nothing exact closes; 2000 by default.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv one row a kernel.
    plan
        Write the plan of one run to a .json file.
    plot
        Write the timeline to an .html file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    for path, suffixes, option in (
        (output, _SUFFIXES, "-o"), (plan, (".json",), "--plan"), (plot, (".html",), "--plot"),
    ):  # fmt: skip
        faults.extend(output_faults(path, suffixes, option))
    names = listed(engines)
    faults.extend(option_faults(objective, parallel, contiguous, any_order, time_limit, looks))
    if not devices:
        faults.append(Fault("there is no device", path="devices", expected="one or more"))
    first = faults.trying(settled, workload, devices or [""], precision, runtime, settings)
    specs = [device for each in devices if (device := faults.trying(hardware, each)) is not None]
    if specs and len(specs) == len(devices):
        faults.extend(name_faults(specs, names, link))
    with named_options(_OPTIONS, precision=precision, runtime=runtime):
        faults.settle()
        assert first is not None
        found = run(
            first.workload, [first.device, *specs[1:]],
            objective=objective, parallel=parallel, contiguous=contiguous, any_order=any_order,
            precision=first.precision, runtime=first.runtime, engines=names, link=link,
            warm=warm, fuse=fuse, fits=not ignore_memory, time_limit_s=time_limit, looks=looks,
        )  # fmt: skip
    if plan is not None and found.feasible:
        write_text(plan, found.plan.to_json(indent=1) + "\n")
    if plot is not None and found.feasible:
        write_text(plot, found.plot.page())
    answer(found, json=json, output=output)
    return outcome(feasible=found.feasible, decided=found.decided)
