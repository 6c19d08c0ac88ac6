"""Energy: which model is used, that its parts add up, and that it says what it leaves out."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from perfmodel.cli import main
from perfmodel.cost.energy import class_energies, kernel_energy, run_energy
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError
from perfmodel.formats import parse_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.technology import (
    dram_access_energy,
    dram_energy,
    dram_power,
    operation_energy,
    sram_access_energy,
)
from perfmodel.hardware.technology.tables import table
from perfmodel.predict import predict
from perfmodel.units import parse
from perfmodel.workload.library import find

TOTALS = {
    "latency_s": 2.0,
    "operations int8": 10.0,
    "operations vector": 4.0,
    "traffic near": 6.0,
    "traffic main": 3.0,
}
FACTS = {
    "engines.e.energy_per_op.int8": 0.5,
    "memories.near.energy_per_byte": 0.25,
    "memories.main.energy_per_byte": 2.0,
    "power.idle": 1.0,
    "engines.e.busy_power": 20.0,
}
ALL = "operations + bytes + static power x time"


def setting(facts: dict[str, float], precision: str = "int8") -> Setting:
    return Setting(facts, "e", ("near", "main"), "main", parse_precision(precision))


def test_every_part_is_counted() -> None:
    found = run_energy(TOTALS, setting(FACTS))
    assert found.parts == {
        "compute int8": 5.0,
        "compute vector": 2.0,
        "memory near": 1.5,
        "memory main": 6.0,
        "static": 2.0,
    }
    assert (found.joule, found.model) == (16.5, ALL)


@pytest.mark.parametrize(
    ("without", "joule", "model"),
    [
        ("memories.near.energy_per_byte", 15.0, f"{ALL}; bytes of near not counted"),
        ("power.idle", 14.5, "operations + bytes; static power not counted"),
        ("memories.main.energy_per_byte", 40.0, "active power x time"),
        ("engines.e.energy_per_op.int8", 40.0, "active power x time"),
    ],
)
def test_what_is_left_out_is_named(without: str, joule: float, model: str) -> None:
    found = run_energy(TOTALS, setting({k: v for k, v in FACTS.items() if k != without}))
    assert (found.joule, found.model) == (joule, model)
    assert sum(found.parts.values()) == found.joule


def test_the_most_that_a_device_draws_is_no_energy_of_a_run() -> None:
    found = run_energy(TOTALS, setting({"power.busy": 20.0}))
    assert (found.joule, found.parts) == (None, {})
    assert found.model.startswith("unknown")


# what the class of an engine gives

OF_CLASS = {
    "engines.e.energy_per_op.int8": 0.5,
    "engines.e.running_power": 2.0,
    "engines.e.transport_energy": 1.0,
    "memories.main.energy_per_byte": 2.0,
    "power.idle": 1.0,
    "power.busy": 10.0,
}


@pytest.mark.parametrize(
    ("seconds", "share"), [(4.0, 1.0), (3.0, 1.0), (2.0, 14.0 / 20.0), (0.5, 3.5 / 20.0)]
)
def test_a_kernel_draws_no_more_than_the_limit(seconds: float, share: float) -> None:
    """P = P_idle + P_running + min((sum of n e) / t, what the limit leaves)."""
    work = {"int8": np.array([[10.0]])}, {"main": np.array([[5.0]])}
    parts = class_energies(work[1], work[0], np.array([[seconds]]), setting(OF_CLASS))
    assert {name: float(joule[0, 0]) for name, joule in parts.items()} == pytest.approx(
        {
            "compute int8": 5.0 * share,
            "memory main": 10.0 * share,
            "transport": 5.0 * share,
            "running": 2.0 * seconds,
        }
    )
    assert np.sum([*parts.values()]) / seconds + 1.0 <= 10.0 + 1e-12
    kernels, priced = kernel_energy(work[1], work[0], np.array([[seconds]]), setting(OF_CLASS))
    assert priced == ("operations int8", "traffic main")
    assert kernels["kernels"][0, 0] == pytest.approx(20.0 * share + 2.0 * seconds)
    facts = {k: v for k, v in OF_CLASS.items() if k != "power.busy"}
    unlimited = class_energies(work[1], work[0], np.array([[seconds]]), setting(facts))
    assert np.sum([*unlimited.values()]) == pytest.approx(20.0 + 2.0 * seconds)


@pytest.mark.parametrize("device", ["h200", "gb200"])
def test_energies_of_a_class_follow_its_shares(device: str) -> None:
    """e = c (P - P_idle) / peak and P_running = r (P - P_idle), whatever the shares are."""
    machine = hardware(device).machine("torch_cuda")
    spare = machine["power.busy"] - machine["power.idle"]
    share = "engines.gpu.power_shares."
    assert machine["engines.gpu.energy_per_op.bf16"] * machine[
        "engines.gpu.peaks.bf16"
    ] == pytest.approx(machine[share + "compute"] * spare)
    shares = {share + "compute": np.array([0.5, 2.0]), share + "running": np.array([0.1, 0.3])}
    varied = machine.vary(shares)
    for path, name in (("energy_per_op.bf16", "compute"), ("running_power", "running")):
        values = varied[f"engines.gpu.{path}"] / shares[share + name]
        assert values[0] == pytest.approx(values[1])
    assert varied["engines.gpu.running_power"] == pytest.approx(shares[share + "running"] * spare)
    moved = machine.vary({share + "memory": np.array([0.5, 1.0])})
    main = machine.main_memory
    byte = moved["engines.gpu.transport_energy"] + machine[f"memories.{main}.energy_per_byte"]
    rate = machine[f"memories.{main}.bandwidth"]
    assert byte * rate == pytest.approx(np.array([0.5, 1.0]) * spare)


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
    assert found.energy_model == (
        "power model of the class: operations + bytes + static power x time; "
        "bytes of sram not counted"
    )
    parts = found.energy.parts
    counted = {"compute int8", "compute vector", "memory host_dram"}
    assert set(parts) == counted | {"transport", "static", "running"}
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
    assert found.parts == {
        "array": 7.0,
        "noc": 1.0,
        "compute vector": 2.0,
        "memory main": 6.0,
        "static": 2.0,
    }
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
    assert (found.joule, found.model) == (7.0, "energies of the kind; static power not counted")


def test_dram_at_rest_stands_for_idle_power() -> None:
    facts = FACTS | {"memories.main.background_power": 0.25}
    # Idle power, where it is stated, keeps the DRAM refreshed too.
    assert run_energy(TOTALS, setting(facts)).joule == 16.5
    del facts["power.idle"]
    found = run_energy(TOTALS, setting(facts))
    assert found.parts["background main"] == 0.5
    assert found.joule == 15.0
    assert found.model == f"{ALL}; static power beside DRAM's not counted"


@pytest.mark.parametrize("kind", ["ddr3", "ddr4", "lpddr4"])
def test_dram_that_streams_costs_what_was_published(tmp_path: Path, kind: str) -> None:
    """Bytes at a chip's full rate and its background power of that time: not counted twice."""
    chip = table("memories")["currents"][table("memories")["dram"][kind]["currents"]]
    machine = device(tmp_path, f'energy: {{node: "28 nm", memories: {{lpddr4: {kind}}}}}').machine()
    machine = machine.vary({"memories.main.capacity": chip["capacity"]})
    rate = 2 * parse(chip["clock"], "frequency") * chip["width"] / 8
    totals = {"latency_s": 1.0, "traffic lpddr4": rate}
    # Of the DRAM, without what the blocks of the chip leak.
    facts = {path: value for path, value in machine.facts.items() if path != "power.leakage"}
    asked = Setting(facts, "npu", ("lpddr4",), "lpddr4", parse_precision("int8"))
    found = run_energy(totals, asked)
    assert set(found.parts) == {"memory lpddr4", "background lpddr4"}
    assert found.joule == pytest.approx(rate * dram_energy(kind), rel=1e-12)
    assert found.parts["background lpddr4"] > 0.02 * found.joule
    # At half the rate the background weighs twice as much a byte.
    half = run_energy(totals | {"traffic lpddr4": rate / 2}, asked)
    assert found.joule / 2 < half.joule < found.joule


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


