"""Energy and power of DRAM by kind, NAND flash, links and wires.

The energy of DRAM reads is a published energy per bit where available (device and interface).
Background and refresh power follow from data sheet currents by Micron's TN-41-01, ``P = V I`` per
state. Tables and their sources are in ``hardware_specs/energy/memories.yaml``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from perfmodel.arrays import Value
from perfmodel.errors import InputError, input_error, nearest
from perfmodel.hardware.technology.nodes import nominal_volts
from perfmodel.hardware.technology.tables import table
from perfmodel.units import parse


class DramPower(NamedTuple):
    """Background power of DRAM, independent of accesses, W per byte of capacity.

    Attributes
    ----------
    standby, active_standby
        Clocked, with all banks closed or with one open.
    power_down, self_refresh
        Clock stopped; refreshed without a controller.
    refresh
        Power of the refresh commands, in addition to standby.
    """

    standby: float
    active_standby: float
    power_down: float
    self_refresh: float
    refresh: float


def dram_kinds() -> tuple[str, ...]:
    """Return the kinds of DRAM in the table."""
    return tuple(table("memories")["dram"])


def entry(kind: str) -> dict[str, Any]:
    """Return the table entry of a kind of DRAM.

    Raises
    ------
    InputError
        An unknown kind.
    """
    row = table("memories")["dram"].get(kind)
    if row is None:
        known = dram_kinds()
        raise input_error(
            f"no energy is known for the DRAM '{kind}'",
            expected=f"one of {', '.join(known)}",
            suggestion=nearest(kind, known),
        )
    return row


def dram_energy(kind: str) -> float:
    """Return the energy of streaming reads from DRAM with open rows, J/B.

    The published figure, which includes all power of the streaming DRAM; use `dram_access_energy`
    together with a background power. Without a published figure, `dram_core_energy` from data sheet
    currents (no termination, controller or standby).

    Parameters
    ----------
    kind
        ``ddr4``, ``lpddr5``, ``hbm2`` ...: one of `dram_kinds`.

    Raises
    ------
    InputError
        An unknown kind.
    """
    row = entry(kind)
    if "read" in row:
        return parse(row["read"], "energy_per_byte")
    return dram_core_energy(kind)


def dram_access_energy(kind: str) -> float:
    """Return the energy of DRAM reads in addition to the background power of `dram_power`, J/B.

    ``dram_energy - (standby + refresh) * capacity / bandwidth`` of one chip: the published figure
    includes background power, so that energy and background power of reads at full bandwidth add up
    to it. Standby is that with all banks closed, ``IDD2N``, because the background power charged
    for a memory (`default_energies`) is the same ``standby + refresh``; the extra
    power of open banks, ``IDD3N - IDD2N``, remains in the energy of the reads. The full figure if
    no currents are known.

    Parameters
    ----------
    kind
        A kind of DRAM.

    Raises
    ------
    InputError
        An unknown kind.
    """
    row = entry(kind)
    if "currents" not in row or "read" not in row:
        return dram_energy(kind)
    power = dram_power(kind)
    assert power is not None  # it has currents
    return dram_energy(kind) - (power.standby + power.refresh) * _full_read_time(row["currents"])


def dram_power(kind: str) -> DramPower | None:
    """Return background and refresh power, W per byte of capacity; ``None`` without currents.

    ``P = sum(V * I)`` over the supplies in each state;
    ``refresh = (P_refresh - P_active_standby) * refresh_clocks / refresh_interval``.
    """
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
    """Return the energy of DRAM reads from data sheet currents, J/B.

    ``(IDD4R - IDD3N) V / rate`` for the burst, plus the activation of its row,
    ``(IDD0 tRC - IDD3N tRAS - IDD2N (tRC - tRAS)) V / row_bytes_used``.

    Parameters
    ----------
    kind
        A kind of DRAM with currents.
    row_bytes_used
        Bytes read from a row while it is open; the full row by default.

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
    burst = (_watts(chip, "read") - _watts(chip, "active_standby")) / _bandwidth(chip)
    cycle, open_row = chip["cycle_clocks"], chip["row_clocks"]
    activation = (
        _watts(chip, "cycling") * cycle
        - _watts(chip, "active_standby") * open_row
        - _watts(chip, "standby") * (cycle - open_row)
    ) / clock
    used = parse(chip["row"], "bytes") if row_bytes_used is None else row_bytes_used
    return burst + activation / used


