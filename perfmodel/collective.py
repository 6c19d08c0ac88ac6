"""What a collective between the devices of a node costs: all-reduce, all-gather and their like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.collectives import (
    COLLECTIVES,
    CollectiveConstants,
    candidates,
    collective_seconds,
    wire_bytes,
)
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.hardware.device import Device
from perfmodel.hardware.kernel import Kernel
from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime

__all__ = ["Collective", "collective"]

#: Links between devices of a node, the fastest first.
_LINKS: Final = ("nvlink", "infinity_fabric", "xgmi", "pcie")
_FIELDS: Final = tuple(name for name in Kernel.model_fields if name != "note")


@dataclass(frozen=True, slots=True)
class Collective:
    """A collective's cost.

    Attributes
    ----------
    name
        ``all_reduce``, ``all_gather``, ``reduce_scatter`` or ``all_to_all``.
    latency_s
        Seconds; of the broadcast shape of message and devices.
    algorithms
        Algorithm -> seconds of it alone, launch left out; infinite where it is not to be had.
    wire_bytes
        Bytes that a ring sends over each device's link.
    link
        Name of the link.
    """

    name: str
    latency_s: Value
    algorithms: dict[str, Value]
    wire_bytes: Value
    link: str

    @property
    def algorithm(self) -> Value:
        """Name of the fastest algorithm; an array of names where the inputs are arrays."""
        names = list(self.algorithms)
        shape = np.broadcast_shapes(*(np.shape(v) for v in self.algorithms.values()))
        stacked = np.stack([np.broadcast_to(v, shape) for v in self.algorithms.values()])
        best = np.argmin(stacked, axis=0)
        return names[int(best)] if not shape else np.array(names)[best]

    @property
    def bus_bandwidth_bytes_per_s(self) -> Value:
        """Bytes over the link a second, as nccl-tests print it."""
        return self.wire_bytes / self.latency_s


def collective(
    name: str, message_bytes: Value, devices: Value, device: str | Device | Machine, *,
    runtime: str | Runtime = "nccl", link: str | None = None,
) -> Collective:  # fmt: skip
    """Predict a collective between equal devices of one node.

    Parameters
    ----------
    name
        ``all_reduce``, ``all_gather``, ``reduce_scatter``, ``all_to_all``.
    message_bytes
        Bytes of the whole message: what an all-reduce sums on each device, what each device has
        after an all-gather, what each has before a reduce-scatter or an all-to-all.
    devices
        How many take part, two or more; numbers or arrays that broadcast.
    device
        Device, its name, or a machine with facts varied (``links.nvlink.bandwidth``).
    runtime
        Library: `nccl`, `vllm_all_reduce` ...: what states `kernels` of that class.
    link
        Link of the device; by default its fastest to others of its kind.

    Returns
    -------
    Collective

    Raises
    ------
    InputError
        Unknown names, a device without links, fewer than two devices.
    """
    if name not in COLLECTIVES:
        raise InputError(
            Fault(f"unknown collective '{name}'", path="name",
                  expected="one of " + ", ".join(COLLECTIVES),
                  suggestion=nearest(name, COLLECTIVES))
        )  # fmt: skip
    machine = _machine(device, runtime)
    if namespace(message_bytes, devices) is np and not np.all(np.asarray(devices) >= 2):
        raise InputError(Fault("a collective needs devices to talk to", path="devices",
                               expected="at least 2"))  # fmt: skip
    chosen = _link(machine, link)
    constants = constants_of(machine, name)
    facts = machine.facts
    bandwidth = facts[f"links.{chosen}.bandwidth"]
    kinds = {each.name: each.kind for each in machine.device.links}
    pcie = kinds[chosen] == "pcie"
    main = facts[f"memories.{machine.main_memory}.bandwidth"]
    args = (name, message_bytes * 1.0, devices * 1.0, bandwidth, constants)
    return Collective(
        name, collective_seconds(*args, pcie=pcie, memory_bandwidth=main),
        candidates(*args, pcie=pcie), wire_bytes(name, message_bytes * 1.0, devices * 1.0), chosen,
    )  # fmt: skip


def _machine(device: str | Device | Machine, runtime: str | Runtime) -> Machine:
    chosen = find_runtime(runtime) if isinstance(runtime, str) else runtime
    if isinstance(device, Machine):
        return Machine(device.device, chosen).vary(device.varied)
    return (hardware(device) if isinstance(device, str) else device).machine(chosen)


def constants_of(machine: Machine, name: str) -> CollectiveConstants:
    """Return the constants that a machine's runtime states for a collective.

    Raises
    ------
    InputError
        It states none.
    """
    head = f"runtime.kernels.{name}."
    values = {f: machine.facts[head + f] for f in _FIELDS if head + f in machine.facts}
    if "launch" not in values:
        raise InputError(
            Fault(f"{machine.runtime.name} states no constants of {name}", path="runtime",
                  expected="such as nccl")
        )  # fmt: skip
    return CollectiveConstants.of(values)


def _link(machine: Machine, wanted: str | None) -> str:
    links = machine.device.links
    names = [each.name for each in links]
    if wanted is not None:
        if wanted in names:
            return wanted
        raise InputError(Fault(f"{machine.device.name} has no link '{wanted}'", path="link",
                               expected="one of " + ", ".join(names)))  # fmt: skip
    for kind in _LINKS:
        for each in links:
            if each.kind == kind:
                return each.name
    raise InputError(Fault(f"{machine.device.name} states no link to others of its kind",
                           path="links", expected="nvlink or pcie"))  # fmt: skip
