"""What no tiling of a network's nests can beat: lower bounds beside the tiled traffic."""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled_forms import convolution, is_fused_attention, is_product
from perfmodel.cost.tiled_nests import operand_bytes, real_share
from perfmodel.cost.traffic.bounds import (
    convolution_compulsory,
    convolution_root_bound,
    gemm_relaxed_bound,
)
from perfmodel.cost.traffic.nest import Conventions
from perfmodel.workload.lower import OperatorTable


def nest_bounds(
    table: OperatorTable, setting: Setting, rule: Conventions, capacity: Value, partial: float
) -> Value:
    """Return bytes that each nest moves at the least, all groups; ``(nests, points)``.

    Products of matrices: the optimum of real tiles. Convolutions: the square-root bound (compulsory
    under uneven tiles, which it does not cover), less the padding, which is never fetched.
    Attention: its operands once.
    """
    nests = table.nests
    assert nests is not None
    widths = operand_bytes(table, setting, None)
    real = real_share(table, nests, setting)
    fused = is_fused_attention(table)
    out = np.zeros((len(nests), table.points))
    for i in range(len(nests)):
        sizes = convolution(nests, i)
        x, w, y = (widths[k, i] for k in range(3))
        once = convolution_compulsory(**sizes, input=x * real[i], weight=w, output=y)
        found: Value = once
        if is_product(nests, i) and not fused[i]:
            rows = sizes["batch"] * sizes["out_rows"] * sizes["out_columns"]
            found = gemm_relaxed_bound(
                rows, sizes["out_channels"], sizes["in_channels"], capacity, input=x, weight=w,
                output=y, partial=partial, conventions=rule,
            )  # fmt: skip
        elif not fused[i] and rule.allocation == "even":
            found = real[i] * convolution_root_bound(
                **sizes, capacity=capacity, input=x, weight=w, output=y, partial=partial
            )
        found = np.where(np.isfinite(found), np.maximum(once, found), np.inf)
        out[i] = found * nests.groups[i] * nests.times[i]
    return out
