"""Interpolation of sourced points by power laws (linear in log-log coordinates)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace


def power_law(
    x: Value,
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    left: float | None = None,
    right: float | None = None,
) -> Value:
    """Interpolate by power laws between neighbouring points, and extrapolate the outer ones.

    ``y = y_i * (x / x_i) ** (log(y_{i+1} / y_i) / log(x_{i+1} / x_i))`` in each interval.

    Parameters
    ----------
    x
        Number or array above zero.
    xs, ys
        Coordinates of at least two points, above zero; ``xs`` increasing.
    left, right
        Exponent below the first and above the last point; that of the nearest pair by default.

    Returns
    -------
    Value
        Same shape as `x`; differentiable except at the points.
    """
    law = _hinges(tuple(xs), tuple(ys), left, right)
    if isinstance(x, float | int):
        log_x = math.log(x)
        log_y = law.level + law.slope * (log_x - law.knots[0])
        for knot, bend in zip(law.knots, law.bends, strict=True):
            log_y += bend * max(log_x - knot, 0.0)
        return math.exp(log_y)
    xp = namespace(x)
    # A sum of hinge functions needs no search, so that the same expression works for tracers.
    where = xp.log(xp.asarray(x, dtype=float))
    log_y = law.level + law.slope * (where - law.knots[0])
    for knot, bend in zip(law.knots, law.bends, strict=True):
        log_y = log_y + bend * xp.maximum(where - knot, 0.0)
    y = xp.exp(log_y)
    return float(y) if xp is np and np.ndim(y) == 0 else y


class _Hinges(NamedTuple):
    """A power law in logarithms: a line through the first point, which bends at every knot."""

    knots: tuple[float, ...]
    level: float
    slope: float
    bends: tuple[float, ...]


@lru_cache(maxsize=256)
def _hinges(
    xs: tuple[float, ...], ys: tuple[float, ...], left: float | None, right: float | None
) -> _Hinges:
    """Return the law through some points; arguments are those of `power_law`."""
    at, level = np.log(np.asarray(xs, dtype=float)), np.log(np.asarray(ys, dtype=float))
    slopes = np.diff(level) / np.diff(at)
    first = slopes[0] if left is None else left
    last = slopes[-1] if right is None else right
    slopes = np.concatenate([[first], slopes, [last]])
    bends = np.diff(slopes)
    return _Hinges(tuple(at.tolist()), float(level[0]), float(slopes[0]), tuple(bends.tolist()))
