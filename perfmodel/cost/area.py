"""Silicon area of an accelerator array: arithmetic units and on-chip memory.

Areas at 45 nm (Sze et al. 2017 for arithmetic, CACTI for memory) are scaled to other nodes by the
table of Stillmaker and Baas 2017. Pipeline registers, wires, control, pads and clock trees are
excluded.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value
from perfmodel.hardware.technology import mac_area, sram_area


class ArrayArea(NamedTuple):
    """Area of an array of multiply-accumulate units with its memory, square metres.

    Attributes
    ----------
    arithmetic
        Area of all multiply-accumulate units.
    registers
        Area of the local memories of all units.
    buffer
        Area of the shared on-chip buffer.
    """

    arithmetic: Value
    registers: Value
    buffer: Value

    @property
    def total(self) -> Value:
        """Total area, square metres."""
        return self.arithmetic + self.registers + self.buffer


def array_area(
    compute_format: str,
    units: Value,
    node_nm: Value,
    *,
    register_bytes: Value = 0.0,
    buffer_bytes: Value = 0.0,
    banks: Value = 1,
    accumulator: str | None = None,
) -> ArrayArea:
    """Return the area of an array of multiply-accumulate units.

    ``units (A_mac + A_sram(register bytes)) + banks A_sram(buffer bytes / banks)``, square metres.

    Parameters
    ----------
    compute_format, accumulator
        Number formats of operands and accumulator; see `mac_area`.
    units
        Number of multiply-accumulate units.
    node_nm
        Technology node, nanometres.
    register_bytes
        Bytes of local memory per unit; 0 for none.
    buffer_bytes, banks
        Bytes of the shared buffer, and its number of banks.

    Returns
    -------
    ArrayArea
    """
    return ArrayArea(
        units * mac_area(compute_format, node_nm, accumulator=accumulator),
        units * sram_area(register_bytes, node_nm),
        banks * sram_area(buffer_bytes / banks, node_nm),
    )
