"""Assign a workload: what the word ``assign`` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, input_error, nearest, one_of
from perfmodel.formats import Precision, as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, device_of, resolve
from perfmodel.schedule.assign.joins import link_faults
from perfmodel.schedule.assign.linear import Goal
from perfmodel.schedule.assign.network import network
from perfmodel.schedule.assign.report import DeviceAssignment
from perfmodel.schedule.assign.solve import solve
from perfmodel.schedule.assign.stations import engine_faults
from perfmodel.schedule.deadline import Deadline
from perfmodel.settings import FaultList
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

OBJECTIVES = ("latency_s", "throughput")


def assign(
    workload: WorkloadLike,
    devices: DeviceLike | Iterable[DeviceLike],
    *,
    objective: str = "latency_s",
    parallel: bool = False,
    contiguous: bool = False,
    any_order: bool = False,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    engines: Sequence[str] | None = None,
    link: str | None = None,
    warm: bool = False,
    fuse: bool | None = None,
    fits: bool = True,
    time_limit_s: float | None = 10.0,
    looks: int = 2000,
    set: Mapping[str, Any] | None = None,
) -> DeviceAssignment:
    """Put every kernel of a network on an engine of one or several devices.

    Parameters
    ----------
    workload, devices
        Objects, names of the library, or paths; every dimension of the workload a number. A device
        that is named twice is two of them.
    objective
        ``latency_s`` of one run, or ``throughput`` of runs that follow each other.
    parallel
        Engines work on one run at the same time; otherwise one thing happens at a time, which is
        what runtimes with delegates do. For the latency.
    contiguous
        Each engine runs one stretch of the network, engines in the order of the devices (a
        pipeline), the one that a runtime drives first.
    any_order
        Of contiguous stretches: engines in whatever order is best, at most eight of them.
    precision, runtime, warm, fuse
        As for `perfmodel.predict`. The runtime's fusion and semantics hold for all engines, its
        efficiencies and overheads for the one that it drives. A fused kernel of which an engine
        lacks a part is cut there.
    engines
        Names of the engines to use; all by default.
    link
        Link between devices by name, or its bandwidth.
    fits
        Weights and caches must fit the main memories of the devices, beside the activations.
    time_limit_s
        Seconds by the clock on the wall; None for no limit.
    looks
        Assignments that a local search looks at, where nothing exact closes.
    set
        Parameters of the workload and, of one device, its facts, by name.

    Returns
    -------
    DeviceAssignment
        Without an assignment where some kernel runs on no engine: it says which and why.

    Raises
    ------
    InputError
        Every fault at once: unknown names, a parallel run in contiguous stretches.
    """
    faults = FaultList()
    wrong = option_faults(objective, parallel, contiguous, any_order, time_limit_s, looks)
    faults.extend(wrong)
    deadline = Deadline(None if wrong else time_limit_s)
    listed = faults.trying(_several, devices) or []
    if set and listed:
        subject = faults.trying(settled, workload, listed, precision, runtime, set)
        faults.settle()
        assert subject is not None
        workload, precision, runtime = subject.workload, subject.precision, subject.runtime
        listed = [subject.device, *listed[1:]]
    found = faults.trying(_workload, workload)
    several = [faults.trying(device_of, d) for d in listed]
    given = [device for device in several if device is not None]
    if given and len(given) == len(several):
        faults.extend(name_faults(given, engines, link))
    if isinstance(precision, str):
        faults.trying(as_precision, precision)
    if runtime is not None:
        faults.trying(find_runtime, runtime)
    faults.settle()
    assert found is not None
    problem = network(
        found, given, precision=precision, runtime=runtime,
        engines=engines, link=link, warm=warm, fuse=fuse, fits=fits,
    )  # fmt: skip
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


def option_faults(
    objective: str, parallel: bool, contiguous: bool, any_order: bool, time_limit_s: float | None,
    looks: int = 0,
) -> list[Fault]:  # fmt: skip
    """Return what is wrong with the options of `assign`."""
    faults: list[Fault] = []
    if objective not in OBJECTIVES:
        faults.append(Fault(f"unknown objective '{objective}'", path="objective",
                            expected=one_of(OBJECTIVES),
                            suggestion=nearest(objective, OBJECTIVES)))  # fmt: skip
    if parallel and contiguous:
        faults.append(Fault("a contiguous run has no engines in parallel", path="parallel",
                            expected="one of the two"))  # fmt: skip
    if parallel and objective == "throughput":
        faults.append(Fault("a pipeline's engines always work in parallel", path="parallel",
                            expected="objective latency_s"))  # fmt: skip
    if any_order and not contiguous:
        faults.append(Fault("only stretches have an order of engines", path="any_order",
                            expected="contiguous as well"))  # fmt: skip
    if time_limit_s is not None and not time_limit_s > 0:
        faults.append(Fault(f"{time_limit_s} is no time", path="time_limit_s", expected="above 0"))
    if looks < 0:
        faults.append(Fault(f"{looks} is no count", path="looks", expected="0 or more"))
    return faults


def name_faults(
    devices: Sequence[Device | Machine], engines: Sequence[str] | None, link: str | None
) -> list[Fault]:
    """Return the engines and the link that devices do not have."""
    return [*engine_faults(devices, engines), *link_faults(devices, link)]


def settled(
    workload: WorkloadLike, devices: Sequence[DeviceLike], precision: str | Precision | None,
    runtime: str | Runtime | None, settings: Mapping[str, Any],
) -> PredictionInputs:  # fmt: skip
    """Return the workload and the first device with what is set.

    Raises
    ------
    InputError
        Every fault at once; facts, where there are several devices.
    """
    faults = FaultList()
    if len(devices) > 1:
        faults.extend(
            Fault("is of which device?", path=name,
                  expected="one device, or the number in its spec file")
            for name in settings if "." in name
        )  # fmt: skip
    faults.extend(
        Fault("is what is looked for", path=name, expected="engines, those to choose from")
        for name in ("engine", "model") if name in settings
    )  # fmt: skip
    return resolve(workload, devices[0], precision, runtime, settings, faults=faults)


def _workload(workload: WorkloadLike) -> Workload:
    return workload if isinstance(workload, Workload) else find(workload, {})


def _several(devices: DeviceLike | Iterable[DeviceLike]) -> list[DeviceLike]:
    if isinstance(devices, str | Path | Device | Machine):
        return [devices]
    several = list(devices)
    if not several:
        raise input_error("there is no device", path="devices", expected="one or more")
    return several
