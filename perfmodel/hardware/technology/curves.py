"""Curves through sourced points: straight lines between logarithms."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Interpolate as a power law between neighbouring points, and continue the last ones outside.

    Parameters
    ----------
    x
        Number or array above zero.
    xs, ys
        Points, both above zero; ``xs`` rising, two at least.
    left, right
        Exponent below the first and above the last point; that of the nearest pair by default.

    Returns
    -------
    Value
        Of the shape of `x`; has a slope everywhere but at the points.
    """
    xp = namespace(x)
    at, level = np.log(np.asarray(xs, dtype=float)), np.log(np.asarray(ys, dtype=float))
    slopes = np.diff(level) / np.diff(at)
    first = slopes[0] if left is None else left
    last = slopes[-1] if right is None else right
    slopes = np.concatenate([[first], slopes, [last]])
    # One straight line, bent at each point: no search, and one expression for tracers too.
    where = xp.log(xp.asarray(x, dtype=float))
    log_y = level[0] + slopes[0] * (where - at[0])
    for knot, bend in zip(at, np.diff(slopes), strict=True):
        log_y = log_y + bend * xp.maximum(where - knot, 0.0)
    found = xp.exp(log_y)
    return float(found) if xp is np and np.ndim(found) == 0 else found
