"""Data sets of measurements, by name; `perfmodel validate` finds them by entry point."""

from collections.abc import Mapping
from typing import Final

__all__ = ["READERS"]

#: Data set -> module, or ``module:object``, with NAME, TITLE, PLACES and
#: ``load(folder, devices) -> Cases``.
READERS: Final[Mapping[str, str]] = {
    # A heading states clusters of cores and their clocks, of which threads keep some busy, and the
    # networks of a run date its build: no device has the one, no form the other.
    "ncnn_bench": "perfmodel_studies.readers.ncnn_bench",
    # Fitted on the times of nodes, a file of their own that is paired with rows of predictions.
    "cpu_zen4": "perfmodel_studies.readers.cpu_zen4",
    # Rows of three files, with kerncraft's model beside those that it has.
    "ecm_streaming": "perfmodel_studies.readers.ecm.streams",
    # Errors by kernel beside those by level of the cache.
    "stencil_zen4": "perfmodel_studies.readers.ecm.stencils",
    # A YAML beside the reader states all but one refit: clocks of a softmax are rounded, and a fit
    # moves along those that are not.
    "hls4ml_mlp_csynth": "perfmodel_studies.readers.hls4ml",
    # Predictions of another model: each difference is taken out by name, beside our own prediction.
    "genz": "perfmodel_studies.readers.genz",
    # Constants of libraries are fitted together with factors of cores that multiply them, and
    # designs of FPGAs are worked out from foldings that papers publish.
    "mlperf_tiny": "perfmodel_studies.readers.mcus.mlperf_tiny",
    # A row states its own seconds of computing, between which loads are hidden: `stream` works out
    # those of a device.
    "bigmoe_flash_streaming_runs": "perfmodel_studies.readers.streamed_experts",
    "hwnasbench360": "perfmodel_studies.readers.hwnasbench360",
    "help_nasbench201": "perfmodel_studies.readers.help_latency.files:NAS_BENCH_201",
    "help_fbnet": "perfmodel_studies.readers.help_latency.files:FBNET",
    "help_ofa": "perfmodel_studies.readers.help_latency.files:OFA",
    # A collective is a command of its own, which the form of data sets cannot ask.
    "gpu_collectives": "perfmodel_studies.readers.gpu_kernels.collectives",
    # A sample of the rows, and a sparser one that constants were fitted on.
    "neusight_gpu_kernels": "perfmodel_studies.readers.gpu_kernels.neusight",
    # Networks' sums of kernels, fitted together with the rows of neusight_gpu_kernels.
    "neusight_e2e": "perfmodel_studies.readers.gpu_kernels.whole_transformers",
    # Most networks have no graph: a device is predicted from the rows of others, which no row can
    # ask. Those with a graph are a YAML beside the reader.
    "qualcomm_aihub_perf": "perfmodel_studies.readers.npus.aihub",
}
