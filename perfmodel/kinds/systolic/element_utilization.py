"""Utilisation of each processing element of a systolic array during a matrix product.

`folds` gives the utilisation of the array as a whole; this module resolves it by element, from the
folds in which an element has work. The picture `perfmodel.charts.array_occupancy` draws the result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perfmodel.kinds.systolic.folds import ArrayRun

FloatGrid = npt.NDArray[np.float64]


def element_utilization(run: ArrayRun, replication: str = "none") -> FloatGrid:
    """Return the share of the cycles in which each processing element multiplies.

    With the extents ``S_R`` and ``S_C`` of a group's operands on the array, ``F_R`` and ``F_C``
    folds of one group along them, the streamed extent ``T`` in cycles and ``G`` groups, the element
    in row i and column j (from 0) has work in

    ``n_R(i) = F_R - 1 + [i < S_R - (F_R - 1) rows]``,
    ``n_C(j) = F_C - 1 + [j < S_C - (F_C - 1) columns]``

    folds along the two axes: the last fold covers only the remainder. Its share of the cycles is

    ``busy(i, j) = G n_R(i) n_C(j) T / cycles``,

    which follows from the folds of SCALE-Sim (Samajdar et al., ISPASS 2020; see `folds`). If groups
    are packed into a fold, ``G n_R(i) n_C(j)`` is a sum over their places, each shifted to its
    origin.

    Parameters
    ----------
    run
        Run of one product, with plain numbers.
    replication
        Packing of groups into a fold; see `perfmodel.kinds.systolic.gemm`.

    Returns
    -------
    array of shape ``(rows, columns)``
        Its mean is `ArrayRun.utilization`.
    """
    rows, columns = int(run.rows), int(run.columns)
    row_extent, column_extent = float(run.spatial_rows), float(run.spatial_columns)
    row_folds, column_folds = int(np.ceil(run.row_folds)), int(np.ceil(run.column_folds))
    folds_of_row = row_folds - 1.0 + (np.arange(rows) < row_extent - (row_folds - 1) * rows)
    folds_of_column = (
        column_folds - 1.0 + (np.arange(columns) < column_extent - (column_folds - 1) * columns)
    )
    folds: FloatGrid = np.outer(folds_of_row, folds_of_column).astype(np.float64)
    groups = float(run.macs) / (row_extent * column_extent * float(run.streamed))
    packed = int(np.asarray(run.packed))
    if packed == 1:
        total = folds * groups
    else:
        extents = int(row_extent), int(column_extent)
        total = _packed_folds(folds, round(groups), packed, extents, replication == "diagonal")
    return total * float(run.streamed) / float(run.cycles)


def _packed_folds(
    folds: FloatGrid, groups: int, packed: int, extents: tuple[int, int], is_diagonal: bool
) -> FloatGrid:
    """Return the folds of all groups in which each element has work, if groups share folds.

    Parameters
    ----------
    folds
        Folds of a single group, at the origin of the array.
    packed
        Groups that share a fold: along the diagonal, or else in rows side by side.
    extents
        Rows and columns of the array that a group occupies.
    """
    rows, columns = folds.shape
    row_extent, column_extent = extents
    fit_down, fit_across = (
        max(1, size // max(extent, 1)) for size, extent in zip(folds.shape, extents, strict=True)
    )
    # Every place is occupied in each pack, except that the last pack may be incomplete.
    packs, remainder = divmod(groups, packed)
    total = np.zeros_like(folds)
    for place in range(packed):
        row_place, column_place = (place, place) if is_diagonal else divmod(place, fit_across)
        # A group that fills an axis starts at its origin.
        top = row_extent * row_place if fit_down > 1 else 0
        left = column_extent * column_place if fit_across > 1 else 0
        count = packs + (place < remainder)
        total[top:, left:] += count * folds[: rows - top, : columns - left]
    return total
