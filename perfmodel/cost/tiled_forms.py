"""Closed forms of tiled traffic over the points of a table: attention, and shapes that vary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.cost.traffic.closed_forms import (
    attention_traffic,
    convolution_traffic,
    depthwise_traffic,
    gemm_traffic,
)
from perfmodel.cost.traffic.nest import Conventions
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

if TYPE_CHECKING:
    from perfmodel.cost.tiled_nests import Four


def is_fused_attention(table: OperatorTable) -> list[bool]:
    """Tell which nests are halves of an attention whose scores stay on chip."""
    nests = table.nests
    assert nests is not None
    inner = nests.access.tolist()
    out = [False] * len(nests)
    for i in range(len(nests) - 1):
        pair = nests.row[i] == nests.row[i + 1] and nests.kind[i] == "attention"
        if pair and inner[i][2] < 0 and inner[i + 1][0] < 0 and not out[i]:
            out[i] = out[i + 1] = True
    return out


def closed_forms(
    table: OperatorTable, setting: Setting, rule: Conventions, capacity: Value, partial: float,
    widths: Value, real: Value, wanted: list[int],
) -> dict[int, Four]:  # fmt: skip
    """Return the bytes of one group of each wanted nest, by operand.

    The first half of a fused attention has the queries and keys, the second the values and the
    output.
    """
    nests = table.nests
    assert nests is not None
    out: dict[int, Four] = {}
    todo = list(wanted)
    fused = is_fused_attention(table)
    while todo:
        i = todo.pop(0)
        if fused[i] and todo and todo[0] == i + 1:
            out |= _attention(nests, widths, rule, capacity, partial, i, setting)
            todo.pop(0)
        else:
            out[i] = _nest(nests, widths, real, rule, capacity, partial, i, setting)
    return out


def _attention(
    nests: Nests, widths: Value, rule: Conventions, capacity: Value, partial: float, i: int,
    setting: Setting,
) -> dict[int, Four]:  # fmt: skip
    """Return the halves of a fused attention."""
    found = attention_traffic(
        nests.out_rows[i], nests.out_channels[i], nests.in_channels[i], nests.out_channels[i + 1],
        capacity, sharing=nests.batch[i], query=widths[0, i], key=widths[1, i],
        value=widths[1, i + 1], output=widths[2, i + 1], accumulator=partial, score=partial,
        causal=nests.causal[i] and setting.causal_skips_masked, conventions=rule,
        relaxed=setting.relaxed,
    )  # fmt: skip
    return {
        i: (found.query, found.key, 0.0, 0.0),
        i + 1: (0.0, found.value, found.output, found.partial_reads),
    }


def _nest(
    nests: Nests, widths: Value, real: Value, rule: Conventions, capacity: Value, partial: float,
    i: int, setting: Setting,
) -> Four:  # fmt: skip
    # Convolutions have no closed form of uneven tiles; even ones are some of them.
    rule = rule if is_product(nests, i) else replace(rule, allocation="even")
    each: dict[str, Any] = {
        "input": widths[0, i], "weight": widths[1, i], "output": widths[2, i], "partial": partial,
        "conventions": rule, "relaxed": setting.relaxed,
    }  # fmt: skip
    if is_product(nests, i):
        rows = nests.batch[i] * nests.out_rows[i] * nests.out_columns[i]
        found: Any = gemm_traffic(
            rows, nests.out_channels[i], nests.in_channels[i], capacity, **each
        )
    elif nests.kind[i] == "depthwise" and _ones(nests.in_channels[i], nests.out_channels[i]):
        spatial = {name: value for name, value in convolution(nests, i).items() if name in _SPATIAL}
        found = depthwise_traffic(**spatial, capacity=capacity, **each)
    else:
        found = convolution_traffic(**convolution(nests, i), capacity=capacity, **each)
    return found.input * real[i], found.weight, found.output, found.partial_reads


_SPATIAL = frozenset(
    {"out_rows", "out_columns", "kernel_rows", "kernel_columns", "row_stride", "column_stride",
     "row_dilation", "column_dilation", "batch"}
)  # fmt: skip


def convolution(nests: Nests, i: int) -> dict[str, Value]:
    """Return the arguments of one group of a nest as a convolution."""
    (row_stride, column_stride), (row_dilation, column_dilation) = (
        nests.stride[i].tolist(), nests.dilation[i].tolist(),
    )  # fmt: skip
    return {
        "out_rows": nests.out_rows[i], "out_columns": nests.out_columns[i],
        "out_channels": nests.out_channels[i], "in_channels": nests.in_channels[i],
        "kernel_rows": nests.kernel_rows[i], "kernel_columns": nests.kernel_columns[i],
        "row_stride": float(row_stride), "column_stride": float(column_stride),
        "row_dilation": float(row_dilation), "column_dilation": float(column_dilation),
        "batch": nests.batch[i],
    }  # fmt: skip


def is_product(nests: Nests, i: int) -> bool:
    """Tell whether a nest is a product of matrices: one tap, no stride."""
    strides = nests.stride[i].tolist() == [1, 1]
    return strides and _ones(nests.kernel_rows[i], nests.kernel_columns[i])


def _ones(*values: Value) -> bool:
    """Tell whether sizes are all 1; kernels, and channels of a depthwise nest, never vary."""
    return all(isinstance(v, np.ndarray) and bool(np.all(v == 1.0)) for v in values)
