"""What SCALE-Sim 3.0.0 reports for a layer, column by column, for comparison with it.

Its figures differ from what an array does in three places, which `report` follows:

- the cycles are the index of the last one, one less than their count;
- output-stationary writes count ``rows + columns`` too many a fold (the shape of a fold is added to
  the count of its elements);
- the compute utilisation of the other two dataflows divides by ``T + 2 rows + 2 columns - 3``
  cycles a fold: the skew, already in the demand, is added once more.
"""

from __future__ import annotations

from perfmodel.arrays import Value
from perfmodel.kinds.systolic.folds import Dataflow, gemm

__all__ = ["convolution", "report"]


def convolution(
    ifmap_height: Value,
    ifmap_width: Value,
    filter_height: Value,
    filter_width: Value,
    channels: Value,
    filters: Value,
    stride: Value,
) -> tuple[Value, Value, Value]:
    """Return M, N, K of a convolution as SCALE-Sim sees it: no padding, im2col.

    An axis has ``ceil((input - filter + stride) / stride)`` outputs.
    """
    tall = -(-(ifmap_height - filter_height + stride) // stride)
    wide = -(-(ifmap_width - filter_width + stride) // stride)
    return tall * wide, filters, filter_height * filter_width * channels


def report(
    m: Value, n: Value, k: Value, *, rows: Value, columns: Value, dataflow: Dataflow
) -> dict[str, Value]:
    """Return the columns of SCALE-Sim's compute report for ``C[M, N] += A[M, K] B[K, N]``.

    Keys: ``cycles``, ``overall_util_pct``, ``mapping_eff_pct``, ``compute_util_pct``,
    ``sram_ifmap_reads``, ``sram_filter_reads``, ``sram_ofmap_writes``.
    """
    run = gemm(m, n, k, rows=rows, columns=columns, dataflow=dataflow)
    last = run.cycles - 1
    elements = run.rows * run.columns
    writes, window = run.output_writes, run.fold_cycles
    if dataflow == "output_stationary":
        writes = writes + run.folds * (run.rows + run.columns)
    else:
        window = window + run.columns - 1
    return {
        "cycles": last,
        "overall_util_pct": 100.0 * run.macs / (last * elements),
        "mapping_eff_pct": 100.0 * run.mapping_efficiency,
        "compute_util_pct": 100.0 * run.macs / (run.folds * window * elements),
        "sram_ifmap_reads": run.input_reads,
        "sram_filter_reads": run.weight_reads,
        "sram_ofmap_writes": writes,
    }
