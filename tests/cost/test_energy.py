"""Energy: which model is used, that its parts add up, and that it says what it leaves out."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from perfmodel.cost.energy import run_energy
from perfmodel.cost.energy_tables import (
    dram_energy,
    dram_power,
    operation_energy,
    sram_access_energy,
)
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError
from perfmodel.formats import parse_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.workload.library import find

TOTALS = {
    "latency_s": 2.0, "operations int8": 10.0, "operations vector": 4.0, "traffic near": 6.0,
    "traffic main": 3.0,
}  # fmt: skip
FACTS = {
    "engines.e.energy_per_op.int8": 0.5,
    "memories.near.energy_per_byte": 0.25,
    "memories.main.energy_per_byte": 2.0,
    "power.idle": 1.0,
    "power.busy": 20.0,
}
ALL = "operations + bytes + static power x time"


def setting(facts: dict[str, float], precision: str = "int8") -> Setting:
    return Setting(facts, "e", ("near", "main"), "main", parse_precision(precision))


def test_every_part_is_counted() -> None:
    found = run_energy(TOTALS, setting(FACTS))
    assert found.parts == {"compute int8": 5.0, "compute vector": 2.0, "memory near": 1.5,
                           "memory main": 6.0, "static": 2.0}  # fmt: skip
    assert (found.joule, found.model) == (16.5, ALL)


@pytest.mark.parametrize(
    ("without", "joule", "model"),
    [
        ("memories.near.energy_per_byte", 15.0, f"{ALL}; bytes of near not counted"),
        ("power.idle", 14.5, "operations + bytes; static power not counted"),
        ("memories.main.energy_per_byte", 40.0, "busy power x time"),
        ("engines.e.energy_per_op.int8", 40.0, "busy power x time"),
    ],
)
def test_what_is_left_out_is_named(without: str, joule: float, model: str) -> None:
    found = run_energy(TOTALS, setting({k: v for k, v in FACTS.items() if k != without}))
    assert (found.joule, found.model) == (joule, model)
    assert sum(found.parts.values()) == found.joule


def test_vector_work_without_a_figure_is_named() -> None:
    # Sixteen-bit vector work has no figure on an engine that states int4 alone.
    facts = FACTS | {"engines.e.energy_per_op.int4": 0.5}
    del facts["engines.e.energy_per_op.int8"], facts["memories.near.energy_per_byte"]
    totals = {k.replace("int8", "int4"): v for k, v in TOTALS.items()}
    found = run_energy(totals, setting(facts, "w4a16"))
    assert found.model == f"{ALL}; vector work, bytes of near not counted"
    assert found.joule == 5.0 + 6.0 + 2.0


def test_a_device_that_states_energies() -> None:
    machine = hardware("edge_tpu").machine().vary({"memories.main.energy_per_byte": "13.5 pJ/bit"})
    found = predict(find("mobilenet_v2"), machine, precision="int8")
    assert found.energy_model == "operations + bytes; bytes of sram, static power not counted"
    parts = found.energy.parts
    assert set(parts) == {"compute int8", "compute vector", "memory host_dram"}
    assert sum(parts.values()) == pytest.approx(float(found.energy_j))
    assert parts["memory host_dram"] == pytest.approx(
        found.traffic_bytes["host_dram"] * 13.5e-12 * 8
    )
    assert 0 < float(found.power_w) < machine["power.busy"]


# what a kind prices itself


def test_a_kind_prices_its_own() -> None:
    totals = TOTALS | {"energy array": 7.0, "energy noc": 1.0}
    covered = ("operations int8", "traffic near")
    found = run_energy(totals, setting(FACTS), covered)
    assert found.parts == {"array": 7.0, "noc": 1.0, "compute vector": 2.0, "memory main": 6.0,
                           "static": 2.0}  # fmt: skip
    assert found.joule == 18.0
    assert found.model == f"energies of the kind + {ALL}"
    # What it covers needs no figure of the device.
    facts = {"memories.main.energy_per_byte": 2.0}
    alone = run_energy(totals, setting(facts), covered)
    assert alone.joule == 14.0
    assert alone.model.endswith("; vector work, static power not counted")


def test_a_kind_that_covers_everything() -> None:
    totals = TOTALS | {"energy chip": 7.0}
    covered = [key for key in totals if key.startswith(("operations", "traffic"))]
    found = run_energy(totals, setting({}), covered)
    assert (found.joule, found.model) == (
        7.0, "energies of the kind; static power not counted"
    )  # fmt: skip


def test_dram_at_rest_stands_for_idle_power() -> None:
    facts = FACTS | {"memories.main.background_power": 0.25}
    # Idle power, where it is stated, keeps the DRAM refreshed too.
    assert run_energy(TOTALS, setting(facts)).joule == 16.5
    del facts["power.idle"]
    found = run_energy(TOTALS, setting(facts))
    assert found.parts["background main"] == 0.5
    assert found.joule == 15.0
    assert found.model == f"{ALL}; static power beside DRAM's not counted"


# a device that asks for the tables of its node

ASKING = """
schema_version: 1
name: small_npu
sources: {design: "A design of ours"}
source: design
confidence: estimated
ENERGY
engines:
  - name: npu
    clock: "1 GHz"
    peaks:
      int8: {value: "2 TOP/s", accumulator: int32}
      fp16: {value: "500 GFLOP/s", accumulator: fp16}
      mxfp8: "500 GFLOP/s"
    vector_peaks: {fp32: "20 GFLOP/s"}
