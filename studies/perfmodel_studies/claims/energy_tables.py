"""The energy tables against published energies, areas and wires that they do not use."""

from __future__ import annotations

from perfmodel.hardware.technology import (
    dram_streaming_energy,
    mac_area,
    operation_energy,
    power_law,
    sram_access_energy,
    sram_area,
    wire_energy,
)
from perfmodel.hardware.technology.tables import table
from perfmodel.units import parse

_PICO, _MICRO2, _MILLI2 = 1e12, 1e12, 1e6


def predicted() -> dict[str, float]:
    """Return the predicted number of each claim, in the claim's unit."""
    out = {
        "bit_fusion_int4_pj": operation_energy("int4", 45.0) * _PICO,
        "bit_fusion_int8_pj": operation_energy("int8", 45.0) * _PICO,
        "bit_fusion_int16_pj": operation_energy("int16", 45.0) * _PICO,
        "bit_fusion_int4_um2": mac_area("int4", 45.0) * _MICRO2,
        "bit_fusion_int8_um2": mac_area("int8", 45.0) * _MICRO2,
        "bit_fusion_int16_um2": mac_area("int16", 45.0) * _MICRO2,
        "accelergy_int8_65nm_pj": operation_energy("int8", 65.0) * _PICO,
        "tpu_v4i_bf16_multiply_pj": _bf16("multiply"),
        "tpu_v4i_bf16_add_pj": _bf16("add"),
        "eyeriss_buffer_pj": sram_access_energy(108 * 1024, 16, 65.0) * _PICO,
        "eyeriss_registers_pj": sram_access_energy(522, 16, 65.0) * _PICO,
        "tetris_buffer_pj": sram_access_energy(576 * 1024, 16, 45.0) * _PICO,
        "accelergy_buffer_pj": sram_access_energy(128 * 1024, 64, 65.0) * _PICO,
        "zigzag_2mib_22nm_pj": sram_access_energy(2.0**21, 256, 22.0) * _PICO,
        "zigzag_2mib_22nm_mm2": sram_area(2.0**21, 22.0) * _MILLI2,
        "zigzag_128b_22nm_mm2": sram_area(128, 22.0) * _MILLI2,
        "wire_10nm_0v75_pj": wire_energy(256, 1e-2, volts=0.75) * _PICO,
        "wire_10nm_0v65_pj": wire_energy(256, 1e-2, volts=0.65) * _PICO,
        "ddr4_pj_per_bit": dram_streaming_energy("ddr4") / 8 * _PICO,
        "lpddr4_pj_per_bit": dram_streaming_energy("lpddr4") / 8 * _PICO,
    }
    return {name: float(value) for name, value in out.items()}


def _bf16(operation: str) -> float:
    """bf16 at 7 nm in picojoules, from fp16 and fp32 alone."""
    rows = {
        row["format"]: parse(row["energy"], "energy")
        for row in table("operations")["anchors"]
        if row["operation"] == operation and row["node"] == "7 nm"
    }
    return power_law(8.0, [11.0, 24.0], [rows["fp16"], rows["fp32"]]) * _PICO
