"""Activation functions that do not ride on a neural processor's multipliers.

A runtime states them as ``elementwise.FUNCTION`` among its kernels: `passes`, how often the bytes
of the result cross main memory's boundary once more; or `result_share`, how many results it makes a
second for each operation of its peak.
"""

from __future__ import annotations

from perfmodel.arrays import Value, by_row
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.rates import MATRIX_KINDS, executed_format
from perfmodel.kinds.roofline import best_format
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.lower import OperatorRow, OperatorTable


def extra_passes(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes of the further passes of each row; ``None`` where there are none."""
    passes = _stated(table, setting, "passes")
    return None if passes is None else passes * result_bytes(table, setting)


def function_times(table: OperatorTable, setting: Setting) -> Value:
    """Return seconds of functions that the engine makes beside its products; ``None`` for none.

    ``results / (result_share * peak)``, of every function of a row in turn.
    """
    waits = _stated(table, setting, "result_share", inverse=True)
    if waits is None:
        return None
    act = setting.precision.activations.compute
    name = executed_format(setting, act) or best_format(setting)
    peak = setting.facts[f"engines.{setting.engine}.peaks.{name}"]
    cores = setting.fact("runtime.kernels.conv.cores")
    units = setting.fact(f"engines.{setting.engine}.units", 1.0)
    if cores is not None:
        peak = peak * setting.xp.minimum(cores, units) / units
    return waits * results(table, setting) / peak


def _stated(table: OperatorTable, setting: Setting, field: str, *, inverse: bool = False) -> Value:
    """Return the sum of a constant over the functions of each row; ``None`` where none has it."""
    head = "runtime.kernels.elementwise."
    values: list[Value] = []
    said = False
    for row in table.rows:
        total: Value = 0.0
        for function in row.functions:
            found = setting.facts.get(f"{head}{function}.{field}")
            if found is not None:
                said = True
                total = total + (1.0 / found if inverse else found)
        values.append(total)
    return by_row(values, table.points, setting.xp) if said else None


def results(table: OperatorTable, setting: Setting) -> Value:
    """Return the numbers that a function of each row makes: its vector operations over theirs."""
    each = [float(sum(VECTOR_OPS.get(f, 1.0) for f in _own(row))) or 1.0 for row in table.rows]
    return table.vector_ops / setting.xp.asarray(each)[:, None]


def result_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes that a function of each row makes."""
    return results(table, setting) * slot_bytes(("activation",), table.points, setting)


def _own(row: OperatorRow) -> list[str]:
    # Batch normalisation is folded into the convolution before it.
    folded = row.kind in MATRIX_KINDS
    return [f for f in row.functions if not (folded and f == "batch_norm")]
