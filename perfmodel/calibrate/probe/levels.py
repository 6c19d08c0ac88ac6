"""Facts of memory levels from measured rates; pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def share_missed(
    rates: Sequence[float], inside: float, beyond: float
) -> np.ndarray:  # fmt: skip
    """Share of a working set that misses a cache, from the rate at which it is read.

    A byte takes 1 / inside where it hits and 1 / beyond where it misses:
    1 / rate = (1 - share) / inside + share / beyond.

    Parameters
    ----------
    rates : sequence of float
        Bytes a second of each working set.
    inside, beyond : float
        Bytes a second of the cache and of what lies behind it.

    Returns
    -------
    ndarray
        Of the length of `rates`, 0 to 1.
    """
    slow = 1.0 / np.asarray(rates, float) - 1.0 / inside
    return np.clip(slow / (1.0 / beyond - 1.0 / inside), 0.0, 1.0)


def ramp(
    sizes: Sequence[int], rates: Sequence[float], inside: float, beyond: float
) -> tuple[int, int] | None:
    """Working sets from which on a cache begins to miss, and misses always.

    The line through the shares of working sets that miss in part, weighted by how surely each is on
    the slope; least squares.

    Returns
    -------
    (int, int) or None
        Start and end in bytes; None where fewer than two working sets lie on the slope or the
        levels are as fast as each other.
    """
    if not beyond < 0.9 * inside:
        return None
    size, missed = np.asarray(sizes, float), share_missed(rates, inside, beyond)
    on = (missed > 0.03) & (missed < 0.97)
    if np.count_nonzero(on) < 2:
        return None
    slope, offset = np.polyfit(size[on], missed[on], 1)
    if slope <= 0:
        return None
    start, end = -offset / slope, (1.0 - offset) / slope
    start = max(start, 0.0)
    return int(start), int(max(end, start + 1.0))
