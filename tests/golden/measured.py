"""Figures over measured data: errors of every data set, refitted constants, published claims."""

from __future__ import annotations

import perfmodel as pm
from tests.golden.figures import Figures, numbers

#: Errors of a target that are held.
ERRORS = ("mape", "median_ape", "bias", "within_10", "spearman", "kendall")

#: Data sets whose constants are refitted in a few seconds.
REFITTED = (
    "coral_edgetpu",
    "hls4ml_mlp_csynth",
    "llama3_gpu_llamacpp",
    "llamacpp_apple_4167",
    "mlperf_tiny",
    "ncnn_bench",
    "stm32_model_zoo",
    "tinyengine_mcunet",
    "tmac_llm_decode",
)


def validations() -> Figures:
    """Yield rows, coverage and errors of every data set."""
    for found in pm.validate():
        yield f"validate/{found.name}/rows", found.rows
        yield f"validate/{found.name}/coverage", found.coverage
        for target, errors in found.targets.items():
            for name in ERRORS:
                yield f"validate/{found.name}/{target}/{name}", errors[name]
        for name, errors in found.baselines.items():
            yield f"validate/{found.name}/baseline/{name}/mape", errors["mape"]


def refits() -> Figures:
    """Yield errors by constants refitted without a device, and the spread of the constants."""
    for name in REFITTED:
        (found,) = pm.validate(name, left_out=True)
        for target, errors in found.left_out.items():
            yield from numbers(errors, (), f"refit/{name}/{target}")


def claims() -> Figures:
    """Yield every published claim: what is predicted, and the verdict."""
    for row in pm.reproduce():
        key = f"claim/{row.system}/{row.claim}"
        yield f"{key}/predicted", row.predicted
        yield f"{key}/verdict", row.verdict
        yield f"{key}/basis", row.basis
        yield f"{key}/error", row.error
        yield f"{key}/published", row.published
        yield f"{key}/tolerance", row.tolerance
