"""Energies by node: the published numbers themselves, held-out ones, limits and physics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.arrays import Array
from perfmodel.errors import InputError
from perfmodel.hardware.engine import COMPUTE_FORMATS
from perfmodel.hardware.technology import (
    blocks,
    dram_access_energy,
    dram_core_energy,
    dram_energy,
    dram_power,
    dram_streaming_energy,
    energy_scale,
    flash_page_read_energy,
    link_energy,
    mac_area,
    operation_energy,
    power_law,
    sources,
    sram_access_energy,
    sram_area,
    sram_leakage_power,
    wire_energy,
)
from perfmodel.hardware.technology.leakage import retained
from perfmodel.hardware.technology.nodes import trend
from perfmodel.hardware.technology.offchip import dram_kinds, entry
from perfmodel.hardware.technology.sram import points, rows
from perfmodel.hardware.technology.tables import NAMES, nanometres, table
from perfmodel.units import parse

NODES = st.floats(3.0, 180.0)
CAPACITIES = st.floats(64.0, 2.0**27)


# the curves


@given(st.floats(1e-3, 1e6), st.floats(0.1, 3.0), st.floats(1e-12, 1e3))
def test_a_power_law_is_itself_between_and_beyond(x: float, exponent: float, scale: float) -> None:
    xs = [0.5, 3.0, 40.0, 700.0]
    assert power_law(x, xs, [scale * v**exponent for v in xs]) == pytest.approx(scale * x**exponent)


def test_a_curve_meets_its_points_and_keeps_shapes() -> None:
    xs, ys = [1.0, 10.0, 100.0], [2.0, 1.0, 7.0]
    assert power_law(np.array(xs), xs, ys) == pytest.approx(ys)
    assert power_law(np.full((3, 1), 10.0), xs, ys).shape == (3, 1)
    # Between two points the middle of the logarithms; outside the exponents asked for.
    assert power_law(math.sqrt(1000.0), xs, ys) == pytest.approx(math.sqrt(7.0))
    assert power_law(1000.0, xs, ys, right=1.0) == pytest.approx(70.0)
    assert power_law(0.1, xs, ys, left=0.0) == pytest.approx(2.0)


def leave_one_out(xs: Sequence[float], ys: Sequence[float]) -> Array:
    """Return what each inner point is predicted as, over what it is, less one, without it.

    Parameters
    ----------
    xs, ys
        Points as `power_law` takes them, three at least.

    Returns
    -------
    Array
        Relative errors of the points but the first and the last, which nothing brackets.
    """
    errors: list[float] = []
    for i in range(1, len(xs) - 1):
        rest = [j for j in range(len(xs)) if j != i]
        found = power_law(xs[i], [xs[j] for j in rest], [ys[j] for j in rest])
        errors.append(found / ys[i] - 1.0)
    return np.asarray(errors)


def dram_range(kind: str) -> tuple[float, float]:
    """Return the lowest and highest published energy of reading a byte, joules."""
    found = entry(kind)
    if "range" not in found:
        return dram_energy(kind), dram_energy(kind)
    low, high = (parse(text, "energy_per_byte") for text in found["range"])
    return low, high


def wire_checks() -> list[tuple[float, float]]:
    """Return (predicted, published) joules of the wires that the model does not use."""
    found: list[tuple[float, float]] = []
    for row in table("memories")["wires"]["checks"]:
        metres = row["millimetres"] * 1e-3
        node = nanometres(row["node"])
        found.append(
            (
                float(wire_energy(row["bits"], metres, node, volts=row["volts"])),
                parse(row["energy"], "energy"),
            )
        )
    return found


def test_leaving_a_point_out() -> None:
    assert leave_one_out([1.0, 2.0, 4.0], [1.0, 3.0, 4.0]) == pytest.approx([2.0 / 3.0 - 1.0])
    assert leave_one_out([1.0, 2.0, 4.0, 8.0], [5.0, 10.0, 20.0, 40.0]) == pytest.approx([0, 0])


# what is published comes out as published


def test_the_anchors_are_met() -> None:
    for row in table("operations")["anchors"]:
        if row["format"] in ("int16", "bf16"):  # at one of the two nodes alone
            continue
        found = operation_energy(row["format"], nanometres(row["node"]), operation=row["operation"])
        assert found == pytest.approx(parse(row["energy"], "energy")), row
    for capacity, old, new in table("memories")["sram"]["pairs"]["rows"]:
        assert sram_access_energy(capacity, 64, 45.0) == pytest.approx(old * 1e-12)
        assert sram_access_energy(capacity, 64, 7.0) == pytest.approx(new * 1e-12)


def test_a_multiply_accumulate_is_its_parts() -> None:
    # Horowitz: 0.2 + 0.1 (int32), 1.1 + 0.9 (fp32), 1.1 + 0.4 (fp16), 3.7 + 0.9 picojoules.
    assert operation_energy("int8") == pytest.approx(0.3e-12)
    assert operation_energy("fp16") == pytest.approx(2.0e-12)
    assert operation_energy("fp16", accumulator="fp16") == pytest.approx(1.5e-12)
    assert operation_energy("fp32") == pytest.approx(4.6e-12)
    assert operation_energy("int8", accumulator="int8") == pytest.approx(0.23e-12)


# held out: what the tables hold and the model does not use


def test_formats_between_follow_the_width() -> None:
    """bf16 at 7 nm and int16 additions at 45 nm are published, and predicted without them."""
    anchors = table("operations")["anchors"]
    known = {
        (r["operation"], r["format"], r["node"]): parse(r["energy"], "energy") for r in anchors
    }
    for operation, limit in (("multiply", 0.08), ("add", 0.03)):
        near = [known[operation, f, "7 nm"] for f in ("fp16", "fp32")]
        found = power_law(8.0, [11.0, 24.0], near)
        assert found == pytest.approx(known[operation, "bf16", "7 nm"], rel=limit)
    near = [known["add", f, "45 nm"] for f in ("int8", "int32")]
    assert power_law(16.0, [8.0, 32.0], near) == pytest.approx(
        known["add", "int16", "45 nm"], rel=0.1
    )


@pytest.mark.parametrize("row", table("operations")["checks"], ids=str)
def test_other_sources_of_arithmetic(row: dict[str, Any]) -> None:
    """Within a factor of two; a wide accumulator weighs on narrow products, Aladdin's units cost
    three to twenty times Horowitz's (their clock is pipelined at 1 ns)."""
    found = operation_energy(row["format"], nanometres(row["node"]), operation=row["operation"])
    ratio = found / parse(row["energy"], "energy")
    low, high = (0.04, 0.6) if row["source"] == "aladdin2014" else (1.0, 3.0)
    assert low < ratio < high
    if row["source"] != "aladdin2014" and row["format"] != "int2":
        assert ratio < 2.0


