"""Public function `collective`: latency of an all-reduce, all-gather, ... within one node.

The latency is that of the fastest algorithm of the collectives library (ring, tree, direct), each
modelled with launch, latency per step and bytes over bandwidth as in Hockney's alpha-beta model
(`perfmodel.cost.collectives`). This module resolves the inputs and presents the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from perfmodel import units
from perfmodel.arrays import Array, Value, namespace
from perfmodel.cost.collectives import (
    COLLECTIVES,
    CollectiveKernel,
    candidates,
    collective_seconds,
    wire_bytes,
)
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.hardware.kernel import KernelConstants, stated_constants
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import DeviceLike, device_of, note_remarks
from perfmodel.settings import FaultList, gathered, is_fact
from perfmodel.table import Result, Table
from perfmodel.units import show

#: Metrics of a collective: attributes, table columns, and JSON keys.
_COLUMNS: Final = (
    "message_bytes",
    "devices",
    "latency_s",
    "algorithm",
    "wire_bytes",
    "bus_bandwidth_bytes_per_s",
    "energy_j",
)

#: Links between devices of a node, the fastest first.
_LINKS: Final = ("nvlink", "infinity_fabric", "xgmi", "pcie")


@dataclass(frozen=True, repr=False)
class Collective(Result):
    """Predicted cost of a collective.

    Attributes
    ----------
    name
        ``all_reduce``, ``all_gather``, ``reduce_scatter`` or ``all_to_all``.
    latency_s
        Latency in seconds, in the broadcast shape of message and devices.
    algorithms
        Algorithm -> its seconds without launch; infinite if unavailable.
    wire_bytes
        Bytes that a ring sends over each device's link.
    link
        Name of the link.
    message_bytes, devices
        Message size in bytes, and number of devices.
    device, runtime
        Names of the device and of the collectives library.
    energy_j
        Joules of all bytes of a ring over all links; NaN if the link's energy is not known. Without
        switches, memories and idle devices.
    """

    noun = "collective"
    attributes = ("name", "device", "runtime", "link", *_COLUMNS, "algorithms")

    name: str
    latency_s: Value
    algorithms: dict[str, Value]
    wire_bytes: Value
    link: str
    message_bytes: Value
    devices: Value
    device: str
    runtime: str
    energy_j: Value = float("nan")

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
        """Bus bandwidth as defined by nccl-tests: bytes over the link / latency."""
        return self.wire_bytes / self.latency_s

    @cached_property
    def table(self) -> Table:
        """Table with one row per message size and number of devices."""
        shape = np.shape(self.latency_s)
        columns = {n: np.broadcast_to(getattr(self, n), shape).reshape(-1) for n in _COLUMNS}
        return Table(columns, {}, ("message_bytes", "devices"))

    @property
    def headline(self) -> str:
        """Title: collective, device and software."""
        return f"{self.name} on {self.device}, {self.link}, runtime {self.runtime}"

    def _energy_text(self) -> str:
        """Return the energy of the links, with what it leaves out, or why it is not known."""
        if np.isnan(self.energy_j):
            return f"unknown: no energy of a byte is known of {self.link}"
        joule = show(self.energy_j, "energy")
        return f"{joule} over all links; switches, memories and idle devices not counted"

    def glance(self) -> Sequence[tuple[str, str]]:
        """Return the metrics of a single message size and number of devices."""
        if np.shape(self.latency_s):
            return ()
        return (
            ("message", show(self.message_bytes, "bytes")),
            ("devices", f"{self.devices:g}"),
            ("latency", show(self.latency_s, "time")),
            ("algorithm", str(self.algorithm)),
            ("bytes over each link", show(self.wire_bytes, "bytes")),
            ("bus bandwidth", show(self.bus_bandwidth_bytes_per_s, "bandwidth")),
            ("energy", self._energy_text()),
        )

    def sections(self) -> list[Table]:
        """Return the table if there are several message sizes or numbers of devices."""
        return [self.table] if np.shape(self.latency_s) else []


def collective(
    name: str,
    message_bytes: Value | str,
    devices: Value,
    device: DeviceLike,
    *,
    link: str | None = None,
    set: Mapping[str, Any] | None = None,
    runtime: str | Path | Runtime = "nccl",
) -> Collective:
    """Predict a collective between equal devices of one node.

    Parameters
    ----------
    name
        all_reduce, all_gather, reduce_scatter or all_to_all.
    message_bytes
        Size of the whole message: bytes, or a size with its unit ("16 MiB"). It is what an
        all-reduce sums on each device, what each device has after an all-gather, and what each has
        before a reduce-scatter or an all-to-all.
    devices
        Number of devices that take part, at least two. A list (2,4,8) evaluates every number, with
        every message. In Python an array, which broadcasts with the message.
    device
        As for `predict`.
    runtime
        Communication library: nccl, nccl_2_27, vllm_all_reduce, ...
    link
        Link of the device. By default its fastest to devices of its type.
    set
        Facts of the device by path, such as links.nvlink.bandwidth="100 GB/s".

    Returns
    -------
    Collective

    Raises
    ------
    InputError
        Unknown names, a device without links, a message or a number of devices that is none.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.collective("all_reduce", "16 MiB", 8, "h100").link
    'nvlink'
    """
    faults = gathered()
    if name not in COLLECTIVES:
        faults.append(
            Fault(
                f"unknown collective '{name}'",
                path="name",
                expected=one_of(COLLECTIVES),
                suggestion=nearest(name, COLLECTIVES),
            )
        )
    message = _bytes(message_bytes, faults)
    devices = _devices(devices, message, faults)
    machine = _machine(device, runtime, set or {}, faults)
    if machine is None or faults:
        raise InputError(faults)
    if set:
        note_remarks(machine)
    link_name = _link(machine, link)
    constants = constants_of(machine, name)
    facts = machine.facts
    bandwidth = facts[f"links.{link_name}.bandwidth"]
    kinds = {each.name: each.kind for each in machine.device.links}
    pcie = kinds[link_name] == "pcie"
    main = facts[f"memories.{machine.main_memory}.bandwidth"]
    args = (name, message * 1.0, devices * 1.0, bandwidth, constants)
    by_algorithm = candidates(*args, pcie=pcie)
    sent_bytes = wire_bytes(name, message * 1.0, devices * 1.0)
    link_j = facts.get(f"links.{link_name}.energy_per_byte", float("nan"))
    return Collective(
        name,
        _plain(collective_seconds(*args, pcie=pcie, memory_bandwidth=main)),
        {each: _plain(seconds) for each, seconds in by_algorithm.items()},
        _plain(sent_bytes),
        link_name,
        message,
        devices,
        machine.device.name,
        machine.runtime.name,
        _plain(sent_bytes * devices * link_j),
    )


def _bytes(message: Value | str, faults: FaultList) -> Value:
    """Return a message size in bytes; 1 if it is invalid."""
    try:
        value = units.parse(message, "bytes") if isinstance(message, str) else message
    except units.UnitError as error:
        faults.append(
            Fault(
                error.message, "message_bytes", expected=error.expected, suggestion=error.suggestion
            )
        )
        return 1.0
    if namespace(value) is not np:
        return value
    array = _array(value)
    if array is None or not np.all((array > 0) & np.isfinite(array)):
        faults.append(
            Fault("a message has bytes", path="message_bytes", expected="a number above zero")
        )
        return 1.0
    return array if array.ndim else float(array)


def _devices(devices: Value, message: Value, faults: FaultList) -> Value:
    """Return the number of devices in a shape that broadcasts with that of the message."""
    if namespace(devices) is not np:
        return devices
    count = _array(devices)
    if count is None or not np.all((count >= 2) & (count == np.floor(count)) & (count < 1e9)):
        message = "a collective needs at least two devices"
        faults.append(Fault(message, "devices", expected="whole numbers, at least 2"))
        return devices
    try:
        np.broadcast_shapes(np.shape(message), count.shape)
    except ValueError:
        faults.append(
            Fault(
                f"shapes {np.shape(message)} and {count.shape} do not go together",
                path="devices",
                expected="shapes that broadcast with that of message_bytes",
            )
        )
    return count if count.ndim else float(count)


def _array(numbers: Any) -> Array | None:
    """Return numbers as an array; ``None`` if they are invalid or of different shapes."""
    try:
        array = np.asarray(numbers, dtype=float)
    except (TypeError, ValueError):
        return None
    return array if array.size else None


def _plain(value: Value) -> Value:
    """Return a float for an array without dimensions, else the array."""
    return float(value) if namespace(value) is np and np.ndim(value) == 0 else value


def _machine(
    device: DeviceLike,
    runtime: str | Path | Runtime,
    facts: Mapping[str, Any],
    faults: FaultList,
) -> Machine | None:
    faults += [
        Fault(
            "a collective has no such setting",
            path=name,
            expected="the path of a fact, such as links.nvlink.bandwidth",
        )
        for name in facts
        if not is_fact(name)
    ]
    software = faults.trying(find_runtime, runtime)
    spec = faults.trying(device_of, device)
    if software is None or spec is None:
        return None
    varied = facts
    if isinstance(spec, Machine):
        spec, varied = spec.device, {**spec.varied, **facts}
    machine = faults.trying(spec.machine, software)
    known = {name: value for name, value in varied.items() if is_fact(name)}
    return None if machine is None else faults.trying(machine.vary, known)


def constants_of(machine: Machine, name: str) -> KernelConstants:
    """Return the constants that a machine's runtime states for a collective.

    Raises
    ------
    InputError
        The runtime states none.
    """
    values = stated_constants(machine.facts, name, CollectiveKernel)
    if not values:
        raise input_error(
            f"{machine.runtime.name} states no constants of {name}",
            path="runtime",
            expected="such as nccl",
        )
    return CollectiveKernel.constants(values)


def _link(machine: Machine, wanted: str | None) -> str:
    links = machine.device.links
    names = [device_link.name for device_link in links]
    if wanted is not None:
        if wanted in names:
            return wanted
        raise input_error(
            f"{machine.device.name} has no link '{wanted}'", path="link", expected=one_of(names)
        )
    for kind in _LINKS:
        for device_link in links:
            if device_link.kind == kind:
                return device_link.name
    raise input_error(
        f"{machine.device.name} states no link to others of its kind",
        path="links",
        expected="nvlink or pcie",
    )
