"""Requests, servers, collectives, questions of one number, comparisons, calibrations, sweeps."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import perfmodel as pm
from perfmodel.sweep import METRICS
from tests.golden.figures import EVIDENT, Figures, numbers, tried

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

QUESTIONS: Mapping[str, Callable[[], Any]] = {
    "request/llama_3_8b/apple_m2_max": lambda: pm.request(
        "llama_3_8b", "apple_m2_max", precision="q4_k_m", prompt=2000, generate=300
    ),
    "request/llama_3_8b/raspberry_pi_5": lambda: pm.request(
        "llama_3_8b", "raspberry_pi_5", precision="q4_0", prompt=100, generate=100
    ),
    "request/gemma_2_2b/apple_m1": lambda: pm.request(
        "gemma_2_2b", "apple_m1", precision="q8_0", prompt=3000, generate=500
    ),
    "request/deepseek_v3/h200": lambda: pm.request(
        "deepseek_v3", "h200", precision="fp8", prompt=500, generate=100
    ),
    "request/mamba_130m/apple_m2_max": lambda: pm.request(
        "mamba_130m", "apple_m2_max", prompt=512, generate=100
    ),
    "request/llama_3_8b/h100_sxm": lambda: pm.request(
        "llama_3_8b", "h100_sxm", runtime="torch_cuda", prompt=1000, generate=100
    ),
    "request/gguf/apple_m2_max": lambda: pm.request(
        str(EXAMPLES / "llama_3_8b_q4_k_m.gguf"), "apple_m2_max", prompt=512, generate=64
    ),
    "serve/llama_3_70b/h100": lambda: pm.serve(
        "llama_3_70b",
        "h100",
        runtime="vllm",
        precision="w=fp8,a=fp8,kv=fp8",
        concurrency=64,
        tensor=4,
    ),
    "serve/llama_3_8b/h100/full": lambda: pm.serve("llama_3_8b", "h100", concurrency=2000),
    "serve/llama_3_8b/h100/groups": lambda: pm.serve("llama_3_8b", "h100", data=4),
    "serve/qwen3_30b_a3b/h200": lambda: pm.serve(
        "qwen3_30b_a3b", "h200", runtime="vllm", concurrency=16, tensor=2, expert=2
    ),
    "solve/bandwidth": lambda: pm.solve(
        "llama_3_8b", "jetson_agx_orin", "memories.main.bandwidth", "tokens_per_s >= 20"
    ),
    "solve/not_reached": lambda: pm.solve(
        "llama_3_8b",
        "raspberry_pi_5",
        "memories.main.bandwidth",
        "tokens_per_s >= 20",
        precision="w4a16",
    ),
    "solve/batch": lambda: pm.solve(
        "llama_3_8b", "a100", "batch", "tpot_s <= 20 ms", set={"context": 4096}
    ),
    "compare/resnet50": lambda: pm.compare(
        "resnet50", "jetson_agx_orin", "rtx_4090", precision="int8"
    ),
    "compare/mlperf_tiny_ic": lambda: pm.compare(
        "mlperf_tiny_ic", "stm32h743", "stm32f746", runtime="x_cube_ai"
    ),
    "calibrate/raspberry_pi_4": lambda: pm.calibrate(
        None, None, EXAMPLES / "raspberry_pi_4_ncnn.csv"
    ),
}

#: Sweeps with every column held.
SWEEPS: Mapping[str, Callable[..., Any]] = {
    "grid": lambda **o: pm.sweep(
        ["resnet50", "mobilenet_v2"],
        ["a100", "raspberry_pi_5", "edge_tpu"],
        {"batch": [1, 8], "precision": ["int8", "fp16"]},
        **o,
    ),
    "facts": lambda **o: pm.sweep(
        "resnet50", "a100", {"batch": "2**0..2**6", "memories.main.bandwidth": "1 TB/s,2 TB/s"}, **o
    ),
    "contexts": lambda **o: pm.sweep(
        "llama_3_8b", "tag:apple", {"batch": 1, "context": "2048,8192", "precision": "w4a16"}, **o
    ),
    "drawn": lambda **o: pm.sweep(
        "llama_3_2_1b",
        "rtx_4090",
        {"memories.main.bandwidth": "loguniform(100 GB/s, 2 TB/s)"},
        sobol=16,
        seed=3,
        **o,
    ),
    "where": lambda **o: pm.sweep(
        "jet_tagger",
        "vu9p",
        {"precision": ["w6a6", "w8a8"], "batch": [1, 2]},
        where="feasible",
        **o,
    ),
}


def csv_digest(sweep: Callable[..., Any]) -> str:
    """Return a hash of the file that a sweep streams to, its numbers to 10 digits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.csv"
        sweep(output=path, metrics=[name for name in METRICS if name not in (*EVIDENT, "basis")])
        text = path.read_text(encoding="utf-8")
    cells = [[_short(cell) for cell in line.split(",")] for line in text.splitlines()]
    return hashlib.sha256(repr(cells).encode()).hexdigest()[:16]


def _short(cell: str) -> str:
    try:
        return f"{float(cell):.9e}"
    except ValueError:
        return cell


def collectives() -> Figures:
    """Yield collectives between devices of a node."""
    for name in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
        for device, runtime in (("h100", "nccl"), ("a100", "nccl"), ("h100", "vllm_all_reduce")):
            for size in (1e4, 1e6, 1e8):
                for devices in (2, 8):
                    yield from tried(
                        f"collective/{name}/{device}/{runtime}/{size:g}/{devices}",
                        lambda n=name, s=size, k=devices, d=device, r=runtime: numbers(
                            {
                                "latency_s": (
                                    found := pm.collective(n, s, k, d, runtime=r)
                                ).latency_s,
                                "wire_bytes": found.wire_bytes,
                            }
                        ),
                    )


def sweeps() -> Figures:
    """Yield every column of some sweeps, and a hash of the file of one."""
    for name, sweep in SWEEPS.items():
        yield from tried(f"sweep/{name}", lambda s=sweep: numbers(s().to_records()))
    for name in ("grid", "facts"):
        yield f"sweep/{name}/csv", csv_digest(SWEEPS[name])


def figures() -> Figures:
    """Yield all of them."""
    for key, question in QUESTIONS.items():
        yield from tried(key, lambda q=question: numbers(q().to_dict(), ("seconds",)))
    yield from collectives()
    yield from sweeps()
