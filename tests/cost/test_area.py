"""Area of arithmetic, memories and arrays against synthesised and generated ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cost.area import array_area
from perfmodel.hardware.technology import logic_leakage_power, mac_area, sram_area
from perfmodel.hardware.technology.nodes import area_scale
from perfmodel.hardware.technology.sram import rows
from perfmodel.hardware.technology.tables import nanometres, table
from perfmodel.units import parse


def test_published_areas_are_met() -> None:
    # Sze et al. 2017: 282 + 137, 1640 + 4184 and 7700 + 4184 square micrometres at 45 nm.
    assert mac_area("int8") == pytest.approx(419e-12)
    assert mac_area("fp16") == pytest.approx(5824e-12)
    assert mac_area("fp32") == pytest.approx(11884e-12)
    assert mac_area("fp16", accumulator="fp16") == pytest.approx(3000e-12)
    for row in rows():
        assert sram_area(row["capacity_bytes"]) == pytest.approx(row["area_mm2"] * 1e-6)


@pytest.mark.parametrize("name", ["int4", "int8", "int16"])
def test_synthesised_cells_are_near(name: str) -> None:
    """Bit Fusion's cells hold registers too: within a third of multiplier and adder alone."""
    checks = table("operations")["checks"]
    row = next(r for r in checks if r["operation"] == "mac" and r["format"] == name and "area" in r)
    found = mac_area(name, nanometres(row["node"]))
    assert found == pytest.approx(parse(row["area"], "area"), rel=0.35)


def test_leakage_goes_with_area() -> None:
    # Bit Fusion, 4 x 4 arrays at 45 nm, int4 and int16: microwatts and square micrometres.
    for microwatts, micrometres2 in ((84.995, 3066.0), (912.26, 26870.5)):
        assert logic_leakage_power(micrometres2 * 1e-12) == pytest.approx(
            microwatts * 1e-6, rel=0.15
        )


def test_memories_of_another_node_are_near() -> None:
    """CACTI at 22 nm, from CACTI at 45 nm and the paper's scaling: 128 bytes and 2 MiB."""
    held_out = [r for r in rows("checks") if r["area_mm2"] and r["node_nm"] != 45]
    assert len(held_out) == 2
    for row in held_out:
        found = sram_area(row["capacity_bytes"], row["node_nm"])
        assert found == pytest.approx(row["area_mm2"] * 1e-6, rel=0.2)


def test_bits_are_no_smaller_than_their_cells() -> None:
    cell = table("memories")["sram"]["bit_cells"][0]
    node = nanometres(cell["node"])
    megabyte = sram_area(2.0**20, node)
    assert megabyte > 2**23 * parse(cell["area"], "area")


def test_area_shrinks_as_the_paper_says() -> None:
    # Stillmaker and Baas 2017, table of areas: 45 to 7 nm 0.059, 180 to 45 nm 1 / 19.
    assert area_scale(45.0, 7.0) == pytest.approx(0.059)
    assert area_scale(180.0, 45.0) == pytest.approx(1 / 19)
    assert area_scale(16.0, 16.0) == pytest.approx(1.0)
    assert area_scale(45.0, 7.0) * area_scale(7.0, 20.0) == pytest.approx(area_scale(45.0, 20.0))


@given(st.floats(1024.0, 2.0**26), st.floats(5.0, 130.0), st.floats(1.0, 8.0))
def test_more_takes_more(capacity: float, node: float, times: float) -> None:
    assert sram_area(capacity, node) <= sram_area(capacity * times, node)
    assert mac_area("int8", node) <= mac_area("int8", node * times) * (1 + 1e-12)
    # One bank is never larger than two of half the capacity.
    assert sram_area(capacity, node) <= 2 * sram_area(capacity / 2, node) * (1 + 1e-9)


def test_an_array_is_the_sum_of_its_parts() -> None:
    found = array_area(
        "int8", 1024, np.array([28.0, 16.0]), register_bytes=128.0, buffer_bytes=2.0**20, banks=16
    )
    assert found.total.shape == (2,)
    assert found.arithmetic == pytest.approx(1024 * mac_area("int8", np.array([28.0, 16.0])))
    assert found.buffer[0] == pytest.approx(16 * sram_area(2.0**16, 28.0))
    bare = array_area("int8", 1024, 28.0)
    assert (bare.registers, bare.buffer) == (0.0, 0.0)
    assert bare.total == bare.arithmetic
