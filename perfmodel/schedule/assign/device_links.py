"""Links between devices: selection of the link that tensors cross, and its seconds.

A message of ``size`` bytes takes ``latency + size / bandwidth`` seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.schedule.assign.problem import Floats
from perfmodel.units import UnitError, parse


@dataclass(frozen=True, slots=True)
class DeviceLink:
    """A link between two devices; a bandwidth of 0 means that there is none."""

    link: str
    bandwidth_bytes_per_s: float
    latency_s: float

    def seconds(self, size_bytes: Floats) -> Floats:
        """Return ``latency_s + size_bytes / bandwidth_bytes_per_s`` of each message, in seconds.

        Infinite if there is no link.
        """
        if self.bandwidth_bytes_per_s <= 0:
            return np.full(size_bytes.shape, np.inf)
        return self.latency_s + size_bytes / self.bandwidth_bytes_per_s


def link_between(first: Machine, second: Machine, link: str | None = None) -> DeviceLink:
    """Return the link between two devices.

    Parameters
    ----------
    link
        Name of a link of either device, or a bandwidth with its unit. By default the fastest link
        of a kind that both have; else the fastest of either, assumed to exist at the other end.

    Raises
    ------
    InputError
        The link is unknown and not a bandwidth.
    """
    specs = [{each.name: each for each in machine.device.links} for machine in (first, second)]
    names = set[str]().union(*specs)
    if link is not None and link not in names:
        try:
            return DeviceLink("link", parse(link, "bandwidth"), 0.0)
        except UnitError:
            raise InputError(
                _no_link(link, [first.device.name, second.device.name], names)
            ) from None
    # Links of either device, by kind.
    ends: list[dict[str, list[DeviceLink]]] = [{}, {}]
    for machine, links, by_kind in zip((first, second), specs, ends, strict=True):
        for name in sorted(links):
            if link in (None, name):
                by_kind.setdefault(links[name].kind, []).append(_device_link(machine, name))
    candidates: list[DeviceLink] = []
    for kind in ends[0].keys() & ends[1].keys():
        both = [max(by_kind[kind], key=_bandwidth) for by_kind in ends]
        latency = max(end.latency_s for end in both)
        candidates.append(replace(min(both, key=_bandwidth), latency_s=latency))
    if not candidates:
        candidates = [
            candidate for by_kind in ends for links in by_kind.values() for candidate in links
        ]
    return max(candidates, key=_bandwidth, default=DeviceLink("", 0.0, 0.0))


def link_faults(devices: Sequence[Device | Machine], link: str | None) -> list[Fault]:
    """Return a fault if a link is neither one of the devices' links nor a bandwidth."""
    if link is None:
        return []
    try:
        parse(link, "bandwidth")
    except UnitError:
        pass
    else:
        return []
    specs = list({d.name: d for d in map(spec_of, devices)}.values())
    names = {d.name: {each.name for each in d.links} for d in specs}
    if not any(link in have for have in names.values()):
        return [_no_link(link, list(names), set[str]().union(*names.values()))]
    return [
        _no_link(link, [first, second], names[first] | names[second])
        for first, second in itertools.combinations(names, 2)
        if link not in names[first] | names[second]
    ]


def _no_link(link: str, devices: Sequence[str], names: set[str]) -> Fault:
    """Return the fault of a link that is unknown."""
    return Fault(
        f"'{link}' is not a link of {' or '.join(devices)}",
        "link",
        expected="a bandwidth" + "".join(f", or {n}" for n in sorted(names)),
    )


def spec_of(device: Device | Machine) -> Device:
    """Return the spec of a device or machine."""
    return device.device if isinstance(device, Machine) else device


def _device_link(machine: Machine, name: str) -> DeviceLink:
    """Return a link of a device with its bandwidth and latency."""
    link = f"links.{name}."
    latency = machine.facts.get(link + "latency", 0.0) or 0.0
    return DeviceLink(name, float(machine.facts[link + "bandwidth"]), float(latency))


def _bandwidth(link: DeviceLink) -> float:
    """Return the bandwidth of a link, by which links are compared."""
    return link.bandwidth_bytes_per_s
