"""Devices, runtimes, and machines: a device under a runtime with its facts resolved.

Names are imported lazily, on first access, so that importing the package is cheap.
(`perfmodel.hardware.runtime` is the module; the function of that name is in `library`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmodel.deprecation import deprecated_names
from perfmodel.lazy_names import lazy_names

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device, Power, Source
    from perfmodel.hardware.device_checks import check_sources
    from perfmodel.hardware.engine import COMPUTE_FORMATS, Engine, Peak, register_engine
    from perfmodel.hardware.facts import Facts, Provenance
    from perfmodel.hardware.grade import Grade
    from perfmodel.hardware.library import (
        SpecEntry,
        check,
        data_root,
        device_names,
        entries,
        hardware,
        names,
        select,
    )
    from perfmodel.hardware.library import device_names as list  # noqa: A004 (hardware.list())
    from perfmodel.hardware.link import Link
    from perfmodel.hardware.machine import Machine
    from perfmodel.hardware.memory import Memory
    from perfmodel.hardware.new_device import near, new
    from perfmodel.hardware.quantity import Confidence, Of, Quantity, Rate, Spec
    from perfmodel.hardware.runtime import EFFICIENCY_CLASSES, Fusion, Runtime, Semantics

__all__ = [
    "COMPUTE_FORMATS",
    "EFFICIENCY_CLASSES",
    "Confidence",
    "Device",
    "Engine",
    "Facts",
    "Fusion",
    "Grade",
    "Link",
    "Machine",
    "Memory",
    "Of",
    "Peak",
    "Power",
    "Provenance",
    "Quantity",
    "Rate",
    "Runtime",
    "Semantics",
    "Source",
    "Spec",
    "SpecEntry",
    "check",
    "check_sources",
    "data_root",
    "device_names",
    "entries",
    "hardware",
    "list",
    "names",
    "near",
    "new",
    "register_engine",
    "select",
]

_attribute = lazy_names(
    __name__,
    {
        "device": ("Device", "Power", "Source"),
        "engine": ("COMPUTE_FORMATS", "Engine", "Peak", "register_engine"),
        "facts": ("Facts", "Provenance"),
        "grade": ("Grade",),
        "library": (
            "SpecEntry",
            "check",
            "data_root",
            "device_names",
            "entries",
            "hardware",
            "names",
            "select",
        ),
        "link": ("Link",),
        "machine": ("Machine",),
        "memory": ("Memory",),
        "new_device": ("near", "new"),
        "quantity": ("Confidence", "Of", "Quantity", "Rate", "Spec"),
        "runtime": ("EFFICIENCY_CLASSES", "Fusion", "Runtime", "Semantics"),
        "device_checks": ("check_sources",),
    },
    list="device_names",
)
_former = deprecated_names(__name__, Entry="SpecEntry")


def __getattr__(name: str) -> Any:
    return _former(name) if name == "Entry" else _attribute(name)


def __dir__() -> tuple[str, ...]:
    return tuple(__all__)
