"""What a sweep's results depend on, by content: the manifest's record of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.sweep.resolve_cases import bound

if TYPE_CHECKING:
    from perfmodel.sweep.plan import Plan

__all__ = ["identity"]


def identity(plan: Plan) -> dict[str, Any]:
    """Return workloads, devices, runtimes (each with its hash), axes and options of a plan."""
    workloads: list[dict[str, Any]] = []
    for ref in plan.workloads:
        made = bound(ref, {})
        workloads.append({
            "name": made.name,
            "origin": made.origin,
            "graph_hash": made.graph().content_hash(),
            "parameters": {k: _plain(v) for k, v in made.parameters.items()},
        })  # fmt: skip
    devices: list[dict[str, Any]] = []
    runtimes: dict[str, str] = {}
    for ref in plan.devices:
        device = ref.device if isinstance(ref, Machine) else hardware(ref)
        varied: Mapping[str, Any] = ref.varied if isinstance(ref, Machine) else {}
        devices.append({
            "name": device.name,
            "hash": device.content_hash,
            "varied": {path: _plain(v) for path, v in varied.items()},
        })  # fmt: skip
        default = ref.runtime if isinstance(ref, Machine) else find_runtime(device.default_runtime)
        runtimes[default.name] = default.content_hash
    chosen = [v for axis in plan.axes if axis.name == "runtime" for v in axis.values]
    for name in [*chosen, plan.options.runtime, "generic"]:
        if name is not None:
            found = find_runtime(name)
            runtimes[found.name] = found.content_hash
    return {
        "workloads": workloads,
        "devices": devices,
        "runtimes": runtimes,
        "options": plan.options.describe(),
        "axes": {axis.name: axis.describe() | {"hash": _digest(axis.values)} for axis in plan.axes},
        "zip": [list(group) for group in plan.zips],
        "sobol": plan.sobol or None,
        "seed": plan.seed if plan.sobol else None,
        "columns": list(plan.columns),
    }


def _digest(values: tuple[Any, ...]) -> str:
    import hashlib

    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
