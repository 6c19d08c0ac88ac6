"""Leakage of logic and memories by node, class of transistors and temperature.

At 45 nm, with high-performance transistors at 360 K, memories leak as CACTI has it and logic by
its synthesised area. Other transistors and temperatures have the off-currents of CACTI's devices
(ITRS), other nodes the width and the supply of the same circuit.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.hardware.technology.nodes import nominal_volts
from perfmodel.hardware.technology.operations import logic_leakage_power
from perfmodel.hardware.technology.sram import sram_leakage_power
from perfmodel.hardware.technology.tables import table

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device


class Transistors(NamedTuple):
    """Transistors of a chip and their temperature.

    Attributes
    ----------
    cells
        ``high_performance``, ``low_operating_power`` or ``low_standby_power``.
    kelvin
        Temperature of the junction.
    """

    cells: str
    kelvin: float

    def leakage_w(self, logic_m2: Value, memory_bytes: Value, banks: Value, node: Value) -> Value:
        """Return the leakage of a block, W: its logic by the area at 45 nm, its memories by size.

        ``share(cells, T) node / 45 V(node) / V(45) (logic + banks CACTI(bytes / banks))``
        """
        at_45nm = logic_leakage_power(logic_m2) + banks * sram_leakage_power(memory_bytes / banks)
        return self._share() * leakage_scale(node) * at_45nm

    def _share(self) -> float:
        """Return the off-current over that of high-performance transistors at 360 K."""
        return _off_current(*self) / _off_current(*REFERENCE)


#: Transistors of the tables at 45 nm.
REFERENCE = Transistors("high_performance", 360.0)


def leakage_scale(node_nm: Value) -> Value:
    """Return the leakage of the same circuit at a node over that at 45 nm.

    ``node / 45 * V(node) / V(45)``: the off-current per width of a transistor stays at the target
    of the ITRS, its width shrinks with the node.
    """
    return node_nm / 45.0 * nominal_volts(node_nm) / nominal_volts(45.0)


def transistors_of(device: Device) -> Transistors:
    """Return the transistors of a device: those that its spec states, else those of its class."""
    stated = None if device.energy is None else device.energy.cells
    classes = table("areas")["leakage"]["classes"]
    own = next(
        (one for one in classes.values() if not {*one["words"]}.isdisjoint(device.tags)),
        classes["edge"],
    )
    return Transistors(stated or own["cells"], float(own["kelvin"]))


def _off_current(cells: str, kelvin: float) -> float:
    """Return the off-current of transistors, A per um of width, linear in its logarithm."""
    currents = table("areas")["leakage"]["off_currents"]
    at = currents["columns"].index(cells)
    kelvins = [row[0] for row in currents["rows"]]
    return math.exp(np.interp(kelvin, kelvins, np.log([row[at] for row in currents["rows"]])))


def retained() -> list[dict[str, Any]]:
    """Return published powers of memories that only retain their bytes, with what is predicted."""
    data = table("areas")["leakage"]["retention"]
    rows = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
    sleeping = Transistors("low_standby_power", 300.0)
    for row in rows:
        predicted = sleeping.leakage_w(0.0, row["bytes"], 1.0, row["node_nm"])
        row["predicted_uw"] = float(predicted) * 1e6
    return rows


@cache
def leakage_factor(level: float) -> float:
    """Return the factor of both ends of the interval of a leakage, from retained memories."""
    logs = sorted(abs(math.log(row["predicted_uw"] / row["uw"])) for row in retained())
    return math.exp(float(np.interp(level * (len(logs) - 1), range(len(logs)), logs)))
