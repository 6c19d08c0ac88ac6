"""Energy of a busy clock of a microcontroller, by its cores, silicon node and regulator.

A clock switches the charge of clock tree, buses, SRAM and flash, which the cores share, and that of
the cores. At the cores' voltage V, with the capacitance of a node in proportion to its length::

    E = e (s + (1 - s) n issue^2) (node / node_0) (V / V_0)^2 + lanes (mac + read)

for n cores (Pollack's rule: a core takes the square of its instructions per clock). ``lanes`` are
multiply-accumulates per clock beyond the two of a core with SIMD, each with a read of a byte of its
bank of SRAM. At the pins of the supply::

    E V_supply / V      behind a linear regulator, whose current is that of the cores
    E / efficiency      behind a switching one
    E (V_supply / V)^2  where the supply is the cores' own

Published for a Cortex-M4 at 180, 90 and 40 nm: 151, 32.8 and 12.3 uW/MHz; the law of the node gives
148, 32.8 and 12.3. The constants are in ``hardware_specs/energy/power_classes.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from perfmodel.arrays import Value
from perfmodel.hardware.technology.default_energies import ON_CHIP
from perfmodel.hardware.technology.operations import operation_energy
from perfmodel.hardware.technology.ownership import node_of
from perfmodel.hardware.technology.power_laws import power_law
from perfmodel.hardware.technology.sram import sram_access_energy
from perfmodel.hardware.technology.tables import table
from perfmodel.units import parse

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device

#: Multiply-accumulates per clock of a core whose energy the law's constant includes.
_USUAL_LANES: Final = 2.0
#: Fact of the voltage of the cores.
VOLTAGE: Final = "power.voltage"
#: Exponents of energy in the supply voltage (`Microcontroller.supply_exponent`).
_SWITCHING, _LINEAR = 0.0, 1.0


class Clocked(NamedTuple):
    """What the law needs of a microcontroller.

    Attributes
    ----------
    node
        Silicon node, nm.
    units, issue, lanes
        Cores; instructions per clock and multiply-accumulates per clock of each.
    bank_bytes
        Capacity of the memory that the lanes read.
    supply, exponent
        Supply voltage, and the exponent of energy in it, which says the regulator.
    """

    node: float
    units: Value
    issue: float
    lanes: float
    bank_bytes: float
    supply: Value
    exponent: float


def constants() -> Mapping[str, Any]:
    """Return the constants of the class of microcontrollers."""
    return table("power_classes")["classes"]["microcontroller"]["unlimited"]


def core_volts(node: float) -> float:
    """Return the voltage of the cores of low-power processes of a node, V."""
    nodes, volts = zip(*constants()["core_volts"], strict=True)
    return float(power_law(node, list(nodes), list(volts)))


def clock_energy(part: Clocked, base: Value = None) -> Value:
    """Return the energy of a busy clock at the pins of the supply, J; see the top of this module.

    Parameters
    ----------
    base
        Energy e of a clock of one plain core at the reference node, J; by default the table's.
    """
    known = constants()
    reference, shared = known["clock_energy"]["node"], known["shared"]["value"]
    volts = core_volts(part.node)
    node = part.node / reference * (volts / core_volts(reference)) ** 2
    size = shared + (1.0 - shared) * part.units * part.issue**2
    base = parse(known["clock_energy"]["value"], "energy") if base is None else base
    return (base * size * node + _lane_energy(part, known)) * _at_pins(part, volts, known)


def _lane_energy(part: Clocked, known: Mapping[str, Any]) -> Value:
    """Return the energy of a clock of the lanes beyond those of a plain core, J."""
    if part.lanes <= _USUAL_LANES:
        return 0.0
    product = known["overhead"] * float(operation_energy("int8", part.node))
    bank = part.bank_bytes / (part.units * part.lanes)
    read = sram_access_energy(bank, 8, part.node)
    return part.units * (part.lanes - _USUAL_LANES) * (product + read)


def _at_pins(part: Clocked, volts: float, known: Mapping[str, Any]) -> Value:
    """Return the energy at the pins over that at the cores."""
    if part.exponent == _SWITCHING:
        return 1.0 / known["efficiency"]["value"]
    ratio = part.supply / volts
    return ratio if part.exponent == _LINEAR else ratio**2


def microcontroller(facts: Mapping[str, Any], device: Device, engine: str) -> Clocked:
    """Return what the energy of a clock of a microcontroller follows from.

    A part that states the voltage of its cores alone has no regulator within its boundary; one
    that states none is behind a linear regulator.
    """
    at = f"engines.{engine}."
    volts, exponent = facts.get(at + "nominal_supply"), facts[at + "supply_exponent"]
    if volts is None:
        own = facts.get("power.voltage")
        volts, exponent = (constants()["supply"]["value"], 1.0) if own is None else (own, 2.0)
    return Clocked(
        node_of(device, "microcontroller"),
        facts[at + "units"],
        facts[at + "issue"],
        facts[at + "simd_macs"],
        _nearest_capacity(device, engine),
        facts.get(at + "supply", volts),
        exponent,
    )


def microcontroller_power(
    device: Device, engine: str, stated_volts: float | None, facts: Mapping[str, Any]
) -> Any:
    """Return the power of running networks, W: by the data sheet's loop, else by the class.

    Parameters
    ----------
    stated_volts
        Voltage of the cores that the spec states, V. The loop follows it as energies do.
    """
    at, known = f"engines.{engine}.", constants()
    clock, loop = facts[at + "clock"], facts.get(at + "loop_energy")
    nominal, exponent = facts.get(at + "nominal_supply"), facts[at + "supply_exponent"]
    if loop is not None:
        joule = known["load"]["value"] * loop
        if nominal is not None:
            joule = joule * (facts.get(at + "supply", nominal) / nominal) ** exponent
        return joule * clock
    if device.memory("main").kind == "dram":
        joule = parse(known["dram_clock_energy"]["value"], "energy") * facts[at + "units"]
    else:
        joule = clock_energy(microcontroller(facts, device, engine))
        if nominal is None:  # the voltage of the cores is the supply, if it is stated
            return joule * clock
    square = 2.0 if nominal is None else 2.0 - exponent
    volts = 1.0 if stated_volts is None else (facts[VOLTAGE] / stated_volts) ** square
    return joule * clock * volts


def _nearest_capacity(device: Device, engine: str) -> float:
    """Return the bytes of the memory on the chip that an engine reads."""
    nearest = [each for each in device.memories if engine in each.feeds and each.kind in ON_CHIP]
    return (nearest[0] if nearest else device.memory("main")).capacity.value
