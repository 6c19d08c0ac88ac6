"""Identity of a sweep: all inputs that affect its rows, as recorded in the manifest.

Everything that affects a row is included by a digest of its content: a precision from a file, a
fact replaced by a calibration, the code, the packages that extend it. Equal identities give equal
rows, so that ``--resume`` may use the stored chunks of an earlier run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from perfmodel._version import __version__
from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.sweep.content_hash import digest, packages, sources_digest
from perfmodel.sweep.resolve_cases import bound
from perfmodel.workload.importers.readers import is_imported
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.runtime import Runtime
    from perfmodel.resolve import WorkloadLike
    from perfmodel.sweep.plan import SweepPlan

#: A larger model file is identified by its header, as read, not by its weights.
_WHOLE_FILE: Final = 1 << 28


def identity(plan: SweepPlan) -> dict[str, Any]:
    """Return workloads, devices, runtimes (each with its hash), axes and options of a plan."""
    from perfmodel.sweep import plan as plan_module

    workloads: list[dict[str, Any]] = []
    for ref in plan.workloads:
        workload = bound(ref, {})
        workloads.append(
            {
                "name": workload.name,
                "origin": workload.origin,
                "graph_hash": workload.graph().content_hash(),
                "content": _file_digest(ref) or digest(workload),
                "precision": workload.precision,
                "parameters": {k: _plain(v) for k, v in workload.parameters.items()},
            }
        )
    devices: list[dict[str, Any]] = []
    runtimes: dict[str, str] = {}
    for ref in plan.devices:
        device = ref.device if isinstance(ref, Machine) else hardware(ref)
        varied: Mapping[str, Any] = ref.varied if isinstance(ref, Machine) else {}
        devices.append(
            {
                "name": device.name,
                "hash": device.content_hash,
                "content": digest(ref) if isinstance(ref, Machine) else device.content_hash,
                "varied": {path: _plain(v) for path, v in varied.items()},
                **_modes(device),
            }
        )
        if isinstance(ref, Machine):
            _record_runtime(runtimes, ref.runtime)
        else:
            for name in (device.default_runtime, *device.runtimes):
                _record_runtime(runtimes, find_runtime(name))
    varied_runtimes = [v for axis in plan.axes if axis.name == "runtime" for v in axis.values]
    for name in [*varied_runtimes, plan.options.get("runtime"), "generic"]:
        if name is not None:
            for each in (name, *find_runtime(name).variants.values()):
                _record_runtime(runtimes, find_runtime(each))
    return {
        "perfmodel": __version__,
        "code": sources_digest(),
        "numpy": np.__version__,
        "packages": packages(),
        "chunk": plan_module.CHUNK,
        "workloads": workloads,
        "devices": devices,
        "runtimes": runtimes,
        "options": {name: _described(value) for name, value in plan.options.items()},
        "axes": {
            axis.name: axis.describe() | {"hash": digest(axis.values)[:16]} for axis in plan.axes
        },
        "zip": [list(group) for group in plan.zips],
        "sobol": plan.sobol or None,
        "seed": plan.seed if plan.sobol else None,
        "columns": list(plan.columns),
    }


def _modes(device: Device) -> dict[str, Any]:
    """Return the hashes of the specs that describe a device's operating points, if any do."""
    specs = {n: mode.device for n, mode in device.operating_points.items() if mode.device}
    hashes = {name: hardware(spec).content_hash for name, spec in specs.items()}
    return {"operating_points": hashes} if hashes else {}


def reads_files(plan: SweepPlan) -> bool:
    """Return whether a plan reads user files, which may change while it runs."""
    runtimes = [v for axis in plan.axes if axis.name == "runtime" for v in axis.values]
    refs = (*plan.workloads, *plan.devices, *runtimes, plan.options.get("runtime"))
    return any(isinstance(ref, str | Path) and Path(ref).exists() for ref in refs)


def _record_runtime(runtimes: dict[str, str], runtime: Runtime) -> None:
    """Record a runtime; two files with the same runtime name are both recorded."""
    known = runtimes.get(runtime.name, "").split("+")
    runtimes[runtime.name] = "+".join(sorted({*known, runtime.content_hash} - {""}))


def _described(value: Any) -> Any:
    """Return an option as stated, with a content digest if it is an object."""
    return value if isinstance(value, bool | str) else f"{value} ({digest(value)[:16]})"


def _file_digest(ref: WorkloadLike) -> str:
    """Return the digest of an imported model's file; empty for anything else."""
    if isinstance(ref, Workload) or not is_imported(str(ref)):
        return ""
    path = Path(str(ref))
    if not path.is_file() or path.stat().st_size > _WHOLE_FILE:
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """Return an array or numpy scalar as plain numbers."""
    return value.tolist() if hasattr(value, "tolist") else value
