"""Errors of predictions against measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


class Errors(TypedDict):
    """Fractions, not per cent (0.06 is 6 %); ``None`` where there are too few rows.

    mape: mean of ``|predicted / measured - 1|``; median_ape: its median; bias: mean of
    ``predicted / measured - 1``, positive where predictions are too high; within_10: share of rows
    off by at most 10 %; spearman and kendall (tau-b): rank correlations, from two rows up.
    """

    mape: float | None
    median_ape: float | None
    bias: float | None
    within_10: float | None
    spearman: float | None
    kendall: float | None


def errors(predicted: Sequence[float] | Vector, measured: Sequence[float] | Vector) -> Errors:
    """Return the errors of predictions.

    Parameters
    ----------
    predicted, measured
        As long as each other; measured above zero.
    """
    p, m = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    if not p.size:
        return Errors(
            mape=None, median_ape=None, bias=None, within_10=None, spearman=None, kendall=None
        )
    off = p / m - 1.0
    size = np.abs(off)
    return Errors(
        mape=float(size.mean()),
        median_ape=float(np.median(size)),
        bias=float(off.mean()),
        within_10=float((size <= 0.1).mean()),
        spearman=spearman(p, m),
        kendall=kendall(p, m),
    )


def ranks(values: Sequence[float] | Vector) -> Vector:
    """Return ranks from 1, ties sharing their mean rank."""
    array = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse].astype(np.float64)


def spearman(a: Sequence[float] | Vector, b: Sequence[float] | Vector) -> float | None:
    """Return Spearman's rank correlation; ``None`` below two rows or where all ranks are tied."""
    x, y = ranks(a), ranks(b)
    if x.size < 2:
        return None
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else None


def kendall(a: Sequence[float] | Vector, b: Sequence[float] | Vector) -> float | None:
    """Return Kendall's tau-b: pairs in the same order less those in the other, ties discounted.

    ``None`` below two rows or where all ranks are tied. Knight, "A computer method for calculating
    Kendall's tau with ungrouped data", JASA 61, 1966: n log n by counting inversions of a sort.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    n = x.size
    if n < 2:
        return None
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    _, in_x = np.unique(x, return_counts=True)
    _, in_y = np.unique(y, return_counts=True)
    _, in_both = np.unique(np.stack([x, y]), axis=1, return_counts=True)
    pairs = n * (n - 1) / 2.0
    tied_x, tied_y, tied = (float((c * (c - 1.0)).sum()) / 2.0 for c in (in_x, in_y, in_both))
    scale = float(np.sqrt((pairs - tied_x) * (pairs - tied_y)))
    discordant = _inversions(y)[0]
    return (pairs - tied_x - tied_y + tied - 2.0 * discordant) / scale if scale else None


def _inversions(values: Vector) -> tuple[int, Vector]:
    """Return how many pairs stand in descending order, and the values sorted."""
    if values.size <= 64:
        later = np.triu(values[:, None] > values[None, :], 1)
        return int(later.sum()), np.sort(values)
    half = values.size // 2
    left, first = _inversions(values[:half])
    right, second = _inversions(values[half:])
    across = int((half - np.searchsorted(first, second, side="right")).sum())
    return left + right + across, np.sort(np.concatenate([first, second]), kind="stable")