@pytest.mark.parametrize("row", rows("checks"), ids=str)
def test_other_memories_lie_within_a_factor_of_five(row: dict[str, Any]) -> None:
    found = sram_access_energy(row["capacity_bytes"], row["word_bits"], row["node_nm"])
    assert 0.2 < found * 1e12 / row["read_pj"] < 2.8


def test_the_sram_points_hold_each_other_up() -> None:
    assert np.abs(leave_one_out(*points("read_pj"))).max() < 0.26
    assert np.abs(leave_one_out(*points("area_mm2"))).max() < 0.36
    assert np.abs(leave_one_out(*points("leakage_mw"))).max() < 0.13


def test_wires_at_lower_supplies() -> None:
    for predicted, published in wire_checks():
        assert predicted == pytest.approx(published, rel=0.08)


def test_currents_stay_below_published_energies() -> None:
    """The core's currents leave out termination and controller, so they are a lower bound."""
    for kind in ("ddr3", "ddr4", "lpddr4"):
        assert dram_core_energy(kind) < dram_streaming_energy(kind) < dram_energy(kind)
        low, high = dram_range(kind)
        assert low <= dram_energy(kind) <= high


def test_the_currents_of_ddr4_by_hand() -> None:
    # Micron TN-41-01 with the numbers of a 4 Gb DDR4-2400 x8 chip.
    burst = (184.5e-3 - 44e-3) * 1.2 / 2.4e9
    cycle = (60.75e-3 * 55 - 44e-3 * 39 - 38.25e-3 * 16) * 1.2 / 1.2e9 / 1024
    assert dram_core_energy("ddr4") == pytest.approx(burst + cycle)
    # A row of which 64 bytes are used is opened for them alone.
    assert dram_core_energy("ddr4", 64.0) == pytest.approx(burst + 16 * cycle)
    # One chip at 2.4 GB/s, one bank open, refreshed for 313 of 4680 clocks.
    held = (44e-3 * 1.2 + (118e-3 - 44e-3) * 1.2 * 313 / 4680) / 2.4e9
    assert dram_streaming_energy("ddr4") == pytest.approx(burst + cycle + held)
    power = dram_power("ddr4")
    assert power is not None
    assert power.standby == pytest.approx(38.25e-3 * 1.2 / 2**29)
    assert power.refresh == pytest.approx((118e-3 - 44e-3) * 1.2 * 313 / 4680 / 2**29)
    assert power.self_refresh < power.standby < power.active_standby
    assert dram_power("hbm2") is None


