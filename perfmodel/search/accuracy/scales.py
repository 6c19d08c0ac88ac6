"""Scales of a row of numbers: by its largest magnitude, or with the least squared error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import numpy as np

from perfmodel.arrays import Array
from perfmodel.search.accuracy.grids import FLOATS, Grid, Integers

#: Steps of the scale in an octave, and octaves below the largest magnitude that are tried.
_STEPS: Final = 16
_OCTAVES: Final = 9
#: Clipping pays in no format as fine as this.
_FINE: Final = 2.0**11


def half(scale: Array) -> Array:
    """Return scales as fp16 holds them, which is how files store those of groups."""
    return FLOATS["fp16"].nearest(scale)


def symmetric(rows: Array, grid: Grid, *, clip: str = "mse", stored: bool = False) -> Array:
    """Return a scale for each row, shape ``(rows,)``; zero for a row of zeros.

    Parameters
    ----------
    rows
        Shape ``(rows, elements)``.
    grid
        Numbers that a scale of one allows.
    clip
        ``max``: nothing is clipped. ``mse``: the candidate with the least squared error, of a
        geometric series (16 an octave) and of those that let the largest element be exact.
    stored
        Whether scales are stored in fp16.

    Notes
    -----
    The series of one bit more holds half of each candidate, so more bits never have more error.
    A row's search ends where what clipping alone costs exceeds the best found: it only grows.
    """
    largest = np.abs(rows).max(axis=1, initial=0.0)
    tight = largest / grid.top
    if clip == "max" or grid.top >= _FINE:
        return half(tight) if stored else tight
    best = np.full(len(rows), np.inf)
    chosen = tight.copy()
    alive = np.flatnonzero(largest > 0)
    part = rows[alive]
    for step, candidate in enumerate(_candidates(np.abs(rows).mean(axis=1), largest, grid)):
        if not alive.size:
            break
        scale = half(candidate[alive]) if stored else candidate[alive]
        error = _error(part, scale, grid)
        better = error < best[alive]
        best[alive[better]], chosen[alive[better]] = error[better], scale[better]
        if step % 4 == 3:
            beyond = np.maximum(np.abs(part) - grid.reach * scale[:, None], 0.0)
            keep = np.einsum("ij,ij->i", beyond, beyond) < best[alive]
            if not keep.all():
                alive, part = alive[keep], part[keep]
    return chosen


def _candidates(mean: Array, largest: Array, grid: Grid) -> Iterator[Array]:
    # Extras first: the order must fall from there on, or a row's search would end too early.
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


def _error(rows: Array, scale: Array, grid: Grid) -> Array:
    column = np.where(scale > 0, scale, 1.0)[:, None]
    error = grid.nearest(rows / column)
    error *= scale[:, None]
    error -= rows
    return np.einsum("ij,ij->i", error, error)


def affine(
    rows: Array, levels: int, *, clip: str = "mse", whole: bool = True, stored: bool = False
) -> tuple[Array, Array]:
    """Return scale and lowest value of each row, both of shape ``(rows,)``.

    Parameters
    ----------
    rows
        Shape ``(rows, elements)``.
    levels
        Codes run from 0 to `levels`.
    clip
        As in `symmetric`; both ends shrink by the same factor.
    whole
        Whether zero must be a code (a zero point that is a whole number, as in AWQ and GPTQ files)
        rather than the lowest value free (a minimum, as in ggml's ``_1`` and K layouts).
    stored
        Whether scales and minima are stored in fp16.
    """
    low, high = rows.min(axis=1), rows.max(axis=1)
    if whole:
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    factors = 2.0 ** (-np.arange(2 * _STEPS + 1) / _STEPS) if clip == "mse" else np.ones(1)
    best = np.full(len(rows), np.inf)
    chosen, lowest = np.zeros(len(rows)), np.zeros(len(rows))
    for factor in factors:
        scale = (high - low) * (factor / levels)
        scale = half(scale) if stored else scale
        start = low + (1.0 - factor) * (high - low) / 2.0 if not whole else low * factor
        safe = np.where(scale > 0, scale, 1.0)
        if whole:
            start = -np.clip(np.rint(-start / safe), 0, levels) * scale
        elif stored:
            start = half(start)
        codes = np.clip(np.rint((rows - start[:, None]) / safe[:, None]), 0, levels)
        error = codes * scale[:, None] + start[:, None] - rows
        total = np.einsum("ij,ij->i", error, error)
        better = total < best
        best = np.where(better, total, best)
        chosen, lowest = np.where(better, scale, chosen), np.where(better, start, lowest)
    return chosen, lowest


def binary(rows: Array) -> Array:
    """Return signs times the mean magnitude of each row.

    The least squared error of two levels ``-a`` and ``a`` (Rastegari et al., "XNOR-Net", ECCV
    2016). Shapes ``(rows, elements)``.
    """
    return np.where(rows < 0, -1.0, 1.0) * np.abs(rows).mean(axis=1, keepdims=True)


def ternary(rows: Array, *, rule: str = "exact") -> Array:
    """Return each row in three levels ``-a, 0, a``.

    Parameters
    ----------
    rows
        Shape ``(rows, elements)``.
    rule
        ``exact``: the least squared error, ``max over k of (sum of the k largest)^2 / k``. ``twn``:
        the threshold ``0.7 mean |w|`` of Li, Zhang and Liu, "Ternary Weight Networks", 2016, which
        is near it for normal and uniform weights.
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
