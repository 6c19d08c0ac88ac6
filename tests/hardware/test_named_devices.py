"""The devices that people ask for by name: there, graded, and no faster than their facts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware
from tests.offenders import each

LLM = ("llama_3_2_1b", "w4a16")
CNN = ("resnet50", "int8")
CNN16 = ("resnet50", "fp16")
CNN32 = ("resnet50", "fp32")
TINY = ("mlperf_tiny_ic", "int8")

#: Name as people type it -> network and precision that such a device runs.
ASKED = {
    **dict.fromkeys(("a14", "a15", "a16", "a17_pro", "a18", "a18_pro"), CNN16),
    **dict.fromkeys(("snapdragon_8_gen_2", "snapdragon_8_gen_3", "snapdragon_8_elite"), CNN),
    **dict.fromkeys(("pixel_6", "raspberry_pi_4"), CNN32),
    **dict.fromkeys(("jetson_nano", "jetson_orin_nano"), CNN16),
    **dict.fromkeys(("rk3566", "rk3576", "rk3588", "hailo8", "hexagon"), CNN),
    **dict.fromkeys(("apple_m1", "apple_m2", "apple_m3", "apple_m4", "apple_m5"), LLM),
    **dict.fromkeys(("t4", "l4", "l40s", "h200", "b200", "rtx_3090", "rtx_5090"), LLM),
    **dict.fromkeys(("mi210", "mi300", "xeon_platinum_8380", "core_i9_14900k"), LLM),
    **dict.fromkeys(("titan_xp",), CNN32),
    **dict.fromkeys(("eyeriss", "tpu_v1"), ("alexnet", "int16")),
    **dict.fromkeys(("ethos_u55", "ethos_u65", "ethos_u85"), ("mobilenet_v2", "int8")),
    **dict.fromkeys(("zcu102", "zcu104", "ultra96"), CNN),
    **dict.fromkeys(("u280", "vu13p", "zynq_7020"), ("jet_tagger", "int16")),
    **dict.fromkeys(("stm32f4", "stm32f7", "stm32h7", "nrf53", "gap8", "gap9", "esp32_s3"), TINY),
    **dict.fromkeys(("stm32n6",), ("mobilenet_v2", "int8")),
    **dict.fromkeys(("ufs_4", "nvme"), ("llama_3_2_1b", "w4a16")),
}


def test_at_least_forty_five_are_asked_for() -> None:
    assert len({hardware(name).name for name in ASKED}) >= 45


@each("name", ASKED)
def test_a_named_device_is_graded_and_obeys_its_facts(name: str) -> None:
    device = hardware(name)
    grade = device.grade()
    assert not grade.faults
    assert grade.letter in "ABCDE"
    network, precision = ASKED[name]
    p = pm.predict(network, device, precision=precision)
    rates = {level: p.bandwidth_bytes_per_s[level] for level in p.traffic_bytes}
    shares = [
        rate / p.machine.facts[f"memories.{level}.bandwidth"]
        for level, rate in rates.items()
        if "." not in level and f"memories.{level}.bandwidth" in p.machine.facts
    ]
    # Nothing is faster than its peaks say; and something is used to a part worth speaking of.
    assert 0.0 < p.utilization <= 1.0 + 1e-9
    assert all(share <= 1.0 + 1e-9 for share in shares)
    assert max([p.utilization, *shares]) >= FLOOR.get(name, 0.05)


#: Where one frame keeps little of the device busy, and why.
FLOOR = {
    "u280": 1e-4,  # a jet tagger of 4,000 products on a card for data centres
    "vu13p": 1e-4,
    "zynq_7020": 1e-3,
}


#: Device, network, settings, seconds measured or simulated by others, error allowed.
PUBLISHED = [
    # Arm ML embedded evaluation kit, image classification: 7,346,172 clocks at 500 MHz, simulated
    # by Arm's model of the chip; the runtime's constants are fitted on estimates of Vela alone.
    ("ethos_u55_128", "mobilenet_v2", {}, 7346172 / 500e6, 0.05),
    # ESP-NN, README: networks; the constants are of single kernels.
    ("esp32_s3", "mlperf_tiny_vww", {}, 0.047, 0.10),
    ("esp32_s3", "yolo11n", {"height": 192, "width": 192}, 1.253, 0.20),
    ("esp32_s3", "mobilenet_v3_small", {}, 0.729, 0.35),
]


@pytest.mark.parametrize(("device", "network", "settings", "seconds", "allowed"), PUBLISHED)
def test_errors_against_what_others_published(
    device: str, network: str, settings: dict[str, int], seconds: float, allowed: float
) -> None:
    p = pm.predict(pm.workload(network, **settings), device, precision="int8", warm=True)
    assert p.latency_s == pytest.approx(seconds, rel=allowed)


#: Accelerator of Vela's table -> device, and the mean error that its fit reached.
VELA = {
    "ethos-u55-128": ("ethos_u55_128", 0.08),
    "ethos-u55-256": ("ethos_u55", 0.08),
    "ethos-u65-512": ("ethos_u65", 0.15),
    "ethos-u85-256": ("ethos_u85_256", 0.25),
    "ethos-u85-2048": ("ethos_u85", 0.42),
}


def estimates() -> dict[str, list[dict[str, str]]]:
    """Rows of Vela 5.2.0's estimates (`--verbose-cycle-estimate`) by accelerator.

    The networks are int8 TFLite files of the library's shapes with random weights, which do not
    compress.
    """
    path = Path(__file__).resolve().parents[1] / "data" / "vela_5_2_0.csv"
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(path.read_text().splitlines()):
        found.setdefault(row["accelerator"], []).append(row)
    return found


@pytest.mark.parametrize("accelerator", VELA)
def test_ethos_u_beside_the_estimates_of_vela(accelerator: str) -> None:
    device, allowed = VELA[accelerator]
    rows = estimates()[accelerator]
    assert len(rows) == 8
    errors: list[float] = []
    bare: list[float] = []
    for row in rows:
        seconds = float(row["total_cycles"]) / (float(row["clock_mhz"]) * 1e6)
        p = pm.predict(row["network"], device, precision="int8", warm=True)
        errors.append(abs(p.latency_s / seconds - 1.0))
        roof = pm.predict(
            row["network"], device, precision="int8", model="roofline", runtime="ideal"
        )
        bare.append(abs(roof.latency_s / seconds - 1.0))
        # Vela counts multiply-accumulates too; it drops taps that padding makes idle on the U85.
        assert p.macs == pytest.approx(float(row["macs"]), rel=0.07)
    assert sum(errors) / len(errors) < allowed < 0.9 * sum(bare) / len(bare)
