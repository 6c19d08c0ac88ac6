"""Pareto filters: undominated rows of a table, all columns minimised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.convolution_axis import Floats

#: Number of rows per block that `undominated` compares pairwise.
_BLOCK_ROWS = 256


def pareto_front(footprint: Floats, traffic: Floats) -> npt.NDArray[np.intp]:
    """Return the indices of the Pareto front of footprint and traffic, by ascending footprint.

    Each candidate returned has less traffic than every other one with a smaller or equal footprint;
    they are the steps of a staircase.
    """
    order = np.lexsort((traffic, footprint))
    ordered = traffic[order]
    lowest = np.minimum.accumulate(ordered)
    return order[ordered < np.append(np.inf, lowest[:-1])]


def undominated(columns: list[Floats]) -> npt.NDArray[np.bool_]:
    """Return a mask of the undominated rows; of equal rows the first is undominated.

    Long tables are filtered block by block, so that some dominated rows may remain.
    """
    n = len(columns[0])
    if n == 1:
        return np.ones(1, dtype=bool)
    if n > _BLOCK_ROWS:
        cuts = range(0, n, _BLOCK_ROWS)
        parts = [undominated([c[i : i + _BLOCK_ROWS] for c in columns]) for i in cuts]
        return np.concatenate(parts)
    dominates = np.ones((n, n), dtype=bool)
    for column in columns:
        dominates &= column[:, None] <= column[None, :]
    # Of rows that are equal in all columns, the first dominates the others.
    equal = dominates & dominates.T
    dominates &= ~equal | np.tri(n, n, -1, dtype=bool).T
    return np.logical_not(np.any(dominates, axis=0))