def test_inverter_chains_promise_more_than_designers_found() -> None:
    """Stillmaker and Baas from 45 to 7 nm, against Google's table of the same operations."""
    promised = energy_scale(45.0, 7.0, from_volts=0.9)
    found = [operation_energy(f, 7.0) / operation_energy(f, 45.0) for f in ("int8", "fp16", "fp32")]
    assert promised == pytest.approx(1 / 14.6, rel=0.01)
    assert min(found) > 4 * promised


def test_inverter_chains_by_hand() -> None:
    # 65 nm at 1.0 V over 16 nm at 0.8 V, the paper's polynomials.
    upper, lower = 3.755 - 4.398 + 1.975, 0.2958 * 0.64 - 0.1241 * 0.8 + 0.03024
    found = energy_scale(16.0, 65.0, from_volts=0.8, to_volts=1.0)
    assert found == pytest.approx(upper / lower)
    assert energy_scale(45.0, 45.0) == pytest.approx(1.0)


# physics


@given(NODES, st.sampled_from(COMPUTE_FORMATS))
def test_every_format_has_an_energy_that_falls_with_the_node(node: float, name: str) -> None:
    assert 0 < operation_energy(name, node) < operation_energy(name, node * 1.1)


@given(NODES, CAPACITIES, st.floats(1.0, 4.0))
def test_larger_memories_cost_no_less(node: float, capacity: float, times: float) -> None:
    small = sram_access_energy(capacity, 64, node)
    assert small <= sram_access_energy(capacity * times, 64, node) * (1 + 1e-12)
    assert small <= sram_access_energy(capacity, 64, node * times) * (1 + 1e-12)
    wider = sram_access_energy(capacity, 128, node)
    assert 2**0.65 * small <= wider <= 2 * small * (1 + 1e-12)
    for bits in (8, 512):
        few, many = (sram_access_energy(c, bits, node) for c in (capacity, capacity * times))
        assert few <= many * (1 + 1e-12)
    assert sram_leakage_power(capacity) <= sram_leakage_power(capacity * times)


def test_wide_words_cost_less_a_bit_in_large_memories() -> None:
    """Fitted on pairs of CACTI memories at 64 and 128 bits (ZigZag): 1 kB, 1.3 and 10 MB."""
    pairs = [(1.15e6, 807.662, 1342177, 1027.69, 1e6), (10.3e6, 2536.0, 10737418, 4099.06, 1e7)]
    for capacity, narrow, at, wide, other in pairs:
        published = (wide / other**0.5) / (narrow / at**0.5)
        found = sram_access_energy(capacity, 128) / sram_access_energy(capacity, 64)
        assert found == pytest.approx(published, rel=0.08)
    assert sram_access_energy(512, 128) == pytest.approx(2 * sram_access_energy(512, 64))
    # Beyond 256 bits memories stand side by side.
    assert sram_access_energy(2e6, 1024) == pytest.approx(4 * sram_access_energy(2e6, 256))


def test_arrays_are_their_points() -> None:
    nodes = np.array([7.0, 28.0, 65.0])
    capacities = np.array([[1e3], [1e6]])
    found = sram_access_energy(capacities, 64, nodes)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(sram_access_energy(1e6, 64, 65.0))
    assert operation_energy("int8", nodes)[1] == pytest.approx(operation_energy("int8", 28.0))
    assert isinstance(operation_energy("int8", 28.0), float)
    assert trend(np.array([7.0, 45.0]), 4.0, 1.0) == pytest.approx([1.0, 4.0])


def test_traced_nodes_have_a_slope() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    def energy(node: Any, capacity: Any) -> Any:
        return sram_access_energy(capacity, 64, node) + operation_energy("int8", node)

    slopes = jax.jit(jax.grad(energy, argnums=(0, 1)))(28.0, 2e5)
    for at, slope in enumerate(slopes):
        step = [28.0, 2e5]
        step[at] *= 1.0001
        expected = (energy(*step) - energy(28.0, 2e5)) / (step[at] / 1.0001 * 1e-4)
        assert float(slope) == pytest.approx(expected, rel=1e-3)


def test_pairs_of_formats_lie_between() -> None:
    pair = operation_energy("int4xint8", operation="multiply")
    low, high = (operation_energy(f, operation="multiply") for f in ("int4", "int8"))
    # Energy goes with the product of the widths, so a pair is the geometric mean.
    assert pair == pytest.approx(math.sqrt(low * high))
    assert operation_energy("fp16xint4") > operation_energy("int4")
    assert operation_energy("mxfp8xmxfp4") > operation_energy("mxfp4")


