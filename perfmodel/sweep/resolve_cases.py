"""Cases of a sweep: which axes apply to which workload and device, with all faults of the input.

For every pair of a workload and a device, axes that change the structure of the network (``phase``,
``layers``) become categories, others are batched numbers, and axes that apply to neither are
dropped with a remark. Called by `perfmodel.sweep.plan.make_plan`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.arrays import Array, is_array
from perfmodel.axes import Axis
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.formats import as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.fact_limits import pairs_of
from perfmodel.hardware.library import hardware, select
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.resolve import (
    DeviceLike,
    WorkloadLike,
    check_choices,
    checked_bits,
    machine_of,
    runtime_of,
)
from perfmodel.settings import BITS, OPERATING_POINT, OPTIONS, FaultList, is_fact
from perfmodel.sweep.cases import SweepCase, product_of
from perfmodel.workload import library
from perfmodel.workload.importers.readers import is_imported, reader_of
from perfmodel.workload.workload import StructureBuild, Workload

Devices = Sequence[tuple[DeviceLike, Device | Machine]]
Workloads = Sequence[tuple[WorkloadLike, Workload]]


def resolve_devices(wanted: Iterable[DeviceLike], faults: FaultList) -> Devices:
    """Return the reference of each device and the device; tags expand to several."""
    resolved: list[tuple[DeviceLike, Device | Machine]] = []
    references = list(wanted)
    for item in references:
        if isinstance(item, Machine):
            resolved.append((item, item))
            continue
        names: list[str | Path | Device] = [item]
        if isinstance(item, str) and item.startswith("tag:"):
            names = list(faults.trying(select, item) or ())
        for name in names:
            device = faults.trying(hardware, name)
            if device is not None and all(device != known for _, known in resolved):
                resolved.append((name, device))
    if not references:
        faults.append(Fault("no devices", file="--device", expected="such as a100,tag:phone"))
    return resolved


def resolve_workloads(wanted: Iterable[WorkloadLike], faults: FaultList) -> Workloads:
    """Return the reference of each workload and the workload."""
    resolved: list[tuple[WorkloadLike, Workload]] = []
    references = list(wanted)
    for item in references:
        workload = faults.trying(bound, item, {})
        if workload is None:
            continue
        if workload.graph().schedulable_only:
            faults.append(
                Fault(
                    f"'{workload.name}' can be scheduled but not predicted: it holds sizes only",
                    expected="a workload with operators",
                )
            )
        elif all(item is not ref and item != ref for ref, _ in resolved):
            resolved.append((item, workload))
    if not references:
        faults.append(Fault("no workloads", expected="such as llama_3_8b"))
    return resolved


def bound(ref: WorkloadLike, settings: Mapping[str, Any]) -> Workload:
    """Return a workload with settings; an imported file is read once."""
    if isinstance(ref, Workload):
        return ref.bind(settings) if settings else ref
    name = str(ref)
    reader = reader_of(Path(name)) if is_imported(name) else None
    if reader is None:
        return library.find(ref, settings)
    fixed: dict[str, Any] = {}
    if reader.structured:  # structural fields are fixed on import
        fixed = {k: v for k, v in settings.items() if not is_array(v)}
    free = {k: v for k, v in settings.items() if k not in fixed}
    workload = _imported(name, _stamp(name), tuple(fixed.items()))
    return workload.bind(free) if free else workload


@lru_cache(maxsize=64)
def _imported(name: str, stamp: tuple[int, int], fixed: tuple[tuple[str, Any], ...]) -> Workload:
    return library.find(name, dict(fixed))


def _stamp(name: str) -> tuple[int, int]:
    try:
        status = os.stat(name)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def resolve_cases(
    workloads: Workloads,
    devices: Devices,
    groups: list[list[Axis]],
    options: Mapping[str, Any],
    faults: FaultList,
    place: str,
) -> tuple[list[SweepCase], list[str]]:
    """Return every case, and remarks; faults are collected, not raised."""
    axes = [axis for group in groups for axis in group]
    _check_options(axes, options, faults, place)
    names = [a.name for a in axes if not (a.name in OPTIONS or a.name in BITS or is_fact(a.name))]
    cases: list[SweepCase] = []
    applied: dict[str, int] = dict.fromkeys(names, 0)
    refused: dict[str, list[Fault]] = {name: [] for name in names}
    notes = _check_devices(devices, groups, faults, place)
    for w, (ref, base) in enumerate(workloads):
        known = FaultList()
        structures = _workload_groups(ref, base, groups, names, known)
        faults += [f if f.file else replace(f, file=place) for f in known]
        used = {name for fitting in structures for name in fitting[1]}
        if known:  # invalid values may hide the use of a name
            shaping = _shaping_names(ref, base, names, groups)
            used |= {name for name in names if name in shaping or name in base.parameters}
        for name in names:
            applied[name] += name in used
            if name not in used:
                refused[name].append(_unknown(ref, base, name, place))
        idle = [name for name in names if name not in used]
        if idle and len(workloads) > 1:
            notes.append(f"{', '.join(idle)} does not apply to {base.name}")
        for d, (_, device) in enumerate(devices):
            cases += _cases(w, d, device, structures, options, faults)
    for name, count in applied.items():
        if not count and workloads:
            faults += refused[name][:1] if len(workloads) == 1 else refused[name]
    _check_fits(workloads, devices, cases, options, faults)
    return cases, [*notes, *_left_out(cases, devices, axes)]


StructureGroups = tuple[list[list[Axis]], frozenset[str], dict[str, bool], Mapping[str, Any]]


def _workload_groups(
    ref: WorkloadLike, base: Workload, groups: list[list[Axis]], names: list[str], faults: FaultList
) -> list[StructureGroups]:
    """Return, per choice of structure: applicable groups, names used, and looped axes."""
    shaping = _shaping_names(ref, base, names, groups)
    structural = [[a for a in g if a.name in shaping] for g in groups]
    structural = [group for group in structural if group]
    out: list[StructureGroups] = []
    for choice, _ in product_of(structural, dict.fromkeys(shaping, True)):
        workload = faults.trying(bound, ref, choice)
        if workload is None:
            continue
        free = [n for n in names if n not in shaping and n in workload.parameters]
        used = frozenset([*shaping, *free])
        others = [
            _restricted([a for a in g if a.name not in names or a.name in used], choice)
            for g in groups
        ]
        fitting = [group for group in others if group and len(group[0])]
        looped = {a.name: _is_category(a, shaping) for g in fitting for a in g}
        arrays = {a.name: a for g in fitting for a in g if a.name in free}
        looped |= _refusing_arrays(ref, choice, arrays, faults)
        out.append((fitting, used, looped, choice))
    return out


def _restricted(group: list[Axis], choice: Mapping[str, Any]) -> list[Axis]:
    """Return the steps of a group at which its structural axes have the chosen values."""
    fixed = [axis for axis in group if axis.name in choice]
    if not fixed:
        return group
    steps = [
        i
        for i in range(len(group[0]))
        if all(
            a.values[i] == choice[a.name] and type(a.values[i]) is type(choice[a.name])
            for a in fixed
        )
    ]
    return [Axis(a.name, tuple(a.values[i] for i in steps)) for a in group]


def _shaping_names(
    ref: WorkloadLike, base: Workload, names: list[str], groups: list[list[Axis]]
) -> frozenset[str]:
    """Return the axes that determine a workload's graph (``phase``, ``layers``) and are looped."""
    build = base._build  # pyright: ignore[reportPrivateUsage]
    if isinstance(ref, Workload) or not isinstance(build, StructureBuild):
        return frozenset()
    fields: Iterable[str] = build.family.structure.model_fields
    by_name = {axis.name: axis for group in groups for axis in group}
    may_stay_free = getattr(build.structure, "FREE", ())
    return frozenset(
        n
        for n in names
        if n not in base.parameters
        and n.partition(".")[0] in fields
        and not (n in may_stay_free and by_name[n].is_number and len(by_name[n]) > _MANY)
    )


