"""Choices that the page offers: names of the library, and files named at the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from perfmodel.arrays import first_number
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.hardware import library
from perfmodel.workload.library import find, names

#: Suggested precisions; any other valid text can be typed.
PRECISIONS = (
    "fp32",
    "fp16",
    "bf16",
    "int8",
    "w8a8",
    "w8a16",
    "w4a16",
    "w4a16kv8",
    "w4a8",
    "q8_0",
    "q6_k",
    "q5_k_m",
    "q4_k_m",
    "q4_0",
    "q2_k",
    "mxfp4",
)

#: Parameters for the slider of lengths; the first that a workload has is used.
LENGTHS = ("context", "prompt", "tokens", "length")

PHASES = ("decode", "prefill", "request")


@dataclass(frozen=True)
class Choices:
    """Names that may be selected; requests can read nothing else.

    Attributes
    ----------
    workloads, devices
        Names of the library, and paths from the command line.
    """

    workloads: tuple[str, ...] = field(default_factory=lambda: tuple(names()))
    devices: tuple[str, ...] = field(default_factory=lambda: tuple(library.device_names()))

    def with_files(self, workload: str, device: str, beside: str) -> Choices:
        """Return the choices with names and paths of a command line first."""
        more = [name for name in (device, beside) if name and name not in self.devices]
        own = () if workload in self.workloads else (workload,)
        return Choices((*own, *self.workloads), (*dict.fromkeys(more), *self.devices))

    def faults(self, workload: str, device: str, beside: str, runtime: str) -> list[Fault]:
        """Return faults for names in a request that are not among the choices."""
        selected = (
            ("workload", workload, self.workloads),
            ("device", device, self.devices),
            ("beside", beside, ("", *self.devices)),
            ("runtime", runtime, ("", *library.names("runtimes"))),
        )
        return [
            Fault(f"'{name}' is none of the choices", path=path, suggestion=nearest(name, known))
            for path, name, known in selected
            if name not in known
        ]

    @staticmethod
    def runtimes(device: str) -> list[str]:
        """Return the names of the runtimes that suit a device."""
        try:
            spec = library.hardware(device)
        except InputError:
            return []
        return [n for n in library.names("runtimes") if library.runtime(n).suits(spec)]


@lru_cache(maxsize=256)
def phases_of(workload: str) -> tuple[str, ...]:
    """Return the phases of a workload; empty for one without phases."""
    out: list[str] = []
    for phase in PHASES:
        try:
            find(workload, {"phase": phase})
        except InputError:
            continue
        out.append(phase)
    return tuple(out)


@lru_cache(maxsize=1024)
def parameters_of(workload: str, phase: str) -> dict[str, float]:
    """Return the free dimensions of a workload with their defaults; empty if it has faults."""
    try:
        bound = find(workload, {"phase": phase} if phase else {})
    except InputError:
        return {}
    return {name: first_number(value) for name, value in bound.parameters.items()}