def test_flash_pages_and_links() -> None:
    # 10 mA at 3 V for 25 us, and 2112 bytes over the channel.
    assert flash_page_read_energy() == pytest.approx(0.75e-6 + 2112 * 8 * 5.8e-12)
    in_die = flash_page_read_energy(page_read_s=50e-6, page_bytes=0.0)
    assert in_die == pytest.approx(1.5e-6)
    assert link_energy("pcie") == pytest.approx(60e-12)
    assert wire_energy(256, 1e-2, volts=0.9) == pytest.approx(310e-12)


def test_unknown_names_are_told() -> None:
    with pytest.raises(InputError, match="lpddr4"):
        dram_energy("lpdr4")
    with pytest.raises(InputError, match="did you mean 'bf16'"):
        operation_energy("bf61")
    with pytest.raises(InputError, match="currents"):
        dram_core_energy("hbm2")


@pytest.mark.parametrize(
    "name",
    ["int0", "int00", "int08", "int", "int-8", "int100", "int\u00b2", "int8xint0", "fp0", ""],
)
def test_formats_without_a_width_are_refused(name: str) -> None:
    for law in (operation_energy, mac_area):
        with pytest.raises(InputError, match=f"no energy is known for the format '{name}'"):
            law(name)
    with pytest.raises(InputError, match=r"operation 'mul'.*one of mac, multiply, add"):
        operation_energy("int8", operation="mul")


def test_no_memory_takes_nothing() -> None:
    sizes = np.array([0.0, 8192.0])
    for law in (sram_access_energy, sram_area, sram_leakage_power):
        assert law(0) == 0.0
        found = law(sizes)
        assert found[0] == 0.0
        assert found[1] == law(8192) > 0.0
    assert sram_access_energy(sizes, np.array([[8], [64]]), 7.0).shape == (2, 2)


def test_background_is_taken_off_what_was_published() -> None:
    for kind in dram_kinds():
        power, alone = dram_power(kind), dram_access_energy(kind)
        if power is None or "read" not in table("memories")["dram"][kind]:
            assert alone == dram_energy(kind)
            continue
        assert dram_core_energy(kind) < alone < dram_energy(kind)
    # DDR4-2400 x8 of 4 Gbit: 2.4 GB/s; IDD2N 38.25, and IDD5 118 over IDD3N 44 for 313 of 4680
    # clocks, all at 1.2 V.
    rest = 1.2 * (38.25e-3 + (118e-3 - 44e-3) * 313 / 4680) / 2.4e9
    assert dram_access_energy("ddr4") == pytest.approx(18.75e-12 * 8 - rest)


def _class_numbers(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the numbers of the classes: mappings with a value, however deep."""
    if "value" in entry:
        yield entry
    for each in entry.values():
        if isinstance(each, dict):
            yield from _class_numbers(cast("dict[str, Any]", each))


def test_every_number_has_a_source() -> None:
    memories = table("memories")
    entries = [
        *table("operations")["anchors"],
        *table("operations")["areas"],
        *table("operations")["checks"],
        *memories["dram"].values(),
        *memories["currents"].values(),
        *memories["flash"].values(),
        *memories["links"].values(),
        memories["wires"]["reference"],
        *_class_numbers(table("power_classes")["classes"]),
        table("power_classes")["unmeasured"],
    ]
    radios = table("links")["links"]
    entries += radios.values()
    areas = table("areas")
    laws = ("register", "bit_cells", "pitch", "leakage", "cache_overhead")
    entries += [*(areas[name] for name in laws), *areas["interfaces"].values()]
    leakage = areas["leakage"]
    entries += [leakage["off_currents"], *leakage["classes"].values()]
    known: set[str] = {key for name in NAMES for key in sources(name)}
    for item in entries:
        assert item["source"] in known
        assert item["confidence"] in ("estimated", "datasheet", "measured", "fitted")
        assert item["confidence"] != "fitted" or item["fitted_on"]
    published = [*blocks.published("blocks"), *blocks.published("converters"), *retained()]
    for row in (*rows(), *rows("checks"), *published):
        assert row["source"] in known
    assert set(dram_kinds()) == set(memories["dram"])
    cited = {item["source"] for item in entries} | {
        r["source"] for r in (*rows(), *rows("checks"), *published)
    }
    cited |= {n["source"] for n in _class_numbers(radios) if "source" in n}
    cited |= {"stillmaker2017", "ptm", "micron_tn4101", "wikichip2022"}
    assert known <= cited | set(memories["sram"]["pairs"]["sources"])
