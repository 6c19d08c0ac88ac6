"""Rows in groups: the first of each by a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def first_of_groups(
    keys: Sequence[npt.NDArray[Any]], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Return the row of least value in each group, groups by their keys ascending.

    Parameters
    ----------
    keys : sequence of ndarray, shape (rows,)
        Rows with equal keys are a group; NaN equals NaN here. Without keys all rows are one.
    values : ndarray, shape (rows,)
        A row whose value is NaN does not qualify; of equal values the first row does.
    """
    group = np.zeros(len(values), dtype=np.intp)
    for key in keys:
        plain = key.astype(str) if key.dtype.kind == "O" else key
        numbers, of_row = np.unique(plain, return_inverse=True)
        group = group * len(numbers) + of_row
    order = np.lexsort((values, group))
    order = order[~np.isnan(values[order])]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = group[order][1:] != group[order][:-1]
    return order[starts]
