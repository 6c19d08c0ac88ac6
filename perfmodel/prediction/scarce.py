"""Resource usage of network-specific engines, such as the logic of an FPGA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import Value, first_number, namespace
from perfmodel.cost.capacity import resources

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction


def taken(prediction: Prediction) -> dict[str, dict[str, Value]]:
    """Return ``used``, ``available`` and their ratio ``share`` of each resource.

    Each has the shape of the prediction.
    """
    p = prediction
    out: dict[str, dict[str, Value]] = {}
    for name, amounts in resources(p.totals, p.setting).items():
        xp = namespace(*amounts)
        used, available = map(xp.asarray, amounts)
        # Any use of a resource that a device lacks exceeds its capacity.
        share = xp.where(used > 0, used / xp.maximum(available, 1e-9), 0.0)
        parts = {"used": used, "available": available, "share": share}
        out[name] = {n: p.shaped(v) for n, v in parts.items()}
    return out


def scarcest(used: Mapping[str, Mapping[str, Value]]) -> str:
    """Return the resource with the largest share (of the first point); empty if there is none."""
    shares = {name: first_number(part["share"]) for name, part in used.items()}
    return max(shares, key=lambda name: shares[name]) if shares else ""


def largest_share(used: Mapping[str, Mapping[str, Value]]) -> Value:
    """Return the largest share of any resource: at most 1 if all fit; NaN without resources."""
    shares = [np.asarray(part["share"], dtype=float) for part in used.values()]
    return np.max(np.broadcast_arrays(*shares), axis=0) if shares else float("nan")
