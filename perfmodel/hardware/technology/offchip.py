"""DRAM by kind, NAND flash, links and wires.

Reading costs a published energy per bit where there is one (device and interface). Background and
refresh follow from the currents of a data sheet, by Micron's TN-41-01.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from perfmodel.arrays import Value
from perfmodel.errors import InputError, input_error, nearest
from perfmodel.hardware.technology.nodes import nominal_volts
from perfmodel.hardware.technology.tables import table
from perfmodel.units import parse


class DramPower(NamedTuple):
    """Power of DRAM that does not depend on what is read, watts per byte of capacity.

    Attributes
    ----------
    standby, active_standby
        Clocked with all banks closed, or one open.
    power_down, self_refresh
        Clock stopped; held without a controller.
    refresh
        Of the refresh commands, on top of standby.
    """

    standby: float
    active_standby: float
    power_down: float
    self_refresh: float
    refresh: float


def dram_kinds() -> tuple[str, ...]:
    """Return the kinds of DRAM of the table."""
    return tuple(table("memories")["dram"])


def entry(kind: str) -> dict[str, Any]:
    """Return the table's entry of a kind of DRAM.

    Raises
    ------
    InputError
        An unknown kind.
    """
    found = table("memories")["dram"].get(kind)
    if found is None:
        known = dram_kinds()
        raise input_error(
            f"no energy is known for the DRAM '{kind}'",
            expected=f"one of {', '.join(known)}",
            suggestion=nearest(kind, known),
        )
    return found


def dram_energy(kind: str) -> float:
    """Return the published energy of reading a byte from DRAM, joules, rows open as in streaming.

    Without one that of the data sheet's currents alone (no termination, no controller, no standby).
    What was published stands for all that the DRAM draws while it streams; beside a background
    power take `dram_access_energy`.

    Parameters
    ----------
    kind
        ``ddr4``, ``lpddr5``, ``hbm2`` ...: one of `dram_kinds`.

    Raises
    ------
    InputError
        An unknown kind.
    """
    found = entry(kind)
    if "read" in found:
        return parse(found["read"], "energy_per_byte")
    return dram_core_energy(kind)


def dram_access_energy(kind: str) -> float:
    """Return the energy of reading a byte on top of `dram_power`, joules.

    The published figure less the standby and refresh of a chip that streams, since what was
    published holds them too: bytes at full bandwidth then cost, with the background power of that
    time, what was published. The whole figure where no currents tell the background.

    Parameters
    ----------
    kind
        A kind of DRAM.

    Raises
    ------
    InputError
        An unknown kind.
    """
    found = entry(kind)
    if "currents" not in found or "read" not in found:
        return dram_energy(kind)
    power = dram_power(kind)
    assert power is not None  # it has currents
    return dram_energy(kind) - (power.standby + power.refresh) * _seconds(found["currents"])


def dram_power(kind: str) -> DramPower | None:
    """Return background and refresh power a byte of capacity; ``None`` without currents."""
    name = entry(kind).get("currents")
    if name is None:
        return None
    chip = table("memories")["currents"][name]
    capacity = parse(chip["capacity"], "bytes")
    active = _watts(chip, "active_standby")
    duty = chip["refresh_clocks"] / chip["refresh_interval"]
    return DramPower(
        standby=_watts(chip, "standby") / capacity,
        active_standby=active / capacity,
        power_down=_watts(chip, "power_down") / capacity,
        self_refresh=_watts(chip, "self_refresh") / capacity,
        refresh=(_watts(chip, "refresh") - active) * duty / capacity,
    )


def dram_core_energy(kind: str, row_bytes_used: Value = None) -> Value:
    """Return joules of reading a byte by the data sheet's currents.

    ``(IDD4R - IDD3N) V / rate`` of the burst, and the activation of its row,
    ``(IDD0 tRC - IDD3N tRAS - IDD2N (tRC - tRAS)) V``, shared by the bytes that are used of it.

    Parameters
    ----------
    kind
        A kind of DRAM with currents.
    row_bytes_used
        Bytes read from a row while it is open; all of it by default.

    Raises
    ------
    InputError
        A kind without currents.
    """
    name = entry(kind).get("currents")
    if name is None:
        raise InputError(f"no currents are known for the DRAM '{kind}'")
    chip = table("memories")["currents"][name]
    clock = parse(chip["clock"], "frequency")
    burst = (_watts(chip, "read") - _watts(chip, "active_standby")) / _rate(chip)
    cycle, open_row = chip["cycle_clocks"], chip["row_clocks"]
    activation = (
        _watts(chip, "cycling") * cycle
        - _watts(chip, "active_standby") * open_row
        - _watts(chip, "standby") * (cycle - open_row)
    ) / clock
    used = parse(chip["row"], "bytes") if row_bytes_used is None else row_bytes_used
    return burst + activation / used


def dram_streaming_energy(kind: str) -> float:
    """Return joules of reading a byte at full bandwidth, standby and refresh of the chip included.

    Parameters
    ----------
    kind
        A kind of DRAM with currents.

    Raises
    ------
    InputError
        A kind without currents.
    """
    core, power = dram_core_energy(kind), dram_power(kind)
    assert power is not None  # the core has currents too
    return core + (power.active_standby + power.refresh) * _seconds(entry(kind)["currents"])


def _rate(chip: dict[str, Any]) -> float:
    """Bytes a second that a chip streams."""
    return 2.0 * parse(chip["clock"], "frequency") * chip["width"] / 8


def _seconds(currents: str) -> float:
    """Seconds in which a chip streams a byte, for each that it holds: byte seconds per byte."""
    chip = table("memories")["currents"][currents]
    return parse(chip["capacity"], "bytes") / _rate(chip)


def _watts(chip: dict[str, Any], state: str) -> float:
    # Supplies beyond those that a state lists draw nothing in it.
    return sum(v * ma * 1e-3 for v, ma in zip(chip["volts"], chip[state], strict=False))


def flash_page_read_energy(
    kind: str = "slc_nand", *, page_read_s: Value = None, page_bytes: Value = None
) -> Value:
    """Return the energy of sensing one NAND page and moving it over the flash channel, joules.

    Parameters
    ----------
    kind
        A part of the table.
    page_read_s
        Seconds of sensing (tR); that of the part by default.
    page_bytes
        Bytes of the page that leave the chip; the part's page by default, 0 for compute in the die.
    """
    part = table("memories")["flash"][kind]
    seconds = parse(part["page_read"], "time") if page_read_s is None else page_read_s
    moved = parse(part["page"], "bytes") if page_bytes is None else page_bytes
    sensing = part["volts"] * part["milliamperes"] * 1e-3 * seconds
    return sensing + moved * link_energy("flash_channel")


def link_energy(kind: str) -> float:
    """Return joules of a byte over a link between chips: ``flash_channel`` or ``pcie``."""
    return parse(table("memories")["links"][kind]["energy"], "energy_per_byte")


def wire_energy(bits: Value, metres: Value, node_nm: Value = 40.0, *, volts: Value = None) -> Value:
    """Return joules of random data over an on-chip wire at full swing.

    ``C V^2``: a wire's capacitance a millimetre hardly changes between nodes (Keckler et al. 2011,
    310 pJ for 256 bits over 10 mm at 40 nm and 0.9 V), so the energy goes with the supply squared.

    Parameters
    ----------
    bits, metres
        Bits, and how far they go.
    node_nm
        Node whose nominal supply drives the wire, where `volts` is not given.
    volts
        Supply.
    """
    known = table("memories")["wires"]["reference"]
    each = parse(known["energy"], "energy") / (known["bits"] * known["millimetres"] * 1e-3)
    supply = nominal_volts(node_nm) if volts is None else volts
    return each * bits * metres * (supply / known["volts"]) ** 2
