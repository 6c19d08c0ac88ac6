"""Tiles and splits that a GPU library's product kernels offer, and the waves in which they run.

A kernel computes a tile of the product in each thread block, and may split the sum over K among
several blocks. Blocks occupy the streaming multiprocessors in ``w = blocks / units`` waves, of
which a share a is rounded up: ``(1 - a) w + a ceil(w)``. `gemm` selects the fastest candidate, as
the heuristics of cuBLAS do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.caches import cached

#: Rows and columns of the product that one thread block computes.
Tile = tuple[int, int]

#: Shapes that CUTLASS and cuBLAS provide; the compiled subset varies between releases.
TILES: tuple[Tile, ...] = (
    (16, 64),
    (16, 128),
    (32, 64),
    (32, 128),
    (64, 32),
    (64, 64),
    (64, 128),
    (128, 64),
    (128, 128),
    (64, 256),
    (128, 160),
    (128, 192),
    (192, 128),
    (128, 256),
    (256, 128),
    (192, 192),
    (256, 192),
)
#: Additional shapes for convolutions whose groups have few filters.
NARROW_TILES: tuple[Tile, ...] = ((64, 8), (128, 8), (64, 16), (128, 16))
#: Shapes of the grouped kernels of mixtures of experts.
GROUPED_TILES: tuple[Tile, ...] = (
    (16, 64),
    (16, 128),
    (32, 128),
    (64, 128),
    (64, 256),
    (128, 128),
    (128, 256),
)
#: Parts that the sum over K may be split into.
SPLITS: tuple[int, ...] = (1, 2, 4, 8, 16)

#: Harmonic extent ``rows columns / (rows + columns)`` of a 128 x 256 tile, the fastest one.
_FULL = 128.0 * 256.0 / (128.0 + 256.0)


class TensorCoreTileCandidates(NamedTuple):
    """Every tile with every split, along a first axis.

    Attributes
    ----------
    rows, columns, splits
        Rows, columns and parts, shape ``(candidates, 1, ...)``.
    split
        1 where a candidate splits the sum, else 0.
    extent
        Harmonic extent relative to a 128 x 256 tile's, at most 1.
    """

    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]
    splits: npt.NDArray[np.float64]
    split: npt.NDArray[np.float64]
    extent: npt.NDArray[np.float64]


@cached(128 << 10)
def candidates(
    tiles: tuple[Tile, ...], splits: tuple[int, ...], ndim: int
) -> TensorCoreTileCandidates:
    """Return the candidates with `ndim` axes after the first."""
    pairs = [(r, c, s) for r, c in tiles for s in splits]
    rows, columns, parts = (
        np.array(values, dtype=float).reshape(-1, *(1,) * ndim)
        for values in zip(*pairs, strict=True)
    )
    extent: npt.NDArray[np.float64] = np.minimum(1.0, rows * columns / (rows + columns) / _FULL)
    return TensorCoreTileCandidates(rows, columns, parts, (parts > 1).astype(np.float64), extent)


def up(x: Value, xp: Any, relaxed: bool) -> Value:
    """Return the number of pieces that cover `x`; in the continuous form `x` itself, at least 1."""
    return xp.maximum(x, 1.0) if relaxed else xp.ceil(x - 1e-9)


def waves(blocks: Value, units: Value, quantised: Value, xp: Any, relaxed: bool) -> Value:
    """Return the waves of thread blocks over the units: at least 1.

    Above one, ``(1 - a) w + a ceil(w)``: a library selects shapes that nearly fill their waves, and
    the blocks of persistent kernels do not wait for each other.
    """
    w = blocks / units
    integral = w if relaxed else xp.ceil(w - 1e-9)
    return xp.maximum(1.0, w + quantised * (integral - w))