def test_devices_that_do_not_ask_have_the_energies_of_their_class(tmp_path: Path) -> None:
    facts = device(tmp_path, "").machine()
    origin = facts.provenance["engines.npu.energy_per_op.int8"]
    assert (origin.writer, origin.confidence) == ("table power_classes", "estimated")
    assert "class accelerator" in str(origin.note)
    assert "memories.lpddr4.background_power" not in facts.paths
    found = predict(find("resnet18"), facts, precision="int8")
    assert found.energy_model.startswith("power model of the class")
    assert (found.energy_boundary, found.energy_basis) == ("module", "bound")


def test_a_device_that_asks(tmp_path: Path) -> None:
    machine = device(tmp_path, 'energy: "28 nm"').machine()
    assert machine["engines.npu.energy_per_op.int8"] == operation_energy("int8", 28.0) / 2
    half = operation_energy("fp16", 28.0, accumulator="fp16") / 2
    assert machine["engines.npu.energy_per_op.fp16"] == half
    sram = sram_access_energy(2.0**20, 64, 28.0) / 8
    assert machine["memories.sram.energy_per_byte"] == pytest.approx(sram)
    assert machine["memories.main.energy_per_byte"] == dram_access_energy("lpddr4")
    assert "less standby and refresh" in str(machine.provenance["memories.lpddr4.energy_per_byte"])
    power = dram_power("lpddr4")
    assert power is not None
    rest = (power.standby + power.refresh) * 2**31
    assert machine["memories.main.background_power"] == pytest.approx(rest)
    origin = machine.provenance["engines.npu.energy_per_op.int8"]
    assert (origin.writer, origin.confidence) == ("table operations", "estimated")
    assert origin.source == "horowitz2014, jouppi2021"
    found = predict(find("resnet18"), machine, precision="int8")
    assert set(found.energy.parts) == {
        "compute int8",
        "compute vector",
        "memory sram",
        "memory lpddr4",
        "background lpddr4",
        "leakage",
    }
    assert found.energy.parts["compute int8"] == pytest.approx(
        found.macs * operation_energy("int8", 28.0)
    )
    assert found.interval("energy_j").low < found.energy_j < found.interval("energy_j").high
    # The grade counts the device's own numbers, to which the node belongs.
    bare = device(tmp_path, "").grade().counts["estimated"]
    assert machine.device.grade().counts["estimated"] == bare + 1


