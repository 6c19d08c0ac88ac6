"""Blocks of published chips, each predicted without the blocks of its own chip."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.hardware.technology import (
    interface_area,
    placed_area,
    placement_ratio,
    published_areas,
    published_converter,
    register_area,
)

_MM2, _UM2 = 1e6, 1e12


def predicted() -> dict[str, float]:
    """Return the predicted number of each claim, in the claim's unit."""
    out = {
        f"{row['chip']}_{row['block']}": placed_area(row) * _MM2
        for row in published_areas("blocks")
    }
    out |= {
        f"{row['chip']}_converter": published_converter(row) * _UM2
        for row in published_areas("converters")
    }
    return out | {
        "tpu_v1_ddr3_interface": float(interface_area("ddr", 34e9, 28.0)) * _MM2,
        "bitmod_bit_serial_element": _bit_serial_element() * _UM2,
        "eyeriss_storage": _eyeriss_storage() * _MM2,
    }


def _bit_serial_element() -> float:
    """One of the 64 x 16 elements of BitMoD, square metres; what placing takes without BitMoD."""
    silicon = pm.predict("resnet18", "bitmod").silicon
    assert not isinstance(silicon, str)
    cells = float(silicon.areas()["array.elements"]) / placement_ratio("logic") / (64 * 16)
    return cells * placement_ratio("logic", "bitmod")


def _eyeriss_storage() -> float:
    """Buffer, filters, and registers of inputs and sums, square metres."""
    silicon = pm.predict("resnet18", "eyeriss").silicon
    assert not isinstance(silicon, str)
    areas = silicon.areas()
    bits = 168 * (12 + 24) * 16
    bit = float(register_area(silicon.node_nm, read_ports=1))
    registers = bits * bit * placement_ratio("logic", "eyeriss")
    return float(areas["array.buffer"] + areas["array.filters"]) + registers
