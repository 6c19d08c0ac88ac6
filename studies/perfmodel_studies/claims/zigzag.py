"""What ZigZag's example accelerators spend on ResNet-18, mapped as its search LOMA maps it."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.cost.mapping import KNOWN, map_network
from perfmodel.cost.traffic.nest import Widths

#: Accelerators whose totals are published.
ACCELERATORS = ("tpu_like", "edge_tpu_like", "meta_prototype_like", "ascend_like", "tesla_npu_like")


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    network = pm.workload("resnet18")
    values: dict[str, float] = {}
    for name in ACCELERATORS:
        mapped = map_network(
            network,
            KNOWN[name](),
            search="loma",
            objective="latency",
            loops=6,
            widths=Widths(1.0, 1.0, 1.0, 2.0),
            accounting="zigzag",
        )
        values[f"{name}_uj"] = 1e6 * mapped.energy_j
        values[f"{name}_kilocycles"] = mapped.latency_cycles / 1e3
    return values
