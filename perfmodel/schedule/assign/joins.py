"""How two devices are joined: the link that a tensor takes from one to the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.link import Link
from perfmodel.hardware.machine import Machine
from perfmodel.schedule.assign.problem import Floats
from perfmodel.units import UnitError, parse


@dataclass(frozen=True, slots=True)
class Join:
    """A way from one device to another; with no bandwidth there is none."""

    link: str
    bandwidth_bytes_per_s: float
    latency_s: float

    def seconds(self, size_bytes: Floats) -> Floats:
        """Return the seconds of messages of some sizes, shape as the sizes."""
        if self.bandwidth_bytes_per_s <= 0:
            return np.full(size_bytes.shape, np.inf)
        found: Floats = self.latency_s + size_bytes / self.bandwidth_bytes_per_s
        return found


def join(one: Machine, two: Machine, link: str | None = None) -> Join:
    """Return the link between two devices.

    Parameters
    ----------
    link
        Name of a link of either, or a bandwidth with its unit. By default the fastest that both
        have by its kind; else the fastest of either, the other end being taken to have it too.

    Raises
    ------
    InputError
        No such link, and no bandwidth either.
    """
    have = [_links(one), _links(two)]
    if link is not None and link not in have[0] | have[1]:
        try:
            return Join("link", parse(link, "bandwidth"), 0.0)
        except UnitError:
            between = [one.device.name, two.device.name]
            raise InputError(_no_link(link, between, have[0] | have[1])) from None
    wanted = set(have[0] | have[1]) if link is None else {link}
    kinds = {found.kind for name, found in _specs(one).items() if name in wanted} & {
        found.kind for name, found in _specs(two).items() if name in wanted
    }
    ways: list[Join] = []
    for kind in kinds:
        ends = [
            _best(machine, {n for n, s in _specs(machine).items() if s.kind == kind} & wanted)
            for machine in (one, two)
        ]
        slower = min(ends, key=lambda end: end.bandwidth_bytes_per_s)
        latency = max(end.latency_s for end in ends)
        ways.append(Join(slower.link, slower.bandwidth_bytes_per_s, latency))
    if not ways:
        ways = [
            _best(machine, set(_specs(machine)) & wanted)
            for machine in (one, two)
            if set(_specs(machine)) & wanted
        ]
    return max(ways, key=lambda way: way.bandwidth_bytes_per_s, default=Join("", 0.0, 0.0))


def link_faults(devices: Sequence[Device | Machine], link: str | None) -> list[Fault]:
    """Return what is wrong with a link between devices: neither one of theirs nor a bandwidth."""
    if link is None:
        return []
    try:
        parse(link, "bandwidth")
    except UnitError:
        pass
    else:
        return []
    specs = list({d.name: d for d in map(_spec, devices)}.values())
    names = {d.name: {each.name for each in d.links} for d in specs}
    if not any(link in have for have in names.values()):
        return [_no_link(link, list(names), set[str]().union(*names.values()))]
    return [
        _no_link(link, [one, two], names[one] | names[two])
        for one, two in itertools.combinations(names, 2)
        if link not in names[one] | names[two]
    ]


def _no_link(link: str, devices: Sequence[str], names: set[str]) -> Fault:
    return Fault(
        f"'{link}' is no link of {' or '.join(devices)}",
        "link",
        expected="a bandwidth" + "".join(f", or {n}" for n in sorted(names)),
    )


def _spec(device: Device | Machine) -> Device:
    return device.device if isinstance(device, Machine) else device


def _specs(machine: Machine) -> dict[str, Link]:
    return {each.name: each for each in machine.device.links}


def _links(machine: Machine) -> set[str]:
    return set(_specs(machine))


def _best(machine: Machine, names: set[str]) -> Join:
    ways = [
        Join(
            name,
            float(machine.facts[f"links.{name}.bandwidth"]),
            float(machine.facts.get(f"links.{name}.latency", 0.0) or 0.0),
        )
        for name in sorted(names)
    ]
    return max(ways, key=lambda way: way.bandwidth_bytes_per_s)
