"""Seconds of CoDeNet's convolutions on the accelerator, apart from the processor's part."""

from __future__ import annotations

import numpy as np
import perfmodel as pm


def predicted() -> dict[str, float]:
    """Return claim -> milliseconds of an image in the loops and the lines of the accelerator."""
    out: dict[str, float] = {}
    for name in "abcde":
        net = pm.workload(f"codenet_{name}", widths="deployed")
        rows = pm.predict(net, pm.hardware("ultra96_codenet"), precision="w4a8").table
        engine = np.asarray(rows["array_s"]) + np.asarray(rows["lines_s"])
        out[f"{name}.accelerator_ms"] = 1e3 * float(np.sum(np.asarray(rows["count"]) * engine))
    return out
