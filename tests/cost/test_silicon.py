"""Area and leakage of the blocks that specs state, against published chips and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cost.area import SiliconBlock, SiliconBlocks
from perfmodel.errors import InputError
from perfmodel.hardware import library
from perfmodel.hardware.technology.blocks import (
    cells_area,
    placed_area,
    placement,
    published,
    published_converter,
    register_area,
)
from perfmodel.hardware.technology.leakage import (
    Transistors,
    leakage_factor,
    leakage_scale,
    retained,
)
from perfmodel.kinds.silicon import silicon_of

SPEC = {
    "schema_version": 1,
    "name": "own_npu",
    "sources": {"design": "Our design"},
    "source": "design",
    "confidence": "estimated",
    "energy": {"node": "28 nm", "memories": {"dram": "lpddr4"}},
    "engines": [
        {
            "name": "mesh",
            "kind": "systolic",
            "clock": "1 GHz",
            "height": 16,
            "width": 16,
            "dataflow": "weight_stationary",
            "peaks": {"int8": {"value": "512 GOP/s", "accumulator": "int32"}},
            "vector_peaks": {"int32": "16 GOP/s"},
        }
    ],
    "memories": [
        {"name": "sram", "kind": "scratchpad", "capacity": "256 KiB", "bandwidth": "48 B/clock"}
        | {"feeds": ["mesh"]},
        {"name": "dram", "kind": "dram", "roles": ["main"], "capacity": "2 GiB"}
        | {"bandwidth": "12.8 GB/s", "feeds": ["sram"]},
    ],
}


@pytest.fixture(scope="module")
def npu() -> pm.Device:
    return pm.Device.model_validate(SPEC)


def test_published_blocks_are_met_by_what_others_teach() -> None:
    """Half of the blocks of chips are within 25 % when nothing of their chip is known."""
    rows = published("blocks")
    errors = [abs(placed_area(row) * 1e6 / row["mm2"] - 1.0) for row in rows]
    errors += [abs(published_converter(r) * 1e12 / r["um2"] - 1.0) for r in published("converters")]
    assert np.median(errors) < 0.25
    assert np.median([e for e, r in zip(errors, rows, strict=False) if r["chip"] != "isaac"]) < 0.2
    # A block is left out with its chip: the ratio without it is another.
    unit = next(row for row in rows if row["block"] == "matrix_unit")
    own = placement("logic").ratio * cells_area(unit)
    assert placed_area(unit) < 0.99 * own < 1e-6 * unit["mm2"]


def test_a_generated_memory_takes_no_placement() -> None:
    """What a generator returns is its cells; placed in a chip, the same bytes take more."""
    macro = next(row for row in published("blocks") if row["kind"] == "macro")
    assert placed_area(macro) == cells_area(macro)
    assert placed_area(macro | {"kind": "memory"}) > 1.1 * cells_area(macro)
    # The same bytes in more banks have more periphery.
    assert cells_area(macro | {"banks": 64}) > 1.05 * cells_area(macro)


def test_a_register_file_is_flip_flops_with_multiplexers() -> None:
    # FreePDK45: DFF_X1 4.522, MUX2_X1 1.862 um2; one holds a bit, one reads it at each port.
    assert register_area(read_ports=1) == pytest.approx((4.522 + 2 * 1.862) * 1e-12)
    assert register_area(read_ports=2) - register_area(read_ports=1) == pytest.approx(1.862e-12)
    assert register_area() == pytest.approx(4.522e-12)


def test_blocks_of_a_die_are_smaller_than_the_die() -> None:
    for name in ("tpu_v1", "eyeriss", "a100", "h100"):
        p = pm.predict("resnet18", name)
        assert p.die_mm2 is not None
        assert 0.1 * p.die_mm2 < p.area_mm2 < p.die_mm2, name


def test_no_device_of_the_library_is_larger_than_its_die() -> None:
    """The published parts of ISAAC add up to 85.44 of its 85.4 mm2."""
    shares: dict[str, float] = {}
    for name in library.names():
        device = pm.hardware(name)
        silicon = silicon_of(device, device.machine().facts)
        if device.area is not None and not isinstance(silicon, str):
            shares[name] = float(sum(silicon.areas().values())) / device.area.value
    assert len(shares) > 100
    assert {name: s for name, s in shares.items() if not 0.0 < s < 1.001} == {}


def test_stated_areas_add_up_to_the_published_chip() -> None:
    # Shafiee et al. 2016: 85.4 mm2; Wang et al. 2022: 0.124 mm2.
    assert pm.predict("resnet18", "isaac").area_mm2 == pytest.approx(85.4, rel=0.01)
    assert pm.predict("resnet18", "cim_wang_22nm").area_mm2 == pytest.approx(0.124, rel=0.01)


def test_area_follows_swept_facts(npu: pm.Device) -> None:
    sides = np.array([8.0, 16.0, 64.0])
    facts = {"engines.mesh.height": sides, "engines.mesh.width": sides}
    p = pm.predict("resnet18", npu.vary(facts), precision="int8")
    parts = p.area_parts_mm2
    assert np.shape(p.area_mm2) == (3,)
    assert parts["mesh.elements"] / parts["mesh.elements"][0] == pytest.approx((sides / 8.0) ** 2)
    assert parts["sram"] == pytest.approx([parts["sram"][0]] * 3)
    assert sum(parts.values()) == pytest.approx(p.area_mm2)
    each = [p.at(i) for i in range(3)]
    assert [one.area_mm2 for one in each] == pytest.approx(p.area_mm2)
    assert [one.leakage_w for one in each] == pytest.approx(p.leakage_w)
    larger = npu.vary({"memories.sram.capacity": np.array([2.0**18, 2.0**20])})
    sram = pm.predict("resnet18", larger, precision="int8").area_parts_mm2["sram"]
    assert sram[1] == pytest.approx(4.0 * sram[0])


def test_smaller_nodes_take_and_leak_less(npu: pm.Device) -> None:
    nodes = npu.vary({"energy.node": np.array([65e-9, 28e-9, 16e-9, 7e-9, 5e-9])})
    p = pm.predict("resnet18", nodes, precision="int8")
    assert np.all(np.diff(p.area_mm2) < 0.0)
    assert np.all(np.diff(p.leakage_w) < 0.0)
    # ITRS: the same circuit, width and supply alone: 0.9 V at 28 nm within the table's rounding.
    assert leakage_scale(45.0) == pytest.approx(1.0)
    assert leakage_scale(22.5) == pytest.approx(0.5 * 0.9, rel=0.02)


def test_leakage_is_part_of_the_energy_of_a_run(npu: pm.Device) -> None:
    """More SRAM leaks more; a stated idle power holds the leakage, which is not counted twice."""
    larger = npu.vary({"memories.sram.capacity": np.array([2.0**18, 2.0**20])})
    p = pm.predict("resnet18", larger, precision="int8")
    assert p.energy.parts["leakage"] == pytest.approx(p.leakage_w * p.latency_s)
    assert p.leakage_w[1] > 2.0 * p.leakage_w[0]
    assert sum(p.energy.parts.values()) == pytest.approx(p.energy_j)
    assert "leakage" not in p.energy.model.partition("; ")[2]
    idle = pm.predict("resnet18", npu.vary({"power.idle": 0.5}), precision="int8")
    assert set(idle.energy.parts) & {"static", "leakage"} == {"static"}
    # A search of sizes sees it too: one device, one energy.
    best = pm.search(
        "resnet18",
        npu,
        choices={"memories.sram.capacity": ["256 KiB"]},
        objective="energy_j",
        precision="int8",
    )
    assert best.best is not None
    assert best.best.value == pytest.approx(p.energy_j[0])


def test_transistors_follow_the_spec_and_the_class() -> None:
    """CACTI, 45 nm: 642, 12.7 and 0.13 nA per um at 360 K; a microcontroller's leak least."""
    by_cells = [
        Transistors(cells, 360.0).leakage_w(0.0, 2.0**20, 1.0, 45.0)
        for cells in ("high_performance", "low_operating_power", "low_standby_power")
    ]
    assert by_cells[1] / by_cells[0] == pytest.approx(12.7 / 642)
    assert by_cells[2] / by_cells[0] == pytest.approx(0.13 / 642)
    watts = {
        (tag, cells): pm.predict(
            "resnet18",
            pm.Device.model_validate(SPEC | {"tags": [tag], "energy": energy}),
            precision="int8",
        ).leakage_w
        for tag in ("mcu", "edge", "datacenter")
        for cells, energy in (
            (None, {"node": "28 nm"}),
            ("high_performance", {"node": "28 nm", "cells": "high_performance"}),
        )
    }
    assert watts["mcu", None] < 0.01 * watts["edge", None] < 0.01 * watts["datacenter", None]
    assert watts["mcu", "high_performance"] > 100.0 * watts["mcu", None]


