"""Print the constants of `generic_cpu`, `generic_gpu` and `generic_npu`: means over runtimes.

    python benchmarks/pool_generic.py

A constant is the geometric mean of what the named runtimes state, each fitted or measured on rows
of its own; the spread is the geometric standard deviation, a factor either way. Runtimes whose fit
left a constant at a bound, or that took it over from another one, are not named for it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from perfmodel.hardware.library import runtime
from perfmodel.hardware.runtime import Runtime

#: Kind of engine -> constant of its runtime -> runtime and where that states it.
POOLS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cpu": {
        "per_operator": (
            "litert per_operator",
            "torch_mobile per_operator",
            "ncnn per_operator",
            "ncnn_in_order per_operator",
            "ncnn_armv7 per_operator",
            "ncnn_x86 per_operator",
            "onnxruntime_cpu per_operator",
            "torch_1_eager_cpu per_operator",
            "torch_1_eager_phone per_operator",
        ),
        "serial_share": (
            "ncnn serial_share",
            "ncnn_in_order serial_share",
            "ncnn_armv7 serial_share",
            "ncnn_x86 serial_share",
        ),
        "efficiency.conv": (
            "litert efficiency.conv",
            "torch_mobile efficiency.conv",
            "ncnn efficiency.conv",
            "ncnn_in_order efficiency.conv",
            "ncnn_armv7 efficiency.conv",
            "ncnn_x86 efficiency.conv",
            "onnxruntime_cpu efficiency.conv",
            "onnxruntime_arm efficiency.conv",
            "torch_1_eager_cpu efficiency.conv",
            "torch_1_eager_phone efficiency.conv",
        ),
        "efficiency.conv.int8": (
            "ncnn efficiency.conv.int8",
            "ncnn_in_order efficiency.conv.int8",
            "ncnn_armv7 efficiency.conv.int8",
            "ncnn_x86 efficiency.conv.int8",
        ),
        "efficiency.depthwise": (
            "ncnn efficiency.depthwise",
            "ncnn_in_order efficiency.depthwise",
            "ncnn_armv7 efficiency.depthwise",
            "ncnn_x86 efficiency.depthwise",
            "onnxruntime_cpu efficiency.depthwise",
        ),
        "efficiency.depthwise.int8": (
            "ncnn efficiency.depthwise.int8",
            "ncnn_in_order efficiency.depthwise.int8",
            "ncnn_armv7 efficiency.depthwise.int8",
            "ncnn_x86 efficiency.depthwise.int8",
        ),
        "efficiency.gemm": ("ncnn_in_order efficiency.gemm", "onnxruntime_cpu efficiency.gemm"),
        "efficiency.attention": (
            "ncnn_in_order efficiency.attention",
            "ncnn_armv7 efficiency.attention",
            "ncnn_x86 efficiency.attention",
        ),
        "efficiency.vector": (
            "ncnn efficiency.vector",
            "ncnn_in_order efficiency.vector",
            "ncnn_armv7 efficiency.vector",
            "ncnn_x86 efficiency.vector",
            "onnxruntime_cpu efficiency.elementwise",
            "onnxruntime_arm efficiency.elementwise",
        ),
    },
    "gpu": {
        "per_operator": (
            "torch_1_eager kernels.conv.host_floor",
            "torch_eager kernels.gemm.launch",
            "torch_eager_half kernels.gemm.launch",
            "torch_cuda kernels.gemm.launch",
            "cudnn_2017 kernels.conv.launch",
        ),
        "efficiency.bandwidth": (
            "torch_1_eager kernels.elementwise.bandwidth_share",
            "torch_1_eager_pascal kernels.elementwise.bandwidth_share",
            "torch_eager kernels.elementwise.bandwidth_share",
            "torch_eager_half kernels.elementwise.bandwidth_share",
            "llama_cpp_cuda efficiency.bandwidth",
            "llama_cpp_metal efficiency.bandwidth",
            "llama_cpp_vulkan efficiency.bandwidth",
            "llama_cpp_sycl efficiency.bandwidth",
            "vllm efficiency.bandwidth",
        ),
        "efficiency.gemm": (
            "torch_eager kernels.gemm.peak_share",
            "torch_eager_half kernels.gemm.peak_share",
            "cudnn_2017 kernels.gemm.peak_share",
            "llama_cpp_cuda efficiency.gemm",
            "llama_cpp_metal efficiency.gemm.fp16",
            "vllm efficiency.gemm",
        ),
        "efficiency.conv": (
            "torch_1_eager kernels.conv.peak_share",
            "torch_1_eager_pascal kernels.conv.peak_share",
        ),
        "efficiency.depthwise": ("torch_1_eager kernels.depthwise.peak_share",),
    },
    "npu": {
        "per_run": (
            "qnn_htp per_run",
            "hailo per_run",
            "edge_tpu per_run",
            "coreml per_run",
        ),
        "per_operator": (
            "rknn per_operator",
            "rknn_1 per_operator",
            "qnn_htp per_operator",
            "hailo per_operator",
            "st_edge_ai_n6 per_operator",
            "rkllm per_operator",
        ),
        "efficiency.bandwidth": (
            "rknn efficiency.bandwidth",
            "rknn_1 efficiency.bandwidth",
            "genie efficiency.bandwidth",
            "edge_tpu efficiency.bandwidth",
            "coreml efficiency.bandwidth",
            "rkllm efficiency.bandwidth",
        ),
        "efficiency.conv": (
            "rknn kernels.conv.peak_share",
            "rknn_1 kernels.conv.peak_share",
            "qnn_htp kernels.conv.int8.peak_share",
            "hailo kernels.conv.peak_share",
            "edge_tpu kernels.conv.peak_share",
            "vela kernels.conv.peak_share",
            "vela_u65 kernels.conv.peak_share",
            "vela_u85 kernels.conv.peak_share",
            "st_edge_ai_n6 kernels.conv.peak_share",
            "coreml efficiency.conv",
        ),
        "efficiency.depthwise": (
            "qnn_htp kernels.depthwise.int8.peak_share",
            "hailo kernels.depthwise.peak_share",
            "edge_tpu kernels.depthwise.peak_share",
            "vela kernels.depthwise.peak_share",
            "vela_u65 kernels.depthwise.peak_share",
            "vela_u85 kernels.depthwise.peak_share",
            "st_edge_ai_n6 kernels.depthwise.peak_share",
        ),
        "efficiency.gemm": (
            "genie kernels.gemm.peak_share",
            "hailo kernels.gemm.peak_share",
            "rkllm kernels.gemm.int8.peak_share",
            "coreml efficiency.gemm",
        ),
        "efficiency.attention": (
            "rknn kernels.batched_gemm.peak_share",
            "rknn_1 kernels.batched_gemm.peak_share",
            "qnn_htp kernels.batched_gemm.peak_share",
            "genie kernels.batched_gemm.peak_share",
            "hailo kernels.batched_gemm.peak_share",
        ),
    },
}


def pooled(kind: str) -> dict[str, tuple[float, float, int]]:
    """Return constant -> its mean, the factor either way, and of how many runtimes."""
    return {
        constant: _mean([_stated(*place.split()) for place in places])
        for constant, places in POOLS[kind].items()
    }


def _mean(values: list[float]) -> tuple[float, float, int]:
    logs = [math.log(value) for value in values]
    spread = statistics.stdev(logs) if len(logs) > 1 else 0.0
    return math.exp(statistics.mean(logs)), math.exp(spread), len(values)


def _stated(name: str, path: str) -> float:
    """Return the number at a path of a runtime's spec; keys of mappings may hold points."""
    spec: Runtime = runtime(name)
    head, _, rest = path.partition(".")
    found = getattr(spec, head)
    if head == "kernels":
        key, _, field = rest.rpartition(".")
        found = getattr(found[key], field)
    elif rest:
        found = found[rest]
    return float(found.value)


def main() -> None:
    """Print every pool."""
    for kind in POOLS:
        print(f"generic_{kind}")
        for constant, (mean, spread, count) in pooled(kind).items():
            print(f"  {constant:28} {mean:.3g}   x{spread:.2f} either way, {count} runtimes")


if __name__ == "__main__":
    main()
