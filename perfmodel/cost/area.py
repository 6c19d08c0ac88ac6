"""Area of silicon: arithmetic, on-chip memory, an array of both.

Areas at 45 nm (Sze et al. 2017 for arithmetic, CACTI for memory), scaled by the table of Stillmaker
and Baas 2017; registers, wires, control, pads and clock trees are not in them.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value
from perfmodel.hardware.technology import mac_area, sram_area


class ArrayArea(NamedTuple):
    """Area of an array of multiply-accumulators with its memory, square metres.

    Attributes
    ----------
    arithmetic
        Of all multiply-accumulators.
    registers
        Of the memory in each of them.
    buffer
        Of the memory beside the array.
    """

    arithmetic: Value
    registers: Value
    buffer: Value

    @property
    def total(self) -> Value:
        """Sum of the parts."""
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
    """Return the area of an array of multiply-accumulators.

    Parameters
    ----------
    compute_format, accumulator
        As `mac_area` takes them.
    units
        Multiply-accumulators.
    node_nm
        Silicon node, nanometres.
    register_bytes
        Bytes of memory in each unit; 0 for none.
    buffer_bytes, banks
        Bytes of memory beside the array, and the banks that they lie in.

    Returns
    -------
    ArrayArea
    """
    return ArrayArea(
        units * mac_area(compute_format, node_nm, accumulator=accumulator),
        units * sram_area(register_bytes, node_nm),
        banks * sram_area(buffer_bytes / banks, node_nm),
    )
