"""Hosts that graphics boards sit behind, by class, and how much slower than a desktop each is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from perfmodel.hardware.quantity import Of, Quantity, Spec
from perfmodel.specfile import read, validate

__all__ = ["Host", "host_of", "hosts"]

_FILE = Path(__file__).parent / "hosts.yaml"


class Host(Spec):
    """A class of hosts."""

    systems: str
    """Pattern that the names of its systems have."""
    slowdown: Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
    """Factor on the times of an operator and of a layer (``runtime.host_slowdown``)."""


class Hosts(Spec):
    """The file."""

    schema_version: Literal[1]
    """Version of this form."""
    hosts: Mapping[str, Host]
    """Class -> what is known of it; the first that fits counts."""


@cache
def hosts() -> Mapping[str, Host]:
    """Return the classes of hosts that are no desktops."""
    data, marks = read(_FILE)
    return validate(Hosts, data, marks, _FILE.name).hosts


def host_of(system: str) -> str:
    """Return the class of a system's host: ``pi``, ``arm``, or ``desktop``."""
    found = (name for name, host in hosts().items() if re.search(host.systems, system))
    return next(found, "desktop")
