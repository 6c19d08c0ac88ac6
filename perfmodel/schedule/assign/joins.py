"""How two devices are joined: the link that a tensor takes from one to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.link import Link
from perfmodel.hardware.machine import Machine
from perfmodel.schedule.assign.problem import Floats
from perfmodel.units import UnitError, parse

__all__ = ["Join", "join"]


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
            names = sorted(have[0] | have[1])
            raise InputError(
                Fault(f"'{link}' is no link of {one.device.name} or {two.device.name}", "link",
                      expected="a bandwidth" + "".join(f", or {n}" for n in names))
            ) from None  # fmt: skip
    wanted = set(have[0] | have[1]) if link is None else {link}
    kinds = {found.kind for name, found in _specs(one).items() if name in wanted} & {
        found.kind for name, found in _specs(two).items() if name in wanted
    }
    ways: list[Join] = []
    for kind in kinds:
        ends = [_best(machine, {n for n, s in _specs(machine).items() if s.kind == kind} & wanted)
                for machine in (one, two)]  # fmt: skip
        slower = min(ends, key=lambda end: end.bandwidth_bytes_per_s)
        latency = max(end.latency_s for end in ends)
        ways.append(Join(slower.link, slower.bandwidth_bytes_per_s, latency))
    if not ways:
        ways = [_best(machine, set(_specs(machine)) & wanted) for machine in (one, two)
                if set(_specs(machine)) & wanted]  # fmt: skip
    return max(ways, key=lambda way: way.bandwidth_bytes_per_s, default=Join("", 0.0, 0.0))


def _specs(machine: Machine) -> dict[str, Link]:
    return {each.name: each for each in machine.device.links}


def _links(machine: Machine) -> set[str]:
    return set(_specs(machine))


def _best(machine: Machine, names: set[str]) -> Join:
    ways = [
        Join(name, float(machine.facts[f"links.{name}.bandwidth"]),
             float(machine.facts.get(f"links.{name}.latency", 0.0) or 0.0))
        for name in sorted(names)
    ]  # fmt: skip
    return max(ways, key=lambda way: way.bandwidth_bytes_per_s)
