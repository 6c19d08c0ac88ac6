"""Oracles have tables, which equal `predict`, where runtimes and designs once prevented them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    difference, metric = largest(oracle, machine, space.sample(3, seed=3).tolist(), **options)
    assert difference < 1e-12, metric


@pytest.mark.parametrize(
    ("network", "device", "runtime", "choices", "reason"),
    [
        # Which softmax falls back depends on the formats of its activations.
        ("bert_base", "qcs9075", "qnn_htp", {"activation_bits": [8, 16]}, "conversions of formats"),
        # Depthwise convolutions overlap with the preceding ones, and stages wait for the slowest.
        ("fbnet", "ultra96_codenet", None, None, "resources"),
        ("mlperf_tiny_ad", "hls4ml_ad08", None, BITS, "resources"),
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
