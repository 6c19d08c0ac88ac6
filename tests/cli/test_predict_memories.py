"""What ``perfmodel predict`` says of memories where a network lies in more than one."""

from collections.abc import Callable
from typing import Any

import perfmodel as pm

Run = Callable[..., Any]


def test_sram_and_flash_are_told_apart(run: Run) -> None:
    text = run("predict", "mlperf_tiny_ic", "stm32h743").out
    found = pm.predict("mlperf_tiny_ic", "stm32h743").placement
    lines = {line.split()[1]: line for line in text.splitlines() if line.split()[0] == "in"}
    assert set(lines) == set(found) == {"sram", "flash"}
    assert f"{found['flash']['demand_bytes'] / 1e3:.4g} kB of 2 MiB" in lines["flash"]


def test_one_memory_needs_no_line_of_its_own(run: Run) -> None:
    assert "  in " not in run("predict", "resnet18", "a100").out


def test_a_librarys_code_takes_room_in_flash() -> None:
    device = pm.hardware("stm32h743")
    found = pm.predict("mlperf_tiny_ic", device)
    code = found.machine.facts["runtime.code"]
    flash = found.placement["flash"]["demand_bytes"]
    assert flash == found.weight_bytes + code
    small = {"memories.flash.capacity": flash - 1.0}
    none = pm.predict("mlperf_tiny_ic", device.vary(small))
    assert [v.limit for v in none.violations] == ["memories.flash.capacity"]
    assert pm.predict("mlperf_tiny_ic", device.vary({"memories.flash.capacity": flash})).feasible


def test_a_cold_run_of_a_part_that_keeps_weights_says_so(run: Run) -> None:
    cold = run("predict", "mobilenet_v2", "edge_tpu").out
    warm = run("predict", "mobilenet_v2", "edge_tpu", "--warm").out
    assert "--warm" in cold
    assert "--warm" not in warm
    assert "--warm" not in run("predict", "mobilenet_v2", "stm32n6").out


def test_a_runtime_of_other_parts_is_remarked(run: Run) -> None:
    found = run("predict", "yolov5s", "hailo8", "--runtime", "rknn", "--warm")
    assert found.code == 0
    assert "the runtime rknn is not meant for hailo8" in found.out
    assert "is not meant" not in run("predict", "yolov5s", "hailo8", "--warm").out


def test_shares_are_in_plain_digits(run: Run) -> None:
    done = run("predict", "resnet18", "xc7z045")
    assert done.code == 1
    assert "e+" not in done.out


def test_a_long_list_is_a_command(run: Run) -> None:
    done = run("predict", "zzzzzz", "qqqqqq")
    assert done.code == 2
    assert "perfmodel workload list" in done.faults[0]
    assert "perfmodel hardware list" in done.faults[1]
    assert all(len(fault) < 200 for fault in done.faults)


def test_a_supply_is_a_voltage(run: Run) -> None:
    path = "engines.cpu.supply"
    done = run("predict", "mlperf_tiny_ic", "stm32l4r5", "--set", f"{path}=3 V", "--json")
    at = pm.predict("mlperf_tiny_ic", pm.hardware("stm32l4r5").vary({path: 3.0}))
    assert done.data["energy_j"] == at.energy_j


def test_json_has_the_remarks(run: Run) -> None:
    asked = ("predict", "yolov5s", "hailo8", "--runtime", "rknn")
    text, data = run(*asked).out, run(*asked, "--json").data
    assert len(data["remarks"]) == 2
    assert all(f"! {remark}" in text for remark in data["remarks"])
    assert run("predict", "yolov5s", "hailo8", "--warm", "--json").data["remarks"] == []
