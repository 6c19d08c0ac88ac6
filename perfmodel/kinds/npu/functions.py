"""Activation functions that a neural processor does not fuse into its products.

A runtime states them as ``elementwise.FUNCTION`` among its kernels: `passes`, the number of further
transfers of the result to or from main memory; or `result_share`, the results per second for each
operation per second of its peak.
"""

from __future__ import annotations

from collections.abc import Callable

from perfmodel.arrays import Value, by_row
from perfmodel.cost.operand_bytes import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.npu.constants import NeuralKernel
from perfmodel.kinds.rates import MATRIX_KINDS, best_format, executed_format
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.vector_functions import VECTOR_OPS


def extra_passes(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes of the further passes of each row; ``None`` if there are none."""
    passes = _stated(table, setting, lambda kernel: kernel.passes)
    return None if passes is None else passes * result_bytes(table, setting)


def function_times(table: OperatorTable, setting: Setting) -> Value:
    """Return seconds of functions that the engine runs after its products; ``None`` if none.

    ``results / (result_share * peak)``, summed over the functions of a row.

    Notes
    -----
    ``functions = passes * bytes / bandwidth + results / (result_share * peak)``
        measured rows; docs/npu.md
    """
    waits = _stated(table, setting, lambda kernel: kernel.result_share, inverse=True)
    if waits is None:
        return None
    act = setting.precision.activations.compute
    name = executed_format(setting, act) or best_format(setting)
    peak: Value = setting.engine.peaks[name]
    cores, units = setting.kernel("conv", NeuralKernel).cores, setting.engine.units
    if cores is not None:
        peak = peak * setting.xp.minimum(cores, units) / units
    return waits * results(table, setting) / peak


def _stated(
    table: OperatorTable,
    setting: Setting,
    constant: Callable[[NeuralKernel], Value],
    *,
    inverse: bool = False,
) -> Value:
    """Return the sum of a constant over the functions of each row; ``None`` where none has it."""
    names = table.once("functions", lambda: {f: None for row in table.rows for f in row.functions})
    stated = {
        name: 1.0 / value if inverse else value
        for name in names
        if (value := constant(setting.kernel(f"elementwise.{name}", NeuralKernel))) is not None
    }
    if not stated:
        return None
    sums: list[Value] = [
        sum((stated.get(f, 0.0) for f in row.functions), 0.0) for row in table.rows
    ]
    return by_row(sums, table.points, setting.xp)


def results(table: OperatorTable, setting: Setting) -> Value:
    """Return the results of each row's functions: vector operations over those per result."""
    each = [float(sum(VECTOR_OPS.get(f, 1.0) for f in _own(row))) or 1.0 for row in table.rows]
    return table.vector_ops / setting.xp.asarray(each)[:, None]


def result_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes of the results of each row's functions."""
    return results(table, setting) * slot_bytes(("activation",), table.points, setting)


def _own(row: OperatorRow) -> list[str]:
    # Batch normalisation is folded into the preceding convolution.
    folded = row.kind in MATRIX_KINDS
    return [f for f in row.functions if not (folded and f == "batch_norm")]
