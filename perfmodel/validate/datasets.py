"""Data sets by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

__all__ = ["DATASETS", "dataset", "datasets"]

#: Data set -> module with NAME, TITLE, PLACES and ``load(folder, devices) -> Cases``.
DATASETS: Final[Mapping[str, str]] = {
    "llamacpp_apple_4167": "perfmodel.validate.llamacpp_apple",
    "llama3_gpu_llamacpp": "perfmodel.validate.llama_cpp.gpus",
    "llamacpp_gpu_llama2_7b_q4_0": "perfmodel.validate.llama_cpp.llama2_7b",
    "tmac_llm_decode": "perfmodel.validate.llama_cpp.t_mac",
    "tmac_orin_energy": "perfmodel.validate.llama_cpp.t_mac_energy",
    "llamacpp_rpi5_quant_energy": "perfmodel.validate.llama_cpp.pi5",
    "llamacpp_dgx_spark_batched": "perfmodel.validate.llama_cpp.spark_batched",
    "llamacpp_dgx_spark_depth": "perfmodel.validate.llama_cpp.spark_depth",
    "geerling_ai_benchmarks": "perfmodel.validate.llama_cpp.geerling",
    "sbc_reviews": "perfmodel.validate.llama_cpp.boards",
    "ncnn_bench": "perfmodel.validate.ncnn_bench",
    "cpu_zen4": "perfmodel.validate.cpu_zen4",
    "ecm_streaming": "perfmodel.validate.ecm.streams",
    "stencil_zen4": "perfmodel.validate.ecm.stencils",
    "hls4ml_mlp_csynth": "perfmodel.validate.hls4ml.designs",
    "hls4ml_mlp_csynth_layers": "perfmodel.validate.hls4ml.single_layers",
    "genz": "perfmodel.validate.genz",
    "mlperf_tiny": "perfmodel.validate.mcus.mlperf_tiny",
    "stm32_model_zoo": "perfmodel.validate.mcus.stm32_model_zoo",
    "tinyengine_mcunet": "perfmodel.validate.mcus.tinyengine",
    "flash_read": "perfmodel.validate.flash_read",
    "bigmoe_flash_streaming_runs": "perfmodel.validate.streamed_experts",
    "hwnasbench360": "perfmodel.validate.hwnasbench360",
    "help_nasbench201": "perfmodel.validate.help_latency.nasbench201",
    "help_fbnet": "perfmodel.validate.help_latency.fbnet",
    "help_ofa": "perfmodel.validate.help_latency.ofa",
    "llm_serving_e2e": "perfmodel.validate.llm_serving",
    "gpu_attention": "perfmodel.validate.gpu_kernels.attention",
    "gpu_collectives": "perfmodel.validate.gpu_kernels.collectives",
    "neusight_gpu_kernels": "perfmodel.validate.gpu_kernels.neusight",
    "neusight_e2e": "perfmodel.validate.gpu_kernels.whole_transformers",
    "deepbench": "perfmodel.validate.gpu_kernels.deepbench",
    "llmcompass_kernels": "perfmodel.validate.gpu_kernels.llmcompass",
    "llmservingsim_layers": "perfmodel.validate.gpu_kernels.llm_layers",
    "gpu_gemm": "perfmodel.validate.gpu_kernels.gemm",
    "gpu_moe": "perfmodel.validate.gpu_kernels.moe",
    "vidur_linear": "perfmodel.validate.gpu_kernels.vidur",
    "gpu_kernel_power": "perfmodel.validate.gpu_kernels.power",
    "vitis_ai_dpu": "perfmodel.validate.vitis_ai.zoo_2_5",
    "vitis_ai_35_vek280_v70": "perfmodel.validate.vitis_ai.zoo_3_5",
    "coral_edgetpu": "perfmodel.validate.npus.coral",
    "hailo_model_zoo": "perfmodel.validate.npus.hailo",
    "rknn_model_zoo": "perfmodel.validate.npus.rknn",
    "rkllm_bench": "perfmodel.validate.npus.rkllm",
    "qualcomm_aihub_perf": "perfmodel.validate.npus.aihub",
    "qualcomm_aihub_llm": "perfmodel.validate.npus.aihub_llm",
    "infersim_kernels": "perfmodel.validate.gpu_kernels.infersim",
}


def dataset(name: str) -> Any:
    """Return the module of a data set."""
    return import_module(DATASETS[name])


def datasets() -> dict[str, str]:
    """Return data set -> what it is."""
    return {name: dataset(name).TITLE for name in DATASETS}
