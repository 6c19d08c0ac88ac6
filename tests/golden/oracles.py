"""Oracles: the metrics of seeded members of spaces, on devices of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import perfmodel as pm
from perfmodel.prediction.ownership_metrics import COST_METRICS
from tests.golden.figures import Figures, Value, tried
from tests.search.oracle.equality import ARCHITECTURES, CONFIGURATIONS, DEVICES, with_traffic

#: Members of each space that are asked.
MEMBERS = 6

#: Metrics that follow from latency, energy, traffic and facts alone; their oracles equal `predict`
#: in tests/test_metrics.py.
FOLLOW = COST_METRICS | {
    *("embodied_kg", "average_power_w", "energy_per_period_j", "battery_hours"),
    *("battery_share_in_an_hour", "burst_s", "steady_celsius", "sustained_latency_s"),
    *("sustained_speed", "bandwidth_bytes_per_s", "required_bandwidth_bytes_per_s"),
    *("samples_per_s", "ttft_s", "tpot_s"),
}

#: Spaces of configurations that are asked on every device; the others on two.
EVERYWHERE = ("resnet8 bits, sparsity", "tiny_cnn channels, batch")
SOME = ("zen4_core", "gemmini_16x16")


def members(space: Any, seed: int) -> Any:
    """Return seeded choices, shape ``(members, decisions)``."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [rng.integers(0, len(decision.options), MEMBERS) for decision in space.decisions], axis=1
    )


def answers(device: Any, space: Any) -> Iterator[tuple[str, Value]]:
    """Yield each metric of each member."""
    found = with_traffic(device, space).batch(members(space, 7))
    for metric in sorted(found.keys() - FOLLOW):
        for i, value in enumerate(np.asarray(found[metric], dtype=float).tolist()):
            yield f"{i}/{metric}", value


def figures() -> Figures:
    """Yield configurations and architectures."""
    for device_name in DEVICES:
        device = pm.hardware(device_name)
        for name, configured in CONFIGURATIONS.items():
            if name in EVERYWHERE or device_name in SOME:
                yield from tried(
                    f"oracle/{device_name}/{name}",
                    lambda c=configured, d=device: answers(d, c.space(d)),
                )
    for name in ARCHITECTURES[:3]:
        for device_name in SOME:
            yield from tried(
                f"oracle/{device_name}/{name}",
                lambda n=name, d=device_name: answers(pm.hardware(d), pm.space(n)),
            )
