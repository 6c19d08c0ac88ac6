"""Folds of a matrix product on a systolic array: cycles, SRAM accesses, utilisation.

A GEMM ``C[M, N] += A[M, K] B[K, N]`` is cut into folds of the array's size. With the operands'
extents on the array's rows ``S_R`` and columns ``S_C``, and the one streamed through it ``T``,

================== ===== ===== ===== ==========================
dataflow           S_R   S_C   T     cycles of a fold
================== ===== ===== ===== ==========================
output_stationary  M     N     K     ``T + rows + columns - 2``
weight_stationary  K     N     M     ``T + 2 rows + columns - 2``
input_stationary   K     M     N     ``T + 2 rows + columns - 2``
================== ===== ===== ===== ==========================

and there are ``ceil(S_R / rows) * ceil(S_C / columns)`` folds: Samajdar et al., "A systematic
methodology for characterizing scalability of DNN accelerators using SCALE-Sim", ISPASS 2020. The
skew of the operands fills and drains the array in ``rows + columns - 2`` cycles; a stationary
operand takes ``rows`` more to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np

from perfmodel.arrays import Value, namespace

Dataflow: TypeAlias = Literal["output_stationary", "weight_stationary", "input_stationary"]
Replication: TypeAlias = Literal["none", "diagonal", "side_by_side"]

#: Dataflow -> which of M, N, K lies along the rows, along the columns, and is streamed.
DATAFLOWS: Final = {
    "output_stationary": ("m", "n", "k"),
    "weight_stationary": ("k", "n", "m"),
    "input_stationary": ("k", "m", "n"),
}


@dataclass(frozen=True, slots=True)
class ArrayRun:
    """What a matrix product costs on an array; every number broadcasts over the inputs.

    Whole numbers where every input is one.

    Attributes
    ----------
    rows, columns
        Of the array.
    dataflow
        What stays in the processing elements.
    spatial_rows, spatial_columns, streamed
        Extents along the rows and the columns of the array, and through it; of one group.
    row_folds, column_folds
        Folds of one group along the rows and the columns.
    packed
        Groups that share a fold.
    folds
        Folds of all groups, one array.
    fold_cycles
        Cycles of one fold by itself.
    interval_cycles
        Cycles from the start of a fold to that of the next.
    cycles
        Of all folds.
    macs
        Multiply-accumulates.
    input_reads, weight_reads
        Elements read from the SRAM.
    output_writes
        Elements written to it: partial sums of every fold along K.
    output_reads
        Partial sums that come back to be added to.
    """

    rows: Value
    columns: Value
    dataflow: Dataflow
    spatial_rows: Value
    spatial_columns: Value
    streamed: Value
    row_folds: Value
    column_folds: Value
    packed: Value
    folds: Value
    fold_cycles: Value
    interval_cycles: Value
    cycles: Value
    macs: Value
    input_reads: Value
    weight_reads: Value
    output_writes: Value
    output_reads: Value

    @property
    def utilization(self) -> Value:
        """Multiply-accumulates over processing elements times cycles."""
        return self.macs / (self.cycles * self.rows * self.columns)

    @property
    def mapping_efficiency(self) -> Value:
        """Share of the processing elements that hold something, over all folds."""
        return self.macs / (self.folds * self.rows * self.columns * self.streamed)


def gemm(
    m: Value,
    n: Value,
    k: Value,
    *,
    rows: Value,
    columns: Value,
    dataflow: Dataflow,
    shadow_weights: bool = False,
    overlap_folds: bool = False,
    groups: Value = 1,
    replication: Replication = "none",
    arrays: Value = 1,
    relaxed: bool = False,
) -> ArrayRun:
    """Return what ``C[M, N] += A[M, K] B[K, N]`` costs on a systolic array.

    Parameters
    ----------
    m, n, k
        Extents; numbers or arrays that broadcast with all others. A convolution is its im2col
        form: M output positions, N output channels, K taps times input channels.
    rows, columns
        Processing elements of the array.
    dataflow
        ``output_stationary``, ``weight_stationary`` or ``input_stationary``.
    shadow_weights
        A second register holds the next fold's stationary operand, so that its load hides behind
        this fold. The first load stays.
    overlap_folds
        The next fold's operands enter while this one drains: a fold takes as long as its stream,
        or as long as the rows take to load or drain. Loads need `shadow_weights` for it.
    groups
        Independent products of this shape, such as the channels of a depthwise convolution.
    replication
        ``none``: one group at a time. ``diagonal``: as many as fit along the diagonal, all that
        wires along rows and columns allow. ``side_by_side``: as many as fit into the rectangle,
        where each group's operands reach it by wires of their own.
    arrays
        Arrays that share the folds.
    relaxed
        Counts of folds as they have a slope: the ratio, at least one.

    Returns
    -------
    ArrayRun
        Cycles, folds, accesses of the SRAM and utilisation.

    Raises
    ------
    ValueError
        Unknown dataflow or replication.

    Notes
    -----
    ``matrix = cycles / clock``
        Samajdar et al., SCALE-Sim, ISPASS 2020
    """
    if dataflow not in DATAFLOWS:
        raise ValueError(f"unknown dataflow '{dataflow}', expected one of {', '.join(DATAFLOWS)}")
    if replication not in ("none", "diagonal", "side_by_side"):
        raise ValueError(f"unknown replication '{replication}'")
    sizes = dict(zip("mnk", map(_whole, (m, n, k)), strict=True))
    rows, columns, groups, arrays = map(_whole, (rows, columns, groups, arrays))
    high, wide, streamed = (sizes[name] for name in DATAFLOWS[dataflow])
    row_folds = _ceil_div(high, rows, relaxed)
    column_folds = _ceil_div(wide, columns, relaxed)
    packed = _packed(high, wide, rows, columns, replication, relaxed)
    # A group by itself is no rounding: expected numbers of experts are fractions.
    packs = groups if isinstance(packed, int) else _packs(groups, packed, relaxed)
    folds = packs * row_folds * column_folds
    load = 0 if dataflow == "output_stationary" else rows
    fold = load + streamed + rows + columns - 2
    hidden = shadow_weights and dataflow != "output_stationary"
    interval = fold - load if hidden else fold
    if overlap_folds and (hidden or dataflow == "output_stationary"):
        interval = _maximum(streamed, rows)
    each = folds if isinstance(arrays, int) and arrays == 1 else _ceil_div(folds, arrays, relaxed)
    cycles = each * interval + (fold - interval if hidden or overlap_folds else 0)
    m, n, k = (sizes[name] for name in "mnk")
    a, b, c = groups * m * k, groups * k * n, groups * m * n
    if dataflow == "output_stationary":
        counts = a * column_folds, b * row_folds, c, 0 * c
    elif dataflow == "weight_stationary":
        counts = a * column_folds, b, c * row_folds, c * (row_folds - 1)
    else:
        counts = a, b * column_folds, c * row_folds, c * (row_folds - 1)
    return ArrayRun(
        rows,
        columns,
        dataflow,
        high,
        wide,
        streamed,
        row_folds,
        column_folds,
        packed,
        folds,
        fold,
        interval,
        cycles,
        groups * m * n * k,
        *counts,
    )


def gemm_cycles(
    m: Value,
    n: Value,
    k: Value,
    *,
    rows: Value,
    columns: Value,
    dataflow: Dataflow,
    shadow_weights: bool = False,
    overlap_folds: bool = False,
    groups: Value = 1,
    replication: Replication = "none",
) -> Value:
    """Return the cycles of ``C[M, N] += A[M, K] B[K, N]`` on a systolic array.

    Parameters
    ----------
    m, n, k
        Extents; numbers or arrays that broadcast with all others.
    rows, columns
        Processing elements of the array.
    dataflow
        ``output_stationary``, ``weight_stationary`` or ``input_stationary``.
    shadow_weights, overlap_folds, groups, replication
        As `gemm` takes them.

    Returns
    -------
    int, float or array
        The count of cycles, not the index of the last one (which SCALE-Sim reports, one less).
        Whole numbers where every input is one.

    Raises
    ------
    ValueError
        Unknown dataflow or replication.
    """
    return gemm(
        m,
        n,
        k,
        rows=rows,
        columns=columns,
        dataflow=dataflow,
        shadow_weights=shadow_weights,
        overlap_folds=overlap_folds,
        groups=groups,
        replication=replication,
    ).cycles


def _packed(
    high: Value, wide: Value, rows: Value, columns: Value, replication: Replication, relaxed: bool
) -> Value:
    """Return how many groups share a fold."""
    if replication == "none":
        return 1
    down, across = _fits(rows, high, relaxed), _fits(columns, wide, relaxed)
    if replication == "side_by_side":
        return _maximum(down, 1) * _maximum(across, 1)
    return _maximum(namespace(down, across).minimum(down, across), 1)


def _packs(groups: Value, packed: Value, relaxed: bool) -> Value:
    xp = namespace(groups, packed)
    return xp.where(packed == 1, groups, _ceil_div(groups, packed, relaxed))


def _is_whole(value: Value) -> bool:
    if isinstance(value, int):
        return True
    kind: str = getattr(getattr(value, "dtype", None), "kind", "")
    return kind in ("i", "u")


def _whole(value: Value) -> Value:
    """Return whole numbers of numpy in 64 bits: products of extents overflow 32."""
    if isinstance(value, list | tuple):
        return _whole(cast("Value", np.asarray(cast("Any", value))))
    if isinstance(value, np.ndarray | np.generic) and _is_whole(value):
        return cast("Any", value).astype(np.int64)
    return cast("Value", value)


def _ceil_div(value: Value, by: Value, relaxed: bool) -> Value:
    if relaxed:
        return _maximum(value / by, 1.0)
    if _is_whole(value) and _is_whole(by):
        return -(-value // by)
    return namespace(value, by).ceil(value / by)


def _fits(room: Value, size: Value, relaxed: bool) -> Value:
    if relaxed:
        return room / size
    if _is_whole(room) and _is_whole(size):
        return np.asarray(room // size)
    return namespace(room, size).floor(room / size)


def _maximum(left: Value, right: Value) -> Value:
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    return namespace(left, right).maximum(left, right)