def test_retained_memories_leak_as_published_within_an_order() -> None:
    """Vega, Mr. Wolf and an nRF52840 asleep: within the factor of the interval, and 10 at most."""
    ratios = [row["predicted_uw"] / row["uw"] for row in retained()]
    assert all(0.1 < ratio < 10.0 for ratio in ratios)
    assert 1.0 < leakage_factor(0.5) < leakage_factor(0.9) < 10.0


def test_intervals_hold_the_value_and_grow_with_their_level(npu: pm.Device) -> None:
    p = pm.predict("resnet18", npu, precision="int8")
    for metric in ("area_mm2", "leakage_w"):
        half, most = (p.intervals[metric][level] for level in ("50", "90"))
        value = getattr(p, metric)
        assert most.low <= half.low < value <= half.high <= most.high
    assert p.to_dict()["area_mm2"] == p.area_mm2


def test_a_spec_without_structure_has_no_area() -> None:
    p = pm.predict("resnet18", "raspberry_pi_5")
    assert np.isnan(p.area_mm2)
    assert np.isnan(p.leakage_w)
    assert isinstance(p.silicon, str)


def test_areas_can_be_asked_for_everywhere(npu: pm.Device) -> None:
    table = pm.sweep(
        "resnet18",
        npu,
        {"memories.sram.capacity": ["64 KiB", "1 MiB"]},
        where="area_mm2 <= 5.5 mm2",
        precision="int8",
    )
    assert len(table) == 1
    assert table["area_mm2"][0] == pytest.approx(
        pm.predict("resnet18", npu.vary({"memories.sram.capacity": 65536.0})).area_mm2
    )
    found = pm.solve("resnet18", npu, "memories.sram.capacity", "area_mm2 <= 5.5", precision="int8")
    assert pm.predict(
        "resnet18", npu.vary({"memories.sram.capacity": found.value}), precision="int8"
    ).area_mm2 == pytest.approx(5.5, rel=1e-3)
    compared = pm.compare("resnet18", "tpu_v1", npu, precision="int8").metrics
    assert {"area_mm2", "leakage_w"} <= set(compared["metric"])
    best = pm.search(
        "tiny_cnn",
        npu,
        choices={"memories.sram.capacity": ["64 KiB", "1 MiB"], "weight_bits": [4, 8]},
        objective="area_mm2",
        constraints=["latency_s <= 1 ms"],
    )
    assert best.best is not None
    assert best.best.value == pytest.approx(
        pm.predict("tiny_cnn", npu.vary({"memories.sram.capacity": 65536.0})).area_mm2
    )


def test_leakage_of_blocks_whose_areas_alone_are_stated_is_not_known() -> None:
    p = pm.predict("mlperf_tiny_ic", "cim_jia_65nm")
    assert p.area_mm2 > 0.0
    assert np.isnan(p.leakage_w)
    reason = "only the areas of its blocks are stated"
    assert p.missing_reason("leakage_w").startswith(reason)
    assert f"leakage_w: not known, since {reason}" in p.explain()
    assert "leakage_w" not in p.intervals
    with pytest.raises(InputError, match=reason):
        pm.search(
            "mlperf_tiny_ic", "cim_jia_65nm", choices={"batch": [1, 2]}, objective="leakage_w"
        )


def test_stated_areas_do_not_depend_on_the_node() -> None:
    blocks = {"stated": SiliconBlock(stated_m2=3e-6)}
    for node in (65.0, 7.0):
        silicon = SiliconBlocks(blocks, node)
        assert silicon.areas()["stated"] == pytest.approx(3e-6)
        assert silicon.areas(0.9)["stated"] == pytest.approx(3e-6)
        assert silicon.leakage_w()["stated"] == pytest.approx(0.0)