def dram_streaming_energy(kind: str) -> float:
    """Return the energy of DRAM reads at full bandwidth, including standby and refresh, J/B.

    ``dram_core_energy + (active_standby + refresh) * capacity / bandwidth`` of one chip. Rows are
    open throughout, and `dram_core_energy` counts only power above ``IDD3N`` for the bursts, so
    that the background here is active standby.

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
    return core + (power.active_standby + power.refresh) * _full_read_time(entry(kind)["currents"])


def _bandwidth(chip: dict[str, Any]) -> float:
    """Return the streaming bandwidth of a double data rate chip, B/s."""
    return 2.0 * parse(chip["clock"], "frequency") * chip["width"] / 8


def _full_read_time(currents: str) -> float:
    """Return the time to read a full chip at its streaming bandwidth, s."""
    chip = table("memories")["currents"][currents]
    return parse(chip["capacity"], "bytes") / _bandwidth(chip)


def _watts(chip: dict[str, Any], state: str) -> float:
    # Supplies without a current in this state draw nothing.
    return sum(v * ma * 1e-3 for v, ma in zip(chip["volts"], chip[state], strict=False))


def flash_page_read_energy(
    kind: str = "slc_nand", *, page_read_s: Value = None, page_bytes: Value = None
) -> Value:
    """Return the energy of sensing one NAND page and moving it over the flash channel, J.

    ``V I tR + page_bytes * link_energy("flash_channel")``.

    Parameters
    ----------
    kind
        A part of the table.
    page_read_s
        Sensing time tR in seconds; that of the part by default.
    page_bytes
        Bytes of the page that leave the chip; the full page by default, 0 for compute in the die.
    """
    part = table("memories")["flash"][kind]
    seconds = parse(part["page_read"], "time") if page_read_s is None else page_read_s
    channel_bytes = parse(part["page"], "bytes") if page_bytes is None else page_bytes
    sensing = part["volts"] * part["milliamperes"] * 1e-3 * seconds
    return sensing + channel_bytes * link_energy("flash_channel")


def link_kinds() -> tuple[str, ...]:
    """Return the kinds of links in the table: ``flash_channel``, ``pcie``, ``nvlink`` ..."""
    return tuple(table("memories")["links"])


def link_energy(kind: str) -> float:
    """Return the energy of a link between chips, J/B: one of `link_kinds`."""
    return parse(table("memories")["links"][kind]["energy"], "energy_per_byte")


def wire_energy(bits: Value, metres: Value, node_nm: Value = 40.0, *, volts: Value = None) -> Value:
    """Return the energy of sending random data over an on-chip wire at full swing, J.

    ``E = 310 pJ * (bits / 256) * (length / 10 mm) * (V / 0.9 V)^2``, from 40 nm (Keckler et al.
    2011). The capacitance per length hardly changes between nodes, so the energy scales with the
    square of the supply voltage.

    Parameters
    ----------
    bits, metres
        Number of bits and length of the wire.
    node_nm
        Node whose nominal supply voltage drives the wire if `volts` is not given.
    volts
        Supply voltage.
    """
    known = table("memories")["wires"]["reference"]
    each = parse(known["energy"], "energy") / (known["bits"] * known["millimetres"] * 1e-3)
    supply = nominal_volts(node_nm) if volts is None else volts
    return each * bits * metres * (supply / known["volts"]) ** 2
