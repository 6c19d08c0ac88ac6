"""Rows of a table that no other beats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import Floats

#: Rows that `undominated` compares with each other.
_COMPARED = 256


def falling(footprint: Floats, traffic: Floats) -> npt.NDArray[np.intp]:
    """Return the candidates whose traffic is below that of every smaller or equal footprint.

    In the order of their footprints: the steps of a staircase.
    """
    order = np.lexsort((traffic, footprint))
    ordered = traffic[order]
    lowest = np.minimum.accumulate(ordered)
    return order[ordered < np.append(np.inf, lowest[:-1])]


def undominated(columns: list[Floats]) -> npt.NDArray[np.bool_]:
    """Tell which rows no other is better than or equal to in all columns; of equals, the first.

    Of many rows only neighbours are compared, and too many left.
    """
    n = len(columns[0])
    if n == 1:
        return np.ones(1, dtype=bool)
    if n > _COMPARED:
        cuts = range(0, n, _COMPARED)
        parts = [undominated([c[i : i + _COMPARED] for c in columns]) for i in cuts]
        return np.concatenate(parts)
    at_least = np.ones((n, n), dtype=bool)
    for column in columns:
        at_least &= column[:, None] <= column[None, :]
    # Ties: rows as good as each other in all columns.
    tie = at_least & at_least.T
    at_least &= ~tie | np.tri(n, n, -1, dtype=bool).T
    return np.logical_not(np.any(at_least, axis=0))
