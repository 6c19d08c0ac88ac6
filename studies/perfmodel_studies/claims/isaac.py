"""What the model says of ISAAC: peak, power and area from its components, and its ratios."""

from __future__ import annotations

from typing import Any

import perfmodel as pm
from perfmodel.kinds.in_memory import chip_area

#: Crossbars, and crossbars of a tile.
CROSSBARS, OF_A_TILE = 16128, 96


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    machine = pm.hardware("isaac").machine()
    # Every crossbar holds a copy of one full matrix; the host's link is no part of the peak.
    busy = machine.vary({"memories.host.bandwidth": 1e15, "memories.edram.bandwidth": 1e15})
    prediction = pm.predict(
        pm.workload("gemm", m=16 * CROSSBARS, n=16, k=128), busy, precision="int16"
    )
    tops = 2e-12 * float(prediction.macs) / float(prediction.latency_s)
    area = {name: 1e6 * float(part) for name, part in chip_area(machine.facts, "arrays").items()}
    mm2 = sum(area.values())
    idle = machine.facts["power.idle"]
    arrays_w = float(prediction.power_w) - idle
    table: Any = prediction.table
    converters = float(table["converters energy_j"].sum())
    return {
        "tops": tops,
        "power_w": float(prediction.power_w),
        "tile_mw": 1e3 * arrays_w / CROSSBARS * OF_A_TILE,
        "area_mm2": mm2,
        "tile_mm2": (mm2 - area["chip"]) / CROSSBARS * OF_A_TILE,
        "gops_per_mm2": 1e3 * tops / mm2,
        "gops_per_w": 1e3 * tops / float(prediction.power_w),
        "converter_share_of_tile_power": converters / arrays_w / float(prediction.latency_s),
    }
