"""Operator tables: every column of a prediction, row by row, summed and hashed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import perfmodel as pm
from tests.golden.figures import Figures, Value, digest, tried

#: Network, settings, device, options: one of every kind of hardware.
PAIRS: tuple[tuple[str, dict[str, Any], str, dict[str, Any]], ...] = (
    ("resnet50", {}, "jetson_agx_orin", {"precision": "int8"}),
    ("mobilenet_v2", {}, "zen4_core", {"precision": "fp32", "runtime": "onnxruntime_cpu"}),
    ("mobilenet_v2", {}, "raspberry_pi_4", {"precision": "fp16", "runtime": "ncnn"}),
    ("bert_base", {"tokens": 128}, "a100", {"runtime": "torch_cuda"}),
    ("llama_3_8b", {"phase": "prefill", "prompt": 512}, "h100_sxm", {"runtime": "torch_cuda"}),
    ("llama_3_8b", {"phase": "decode"}, "rtx_4090", {"precision": "w4a16"}),
    ("llama_3_8b", {"phase": "request", "generate": 16}, "apple_m2_max", {"precision": "q4_0"}),
    ("qwen3_30b_a3b", {"phase": "decode"}, "ufs_4_phone", {"precision": "w4a16"}),
    ("deepseek_v3", {"phase": "decode"}, "h200", {"precision": "fp8"}),
    ("mamba_130m", {"phase": "decode"}, "apple_m1", {}),
    ("whisper_tiny", {}, "snapdragon_8_gen_3", {}),
    ("mlperf_tiny_ic", {}, "stm32h743", {"precision": "int8"}),
    ("mlperf_tiny_vww", {}, "stm32n6", {"precision": "int8"}),
    ("resnet18", {}, "edge_tpu", {"precision": "int8"}),
    ("resnet18", {}, "gemmini_16x16", {"precision": "int8"}),
    ("resnet18", {}, "scale_sim_32x32", {"precision": "int8"}),
    ("alexnet", {}, "eyeriss", {"precision": "int16"}),
    ("resnet18", {}, "bit_fusion_apq", {"precision": "w4a4"}),
    ("resnet18", {}, "cim_wang_22nm", {}),
    ("jet_tagger", {}, "vu9p", {"precision": "w6a6"}),
    ("yolov5s", {}, "zcu104", {"precision": "int8"}),
    ("llama_2_7b", {"phase": "decode"}, "cambricon_llm_s", {}),
    ("qwen3_8b", {"phase": "decode"}, "hnlpu", {"precision": "w=int4,a=fp16"}),
    ("bitnet_b1_58_large", {"phase": "decode"}, "tellme", {}),
    ("llama_3_2_1b", {"phase": "decode"}, "bitmod", {"precision": "w4a16"}),
    ("random_forest_digits", {}, "raspberry_pi_4", {"precision": "fp32"}),
    ("lsm_n_mnist", {}, "stm32h743", {"precision": "int8"}),
    ("stream_triad", {}, "zen4_core", {"precision": "fp64"}),
)


def columns(found: Any) -> Iterator[tuple[str, Value]]:
    """Yield each column of a prediction's table: its sum, and a hash of its rows."""
    table = found.table
    yield "rows", len(table)
    for name in table.columns:
        values = table[name].tolist()
        if all(isinstance(v, str) for v in values):
            yield f"{name}/content", digest(values)
            continue
        numbers = [float(v) for v in values]
        yield f"{name}/sum", math.fsum(v for v in numbers if math.isfinite(v))
        yield (
            f"{name}/by_place",
            math.fsum(i * v for i, v in enumerate(numbers, 1) if math.isfinite(v)),
        )
    yield "operators", digest(found.kernels)


def figures() -> Figures:
    """Yield the tables of some networks on one device of every kind."""
    for network, settings, device, options in PAIRS:
        words = [network, *(str(v) for v in settings.values()), device]
        key = "table/" + "/".join(words)
        yield from tried(
            key,
            lambda n=network, s=settings, d=device, o=options: columns(
                pm.predict(pm.workload(n, **s), d, **o)
            ),
        )
