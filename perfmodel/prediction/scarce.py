"""What a network takes of an engine that is made for it, such as the fabric of an FPGA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import Value, first_number, namespace
from perfmodel.cost.capacity import resources

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction


def taken(prediction: Prediction) -> dict[str, dict[str, Value]]:
    """Return resource -> ``used``, ``available`` and ``share``, in the prediction's shape."""
    p = prediction
    found = resources(p._totals, p._setting)  # pyright: ignore[reportPrivateUsage]
    out: dict[str, dict[str, Value]] = {}
    for name, (used, there) in found.items():
        xp = namespace(used, there)
        used, there = xp.asarray(used), xp.asarray(there)
        # What a part has none of is exceeded by any use.
        share = xp.where(used > 0, used / xp.maximum(there, 1e-9), 0.0)
        parts = {"used": used, "available": there, "share": share}
        out[name] = {n: p._shaped(v) for n, v in parts.items()}  # pyright: ignore[reportPrivateUsage]
    return out


def scarcest(found: Mapping[str, Mapping[str, Value]]) -> str:
    """Return the resource of the largest share (of the first point); empty where there is none."""
    at = {name: first_number(part["share"]) for name, part in found.items()}
    return max(at, key=lambda name: at[name]) if at else ""


def largest_share(found: Mapping[str, Mapping[str, Value]]) -> Value:
    """Return the largest share of any resource: 1 or less where all fit; NaN without resources."""
    shares = [np.asarray(part["share"], dtype=float) for part in found.values()]
    return np.max(np.broadcast_arrays(*shares), axis=0) if shares else float("nan")
