"""Facts that follow a varied supply voltage or clock.

A switched capacitance takes ``C V^2`` each time, so that energies of operations and of bytes on the
chip follow the square of the supply voltage, and powers ``V^2 f`` (Weste and Harris, CMOS VLSI
Design, section 5.2). A leakage current is taken not to depend on the voltage: its power follows V.
DRAM, links and what else has supplies of its own stay as they are. Behind a linear regulator a
microcontroller draws the current of its core at the voltage of its board: exponents are less by
``supply_exponent`` where its spec states the voltage of the board (`perfmodel.kinds.mcu`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from perfmodel.hardware.technology.default_energies import ON_CHIP

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.engine import Engine
    from perfmodel.hardware.facts import Derived, Facts
    from perfmodel.hardware.quantity import Quantity

_VOLTAGE: Final = "power.voltage"
_ENERGIES: Final = ("energy", "energy_per_op", "energy_per_byte")
#: Energies between the chip and its DRAM, whose interface has a supply of its own.
_OFF_CHIP: Final = "transport_energy"


def voltage_exponents(facts: Facts, device: Device) -> Iterator[tuple[str, float]]:
    """Yield each fact that follows the supply voltage, and its exponent.

    An idle power is a chip's leakage only where it is measured at the core.
    """
    for engine in device.engines:
        head, square = f"engines.{engine.name}.", _square(engine)
        clocked = facts.scaled.get(f"{head}clock", {})
        for path in [path for path in facts.values if path.startswith(head)]:
            field = path.removeprefix(head)
            if field in ("running_power", "busy_power") and path in clocked:
                yield path, square
            elif facts.limits[path].dimension in _ENERGIES:
                yield path, 0.0 if field == _OFF_CHIP else square
            elif field == "leakage":
                yield path, square / 2.0
    for memory in device.memories:
        path = f"memories.{memory.name}.energy_per_byte"
        if memory.kind in ON_CHIP and path in facts.values:
            yield path, 2.0
    core = device.power is not None and device.power.boundary == "core"
    for path in ("power.idle", "power.leakage"):
        if path in facts.values and (core or path == "power.leakage"):
            yield path, 1.0


def dynamic_power_law(facts: Mapping[str, Any], engine: Engine) -> Derived:
    """Return the rule of the power under load at other units, clocks or voltages of an engine.

    ``P = P_idle + (P_busy - P_idle) (n / n0) (f / f0) (V / V0)^2``.
    """
    from perfmodel.hardware.facts import Derived

    head = f"engines.{engine.name}."
    powers = {f"{head}units": 1.0, f"{head}clock": 1.0, _VOLTAGE: _square(engine)}
    stated = {path: facts[path] for path in powers if path in facts}
    law = partial(_dynamic_power, stated, {path: powers[path] for path in stated})
    return Derived(tuple(stated), law)


def _dynamic_power(
    stated: Mapping[str, Any], exponents: Mapping[str, float], facts: Mapping[str, Any]
) -> Any:
    idle = facts.get("power.idle", 0.0)
    growth = 1.0
    for path, exponent in exponents.items():
        growth = growth * (facts[path] / stated[path]) ** exponent
    return idle + (facts["power.busy"] - idle) * growth


def _square(engine: Engine) -> float:
    """Return the exponent of switching energy in the voltage of the core."""
    board = getattr(engine, "nominal_supply", None)
    own: Quantity | None = getattr(engine, "supply_exponent", None)
    return 2.0 if board is None or own is None else 2.0 - own.value