#: An optional field (``width``) is looped up to this count, as exact graphs; batched above.
_MANY = 64


def _is_category(axis: Axis, shaping: frozenset[str]) -> bool:
    return axis.name in shaping or axis.name in OPTIONS or not axis.is_number


def _refusing_arrays(
    ref: WorkloadLike, choice: Mapping[str, Any], axes: Mapping[str, Axis], faults: FaultList
) -> dict[str, bool]:
    """Return the free dimensions that must be looped because the workload accepts no arrays."""
    if not axes:
        return {}
    arrays = {name: np.array(axis.values, dtype=object) for name, axis in axes.items()}
    numeric = {
        name: np.unique(np.array(axis.values, dtype=float))
        for name, axis in axes.items()
        if axis.is_number
    }
    looped: dict[str, bool] = {}
    for name, values in arrays.items():
        if name not in numeric:  # contains texts: looped in any case, and each is checked
            for value in dict.fromkeys(values.tolist()):
                faults.trying(bound, ref, {**choice, name: value})
            continue
        try:
            bound(ref, {**choice, name: numeric[name]})
        except InputError as error:
            singles = FaultList()
            for value in dict.fromkeys(values.tolist()):
                singles.trying(bound, ref, {**choice, name: value})
            if singles:
                faults += error.faults
            else:
                looped[name] = True
    return looped


