"""Seconds of elementwise work on the vector units of CPU cores.

``seconds = operations / rate``, where functions that a product's kernel applies while it stores its
sums run at the peak, and any other function takes a pass of its own over the output. The clocks of
the products themselves are in `simd.kernels`; the kind `simd` adds both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from perfmodel.arrays import Value, by_row, reduce_segments
from perfmodel.cost.setting import Setting
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.rates import MATRIX_KINDS, row_classes, vector_peak, vector_rates
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.kernels import KERNEL_OF
from perfmodel.workload.operator_table import PERSISTENT, WEIGHT, OperatorTable

#: Functions that a kernel applies while it stores its sums, in onnxruntime, the only runtime with
#: constants here (Conv Add and Conv Activation fusion, folded normalisation). Other activations
#: that it fuses cost a separate pass, as its node times show.
_STORED_WITH = frozenset({"relu", "add", "batch_norm", "sub", "mul"})


def vector_seconds(table: OperatorTable, setting: Setting) -> Value:
    """Return seconds of elementwise work of each row, ``(rows, points)``.

    Functions applied while a kernel stores its sums run at the peak; any other fused function is a
    separate pass over the output. A product that broadcasts one activation over another (the scale
    of squeeze and excite) runs on the plain layout, between two conversions.
    """
    rates = vector_rates(table, setting)
    passes = [
        row.kind in MATRIX_KINDS and bool(set(row.functions) - _STORED_WITH) for row in table.rows
    ]
    xp = setting.xp
    if any(passes):
        shares = by_kernel(table, setting, lambda kernel: kernel.rider_share)
        _, peak = vector_peak(setting)
        rates = xp.where(np.array(passes)[:, None], peak * shares, rates)
    seconds = table.vector_ops / rates
    each = setting.kernel("elementwise", SimdKernel).broadcast_clocks
    products = [row.kind == "elementwise" and "mul" in row.functions for row in table.rows]
    if each is None or not any(products):
        return seconds
    least, most = _extremes(table, setting)
    broadcasts = np.array(products)[:, None] & (least < most)
    return xp.where(
        broadcasts,
        xp.maximum(seconds, each * most / (setting.clock * setting.engine.units)),
        seconds,
    )


def _extremes(table: OperatorTable, setting: Setting) -> tuple[Value, Value]:
    """Return the elements of the smallest and the largest activation of each row."""
    access = table.accesses
    assert access is not None
    other = np.isin(access.tensor, (WEIGHT, PERSISTENT))[:, None]
    xp = setting.xp
    small = xp.where(other, np.inf, access.elements)
    large = xp.where(other, 0.0, access.elements)
    if xp is np:
        return (
            reduce_segments(np.minimum, small, access.starts),
            reduce_segments(np.maximum, large, access.starts),
        )
    shape = (len(table.rows), small.shape[1])
    return (
        xp.full(shape, np.inf).at[access.row].min(small),
        xp.zeros(shape).at[access.row].max(large),
    )


def by_kernel(
    table: OperatorTable, setting: Setting, constant: Callable[[KernelConstants], Value]
) -> Value:
    """Return a constant of the kernel of each row, ``(rows, 1 or points)``."""
    rows, index = row_classes(table, "simd kernels", lambda row: row.kind)
    names = (KERNEL_OF.get(row.kind, row.kind) for row in rows)
    values = [constant(setting.constants(name, SimdKernel)) for name in names]
    return by_row(values, table.points, setting.xp)[index]
