"""CoDeNet's five configurations on its engine."""

from __future__ import annotations

import numpy as np
import perfmodel as pm


def predicted() -> dict[str, float]:
    """Return claim -> milliseconds, or frames a second."""
    board = pm.hardware("ultra96_codenet")
    out: dict[str, float] = {}
    for name in "abcde":
        net = pm.workload(f"codenet_{name}", widths="deployed")
        found = pm.predict(net, board, precision="w4a8")
        rows = found.table
        engine = np.asarray(rows["array_s"]) + np.asarray(rows["lines_s"])
        out[f"{name}.ms"] = 1e3 * float(found.latency_s)
        out[f"{name}.accelerator_ms"] = 1e3 * float(np.sum(np.asarray(rows["count"]) * engine))
        out[f"{name}.fps"] = 1.0 / float(found.latency_s)
    return out
