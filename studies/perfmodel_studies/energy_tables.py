"""Energies of arithmetic, memories and wires by node, as cost functions and kinds take them.

The numbers lie in ``hardware_specs/energy`` with their sources; the functions in
`perfmodel.hardware.technology`, where facts are filled in from them.
"""

from perfmodel.hardware.technology import (
    dram_access_energy,
    dram_core_energy,
    dram_energy,
    dram_power,
    dram_streaming_energy,
    energy_scale,
    flash_page_read_energy,
    link_energy,
    logic_leakage_power,
    operation_energy,
    sources,
    sram_access_energy,
    sram_leakage_power,
    wire_energy,
)

__all__ = [
    "dram_access_energy",
    "dram_core_energy",
    "dram_energy",
    "dram_power",
    "dram_streaming_energy",
    "energy_scale",
    "flash_page_read_energy",
    "link_energy",
    "logic_leakage_power",
    "operation_energy",
    "sources",
    "sram_access_energy",
    "sram_leakage_power",
    "wire_energy",
]
