"""Rows of a table on a GPU that stream through memory: elementwise, norms, pooling, copies.

``seconds = launch + passes * bytes / (bandwidth_share * bandwidth)``: a roofline with the constants
of the runtime's kernels. Depthwise convolutions are among them, since they reuse little. The kind
`tensor_core` calls `stream_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.distinct_columns import places_of
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.kernels import KernelRows, constants_of, near_seconds
from perfmodel.workload.operator_table import OperatorTable

#: Classes of rows that are costed here.
CLASSES = ("elementwise", "norm", "softmax", "pool", "copy", "gather", "depthwise")


def stream_rows(table: OperatorTable, setting: Setting, base: Terms) -> Iterator[KernelRows]:
    """Yield the times of streaming rows for which the runtime states constants.

    ``launch + passes * bytes / (bandwidth_share * bandwidth)``, with the theoretical bandwidth of
    main memory; a function may have its own constants (``elementwise.gelu_tanh``). Depthwise
    convolutions have so little reuse that they stream too, or reach ``peak_share`` of the peak, or
    ``vector_share`` of the vector units' peak.
    """
    main = setting.main_memory
    bandwidth = setting.memory(main).bandwidth
    keys = ((row.kind, row.function) if row.kind in CLASSES else None for row in table.rows)
    for (kind, function), rows in table.once("streams", lambda: places_of(keys)).items():
        values = constants_of(setting, kind, (function,) if function else ())
        if values:
            yield _rows(table, setting, base, rows, values, bandwidth)


def _rows(
    table: OperatorTable,
    setting: Setting,
    base: Terms,
    rows: Any,
    values: dict[str, Value],
    bandwidth: Value,
) -> KernelRows:
    kernel = TensorCoreKernel.constants(values)
    traffic = base.traffic[setting.main_memory][rows]
    dram = kernel.passes * traffic / (kernel.bandwidth_share * bandwidth)
    zero = 0.0 * dram
    matrix = base.compute["matrix"][rows] / kernel.peak_share + zero
    if "vector_share" in values:
        peak = setting.engine.vector_peaks["fp32"]
        matrix = 2.0 * table.macs[rows] / (kernel.vector_share * peak) + zero
    riders = base.compute["vector"][rows] / kernel.rider_share if "rider_share" in values else None
    return KernelRows(
        rows,
        matrix,
        dram,
        near_seconds(base, setting, rows) + zero,
        kernel.launch + zero,
        zero,
        host_floor_s=kernel.host_floor + zero,
        vector_s=riders,
    )
