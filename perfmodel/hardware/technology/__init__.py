"""Energies and areas of arithmetic, memories and wires by silicon node, from published tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.lazy_names import lazy_names

if TYPE_CHECKING:
    from perfmodel.hardware.technology.blocks import (
        interface_area,
        placed_area,
        placement_ratio,
        published_converter,
        register_area,
    )
    from perfmodel.hardware.technology.blocks import published as published_areas
    from perfmodel.hardware.technology.clock_energies import clock_energy, microcontroller
    from perfmodel.hardware.technology.clock_energies import constants as clock_constants
    from perfmodel.hardware.technology.nodes import energy_scale
    from perfmodel.hardware.technology.offchip import (
        dram_access_energy,
        dram_core_energy,
        dram_energy,
        dram_power,
        dram_streaming_energy,
        flash_page_read_energy,
        link_energy,
        wire_energy,
    )
    from perfmodel.hardware.technology.operations import (
        logic_leakage_power,
        mac_area,
        operation_energy,
    )
    from perfmodel.hardware.technology.power_laws import power_law
    from perfmodel.hardware.technology.sram import sram_access_energy, sram_area, sram_leakage_power
    from perfmodel.hardware.technology.tables import sources

__all__ = [
    "clock_constants",
    "clock_energy",
    "dram_access_energy",
    "dram_core_energy",
    "dram_energy",
    "dram_power",
    "dram_streaming_energy",
    "energy_scale",
    "flash_page_read_energy",
    "interface_area",
    "link_energy",
    "logic_leakage_power",
    "mac_area",
    "microcontroller",
    "operation_energy",
    "placed_area",
    "placement_ratio",
    "power_law",
    "published_areas",
    "published_converter",
    "register_area",
    "sources",
    "sram_access_energy",
    "sram_area",
    "sram_leakage_power",
    "wire_energy",
]

__getattr__ = lazy_names(
    __name__,
    {
        "blocks": (
            "interface_area",
            "placed_area",
            "placement_ratio",
            "published_converter",
            "register_area",
            "published",
        ),
        "clock_energies": ("clock_energy", "constants", "microcontroller"),
        "nodes": ("energy_scale",),
        "offchip": (
            "dram_access_energy",
            "dram_core_energy",
            "dram_energy",
            "dram_power",
            "dram_streaming_energy",
            "flash_page_read_energy",
            "link_energy",
            "wire_energy",
        ),
        "operations": (
            "logic_leakage_power",
            "mac_area",
            "operation_energy",
        ),
        "power_laws": ("power_law",),
        "sram": (
            "sram_access_energy",
            "sram_area",
            "sram_leakage_power",
        ),
        "tables": ("sources",),
    },
    published_areas="published",
    clock_constants="constants",
)
