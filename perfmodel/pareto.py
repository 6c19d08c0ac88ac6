"""Pareto dominance and exact hypervolume; every objective is minimised."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def front(points: npt.ArrayLike) -> Mask:
    """Tell which points no other point dominates.

    A point dominates another when it is no worse in any objective and better in one, so equal
    points stand or fall together.

    Parameters
    ----------
    points : array_like, shape (n, d)
        Objectives to minimise. A point with a NaN is on no front and dominates nothing.

    Returns
    -------
    ndarray of bool, shape (n,)

    Notes
    -----
    n log n for one and two objectives; for more, n times the size of the front at worst.
    """
    values = _points(points)
    good = ~np.isnan(values).any(axis=1)
    mask = np.zeros(len(values), dtype=bool)
    held = np.flatnonzero(good)
    if held.size and values.shape[1]:
        mask[held[_front(values[held])]] = True
    return mask


def _front(values: Floats) -> npt.NDArray[np.intp]:
    """Indices of the front of points without NaN."""
    unique, inverse = _distinct(values)
    if values.shape[1] == 1:
        kept = np.arange(1)
    elif values.shape[1] == 2:
        # Sorted by the first objective, then the second: what lowers the second so far stays.
        lowest = np.minimum.accumulate(unique[:, 1])
        kept = np.flatnonzero(np.r_[True, unique[1:, 1] < lowest[:-1]])
    else:
        kept = _front_of_many(unique)
    on = np.zeros(len(unique), dtype=bool)
    on[kept] = True
    return np.flatnonzero(on[inverse])


def _distinct(values: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return the distinct rows in lexicographic order, and which of them each row is.

    Ten times as fast as ``np.unique(axis=0)``, which sorts rows as records.
    """
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(order), dtype=np.intp)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], inverse


def _front_of_many(unique: Floats) -> npt.NDArray[np.intp]:
    # In lexicographic order nobody is dominated by a later point, so the first one left is on the
    # front: keep it, drop what it dominates, go on.
    left = np.arange(len(unique))
    kept: list[int] = []
    while left.size:
        first = left[0]
        kept.append(int(first))
        rest = left[1:]
        left = rest[(unique[rest] < unique[first]).any(axis=1)]
    return np.array(kept)


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Volume that the points dominate, up to a reference point.

    Parameters
    ----------
    points : array_like, shape (n, d)
        Objectives to minimise. Points that are not below the reference in every objective count
        for nothing.
    reference : array_like, shape (d,)
        Finite upper corner.

    Returns
    -------
    float
        Exact: a sweep for two objectives, a sweep over a staircase for three (Fonseca, Paquete
        and López-Ibáñez, CEC 2006), slices for more.
    """
    values = _points(points)
    corner = np.asarray(reference, dtype=np.float64).reshape(-1)
    if corner.size != values.shape[1] or not np.all(np.isfinite(corner)):
        raise ValueError(f"reference of {values.shape[1]} finite numbers expected")
    inside = values[(values < corner).all(axis=1)]
    if np.isneginf(inside).any():
        return float("inf")
    return _volume(inside[front(inside)], corner)


def _volume(values: Floats, corner: Floats) -> float:
    if not len(values):
        return 0.0
    d = values.shape[1]
    if d == 1:
        return float(corner[0] - values[:, 0].min())
    values = values[np.argsort(values[:, -1], kind="stable")]
    if d == 2:
        # Ascending in the second objective: on a front the first then descends.
        lowest = np.minimum.accumulate(values[:, 0])
        heights = np.diff(np.append(values[:, 1], corner[1]))
        return float(((corner[0] - lowest) * heights).sum())
    heights = np.diff(np.append(values[:, -1], corner[-1]))
    if d == 3:
        stairs = _Stairs(float(corner[0]), float(corner[1]))
        total = 0.0
        for (x, y, _), height in zip(values.tolist(), heights.tolist(), strict=True):
            stairs.add(x, y)
            total += stairs.area * height
        return total
    total = 0.0
    for i, height in enumerate(heights):
        if height:
            slab = values[: i + 1, :-1]
            total += _volume(slab[front(slab)], corner[:-1]) * float(height)
    return total


class _Stairs:
    """The region that 2-D points dominate, with its area, one point after another."""

    def __init__(self, right: float, top: float) -> None:
        # Ascending in x, descending in y, with a sentinel at either end.
        self.x = [-np.inf, right]
        self.y = [top, -np.inf]
        self.area = 0.0

    def add(self, x: float, y: float) -> None:
        i = bisect_left(self.x, x)
        if self.y[i - 1] <= y or (self.x[i] == x and self.y[i] <= y):
            return
        # Walk right over the steps that the new point covers.
        height, at, j = self.y[i - 1], x, i
        while True:
            self.area += (self.x[j] - at) * (height - y)
            if self.y[j] <= y:
                break
            at, height = self.x[j], self.y[j]
            j += 1
        self.x[i:j] = [x]
        self.y[i:j] = [y]


def _points(points: Any) -> Floats:
    values = np.asarray(points, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"points of shape (n, d) expected, not {values.shape}")
    return values
