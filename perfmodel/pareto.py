"""Pareto fronts and exact hypervolume of points; every objective is minimised.

The front of two objectives is found by sorting, that of more objectives by repeated elimination of
dominated points. The hypervolume is computed by a sweep over the last objective, for three
objectives with an incremental staircase (Fonseca, Paquete and López-Ibáñez, CEC 2006).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def front(points: npt.ArrayLike) -> Mask:
    """Return a mask of the nondominated points.

    A point dominates another if it is not worse in any objective and better in at least one, so
    that equal points are all on the front or all dominated.

    Parameters
    ----------
    points : array_like, shape (n, d)
        Objectives to minimise. A point with a NaN is not on the front and dominates no other.

    Returns
    -------
    ndarray of bool, shape (n,)
        Whether each point is nondominated.

    Notes
    -----
    The complexity is O(n log n) for one and two objectives; for more, O(n f) with f the size of the
    front.
    """
    values = _checked_points(points)
    is_known = ~np.logical_or.reduce([np.isnan(column) for column in values.T])
    mask = np.zeros(len(values), dtype=bool)
    feasible = np.flatnonzero(is_known)
    if feasible.size and values.shape[1]:
        feasible = feasible[~_dominated_by_compromise(values[feasible])]
        mask[feasible[_front(values[feasible])]] = True
    return mask


def _dominated_by_compromise(values: Floats) -> Mask:
    """Return a mask of points that one balanced point dominates.

    It costs a few passes and leaves few points to sort, whatever point is taken.
    """
    objectives = np.ascontiguousarray(values.T)  # reductions over short rows are slow
    low = objectives.min(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        shares = (objectives - low) / (objectives.max(axis=1, keepdims=True) - low)
    balanced = np.argmin(np.nan_to_num(shares, copy=False).sum(axis=0))
    return np.logical_and.reduce(objectives > objectives[:, balanced, None])


def _front(values: Floats) -> npt.NDArray[np.intp]:
    """Return the indices of the front of points without NaN."""
    unique, inverse = _distinct(values)
    if values.shape[1] == 1:
        nondominated = np.arange(1)
    elif values.shape[1] == 2:
        # Sorted by the first objective, then the second: keep points that lower the second.
        lowest = np.minimum.accumulate(unique[:, 1])
        nondominated = np.flatnonzero(np.r_[True, unique[1:, 1] < lowest[:-1]])
    else:
        nondominated = _front_of_many_objectives(unique)
    on = np.zeros(len(unique), dtype=bool)
    on[nondominated] = True
    return np.flatnonzero(on[inverse])


def _distinct(values: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return the distinct rows in lexicographic order, and the index of each row among them.

    This is ten times as fast as ``np.unique(axis=0)``, which sorts rows as records.
    """
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(order), dtype=np.intp)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], inverse


def _front_of_many_objectives(unique: Floats) -> npt.NDArray[np.intp]:
    # In lexicographic order no point is dominated by a later one, so that the first remaining point
    # is on the front: keep it, remove the points it dominates, and repeat.
    left = np.arange(len(unique))
    nondominated: list[int] = []
    while left.size:
        first = left[0]
        nondominated.append(int(first))
        others = left[1:]
        left = others[(unique[others] < unique[first]).any(axis=1)]
    return np.array(nondominated)


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Return the hypervolume dominated by the points up to a reference point.

    Parameters
    ----------
    points : array_like, shape (n, d)
        Objectives to minimise. Points that are not below the reference in every objective do not
        contribute.
    reference : array_like, shape (d,)
        Finite upper corner.

    Returns
    -------
    float
        Exact hypervolume: by a sweep for two objectives, a sweep over a staircase for three
        (Fonseca, Paquete and López-Ibáñez, CEC 2006), and slicing for more.
    """
    values = _checked_points(points)
    corner = np.asarray(reference, dtype=np.float64).reshape(-1)
    if corner.size != values.shape[1] or not np.all(np.isfinite(corner)):
        raise ValueError(f"reference of {values.shape[1]} finite numbers expected")
    inside = values[(values < corner).all(axis=1)]
    if np.isneginf(inside).any():
        return float("inf")
    return _volume(inside[front(inside)], corner)


def _volume(values: Floats, corner: Floats) -> float:
    """Return the volume of a front below a corner, by a sweep over the last objective."""
    if not len(values):
        return 0.0
    d = values.shape[1]
    if d == 1:
        return float(corner[0] - values[:, 0].min())
    values = values[np.argsort(values[:, -1], kind="stable")]
    if d == 2:
        # Ascending in the second objective, so that the first descends along a front.
        lowest = np.minimum.accumulate(values[:, 0])
        heights = np.diff(np.append(values[:, 1], corner[1]))
        return float(((corner[0] - lowest) * heights).sum())
    heights = np.diff(np.append(values[:, -1], corner[-1]))
    if d == 3:
        region = _DominatedRegion(float(corner[0]), float(corner[1]))
        total = 0.0
        for (x, y, _), height in zip(values.tolist(), heights.tolist(), strict=True):
            region.add(x, y)
            total += region.area * height
        return total
    total = 0.0
    for i, height in enumerate(heights):
        if height:
            slab = values[: i + 1, :-1]
            total += _volume(slab[front(slab)], corner[:-1]) * float(height)
    return total


class _DominatedRegion:
    """Region dominated by 2-D points and its area, updated point by point."""

    def __init__(self, right: float, top: float) -> None:
        # Ascending in x, descending in y, with a sentinel at either end.
        self.x = [-np.inf, right]
        self.y = [top, -np.inf]
        self.area = 0.0

    def add(self, x: float, y: float) -> None:
        """Add a point to the region, unless it is dominated."""
        i = bisect_left(self.x, x)
        if self.y[i - 1] <= y or (self.x[i] == x and self.y[i] <= y):
            return
        # Advance over the steps that the new point covers.
        height, at, j = self.y[i - 1], x, i
        while True:
            self.area += (self.x[j] - at) * (height - y)
            if self.y[j] <= y:
                break
            at, height = self.x[j], self.y[j]
            j += 1
        self.x[i:j] = [x]
        self.y[i:j] = [y]


def _checked_points(points: Any) -> Floats:
    values = np.asarray(points, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"points of shape (n, d) expected, not {values.shape}")
    return values
