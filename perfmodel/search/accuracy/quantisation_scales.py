"""Quantisation scales of rows: from the largest magnitude, or of least squared error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import numpy as np

from perfmodel.arrays import Array
from perfmodel.search.accuracy.representable_numbers import FLOATS, Grid, Integers

#: Number of candidate scales per octave (a factor of two).
_STEPS: Final = 16
#: Number of octaves of candidates below the scale of the largest magnitude.
_OCTAVES: Final = 9
#: Largest code of a grid from which on clipping is not tried: it would not reduce the error.
_FINE: Final = 2.0**11


def half(scale: Array) -> Array:
    """Return scales rounded to fp16, the format in which files store group scales."""
    return FLOATS["fp16"].nearest(scale)


def symmetric(rows: Array, grid: Grid, *, clip: str = "mse", stored: bool = False) -> Array:
    """Return the scale of each row, shape ``(rows,)``; zero for a row of zeros.

    Parameters
    ----------
    rows
        Shape ``(rows, elements)``.
    grid
        Representable numbers at scale 1.
    clip
        ``max``: no clipping. ``mse``: the candidate of least squared error, from a geometric
        series (16 per octave) and the scales at which the largest element is exact.
    stored
        Whether scales are rounded to fp16.

    Notes
    -----
    The series for one more bit contains half of each candidate, so more bits never increase the
    error. The search of a row ends when the clipping error alone exceeds the best total error, as
    it only grows with smaller scales.
    """
    largest = np.abs(rows).max(axis=1, initial=0.0)
    tight = largest / grid.top
    if clip == "max" or grid.top >= _FINE:
        return half(tight) if stored else tight
    best = np.full(len(rows), np.inf)
    best_scale = tight.copy()
    active = np.flatnonzero(largest > 0)
    active_rows = rows[active]
    for step, candidate in enumerate(_candidates(np.abs(rows).mean(axis=1), largest, grid)):
        if not active.size:
            break
        scale = half(candidate[active]) if stored else candidate[active]
        error = _squared_error(active_rows, scale, grid)
        better = error < best[active]
        best[active[better]], best_scale[active[better]] = error[better], scale[better]
        if step % 4 == 3:
            clipped = np.maximum(np.abs(active_rows) - grid.reach * scale[:, None], 0.0)
            keep = np.einsum("ij,ij->i", clipped, clipped) < best[active]
            if not keep.all():
                active, active_rows = active[keep], active_rows[keep]
    return best_scale


def _candidates(mean: Array, largest: Array, grid: Grid) -> Iterator[Array]:
    """Yield candidate scales for rows: exact ones, then a descending geometric series."""
    # Extras first: the rest must be descending, or the search of a row would end too early.
    if isinstance(grid, Integers):
        octave = grid.top + 1.0
        yield mean * 2.0 / octave
        exact, below = octave - 1.0, 1.0
        while exact >= 1.0:
            yield largest / exact
            below *= 2.0
            exact = octave - below
    else:
        octave = 2.0 ** np.ceil(np.log2(grid.top))
        yield largest / grid.top
    for step in range(-_STEPS, _OCTAVES * _STEPS):
        yield largest * (2.0 ** (-step / _STEPS) / octave)


def _squared_error(rows: Array, scale: Array, grid: Grid) -> Array:
    """Return sum over x of ``(scale * nearest(x / scale) - x)^2`` of each row."""
    column = np.where(scale > 0, scale, 1.0)[:, None]
    error = grid.nearest(rows / column)
    error *= scale[:, None]
    error -= rows
    return np.einsum("ij,ij->i", error, error)


def affine(
    rows: Array, levels: int, *, clip: str = "mse", zero_point: bool = True, stored: bool = False
) -> tuple[Array, Array]:
    """Return scale and lowest representable value of each row, both of shape ``(rows,)``.

    Parameters
    ----------
    rows
        Shape ``(rows, elements)``.
    levels
        Largest code; codes start at 0.
    clip
        As in `symmetric`; both ends shrink by the same factor.
    zero_point
        Whether zero must be a code (an integer zero point, as in AWQ and GPTQ files); otherwise
        the lowest value is arbitrary (a minimum, as in ggml's ``_1`` and K layouts).
    stored
        Whether scales and minima are rounded to fp16.
    """
    low, high = rows.min(axis=1), rows.max(axis=1)
    if zero_point:
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    factors = 2.0 ** (-np.arange(2 * _STEPS + 1) / _STEPS) if clip == "mse" else np.ones(1)
    best = np.full(len(rows), np.inf)
    best_scale, lowest = np.zeros(len(rows)), np.zeros(len(rows))
    for factor in factors:
        scale = (high - low) * (factor / levels)
        scale = half(scale) if stored else scale
        start = low + (1.0 - factor) * (high - low) / 2.0 if not zero_point else low * factor
        safe = np.where(scale > 0, scale, 1.0)
        if zero_point:
            start = -np.clip(np.rint(-start / safe), 0, levels) * scale
        elif stored:
            start = half(start)
        codes = np.clip(np.rint((rows - start[:, None]) / safe[:, None]), 0, levels)
        error = codes * scale[:, None] + start[:, None] - rows
        total = np.einsum("ij,ij->i", error, error)
        better = total < best
        best = np.where(better, total, best)
        best_scale, lowest = np.where(better, scale, best_scale), np.where(better, start, lowest)
    return best_scale, lowest


def binary(rows: Array) -> Array:
    """Return the sign of each element times the mean magnitude of its row.

    Of all levels ``-a, a`` these have the least squared error (Rastegari et al., "XNOR-Net", ECCV
    2016). Shapes ``(rows, elements)``.
    """
    return np.where(rows < 0, -1.0, 1.0) * np.abs(rows).mean(axis=1, keepdims=True)


def ternary(rows: Array, *, rule: str = "exact") -> Array:
    """Return each row rounded to three levels ``-a, 0, a``.

    Parameters
    ----------
    rows
        Shape ``(rows, elements)``.
    rule
        ``exact``: least squared error, from ``max over k of (sum of the k largest)^2 / k``.
        ``twn``: the threshold ``0.7 mean |w|`` of Li, Zhang and Liu, "Ternary Weight Networks",
        2016, which is close to it for normal and uniform weights.
    """
    size = np.abs(rows)
    if rule == "twn":
        keep = size > 0.7 * size.mean(axis=1, keepdims=True)
    else:
        ordered = -np.sort(-size, axis=1)
        above = cast("Array", np.cumsum(ordered, axis=1))
        gain: Array = np.square(above) / np.arange(1.0, rows.shape[1] + 1.0)
        least = ordered[np.arange(len(rows)), gain.argmax(axis=1)][:, None]
        keep = (size >= least) & (size > 0)
    count = np.maximum(keep.sum(axis=1, keepdims=True), 1)
    level = np.where(keep, size, 0.0).sum(axis=1, keepdims=True) / count
    return np.where(keep, np.sign(rows) * level, 0.0)
