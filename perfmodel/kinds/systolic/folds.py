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
operands' skew fills and drains the array in ``rows + columns - 2`` cycles; a stationary operand
requires ``rows`` more to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np

from perfmodel.arrays import Value, namespace

Dataflow: TypeAlias = Literal["output_stationary", "weight_stationary", "input_stationary"]
Replication: TypeAlias = Literal["none", "diagonal", "side_by_side"]

#: Dataflow -> which of M, N, K is mapped to the rows, to the columns, and streamed.
DATAFLOWS: Final = {
    "output_stationary": ("m", "n", "k"),
    "weight_stationary": ("k", "n", "m"),
    "input_stationary": ("k", "m", "n"),
}


@dataclass(frozen=True, slots=True)
class ArrayRun:
    """Cost of a matrix product on an array; every number broadcasts over the inputs.

    Integers if every input is one.

    Attributes
    ----------
    rows, columns
        Extents of the array.
    dataflow
        Operand that is stationary in the processing elements.
    spatial_rows, spatial_columns, streamed
        Extents along the rows and the columns of the array, and streamed through it; of one group.
    row_folds, column_folds
        Folds of one group along the rows and the columns.
    packed
        Groups that share a fold.
    folds
        Folds of all groups, one array.
    fold_cycles
        Cycles of a single fold.
    interval_cycles
        Cycles between the starts of consecutive folds.
    cycles
        Cycles of all folds.
    macs
        Multiply-accumulates.
    input_reads, weight_reads
        Elements read from the SRAM.
    output_writes
        Elements written to the SRAM: partial sums of every fold along K.
    output_reads
        Partial sums read back for accumulation.
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
        """Share of the processing elements that are in use, over all folds."""
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
    """Return the cost of ``C[M, N] += A[M, K] B[K, N]`` on a systolic array.

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
        A second register holds the next fold's stationary operand, so that its load overlaps with
        the current fold. Only the first load remains.
    overlap_folds
        The next fold's operands enter while the current one drains: the interval is the length of
        the stream, or of the load or drain of the rows. With a stationary operand it requires
        `shadow_weights`.
    groups
        Independent products of this shape, such as the channels of a depthwise convolution.
    replication
        ``none``: one group at a time. ``diagonal``: as many as fit along the diagonal, the most
        that wires along rows and columns allow. ``side_by_side``: as many as fit into the
        rectangle, with separate wires to each group's operands.
    arrays
        Arrays that divide the folds among them.
    relaxed
        Use the continuous form of fold counts: the ratio, at least one.

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
    sizes = dict(zip("mnk", map(_as_int64, (m, n, k)), strict=True))
    rows, columns, groups, arrays = map(_as_int64, (rows, columns, groups, arrays))
    high, wide, streamed = (sizes[name] for name in DATAFLOWS[dataflow])
    row_folds = _ceil_div(high, rows, relaxed)
    column_folds = _ceil_div(wide, columns, relaxed)
    packed = _groups_per_fold(high, wide, rows, columns, replication, relaxed)
    # Single groups are not rounded: expected numbers of experts are fractional.
    packs = groups if isinstance(packed, int) else _packs(groups, packed, relaxed)
    folds = packs * row_folds * column_folds
    fold, interval = _fold_cycles(
        dataflow, streamed, rows, columns, shadows=shadow_weights, overlaps=overlap_folds
    )
    is_single = isinstance(arrays, int) and arrays == 1
    per_array = folds if is_single else _ceil_div(folds, arrays, relaxed)
    m, n, k = (sizes[name] for name in "mnk")
    reads_and_writes = _sram_accesses(
        dataflow, groups * m * k, groups * k * n, groups * m * n, row_folds, column_folds
    )
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
        # The last fold ends a full fold after its start, not an interval.
        per_array * interval + (fold - interval),
        groups * m * n * k,
        *reads_and_writes,
    )


def _fold_cycles(
    dataflow: Dataflow,
    streamed: Value,
    rows: Value,
    columns: Value,
    *,
    shadows: bool,
    overlaps: bool,
) -> tuple[Value, Value]:
    """Return the cycles of a fold, and those between the starts of two consecutive folds.

    ``fold = load + T + rows + columns - 2``, with ``load = rows`` cycles for a stationary operand,
    0 otherwise. The interval is a fold; ``fold - load`` if a load overlaps with the fold before;
    ``max(T, rows)`` if the operands of a fold enter while the one before drains.
    """
    load = 0 if dataflow == "output_stationary" else rows
    fold = load + streamed + rows + columns - 2
    hides_load = shadows and dataflow != "output_stationary"
    if overlaps and (hides_load or dataflow == "output_stationary"):
        return fold, _maximum(streamed, rows)
    return fold, fold - load if hides_load else fold


def _sram_accesses(
    dataflow: Dataflow, a: Value, b: Value, c: Value, row_folds: Value, column_folds: Value
) -> tuple[Value, Value, Value, Value]:
    """Return the elements of A and B read, and of C written and read back, by all folds.

    The stationary operand is read once; a streamed one is read again for every fold along the
    other side of the array. Where K lies along the rows, every fold along it adds partial sums.
    """
    if dataflow == "output_stationary":
        return a * column_folds, b * row_folds, c, 0 * c
    if dataflow == "weight_stationary":
        return a * column_folds, b, c * row_folds, c * (row_folds - 1)
    return a, b * column_folds, c * row_folds, c * (row_folds - 1)


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
        As in `gemm`.

    Returns
    -------
    int, float or array
        Number of cycles, not the index of the last one (which SCALE-Sim reports, one less). An
        integer if every input is one.

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


def _groups_per_fold(
    high: Value, wide: Value, rows: Value, columns: Value, replication: Replication, relaxed: bool
) -> Value:
    """Return the number of groups that share a fold."""
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


def _as_int64(value: Value) -> Value:
    """Return numpy integers as 64 bits: products of extents overflow 32."""
    if isinstance(value, list | tuple):
        return _as_int64(cast("Value", np.asarray(cast("Any", value))))
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
