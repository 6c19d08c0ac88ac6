"""Oracles have tables, which equal `predict`, where runtimes and designs once prevented them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware
from tests.search.oracle.equality import largest, with_traffic

BITS = {"weight_bits": [4, 8]}


@pytest.mark.parametrize(
    ("network", "device", "runtime", "choices"),
    [
        # Winograd's algorithm and blocked channels, with conversions around channel shuffles.
        ("ofa_mobilenet_v3", "cortex_a72", None, None),
        ("fbnet", "cortex_x1", None, None),
        ("nas_bench_201", "cortex_a53", None, None),
        ("resnet18", "cortex_a72", None, BITS),
        ("tiny_cnn", "cortex_a76", None, BITS | {"channels": [0.5, 1], "batch": [1, 4]}),
        # Softmax falls back to fp16.
        ("mlperf_tiny_ic", "qcs9075", "qnn_htp", BITS),
        # Overlays on FPGAs, and look-up tables in fabric.
        ("ofa_mobilenet_v3", "zcu104", None, None),
        ("nas_bench_201", "kv260", None, None),
        ("tiny_cnn", "zcu102", "vitis_ai_threads", {"channels": [0.5, 1], "batch": [1, 4]}),
        ("mcunet", "tellme", None, None),
        # Formats that the engine computes in no form: such members are infeasible.
        ("mlperf_tiny_ic", "edge_tpu", None, BITS | {"activation_bits": [8, 16]}),
        ("mlperf_tiny_ic", "kv260", None, BITS | {"activation_bits": [8, 16]}),
        ("tiny_cnn", "gemmini_16x16", None, {"activation_bits": [4, 8, 16]}),
        # Conversions of formats are kernels of their own, which change what is live together.
        ("mlperf_tiny_ic", "a10", "torch_2_eager", BITS | {"activation_bits": [4, 8, 16]}),
        ("mobilenet_v3_small", "snapdragon_8_gen_3", "executorch", {"activation_bits": [8, 16]}),
        ("tiny_cnn", "gtx_1080_ti", None, {"channels": [0.5, 1], "activation_bits": [8, 16]}),
        # Kernels of a layer share a cost, and are more with conversions.
        ("resnet18", "apple_m1", "mlx", BITS | {"activation_bits": [8, 16]}),
        # Time for each sequence of a batch.
        ("tiny_cnn", "h100", "vllm", BITS | {"batch": [4, 1, 64]}),
        # A softmax or a SiLU would fall back, of which these networks have none.
        ("mobilenet_v2", "qcs9075", "qnn_htp", BITS | {"activation_bits": [8, 16]}),
        ("resnet18", "esp32_s3", "esp_dl", BITS | {"activation_bits": [8, 16]}),
        # Which operators fall back depends on formats: SiLU, and norms with an attention's softmax.
        ("efficientnet_b0", "esp32_s3", "esp_dl", {"activation_bits": [8, 16]}),
        ("mobilenet_v3_small", "esp32_s3", "esp_dl", BITS | {"activation_bits": [8, 16]}),
        ("bert_tiny", "qcs9075", "qnn_htp", {"activation_bits": [8, 16]}),
        # Blocked channels, whose conversions depend on formats, and on layouts along residuals.
        ("resnet18", "am625", "ncnn", BITS | {"activation_bits": [8, 16]}),
        ("mlperf_tiny_ic", "apollo3", "mnn", {"activation_bits": [4, 8, 16]}),
        ("mobilenet_v3_small", "am625", "paddle_lite", {"activation_bits": [8, 16]}),
        ("squeezenet", "nvme_host", "onnxruntime_cpu_blocks", {"activation_bits": [8, 16]}),
        ("tiny_cnn", "apple_m2_max", "ncnn", {"channels": [0.5, 1], "activation_bits": [8, 16]}),
        # Arrays too small for any network of the space: every matrix is written anew.
        ("ofa_mobilenet_v3", "cim_jia_65nm", None, None),
        ("nas_bench_201", "cim_wang_22nm", None, None),
        ("tiny_cnn", "cim_sinangil_7nm", None, {"channels": [0.5, 1], "batch": [1, 4]}),
        # Time for each prompt.
        ("tiny_cnn", "arc_a310", "openvino_genai", BITS | {"batch": [1, 4]}),
        # Designs sized for their network: the slowest layer, streams, resources that may not do.
        ("mlperf_tiny_ad", "hls4ml_ad08", None, BITS),
        ("mlperf_tiny_ad", "xc7z007s_lut_multipliers", None, BITS | {"batch": [1, 8]}),
        ("mlperf_tiny_ad", "vu13p", None, {"weight_bits": [2, 8], "sparsity": [0, 0.5]}),
        ("tiny_cnn", "u280", None, BITS | {"channels": [0.25, 1], "batch": [1, 4]}),
        ("mlperf_tiny_ad", "finn_kws_w3a3", None, BITS | {"batch": [1, 4]}),
        ("mlperf_tiny_ad", "fpgaconvnet_zybo_kws", None, BITS | {"batch": [1, 4]}),
        ("tiny_cnn", "fpgaconvnet_zc706_ic", None, BITS | {"channels": [0.5, 1]}),
        # Arrays that hold all matrices, in copies by what the others leave over; or do not.
        ("resnet18", "isaac", None, BITS),
        ("bert_base", "isaac", None, {"weight_bits": [4, 8, 16]}),
        ("mlperf_tiny_kws", "neurram", None, {"weight_bits": [2, 4, 8], "activation_bits": [4, 8]}),
        ("tiny_cnn", "neurram", None, BITS | {"channels": [0.25, 1], "batch": [1, 4]}),
        # The same of architectures, whose rows are their own.
        ("fbnet", "u280", None, None),
        ("nas_bench_201", "xc7z020", None, None),
        ("nas_bench_201", "isaac", None, None),
        ("ofa_mobilenet_v3", "isaac", None, None),
        # A window stage that overlaps with the products before it.
        ("tiny_cnn", "ultra96_codenet", None, BITS | {"channels": [0.5, 1], "batch": [1, 4]}),
        ("mlperf_tiny_kws", "ultra96_codenet", None, BITS | {"activation_bits": [8, 16]}),
        # Hard-wired chips, which wait for keys and values where all tokens leave them no time.
        ("mlperf_tiny_kws", "hnlpu", None, BITS | {"batch": [1, 4]}),
        # Kernels that read dozens of activations.
        ("densenet121", "jetson_orin_nano", None, BITS),
    ],
)
def test_tables_equal_predictions(
    network: str, device: str, runtime: str | None, choices: Mapping[str, Any] | None
) -> None:
    machine = hardware(device)
    space = pm.space(network) if choices is None else pm.space(network, choices)
    options = {} if runtime is None else {"runtime": runtime}
    oracle = with_traffic(machine, space, **options)
    assert oracle.method == "tabled", oracle.reason
    members = space.sample(3, seed=3)
    difference, metric = largest(oracle, machine, members.tolist(), **options)
    assert difference < 1e-12, metric
    # One member at a time takes other steps than a batch.
    together = oracle.batch(members)
    for i, member in enumerate(members.tolist()):
        for name, value in oracle(tuple(member)).items():
            np.testing.assert_allclose(value, together[name][i], rtol=1e-13, err_msg=name)


@pytest.mark.parametrize(
    ("network", "device", "context", "choices"),
    [
        # A million tokens stall a hard-wired chip, by the bytes of their keys and values.
        ("llama_3_8b", "hnlpu", 1_000_000, {"weight_bits": [4, 8], "kv_bits": [4, 8, 16]}),
        ("tinyllama_1_1b", "isaac", 512, {"weight_bits": [2, 4], "kv_bits": [4, 8]}),
    ],
)
def test_tables_of_decode_steps_equal_predictions(
    network: str, device: str, context: int, choices: Mapping[str, Any]
) -> None:
    machine, step = hardware(device), pm.workload(network, phase="decode", context=context)
    space = pm.space(step, choices, share="block", precision="w4a16")
    oracle = with_traffic(machine, space)
    assert oracle.method == "tabled", oracle.reason
    assert largest(oracle, machine, space.sample(6, seed=3).tolist())[0] < 1e-12


@pytest.mark.parametrize("device", ["hls4ml_ad08", "finn_kws_w3a3", "fpgaconvnet_zybo_kws"])
def test_resources_of_a_design_are_those_predicted(device: str) -> None:
    metrics = ("interval_s", "lut", "dsp", "bram", "dsp_share", "resource_share")
    space = pm.space("mlperf_tiny_ad", BITS | {"batch": [1, 8]})
    oracle = pm.Oracle(device, space, metrics)
    assert oracle.method == "tabled", oracle.reason
    for member in space.sample(5, seed=2).tolist():
        prediction = oracle.predict(member)
        for name, value in oracle(member).items():
            expected = getattr(prediction, name)
            expected = np.nan if expected is None else float(expected)
            np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("network", "device", "runtime", "choices", "reason"),
    [
        # Depthwise convolutions overlap with the preceding ones, and stages wait for the slowest.
        ("fbnet", "ultra96_codenet", None, None, "their order"),
        ("fbnet", "fpgaconvnet_zc706_ic", None, None, "their order"),
        ("nas_bench_201", "hls4ml_ad08", None, None, "their position"),
        ("tiny_cnn", "u280", None, {"activation_bits": [4, 8]}, "conversions of formats"),
        # Stalls of one row depend on how busy the others keep the pipeline.
        ("fbnet", "hnlpu", None, None, "slots"),
    ],
)
def test_costs_of_the_whole_network_are_predicted(
    network: str, device: str, runtime: str | None, choices: Mapping[str, Any] | None, reason: str
) -> None:
    if choices is None:
        space: Any = pm.space(network)
    else:
        space = pm.space(network, choices, share="network")
    oracle = pm.Oracle(hardware(device), space, ("latency_s",), runtime=runtime)
    assert oracle.method == "predicted"
    assert reason in oracle.reason


@pytest.mark.parametrize(
    ("network", "device", "runtime", "choices"),
    [
        ("mlperf_tiny_ic", "a10", "torch_2_eager", {"activation_bits": [4, 8, 16]}),
        ("mlperf_tiny_ic", "zen4_core", None, {"activation_bits": [4, 8, 16]}),
    ],
)
def test_states_too_many_to_table_are_worked_out_for_each_member(
    network: str,
    device: str,
    runtime: str | None,
    choices: Mapping[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = pm.space(network, choices)
    members = space.sample(20, seed=5)
    metrics = ("latency_s", "bit_operations", "peak_memory_bytes")
    tabled = pm.Oracle(device, space, metrics, runtime=runtime)
    monkeypatch.setattr("perfmodel.search.oracle.activation_states._MAX_COMBINATIONS", 10)
    for_each = pm.Oracle(device, space, metrics, runtime=runtime)
    expected = tabled.batch(members)
    for name, values in for_each.batch(members).items():
        np.testing.assert_array_equal(values, expected[name])
    for i, member in enumerate(members.tolist()):
        one = for_each(tuple(member))
        assert one == {name: values[i] for name, values in expected.items()}


def test_banks_filled_on_demand_equal_those_filled_in_advance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space, metrics = pm.space("fbnet"), ("latency_s", "energy_j", "peak_memory_bytes")
    members = [tuple(member) for member in space.sample(40, seed=5).tolist()]
    eager = pm.Oracle("stm32h743", space, metrics)
    answers = [eager(member) for member in members]
    monkeypatch.setattr("perfmodel.search.oracle.stretch_banks.MAX_EAGER_ENTRIES", 0)
    lazy = pm.Oracle("stm32h743", space, metrics)
    assert [lazy(member) for member in members] == answers
