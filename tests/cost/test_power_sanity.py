"""Powers that no reader would believe: servers that idle at half a watt, cores at full limits."""

from __future__ import annotations

import re

import pytest

import perfmodel as pm
from perfmodel.hardware.library import device_names
from perfmodel.hardware.technology.operations import operand_bits, operation_energy
from perfmodel.hardware.technology.power_classes import dram_kind, power_class

SERVERS = sorted({*device_names("datacenter"), *device_names("server")})


@pytest.mark.parametrize("device", SERVERS)
def test_a_chip_of_a_data_center_waits_at_more_than_a_few_watts(device: str) -> None:
    """Measured idle powers are 28 W (TPU v1) to 140 W (H100); single cores are no chips."""
    spec = pm.hardware(device)
    engine = next(each for each in spec.engines if each.name == spec.main_engine)
    if power_class(spec, engine) == "processor" and engine.units.value == 1:
        pytest.skip("one core of a chip")
    idle = spec.machine().get("power.idle")
    if idle is None:
        pytest.skip("counts its own energies")
    assert idle > 5.0


@pytest.mark.parametrize("device", sorted(device_names("phone")))
def test_a_phone_waits_at_half_a_watt_at_most_whatever_its_main_engine(device: str) -> None:
    """Carroll and Heiser (USENIX ATC 2010): 0.27 W of an idle phone whose screen is dark."""
    assert pm.hardware(device).machine().get("power.idle", 0.0) <= 0.5


@pytest.mark.parametrize(
    ("device", "runtime", "most"),
    [
        # picocluster-claw.com, 2026: six cores under stress take 7.6 W in the mode of 15 W.
        ("jetson_orin_nano", "onnxruntime_arm", 7.6),
        # Apple: 145 W is the most of the whole Mac Studio, cores and graphics together.
        ("apple_m2_max", "ncnn", 80.0),
    ],
)
def test_cores_beside_a_gpu_do_not_draw_the_limit_of_their_chip(
    device: str, runtime: str, most: float
) -> None:
    prediction = pm.predict("resnet18", device, runtime=runtime, precision="fp16")
    assert prediction.machine.get("power.idle") < prediction.power_w < most


@pytest.mark.parametrize("device", ["jetson_orin_nano_7w", "jetson_orin_nx_10w", "cv1800b"])
def test_cores_of_a_chip_that_waits_at_more_than_their_clocks_take_run_for_something(
    device: str,
) -> None:
    facts = pm.hardware(device).machine().facts
    energies = {path: joule for path, joule in facts.items() if ".energy_per_op." in path}
    assert all(joule > 0.0 for joule in energies.values()), energies
    run = pm.predict("resnet18", device, engine="cpu", precision="fp32")
    assert facts["power.idle"] < run.power_w < facts.get("power.busy", 1.0)


def test_a_lower_limit_lowers_what_cores_beside_a_gpu_may_draw() -> None:
    device = pm.hardware("jetson_orin_nano")
    powers = [
        pm.predict(
            "resnet18", device.vary({"power.busy": limit}), runtime="onnxruntime_arm"
        ).power_w
        for limit in ("4 W", "15 W", "60 W")
    ]
    assert powers == sorted(powers)
    assert powers[0] <= 4.0


@pytest.mark.parametrize(
    ("device", "watts"),
    [
        # Geerling, Raspberry Pi Dramble: power of boards whose cores are all under stress.
        ("raspberry_pi_2", 2.1),
        ("raspberry_pi_3b_1_2ghz", 3.7),
        ("raspberry_pi_3b_plus", 5.1),
        ("raspberry_pi_zero_2_w", 3.0),
    ],
)
def test_boards_that_state_no_power_draw_what_was_measured_within_a_factor_of_two_and_a_half(
    device: str, watts: float
) -> None:
    prediction = pm.predict("resnet18", device)
    assert "power.busy" not in prediction.machine.facts
    assert 0.4 * watts < prediction.power_w < 2.5 * watts


def test_a_core_that_streams_alone_is_within_its_limit() -> None:
    """It has the memory of four, and draws more than a quarter of what four busy cores do."""
    decode = pm.workload("llama_3_2_1b", phase="decode", context=512)
    prediction = pm.predict(decode, "raspberry_pi_5_core", precision="fp16")
    assert not prediction.breaches
    assert prediction.power_w > (9.7 - 2.8) / 4.0


@pytest.mark.parametrize(
    ("board", "workload", "at_rest", "at_work"),
    [
        # QuTiBench: at the plug of the board, with the engine loaded, at rest and at work.
        ("zcu102", "googlenet", 29.0, 31.45),
        ("zcu104", "resnet50_caffe", 15.7, 26.9),
        ("ultra96_dpu", "resnet50_caffe", 6.8, 8.25),
    ],
)
def test_an_fpga_board_never_draws_less_than_at_rest(
    board: str, workload: str, at_rest: float, at_work: float
) -> None:
    prediction = pm.predict(workload, board, precision="int8")
    assert at_rest < prediction.power_w < 1.1 * at_work


def test_beyond_the_arithmetic_of_an_accelerator_operands_take_as_much_a_bit() -> None:
    """Four times the arithmetic of int8; a product of fp16 then takes less than on a GPU."""
    half, byte = (0.5 * float(operation_energy(name, 5.0)) for name in ("fp16", "int8"))
    chip = pm.hardware("apple_a15").machine().facts
    fp16 = chip["engines.neural_engine.energy_per_op.fp16"]
    assert fp16 == pytest.approx(half + 3.0 * byte * 16 / 8)
    assert fp16 < pm.hardware("h100").machine().facts["engines.gpu.energy_per_op.bf16"]
    integers = pm.hardware("tda4vm").machine().facts
    assert integers["engines.npu.energy_per_op.int8"] == pytest.approx(
        4.0 * 0.5 * float(operation_energy("int8", 7.0))
    )


@pytest.mark.parametrize(
    ("compute", "bits"), [("int4", 4), ("bf16", 16), ("tf32", 32), ("int4xint8", 6), ("binary", 1)]
)
def test_operands_have_the_bits_in_which_they_are_stored(compute: str, bits: float) -> None:
    assert operand_bits(compute) == bits


LPDDR5 = [
    name for name in device_names() if re.match(r"apple_(m[345]|a19)|jetson_(agx_)?orin", name)
]


@pytest.mark.parametrize("device", LPDDR5)
def test_a_byte_of_lpddr5_costs_what_lpddr5_takes(device: str) -> None:
    """Their vendors say LPDDR5 or LPDDR5X; a derived spec restates a bandwidth, not its kind."""
    spec = pm.hardware(device)
    assert dram_kind(spec, spec.memory(spec.main_memory)) == "lpddr5"