def _unknown(ref: WorkloadLike, base: Workload, name: str, place: str) -> Fault:
    """Return the fault of an axis that a workload lacks, in the library's wording."""
    try:
        bound(ref, {name: 1})
    except InputError as error:
        return replace(error.faults[0], file=place)
    known = base.parameters or {"none": 0}
    return no_such(f"'{base.name}' has no setting '{name}'", name, known, name, place)


def _check_options(
    axes: list[Axis], options: Mapping[str, Any], faults: FaultList, place: str
) -> None:
    checks: dict[str, Any] = {"precision": as_precision, "runtime": find_runtime}
    for name, check in checks.items():
        varied = [a.values for a in axes if a.name == name]
        for value in dict.fromkeys(varied[0]) if varied else [options.get(name)]:
            if value is not None:
                faults.trying_for(place if varied else "", check, value)
    for axis in axes:
        if axis.name in BITS:
            try:
                checked_bits({BITS[axis.name]: axis.values})
            except InputError:
                message, expected = (
                    "has an entry that is not a number of bits",
                    "above 0, at most 64",
                )
                faults.append(Fault(message, path=axis.name, file=place, expected=expected))


def _check_devices(
    devices: Devices, groups: list[list[Axis]], faults: FaultList, place: str
) -> list[str]:
    """Check every fact: one that no device accepts is a fault.

    If some device accepts all of them, the others have rows with the reason.

    Returns
    -------
    list of str
        Remarks on settings far from the values of a device.
    """
    facts = {a.name: a for group in groups for a in group if is_fact(a.name)}
    for name, axis in facts.items():
        if devices and not axis.is_number and name != OPERATING_POINT:
            faults.append(Fault("holds texts", path=name, file=place, expected="numbers"))
    refused: list[list[Fault]] = []
    notes: list[str] = []
    for _, device in devices:
        machine = device if isinstance(device, Machine) else device.machine()
        device_faults = FaultList()
        for axis in facts.values():
            if axis.name == OPERATING_POINT:
                own = [p for p in axis.values if p in machine.device.operating_points]
                for point in own or axis.values:
                    device_faults.trying(machine.vary, {OPERATING_POINT: point})
            elif axis.is_number:
                varied = device_faults.trying(machine.vary, _with_partner(machine, axis, groups))
                remarks = varied.remarks if varied else ()
                notes += [f"{machine.device.name}: {text}" for text in remarks]
        named = f"{machine.device.name}: " if len(devices) > 1 else ""
        refused.append(
            [replace(f, message=f"{named}{f.message}", file=place) for f in device_faults]
        )
    if all(refused):
        faults += dict.fromkeys(fault for device_faults in refused for fault in device_faults)
    more = [f"and {len(notes) - 3} more such facts of devices"] if notes[3:] else []
    return [*notes[:3], *more]


