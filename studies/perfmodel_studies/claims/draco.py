"""MobileNetV1 on square row-stationary arrays, counted in sets of elements."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel_studies.row_stationary.pe_sets import Sharing, run_sets

#: (rows, channels, stride) of the depthwise layers; channels after the pointwise one that follows.
_DEPTHWISE = (
    (112, 32, 1, 64),
    (112, 64, 2, 128),
    (56, 128, 1, 128),
    (56, 128, 2, 256),
    (28, 256, 1, 256),
    (28, 256, 2, 512),
    *((14, 512, 1, 512),) * 5,
    (14, 512, 2, 1024),
    (7, 1024, 1, 1024),
)


class DracoUtilization(NamedTuple):
    """Clocks of the 29 layers, utilisation over all of them, and the mean of the layers'."""

    cycles: float
    utilization: float
    mean_utilization: float


def mobilenet(size: int, sharing: Sharing, group: int = 1) -> DracoUtilization:
    """Return what MobileNetV1 takes on an array of `size` x `size` elements.

    Parameters
    ----------
    sharing
        How copies of a set share out the depthwise layers.
    group
        Channels of a group, in place of one.
    """
    layers: list[tuple[Sharing, tuple[int, ...]]] = []
    layers.append(("filters", (1, 32, 3, 112, 112, 3)))
    for rows, channels, stride, after in _DEPTHWISE:
        out = rows // stride
        layers.append((sharing, (channels // group, group, group, out, out, 3)))
        layers.append(("filters", (1, after, channels, out, out, 1)))
    layers.append(("groups", (1024, 1, 1, 1, 1, 7)))
    layers.append(("filters", (1, 1000, 1024, 1, 1, 1)))
    cycles: list[float] = []
    shares: list[float] = []
    done = 0.0
    for kind, shape in layers:
        groups, filters, inputs, high, wide, kernel = map(float, shape)
        run = run_sets(
            groups=groups,
            filters=filters,
            channels=inputs,
            out_rows=high,
            out_columns=wide,
            kernel_rows=kernel,
            kernel_columns=kernel,
            height=float(size),
            width=float(size),
            sharing=kind,
        )
        cycles.append(float(run.cycles))
        shares.append(float(run.utilization))
        done += groups * filters * inputs * high * wide * kernel**2
    total = sum(cycles)
    return DracoUtilization(total, done / (total * size * size), float(np.mean(shares)))


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    values: dict[str, float] = {}
    cases: list[tuple[str, int, Sharing]] = [
        ("array_64", 64, "within_group"),
        ("array_16", 16, "within_group"),
        ("array_64.replicated", 64, "groups"),
    ]
    for name, size, sharing in cases:
        outcome = mobilenet(size, sharing)
        values[f"{name}.cycles"] = outcome.cycles
        values[f"{name}.utilization_percent"] = 100 * outcome.utilization
        values[f"{name}.mean_utilization_percent"] = 100 * outcome.mean_utilization
    for group in (2, 4, 8, 16, 32):
        outcome = mobilenet(64, "within_group", group)
        values[f"array_64.group_{group}.cycles"] = outcome.cycles
        values[f"array_64.group_{group}.mean_utilization_percent"] = 100 * outcome.mean_utilization
    return values
