"""Core ML on the Neural Engine of phones: each network from a fit to all the other ones.

Three constants of the runtime `coreml` are fitted to published latencies: time of a run, share of
the peak of products, share of main memory's bandwidth. Rows of a prediction are costed once with
all of them at one; a fit then composes them as the roofline kind does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate import Fit, fit

from perfmodel_studies.tables import constants_of

__all__ = ["CONSTANTS", "ROWS", "fitted", "latency", "network", "predicted"]

Vector = npt.NDArray[np.float64]
#: Classes of products that one share of the peak stands for.
PRODUCTS = ("conv", "depthwise", "gemm", "attention")
CONSTANTS = constants_of("coreml")


class CoreMlLatency(NamedTuple):
    """A published latency: library's network and settings, device, seconds."""

    workload: str
    settings: Mapping[str, float | int | str]
    device: str
    seconds: float


_IPHONE_12 = {
    "mobileone_s0": 0.79,
    "mobileone_s1": 0.89,
    "mobileone_s2": 1.18,
    "mobileone_s3": 1.53,
    "mobileone_s4": 1.86,
    "efficientformer_l1": 1.6,
    "efficientformer_l3": 3.0,
    "efficientformer_l7": 7.0,
    "efficientformerv2_s0": 0.9,
    "efficientformerv2_s1": 1.1,
    "efficientformerv2_s2": 1.6,
    "efficientformerv2_l": 2.7,
}
_FOLDED: Mapping[str, float | int | str] = {"batch_norm": "folded"}
#: Name of a claim -> what was measured; the rows that constants are fitted on.
ROWS: Mapping[str, CoreMlLatency] = {
    **{
        name: CoreMlLatency(name, _FOLDED, "apple_a14", ms * 1e-3)
        for name, ms in _IPHONE_12.items()
    },
    "mobilenet_v2_x1.4": CoreMlLatency(
        "mobilenet_v2", {**_FOLDED, "width_multiplier": 1.4}, "apple_a14", 1.6e-3
    ),
    "mobile_r2l": CoreMlLatency("mobile_r2l", _FOLDED, "apple_a15", 18.04e-3),
}
#: Rows that no constant is fitted on.
OTHERS: Mapping[str, CoreMlLatency] = {
    "distilbert": CoreMlLatency("bert_base", {"layers": 6, "tokens": 128}, "apple_a15", 3.47e-3),
    "resnet50": CoreMlLatency("resnet50", _FOLDED, "apple_a14", 3.0e-3),
    "efficientnet_b0": CoreMlLatency("efficientnet_b0", _FOLDED, "apple_a14", 2.7e-3),
    "deit_t": CoreMlLatency("deit_tiny_patch16_224", {}, "apple_a14", 9.2e-3),
    "deit_s": CoreMlLatency("deit_small_patch16_224", {}, "apple_a14", 11.8e-3),
}


class _Parts(NamedTuple):
    """Seconds of the kernels of a network with every fitted share at one, shape ``(kernels,)``."""

    times: Vector
    matrix: Vector
    vector: Vector
    near: Vector
    main: Vector


def network(row: CoreMlLatency) -> pm.Workload:
    """Return the workload of a row."""
    return pm.workload(row.workload, **row.settings)


@lru_cache(maxsize=64)
def _parts(name: str) -> _Parts:
    row = ROWS.get(name) or OTHERS[name]
    machine = (
        pm.hardware(row.device)
        .machine("coreml")
        .vary({f"runtime.efficiency.{key}": 1.0 for key in (*PRODUCTS, "bandwidth")})
    )
    table = pm.predict(network(row), machine, precision="fp16").table
    columns = {
        key: np.asarray(table[key], dtype=np.float64)
        for key in ("count", "matrix_s", "vector_s", "ane_sram_s", "slc_s", "dram_s")
    }
    near = np.maximum(columns["ane_sram_s"], columns["slc_s"])
    return _Parts(
        columns["count"], columns["matrix_s"], columns["vector_s"], near, columns["dram_s"]
    )


def latency(name: str, constants: Mapping[str, float]) -> float:
    """Return the seconds of a row under constants, as the roofline kind composes them."""
    parts = _parts(name)
    per_run, products, bandwidth = (constants[c.name] for c in CONSTANTS)
    arithmetic = parts.matrix / products + parts.vector
    row_s = np.maximum(np.maximum(arithmetic, parts.near), parts.main / bandwidth)
    return float(parts.times @ row_s) + per_run


def fitted(without: str = "") -> Fit:
    """Return the constants of the runtime from all rows but one."""
    names = list(ROWS)
    measured = [ROWS[name].seconds for name in names]

    def forward(constants: Mapping[str, float]) -> Vector:
        return np.array([latency(name, constants) for name in names])

    included = np.array([name != without for name in names])
    return fit(forward, measured, CONSTANTS, rows=included)


def predicted() -> dict[str, float]:
    """Return claim -> milliseconds; a network of the fit from the rows without it."""
    out = {name: 1e3 * latency(name, fitted(name).constants) for name in ROWS}
    everything = fitted().constants
    return out | {name: 1e3 * latency(name, everything) for name in OTHERS}
