"""Data sets of measurements, by name; `perfmodel validate` finds them by entry point."""

from collections.abc import Mapping
from typing import Final

__all__ = ["READERS"]

#: Data set -> module with NAME, TITLE, PLACES and ``load(folder, devices) -> Cases``.
READERS: Final[Mapping[str, str]] = {
    "ncnn_bench": "perfmodel_studies.readers.ncnn_bench",
    "cpu_zen4": "perfmodel_studies.readers.cpu_zen4",
    "ecm_streaming": "perfmodel_studies.readers.ecm.streams",
    "stencil_zen4": "perfmodel_studies.readers.ecm.stencils",
    "hls4ml_mlp_csynth": "perfmodel_studies.readers.hls4ml.designs",
    "hls4ml_mlp_csynth_layers": "perfmodel_studies.readers.hls4ml.single_layers",
    "genz": "perfmodel_studies.readers.genz",
    "mlperf_tiny": "perfmodel_studies.readers.mcus.mlperf_tiny",
    "stm32_model_zoo": "perfmodel_studies.readers.mcus.stm32_model_zoo",
    "tinyengine_mcunet": "perfmodel_studies.readers.mcus.tinyengine",
    "flash_read": "perfmodel_studies.readers.flash_read",
    "bigmoe_flash_streaming_runs": "perfmodel_studies.readers.streamed_experts",
    "hwnasbench360": "perfmodel_studies.readers.hwnasbench360",
    "help_nasbench201": "perfmodel_studies.readers.help_latency.nasbench201",
    "help_fbnet": "perfmodel_studies.readers.help_latency.fbnet",
    "help_ofa": "perfmodel_studies.readers.help_latency.ofa",
    "llm_serving_e2e": "perfmodel_studies.readers.llm_serving",
    "gpu_attention": "perfmodel_studies.readers.gpu_kernels.attention",
    "gpu_collectives": "perfmodel_studies.readers.gpu_kernels.collectives",
    "neusight_gpu_kernels": "perfmodel_studies.readers.gpu_kernels.neusight",
    "neusight_e2e": "perfmodel_studies.readers.gpu_kernels.whole_transformers",
    "vitis_ai_dpu": "perfmodel_studies.readers.vitis_ai.zoo_2_5",
    "vitis_ai_35_vek280_v70": "perfmodel_studies.readers.vitis_ai.zoo_3_5",
    "rkllm_bench": "perfmodel_studies.readers.npus.rkllm",
    "qualcomm_aihub_perf": "perfmodel_studies.readers.npus.aihub",
    "qualcomm_aihub_llm": "perfmodel_studies.readers.npus.aihub_llm",
}
