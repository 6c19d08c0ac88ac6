"""Loop nests of a table as matrix products on the array."""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.systolic.folds import ArrayRun, gemm
from perfmodel.workload.shapes import Nests


def nest_runs(nests: Nests, setting: Setting, *, arrays: Value, relaxed: bool) -> ArrayRun:
    """Return every nest on the array, each executed once; of shape ``(nests, points)``.

    A convolution goes by its im2col form, with real outputs (padding makes more of them than
    SCALE-Sim counts): M positions of all images, N output channels of a group, K taps x channels.
    """
    facts, head, choices = setting.facts, f"engines.{setting.engine}.", setting.choices
    return gemm(
        nests.batch * nests.out_rows * nests.out_columns,
        nests.out_channels,
        nests.in_channels * nests.kernel_rows * nests.kernel_columns,
        rows=facts[head + "height"],
        columns=facts[head + "width"],
        dataflow=choices["dataflow"],
        shadow_weights=choices["shadow_weights"],
        overlap_folds=choices["overlap_folds"],
        replication=choices["replicate_groups"],
        groups=nests.groups,
        arrays=arrays,
        relaxed=relaxed,
    )


def element_bytes(nests: Nests, points: int, setting: Setting) -> tuple[Value, Value, Value]:
    """Return bytes of an element of input, weight and output, ``(nests, points or 1)``."""
    n = len(nests)
    slots = [slot for operand in range(3) for slot in (s[operand] for s in nests.slots)]
    each = slot_bytes(tuple(slots), points, setting)
    return each[:n], each[n : 2 * n], each[2 * n :]


def full(values: Value, nests: Nests) -> Value:
    """Return values of nests with both axes, ``(nests, points or 1)``."""
    return values if np.ndim(values) == 2 else values * np.ones((len(nests), 1))