def test_what_is_stated_stays(tmp_path: Path) -> None:
    stated = device(
        tmp_path,
        'energy: {node: "28 nm"}',
        **{
            "    peaks:": '    energy_per_op: {int8: "1 pJ/OP"}\n    peaks:',
            'capacity: "1 MiB",': 'capacity: "1 MiB", energy_per_byte: "3 pJ/B",',
        },
    ).machine()
    assert stated["engines.npu.energy_per_op.int8"] == pytest.approx(1e-12)
    assert stated["memories.sram.energy_per_byte"] == pytest.approx(3e-12)
    assert stated.provenance["memories.sram.energy_per_byte"].writer == "device small_npu"
    assert stated.provenance["engines.npu.energy_per_op.fp16"].writer == "table operations"


def test_varied_nodes_and_capacities_take_energies_along(tmp_path: Path) -> None:
    machine = device(tmp_path, 'energy: {node: "28 nm", memories: {lpddr4: ddr4}}').machine()
    assert machine["memories.main.energy_per_byte"] == dram_access_energy("ddr4")
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


def test_an_heir_keeps_the_node_and_its_source(tmp_path: Path) -> None:
    device(tmp_path, 'energy: "28 nm"')
    heir = tmp_path / "heir.yaml"
    heir.write_text("schema_version: 1\nname: heir\nbase: small_npu\n")
    found = hardware(heir).machine()
    assert found["energy.node"] == pytest.approx(28e-9)
    assert found.provenance["energy.node"].source == "design"
    written = tmp_path / "written.yaml"
    written.write_text(hardware(heir).to_yaml())
    assert hardware(written).machine()["memories.sram.energy_per_byte"] == pytest.approx(
        found["memories.sram.energy_per_byte"]
    )


def test_commands_know_the_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device(tmp_path, 'energy: "28 nm"')
    path = str(tmp_path / "small_npu.yaml")
    assert main(["hardware", "show", path]) == 0
    shown = capsys.readouterr().out
    assert "table operations" in shown
    assert "ISCA52012.2021.00010" in shown  # the tables' documents stand beside the device's own
    assert main(["hardware", "show", path, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["sources"]) >= {"design", "ha_thesis"}
    asked = ["resnet18", path, "--precision", "int8", "--json"]
    joules: list[float] = []
    for node in ("65 nm", "16 nm"):
        assert main(["predict", *asked, "--set", f"energy.node={node}"]) == 0
        joules.append(json.loads(capsys.readouterr().out)["energy_j"])
    assert joules[0] > joules[1]
    assert main(["predict", *asked, "--set", "energy.nod=16 nm"]) == 2
    assert "did you mean 'energy.node'?" in capsys.readouterr().err


# Silicon nodes as makers name them, nanometres.
NODES = {
    "a100": 7,
    "h100": 4,
    "mi300x": 5,
    "rtx_4090": 5,
    "jetson_agx_orin": 8,
    "tpu_v1": 28,
    "apple_m1": 5,
    "raspberry_pi_5": 16,
    "rk3588": 8,
    "stm32h743": 40,
    "edge_tpu": 14,
}


@pytest.mark.parametrize("name", NODES)
def test_no_chip_computes_for_more_than_its_power(name: str) -> None:
    """Arithmetic at the peak, by the tables, and main memory at its bandwidth: below the power that
    the device sheds. GPUs spend a sixth to nine tenths of it, the others less."""
    chip = hardware(name)
    machine = chip.machine()
    moved = 0.0
    each = machine.get("memories.main.energy_per_byte")
    if each is not None:
        moved = machine["memories.main.bandwidth"] * each
    for engine in chip.engines:
        for key, peak in engine.peaks.items():
            rate = machine[f"engines.{engine.name}.peaks.{key}"]
            joule = operation_energy(key, NODES[name], accumulator=peak.accumulator)
            watts = rate / 2 * joule + moved
            assert 0 < watts < machine["power.busy"], f"{engine.name} {key}"


def test_arithmetic_of_tpu_v1_is_most_of_its_dynamic_power() -> None:
    """Measured (Jouppi et al. 2017): 40 W busy, 28 W idle; 92 TOP/s of int8 at 28 nm."""
    machine = hardware("tpu_v1").machine()
    dynamic = machine["power.busy"] - machine["power.idle"]
    arithmetic = machine["engines.main.peaks.int8"] * operation_energy("int8", 28.0) / 2
    assert 0.5 * dynamic < arithmetic < dynamic