memories:
  - {name: sram, kind: scratchpad, capacity: "1 MiB", bandwidth: "128 B/clock", feeds: [npu]}
  - {name: lpddr4, kind: dram, roles: [main], capacity: "2 GiB", bandwidth: "12.8 GB/s",
     feeds: [sram]}
"""


def device(tmp_path: Path, energy: str, **changes: str) -> Device:
    text = ASKING.replace("ENERGY", energy)
    for old, new in changes.items():
        text = text.replace(old, new)
    path = tmp_path / "small_npu.yaml"
    path.write_text(text)
    return hardware(path)


def test_devices_that_do_not_ask_are_left_alone(tmp_path: Path) -> None:
    facts = device(tmp_path, "").machine()
    assert facts.get("engines.npu.energy_per_op.int8") is None
    assert "memories.lpddr4.background_power" not in facts.paths
    found = predict(find("resnet18"), facts, precision="int8")
    assert found.energy_model.startswith("unknown")


def test_a_device_that_asks(tmp_path: Path) -> None:
    machine = device(tmp_path, 'energy: "28 nm"').machine()
    assert machine["engines.npu.energy_per_op.int8"] == operation_energy("int8", 28.0) / 2
    half = operation_energy("fp16", 28.0, accumulator="fp16") / 2
    assert machine["engines.npu.energy_per_op.fp16"] == half
    sram = sram_access_energy(2.0**20, 64, 28.0) / 8
    assert machine["memories.sram.energy_per_byte"] == pytest.approx(sram)
    assert machine["memories.main.energy_per_byte"] == dram_energy("lpddr4")
    power = dram_power("lpddr4")
    assert power is not None
    rest = (power.standby + power.refresh) * 2**31
    assert machine["memories.main.background_power"] == pytest.approx(rest)
    origin = machine.provenance["engines.npu.energy_per_op.int8"]
    assert (origin.writer, origin.confidence) == ("table operations", "estimated")
    assert origin.source == "horowitz2014, jouppi2021"
    found = predict(find("resnet18"), machine, precision="int8")
    assert set(found.energy.parts) == {
        "compute int8", "compute vector", "memory sram", "memory lpddr4", "background lpddr4",
    }  # fmt: skip
    assert found.energy.parts["compute int8"] == pytest.approx(
        found.macs * operation_energy("int8", 28.0)
    )
    assert found.interval("energy_j").low < found.energy_j < found.interval("energy_j").high
    # The grade counts the device's own numbers, to which the node belongs.
    bare = device(tmp_path, "").grade().counts["estimated"]
    assert machine.device.grade().counts["estimated"] == bare + 1


def test_what_is_stated_stays(tmp_path: Path) -> None:
    stated = device(
        tmp_path, 'energy: {node: "28 nm"}',
        **{"    peaks:": '    energy_per_op: {int8: "1 pJ/OP"}\n    peaks:',
           'capacity: "1 MiB",': 'capacity: "1 MiB", energy_per_byte: "3 pJ/B",'},
    ).machine()  # fmt: skip
    assert stated["engines.npu.energy_per_op.int8"] == pytest.approx(1e-12)
    assert stated["memories.sram.energy_per_byte"] == pytest.approx(3e-12)
    assert stated.provenance["memories.sram.energy_per_byte"].writer == "device small_npu"
    assert stated.provenance["engines.npu.energy_per_op.fp16"].writer == "table operations"


def test_varied_nodes_and_capacities_take_energies_along(tmp_path: Path) -> None:
    machine = device(tmp_path, 'energy: {node: "28 nm", memories: {lpddr4: ddr4}}').machine()
    assert machine["memories.main.energy_per_byte"] == dram_energy("ddr4")
    nodes = machine.vary({"energy.node": [65e-9, 28e-9, 7e-9]})
    found = predict(find("resnet18"), nodes, precision="int8")
    assert np.all(np.diff(found.energy_j) < 0)
    assert found.at(2).energy_j == pytest.approx(found.energy_j[2])
    assert nodes.provenance["memories.sram.energy_per_byte"].writer == "vary (by energy.node)"
    larger = machine.vary({"memories.sram.capacity": "4 MiB", "memories.main.capacity": "4 GiB"})
    assert larger["memories.sram.energy_per_byte"] == pytest.approx(
        sram_access_energy(2.0**22, 64, 28.0) / 8
    )
    assert larger["memories.main.background_power"] == pytest.approx(
        2 * machine["memories.main.background_power"]
    )
    set_by_hand = machine.vary({"energy.node": "7 nm", "memories.sram.energy_per_byte": "1 pJ/B"})
    assert set_by_hand["memories.sram.energy_per_byte"] == pytest.approx(1e-12)
    again = pickle.loads(pickle.dumps(nodes))
    assert again["energy.node"][2] == 7e-9
    # A calibrated energy does not follow the node any more.
    known = Machine(machine.device, None, {"memories.sram.energy_per_byte": "2 pJ/B"})
    assert known.vary({"energy.node": "7 nm"})["memories.sram.energy_per_byte"] == 2e-12


@pytest.mark.parametrize(
    ("energy", "told"),
    [
        ('energy: "28"', "energy.node: '28' has no unit"),
        ('energy: "28 mm2"', "is an area, not a length"),
        ('energy: {node: "28 nm", memories: {lpddr4: ddr44}}', "did you mean 'ddr4'"),
        ('energy: {node: "28 nm", memories: {lpddr: ddr4}}', "did you mean 'lpddr4'"),
        ("energy: {memories: {}}", "missing key 'node'"),
    ],
)
def test_faults_are_told(tmp_path: Path, energy: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        device(tmp_path, energy)
