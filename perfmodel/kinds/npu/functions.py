"""Activation functions that do not ride on a neural processor's multipliers.

A runtime states them as ``elementwise.FUNCTION`` among its kernels: `passes`, how often the bytes
of the result cross main memory's boundary once more.
"""

from __future__ import annotations

from perfmodel.arrays import Value
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.npu.rates import by_row
from perfmodel.kinds.rates import MATRIX_KINDS, bandwidth
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.lower import OperatorTable, Row

__all__ = ["extra_passes", "result_bytes"]


def extra_passes(table: OperatorTable, setting: Setting) -> tuple[Value, Value] | None:
    """Return bytes and seconds of the further passes of each row; ``None`` where there are none."""
    passes = [
        sum(
            (
                setting.fact(f"runtime.kernels.elementwise.{function}.passes", 0.0)
                for function in row.functions
            ),
            0.0,
        )
        for row in table.rows
    ]
    if all(type(count) is float and not count for count in passes):
        return None
    moved = by_row(table, setting, passes) * result_bytes(table, setting)
    return moved, moved / bandwidth(setting, setting.levels[-1])


def result_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes that a function of each row makes: its vector operations over theirs."""
    each = [float(sum(VECTOR_OPS.get(f, 1.0) for f in _own(row))) or 1.0 for row in table.rows]
    width = slot_bytes(("activation",), table.points, setting)
    return table.vector_ops / setting.xp.asarray(each)[:, None] * width


def _own(row: Row) -> list[str]:
    # Batch normalisation is folded into the convolution before it.
    folded = row.kind in MATRIX_KINDS
    return [f for f in row.functions if not (folded and f == "batch_norm")]
