"""Entry point of ``assign``: validation of the parameters, then the assignment.

The network on the devices becomes an `AssignmentProblem` (`network_problem.py`), which `solve.py`
solves for the goal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault, input_error, not_among
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, device_of, resolve
from perfmodel.schedule.assign.device_assignment import DeviceAssignment
from perfmodel.schedule.assign.device_engines import engine_faults
from perfmodel.schedule.assign.device_links import link_faults
from perfmodel.schedule.assign.linear_programmes import Goal
from perfmodel.schedule.assign.network_problem import network_problem
from perfmodel.schedule.assign.solve import solve
from perfmodel.settings import FaultList, gathered

OBJECTIVES = ("latency_s", "throughput")


@deprecated_parameters(fits="not ignore_memory")
@with_solver
def assign(
    workload: WorkloadLike,
    devices: DeviceLike | Iterable[DeviceLike],
    *,
    objective: str = "latency_s",
    parallel: bool = False,
    contiguous: bool = False,
    any_order: bool = False,
    engines: Iterable[str] | None = None,
    link: str | None = None,
    ignore_memory: bool = False,
    looks: int = 2000,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    warm: bool = False,
    fuse: bool | None = None,
    solver: str = "highs",
    time_limit_s: float | None = 10.0,
) -> DeviceAssignment:
    """Assign every kernel of a network to an engine, for least latency or greatest throughput.

    The latency of a run is the sum of the seconds of its kernels and transfers, or its makespan
    with `parallel`. The throughput of successive runs in a pipeline is ``1 / interval``, where the
    interval is the largest busy time per run of any engine or shared resource.

    Parameters
    ----------
    workload
        As for `predict`. Every dimension must be a number.
    devices
        One or more devices of the library, or paths to spec files (.yaml). A device that is listed
        twice counts as two.
    objective
        ``latency_s`` of one run, or ``throughput`` of successive runs.
    parallel
        Let engines work on one run at the same time, for the latency. By default one kernel or
        transfer runs at a time, as in runtimes with delegates.
    contiguous
        Each engine runs one contiguous part of the network. The parts follow the order of the
        devices (a pipeline), and the first is on the engine that the runtime uses.
    any_order
        Search for the best order of the engines of a contiguous assignment (at most eight engines).
    engines
        Names of the engines to use. By default all of them.
    link
        Link between the devices, by name, or its bandwidth ("12.5 GB/s").
    ignore_memory
        Do not require that weights, caches and activations fit the main memories of the devices.
    looks
        Number of assignments that local search evaluates if no exact method proves an optimum.
    set
        Parameters of the workload by name and, if there is only one device, its facts by path.
    precision, warm
        As for `predict`.
    runtime
        As for `predict`. Its fusion rules and semantics apply to all engines, its efficiencies and
        overheads only to the engine that it uses.
    fuse
        As for `predict`. A fused kernel is cut before the first operator that some engine does not
        support.
    solver
        Solver of integer programmes: highs, or any other that PuLP finds on this machine (cbc,
        gurobi, scip). A solver that is stopped by the time limit proves nothing.
    time_limit_s
        Seconds after which the best assignment found so far is returned, with a bound. In Python,
        None means no limit.

    Returns
    -------
    DeviceAssignment
        Without an assignment if no engine supports some kernel; it then names the kernel and
        the reason.

    Raises
    ------
    InputError
        Every fault at once: unknown names, a contiguous assignment with parallel engines.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.assign("resnet18", "edge_tpu", precision="int8").feasible
    True
    """
    faults = gathered()
    names = None if engines is None else list(engines)
    option_faults = _option_faults(objective, parallel, contiguous, any_order, time_limit_s, looks)
    faults.extend(option_faults)
    deadline = Deadline(None if option_faults else time_limit_s)
    listed = faults.trying(_device_list, devices) or []
    subject = None
    if listed:
        subject = faults.trying(_resolve_inputs, workload, listed, precision, runtime, set or {})
    specs = [device for each in listed if (device := faults.trying(device_of, each)) is not None]
    if specs and len(specs) == len(listed):
        faults += [*engine_faults(specs, names), *link_faults(specs, link)]
    faults[:] = dict.fromkeys(faults)
    faults.settle()
    assert subject is not None
    specs[0] = subject.device
    problem = network_problem(
        subject.workload,
        specs,
        precision=subject.precision,
        runtime=subject.runtime,
        engines=names,
        link=link,
        warm=warm,
        fuse=fuse,
        fits=not ignore_memory,
    )
    goal: Goal = "throughput" if objective == "throughput" else "sequential"
    if parallel:
        goal = "parallel"
    result = solve(
        problem.problem,
        goal,
        contiguous="any" if contiguous and any_order else contiguous,
        time_limit_s=None if time_limit_s is None else deadline.left(),
        looks=looks,
    )
    return DeviceAssignment(problem, objective, result, contiguous)


def _option_faults(
    objective: str,
    parallel: bool,
    contiguous: bool,
    any_order: bool,
    time_limit_s: float | None,
    looks: int,
) -> list[Fault]:
    """Return the faults in the options of `assign`."""
    throughput = objective == "throughput"
    bad_limit = time_limit_s is not None and not time_limit_s > 0
    checks = (
        (
            parallel and contiguous,
            "engines of a contiguous assignment run one after the other",
            "parallel",
            "one of the two",
        ),
        (
            parallel and throughput,
            "a pipeline's engines always work in parallel",
            "parallel",
            "objective latency_s",
        ),
        (
            any_order and not contiguous,
            "any_order applies only to contiguous assignments",
            "any_order",
            "contiguous as well",
        ),
        (bad_limit, f"{time_limit_s} is not a valid time limit", "time_limit_s", "seconds above 0"),
        (looks < 0, f"{looks} is not a valid number of assignments", "looks", "0 or more"),
    )
    return [
        *not_among(f"unknown objective '{objective}'", objective, OBJECTIVES, "objective"),
        *(Fault(text, path, expected=right) for failed, text, path, right in checks if failed),
    ]


def _resolve_inputs(
    workload: WorkloadLike,
    devices: Sequence[DeviceLike],
    precision: str | Precision | None,
    runtime: str | Path | Runtime | None,
    settings: Mapping[str, Any],
) -> PredictionInputs:
    """Return the workload and the first device with the settings applied.

    Raises
    ------
    InputError
        All faults together; with several devices, a setting of a device fact is one.
    """
    faults = FaultList()
    if len(devices) > 1:
        faults.extend(
            Fault(
                "is ambiguous with several devices",
                path=name,
                expected="one device, or the value in the device's spec file",
            )
            for name in settings
            if "." in name
        )
    faults.extend(
        Fault(
            "cannot be set: `assign` chooses the engines",
            path=name,
            expected="the option `engines`, to restrict the choice",
        )
        for name in ("engine", "model")
        if name in settings
    )
    return resolve(workload, devices[0], precision, runtime, settings, faults=faults)


def _device_list(devices: DeviceLike | Iterable[DeviceLike]) -> list[DeviceLike]:
    """Return one or several devices as a list."""
    if isinstance(devices, str | Path | Device | Machine):
        return [devices]
    listed = list(devices)
    if not listed:
        raise input_error("no device is given", path="devices", expected="one or more")
    return listed
