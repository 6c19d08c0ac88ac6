"""Rate per area of Wang's 22 nm macro over its supplies; the YAML asks all others of `predict`."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.kinds.in_memory import chip_area


def predicted() -> dict[str, float]:
    """Return claim -> number, operations in 10^12 per second and mm2.

    The matrix fills the macro: 64 inputs and 16 outputs of eight bits.
    """
    macro = pm.hardware("cim_wang_22nm").machine()
    area_mm2 = 1e6 * float(sum(chip_area(macro.facts, macro.engine).values()))
    matrix = pm.workload("gemm", m=1, n=16, k=64)
    out: dict[str, float] = {}
    for volts in (0.7, 0.8, 0.9, 1.0, 1.1):
        supplied = macro.vary({"engines.arrays.voltage": volts})
        run = pm.predict(matrix, supplied, precision="w=int8,a=int8")
        tops = 2e-12 * float(run.macs) / float(run.latency_s)
        out[f"wang.v{round(100 * volts)}.tops_per_mm2"] = tops / area_mm2
    return out
