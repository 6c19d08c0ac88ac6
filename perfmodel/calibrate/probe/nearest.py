"""The library device most similar to a probed host, and a table of their differences."""

from __future__ import annotations

import math

import numpy as np

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import device_names, hardware
from perfmodel.hardware.machine import Machine
from perfmodel.machine_differences import fact_differences, role_path
from perfmodel.table import Table

TELLING = 0.10
"""Relative difference above which a fact is reported."""
#: Facts by which two processors are compared.
_COMPARED = (
    "engines.main.clock",
    "engines.main.peaks.fp32",
    "engines.main.peaks.int8",
    "memories.l1.bandwidth",
    "memories.l2.bandwidth",
    "memories.l3.bandwidth",
    "memories.main.bandwidth",
    "memories.l1.capacity",
    "memories.l2.capacity",
    "memories.l3.capacity",
    "memories.l1.latency",
    "memories.l3.latency",
)
_FEWEST = 3


def nearest_device(probed: Device) -> Device | None:
    """Return the processor of the library with the nearest facts.

    The distance is the mean of the absolute logarithms of the ratios of facts that both state; None
    if no processor states three of them.
    """
    probed_facts = _by_role(probed)
    best: tuple[float, int, Device] | None = None
    for name in device_names("cpu"):
        other = hardware(name)
        other_facts = _by_role(other)
        shared = [
            abs(math.log(other_facts[path] / probed_facts[path]))
            for path in _COMPARED
            if probed_facts.get(path, 0.0) > 0.0 and other_facts.get(path, 0.0) > 0.0
        ]
        if len(shared) < _FEWEST:
            continue
        # A fact stated by only one of the two counts as a factor of two.
        missing = sum((path in probed_facts) != (path in other_facts) for path in _COMPARED)
        distance = (sum(shared) + missing * math.log(2.0)) / (len(shared) + missing)
        # In a tie the simpler device is preferred: for example one without a drive.
        rank = round(distance, 6), len(other.memories) + len(other.engines)
        if best is None or rank < best[:2]:
            best = *rank, other
    return None if best is None else best[2]


def _by_role(device: Device) -> dict[str, float]:
    """Return the stated facts of a device by role."""
    machine = Machine(device, "ideal")
    return {
        role_path(machine, path): float(value)
        for path, value in machine.facts.items()
        if machine.provenance[path].writer != "default"
    }


def differences(known: Device, probed: Device) -> Table:
    """Return a table of facts of a library device and of the probed one.

    Returns
    -------
    Table
        ``fact``, ``library``, ``measured`` (texts, empty where one does not say), ``ratio``
        (measured over library), ``differs`` (by more than `TELLING`).
    """
    machine = Machine(probed, "ideal")
    table = fact_differences(Machine(known, "ideal"), machine)
    unsaid = {
        role_path(machine, path)
        for path, origin in machine.provenance.items()
        if origin.writer == "default"
    }
    table = table[np.array([fact not in unsaid for fact in table["fact"]], bool)]
    ratio = np.asarray(table["ratio"], float)
    return Table(
        {
            "fact": table["fact"],
            "library": table["a"],
            "measured": table["b"],
            "ratio": ratio,
            "differs": np.abs(np.where(np.isnan(ratio), 1.0, ratio) - 1.0) > TELLING,
        }
    )
