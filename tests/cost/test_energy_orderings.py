"""Orders of energies that measurements agree on, each with its source."""

from __future__ import annotations

from itertools import pairwise

import pytest

import perfmodel as pm
from perfmodel.hardware.technology import dram_energy, operation_energy


def joules(
    network: str, device: str, runtime: str | None = None, precision: str | None = None
) -> float:
    return pm.predict(network, device, runtime=runtime, precision=precision).energy_j


@pytest.mark.parametrize(
    ("network", "device", "accelerator", "cores"),
    [
        # Nexa, 2025: 3.7 times the tokens of a battery's per cent on a Hexagon as on the cores.
        ("mobilenet_v2", "galaxy_s24", "qnn_htp", "ncnn"),
        ("mobilenet_v2", "snapdragon_8_gen_3", "qnn_htp", "ncnn"),
        ("mobilenet_v2", "snapdragon_865", "qnn_htp", "ncnn"),
        # Baller et al., DeepEdgeBench, 2021: an Edge TPU takes the least of four boards.
        ("mobilenet_v2", "rk3588", "rknn", "ncnn"),
        ("mobilenet_v2", "imx8m_plus", "openvx", "tflite_xnnpack"),
    ],
)
def test_an_npu_takes_less_than_half_of_what_the_cores_beside_it_take(
    network: str, device: str, accelerator: str, cores: str
) -> None:
    by_npu = joules(network, device, accelerator, "int8")
    assert by_npu < 0.5 * pm.predict(network, device, runtime=cores).energy_j


def test_from_phones_to_servers_an_image_takes_ever_more_at_batch_one() -> None:
    """MLPerf Mobile and Edge: a phone's NPU, its cores, a laptop's, a server's."""
    order = [
        joules("mobilenet_v2", "snapdragon_8_gen_3", "qnn_htp", "int8"),
        joules("mobilenet_v2", "snapdragon_8_gen_3", "ncnn", "fp16"),
        joules("mobilenet_v2", "core_i7_1260p", "onnxruntime_cpu", "fp32"),
        joules("mobilenet_v2", "epyc_9654", "onnxruntime_cpu", "fp32"),
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("device", ["h100", "a100", "t4", "jetson_orin_nano", "rtx_4090"])
def test_int8_takes_less_than_fp16_on_one_engine(device: str) -> None:
    """Horowitz, ISSCC 2014: 0.2 pJ a multiplication of int8, 1.1 of fp16."""
    batch = pm.workload("resnet50", batch=32)
    wide, narrow = (pm.predict(batch, device, precision=name).energy_j for name in ("fp16", "int8"))
    assert narrow < wide


@pytest.mark.parametrize("device", ["h200", "h100", "a100", "v100_sxm", "t4", "l4"])
def test_a_token_takes_less_in_larger_batches(device: str) -> None:
    """Samsi et al., From Words to Watts, 2023; ML.ENERGY, 2024."""
    each = [
        pm.predict(
            pm.workload("llama_3_2_3b", phase="decode", context=512, batch=batch),
            device,
            precision="fp16",
        ).energy_j
        / batch
        for batch in (1, 4, 16, 64)
    ]
    assert all(larger < 0.5 * smaller for smaller, larger in pairwise(each))


def test_newer_gpus_take_less_for_a_token_of_a_large_batch() -> None:
    """V100 to A100: Samsi et al., 2023; A100 to H200 and B200: ML.ENERGY, 2025."""
    workload = pm.workload("llama_3_2_3b", phase="decode", context=512, batch=64)
    tokens = [
        pm.predict(workload, device, precision="fp16").energy_j
        for device in ("v100_sxm", "a100", "h200", "b200")
    ]
    assert tokens == sorted(tokens, reverse=True)


def test_stacked_memory_takes_less_for_a_byte_than_modules() -> None:
    """O'Connor et al., Fine-grained DRAM, MICRO 2017: 3.9 pJ a bit of HBM2, 14 of GDDR5."""
    assert dram_energy("hbm2") < dram_energy("gddr6") < dram_energy("ddr4")
    assert dram_energy("lpddr5") < dram_energy("lpddr4") < dram_energy("ddr3")


def test_arithmetic_takes_less_in_newer_nodes_and_narrower_formats() -> None:
    for name in ("int8", "bf16", "fp16", "fp32"):
        by_node = [float(operation_energy(name, node)) for node in (45.0, 28.0, 16.0, 7.0)]
        assert by_node == sorted(by_node, reverse=True)
    by_format = [float(operation_energy(name, 7.0)) for name in ("int8", "bf16", "fp16", "fp32")]
    assert by_format == sorted(by_format)


def test_cores_of_a_phone_draw_watts_not_the_arithmetic_alone() -> None:
    """MELTing point, 2024: phones draw 5 to 14 W on their cores."""
    device = pm.hardware("galaxy_s24")
    for runtime in ("ncnn", "tflite_gpu"):
        prediction = pm.predict("mobilenet_v2", device, runtime=runtime, precision="fp16")
        assert 1.0 < prediction.power_w < 14.0
        assert prediction.energy_model.startswith("power model of the class")
