"""Assign a workload: what the word ``assign`` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, input_error, nearest, one_of
from perfmodel.formats import Precision
from perfmodel.former import former_parameters
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, device_of, resolve
from perfmodel.schedule.assign.joins import link_faults
from perfmodel.schedule.assign.linear import Goal
from perfmodel.schedule.assign.network import network
from perfmodel.schedule.assign.report import DeviceAssignment
from perfmodel.schedule.assign.solve import solve
from perfmodel.schedule.assign.stations import engine_faults
from perfmodel.settings import FaultList, gathered

OBJECTIVES = ("latency_s", "throughput")


@former_parameters(fits="not ignore_memory")
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
    """Put every kernel of a network on an engine of one or several devices.

    Parameters
    ----------
    workload
        As for `predict`. Every dimension is a number.
    devices
        One or several devices of the library, or paths to spec files (.yaml). A device that is
        named twice is two of them.
    objective
        latency_s of one run, or throughput of runs that follow each other.
    parallel
        Engines work on one run at the same time; otherwise one thing happens at a time, which is
        what runtimes with delegates do. For the latency.
    contiguous
        Each engine runs one stretch of the network, engines in the order of the devices (a
        pipeline), the one that a runtime drives first.
    any_order
        Engines of contiguous stretches come in whatever order is best, at most eight of them.
    engines
        Names of the engines to use. By default all of them.
    link
        Link between devices by name, or its bandwidth ("12.5 GB/s").
    ignore_memory
        Weights and caches need not fit the main memories of the devices, beside the activations.
    looks
        Assignments that a local search looks at where no exact method closes.
    set
        Parameters of the workload and, of one device, its facts, by name.
    precision, warm
        As for `predict`.
    runtime
        As for `predict`. Its fusion and semantics hold for all engines, its efficiencies and
        overheads for the one that it drives.
    fuse
        As for `predict`. A fused kernel of which an engine lacks a part is cut there.
    solver
        Solver of integer programmes: highs, or any that PuLP finds here (cbc, gurobi, scip). One
        that is stopped proves nothing by itself.
    time_limit_s
        Seconds after which the best so far is returned, with a bound. In Python None is no limit.

    Returns
    -------
    DeviceAssignment
        Without an assignment where some kernel runs on no engine: it says which and why.

    Raises
    ------
    InputError
        Every fault at once: unknown names, a parallel run in contiguous stretches.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.assign("resnet18", "edge_tpu", precision="int8").feasible
    True
    """
    faults = gathered()
    names = None if engines is None else list(engines)
    wrong = _option_faults(objective, parallel, contiguous, any_order, time_limit_s, looks)
    faults.extend(wrong)
    deadline = Deadline(None if wrong else time_limit_s)
    listed = faults.trying(_several, devices) or []
    subject = None
    if listed:
        subject = faults.trying(_settled, workload, listed, precision, runtime, set or {})
    given = [device for each in listed if (device := faults.trying(device_of, each)) is not None]
    if given and len(given) == len(listed):
        faults.extend(_name_faults(given, names, link))
    faults[:] = dict.fromkeys(faults)
    faults.settle()
    assert subject is not None
    given[0] = subject.device
    problem = network(
        subject.workload,
        given,
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
    looks: int = 0,
) -> list[Fault]:
    """Return what is wrong with the options of `assign`."""
    faults: list[Fault] = []
    if objective not in OBJECTIVES:
        faults.append(
            Fault(
                f"unknown objective '{objective}'",
                path="objective",
                expected=one_of(OBJECTIVES),
                suggestion=nearest(objective, OBJECTIVES),
            )
        )
    if parallel and contiguous:
        faults.append(
            Fault(
                "a contiguous run has no engines in parallel",
                path="parallel",
                expected="one of the two",
            )
        )
    if parallel and objective == "throughput":
        faults.append(
            Fault(
                "a pipeline's engines always work in parallel",
                path="parallel",
                expected="objective latency_s",
            )
        )
    if any_order and not contiguous:
        faults.append(
            Fault(
                "only stretches have an order of engines",
                path="any_order",
                expected="contiguous as well",
            )
        )
    if time_limit_s is not None and not time_limit_s > 0:
        faults.append(Fault(f"{time_limit_s} is no time", path="time_limit_s", expected="above 0"))
    if looks < 0:
        faults.append(Fault(f"{looks} is no count", path="looks", expected="0 or more"))
    return faults


def _name_faults(
    devices: Sequence[Device | Machine], engines: Sequence[str] | None, link: str | None
) -> list[Fault]:
    """Return the engines and the link that devices do not have."""
    return [*engine_faults(devices, engines), *link_faults(devices, link)]


def _settled(
    workload: WorkloadLike,
    devices: Sequence[DeviceLike],
    precision: str | Precision | None,
    runtime: str | Path | Runtime | None,
    settings: Mapping[str, Any],
) -> PredictionInputs:
    """Return the workload and the first device with what is set.

    Raises
    ------
    InputError
        Every fault at once; facts, where there are several devices.
    """
    faults = FaultList()
    if len(devices) > 1:
        faults.extend(
            Fault(
                "is of which device?",
                path=name,
                expected="one device, or the number in its spec file",
            )
            for name in settings
            if "." in name
        )
    faults.extend(
        Fault("is what is looked for", path=name, expected="engines, those to choose from")
        for name in ("engine", "model")
        if name in settings
    )
    return resolve(workload, devices[0], precision, runtime, settings, faults=faults)


def _several(devices: DeviceLike | Iterable[DeviceLike]) -> list[DeviceLike]:
    if isinstance(devices, str | Path | Device | Machine):
        return [devices]
    several = list(devices)
    if not several:
        raise input_error("there is no device", path="devices", expected="one or more")
    return several
