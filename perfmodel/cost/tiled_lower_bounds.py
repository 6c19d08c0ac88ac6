"""Lower bounds of the traffic of a network's loop nests over all tilings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.buffered_nests import BufferedNests
from perfmodel.cost.setting import Setting
from perfmodel.cost.traffic.bounds import compulsory_bound, relaxed_bound, root_bound
from perfmodel.cost.traffic.nest import Conventions
from perfmodel.workload.operator_table import OperatorTable


def nest_bounds(
    table: OperatorTable, setting: Setting, rule: Conventions, capacity: Value, partial: float
) -> Value:
    """Return a lower bound of the traffic of each nest in bytes, all groups; ``(nests, points)``.

    GEMMs: the relaxed bound (real tiles). Convolutions: the square-root bound (the compulsory bound
    for uneven tiles, which it does not cover), without padding, which is never fetched. Attention:
    each operand once.
    """
    buffered = BufferedNests.of(table, setting, rule, capacity, partial)
    nests = buffered.nests
    out = np.zeros((len(nests), table.points))
    for i, fused in enumerate(buffered.fused):
        nest, widths = buffered.nest(i), buffered.widths(i)
        unpadded_share = buffered.unpadded_share[i]
        once = compulsory_bound(nest, replace(widths, input=widths.input * unpadded_share))
        bound: Value = once
        if buffered.is_product(i) and not fused:
            bound = relaxed_bound(nest, capacity, widths, rule)
        elif not fused and rule.allocation == "even":
            bound = unpadded_share * root_bound(nest, capacity, widths)
        bound = np.where(np.isfinite(bound), np.maximum(once, bound), np.inf)
        out[i] = bound * nests.groups[i] * nests.times[i]
    return out
