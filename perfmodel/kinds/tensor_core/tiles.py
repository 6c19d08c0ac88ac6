"""Candidate tiles of a library's kernels, and the waves in which they run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.caches import cached

#: Rows and columns of the product that one thread block computes.
Tile = tuple[int, int]

#: Shapes that CUTLASS and cuBLAS offer; which of them are compiled varies from release to release.
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
#: Shapes beside these of convolutions whose groups have few filters.
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

#: Extent of a 128 x 256 tile, ``rows columns / (rows + columns)``, whose inner loop is the best.
_FULL = 128.0 * 256.0 / (128.0 + 256.0)


class TensorCoreTileCandidates(NamedTuple):
    """Every tile with every split, along a first axis.

    Attributes
    ----------
    rows, columns, splits
        Shape ``(candidates, 1, ...)``.
    split
        1 where a candidate splits the sum, else 0.
    extent
        Harmonic extent as a share of a 128 x 256 tile's, at most 1.
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


def up(x: Value, xp: object, relaxed: bool) -> Value:
    """Return whole pieces that cover `x`; at least one piece, uncut, in the continuous form."""
    space: Value = xp
    return space.maximum(x, 1.0) if relaxed else space.ceil(x - 1e-9)


def waves(blocks: Value, units: Value, quantised: Value, xp: object, relaxed: bool) -> Value:
    """Return the waves of thread blocks over the units: 1 at least.

    Beyond one, ``(1 - a) w + a ceil(w)``: a library picks shapes that nearly fill their waves, and
    the blocks of persistent kernels do not wait for each other.
    """
    space: Value = xp
    w = blocks / units
    whole = w if relaxed else space.ceil(w - 1e-9)
    return space.maximum(1.0, w + quantised * (whole - w))