def _with_partner(machine: Machine, axis: Axis, groups: list[list[Axis]]) -> dict[str, Array]:
    """Return the values of a fact, and of the fact that bounds it if that varies too."""
    path = machine.resolve(axis.name)
    values = np.array(axis.values, dtype=float)
    bounds = {other for pair in pairs_of([path]) if path in pair for other in pair} - {path}
    for group in groups if bounds else ():
        for other in group:
            if machine.resolve(other.name) in bounds and other.is_number:
                partner = np.array(other.values, dtype=float)
                together = any(member is axis for member in group)
                return {axis.name: values if together else values[:, None], other.name: partner}
    return {axis.name: values}


def _cases(
    w: int,
    d: int,
    device: Device | Machine,
    structures: list[StructureGroups],
    options: Mapping[str, Any],
    faults: FaultList,
) -> list[SweepCase]:
    cases: list[SweepCase] = []
    for groups, _, looped, choice in structures:
        for categories, numbers in product_of(groups, looped):
            cases.append(SweepCase(w, d, {**choice, **categories}, numbers))
    runtimes = {case.categories.get("runtime") for case in cases} - {None}
    spec = device.device if isinstance(device, Machine) else device
    points = dict.fromkeys(case.categories.get(OPERATING_POINT) for case in cases)
    if len(points) > 1:
        # Of several points a device uses those that it has; one row says that it has none.
        own = points.keys() & spec.operating_points.keys() or {next(iter(points))}
        cases = [case for case in cases if case.categories[OPERATING_POINT] in own]
    if len(runtimes) > 1:
        # Of several runtimes a device uses those that suit it.
        suits = {r: _suits(r, spec) for r in runtimes}
        suited = [case for case in cases if suits[case.categories["runtime"]]]
        if not suited and cases and not faults:
            faults.append(
                Fault(
                    f"none of the runtimes is meant for {spec.name}",
                    path="runtime",
                    expected="one such as " + spec.default_runtime,
                )
            )
        cases = suited
    return cases


def _suits(name: Any, device: Device) -> bool:
    try:
        return find_runtime(name).suits(device)
    except InputError:
        return True  # reported where the names are checked


def _check_fits(
    workloads: Workloads,
    devices: Devices,
    cases: list[SweepCase],
    options: Mapping[str, Any],
    faults: FaultList,
) -> None:
    """Check that some device has the requested runtimes, engines and models."""
    if faults:
        return
    refused: dict[tuple[Any, ...], FaultList] = {}
    for case in cases:
        options_of_case = {**options, **case.categories}
        runtime, engine, model = (
            options_of_case.get(name) for name in ("runtime", "engine", "model")
        )
        key = (case.device, runtime, engine, model)
        if key in refused:
            continue
        case_faults = refused[key] = FaultList()
        device, workload = devices[case.device][1], workloads[case.workload][1]
        software, precision = runtime_of(runtime), options_of_case.get("precision")
        machine = case_faults.trying(machine_of, device, software, {}, workload, precision)
        if machine is not None:
            case_faults += check_choices(machine, engine, model)
    if all(refused.values()):  # otherwise the rows of unsuitable devices state the reason
        faults += dict.fromkeys(fault for case_faults in refused.values() for fault in case_faults)


def _left_out(cases: list[SweepCase], devices: Devices, axes: list[Axis]) -> list[str]:
    """Return remarks on runtimes that were skipped for a device."""
    wanted = {value for axis in axes if axis.name == "runtime" for value in axis.values}
    notes: list[str] = []
    for d, (_, device) in enumerate(devices):
        had = {c.categories.get("runtime") for c in cases if c.device == d}
        lacking = sorted(map(str, wanted - had))
        if wanted and had and lacking:
            name = device.device.name if isinstance(device, Machine) else device.name
            notes.append(f"{', '.join(lacking)} is not meant for {name}")
    return notes
