"""Rows of a table that stream: elementwise, normalisation, pooling, copies, depthwise products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.tensor_core.kernels import KernelRows, constants_of
from perfmodel.workload.lower import OperatorRow, OperatorTable

#: Classes of rows that are costed here.
CLASSES = ("elementwise", "norm", "softmax", "pool", "copy", "gather", "depthwise")


def stream_rows(table: OperatorTable, setting: Setting, base: Terms) -> Iterator[KernelRows]:
    """Yield the times of streaming rows for which the runtime states constants.

    ``launch + passes * bytes / (bandwidth_share * bandwidth)``, with the theoretical bandwidth of
    main memory; a function may have constants of its own (``elementwise.gelu_tanh``). Depthwise
    convolutions reuse so little that they stream as well, or reach ``peak_share`` of the peak, or
    ``vector_share`` of that of the vector units.
    """
    main = setting.levels[-1]
    bandwidth = setting.memory(main).bandwidth
    for (kind, function), rows in table.once("streams", lambda: _groups(table.rows)).items():
        values = constants_of(setting, kind, (function,) if function else ())
        if values:
            yield _rows(table, setting, base, rows, values, bandwidth)


def _groups(rows: Sequence[OperatorRow]) -> dict[tuple[str, str], npt.NDArray[np.intp]]:
    """Return class and function -> rows."""
    found: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(rows):
        if row.kind in CLASSES:
            found.setdefault((row.kind, row.function), []).append(i)
    return {key: np.array(chosen, dtype=np.intp) for key, chosen in found.items()}


def _rows(
    table: OperatorTable,
    setting: Setting,
    base: Terms,
    rows: Any,
    values: dict[str, Value],
    bandwidth: Value,
) -> KernelRows:
    near, main = setting.levels[0], setting.levels[-1]
    moved = base.traffic[main][rows]
    passes = values.get("passes", 1.0)
    dram = passes * moved / (values.get("bandwidth_share", 1.0) * bandwidth)
    zero = 0.0 * dram
    matrix = base.compute["matrix"][rows] / values.get("peak_share", 1.0) + zero
    if "vector_share" in values:
        peak = setting.engine.vector_peaks["fp32"]
        matrix = 2.0 * table.macs[rows] / (values["vector_share"] * peak) + zero
    l2 = base.memory[near][rows] + zero if near != main else zero
    riders = (
        base.compute["vector"][rows] / values["rider_share"] if "rider_share" in values else None
    )
    return KernelRows(
        rows,
        matrix,
        dram,
        l2,
        values["launch"] + zero,
        zero,
        host_floor_s=values.get("host_floor", 0.0) + zero,
        vector_s=riders,
    )
