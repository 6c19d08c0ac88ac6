"""Share of each resource of an engine that a design for one network occupies.

Engines that are built for a network, such as a layer pipeline on an FPGA, occupy logic, multipliers
and block memory; share = used / available, and the design fits if no share exceeds 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import Value, first_number, namespace
from perfmodel.cost.capacity import resources

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction


def resource_usage(prediction: Prediction) -> dict[str, dict[str, Value]]:
    """Return ``used``, ``available`` and their ratio ``share`` of each resource.

    Each has the shape of the prediction.
    """
    usage: dict[str, dict[str, Value]] = {}
    for name, amounts in resources(prediction.totals, prediction.setting).items():
        xp = namespace(*amounts)
        used, available = map(xp.asarray, amounts)
        # Any use of a resource that a device lacks exceeds its capacity.
        share = xp.where(used > 0, used / xp.maximum(available, 1e-9), 0.0)
        columns = {"used": used, "available": available, "share": share}
        usage[name] = {key: prediction.shaped(value) for key, value in columns.items()}
    return usage


def scarcest(usage: Mapping[str, Mapping[str, Value]]) -> str:
    """Return the resource with the largest share (of the first point); empty if there is none."""
    shares = {name: first_number(columns["share"]) for name, columns in usage.items()}
    return max(shares, key=lambda name: shares[name]) if shares else ""


def largest_share(usage: Mapping[str, Mapping[str, Value]]) -> Value:
    """Return the largest share of any resource: at most 1 if all fit; NaN without resources."""
    shares = [np.asarray(columns["share"], dtype=float) for columns in usage.values()]
    return np.max(np.broadcast_arrays(*shares), axis=0) if shares else float("nan")
