"""Quantisation of blocks with shared exponents or scales: microscaling, block floats, K layouts."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from perfmodel.arrays import Array
from perfmodel.search.accuracy.quantisation_scales import affine, half, symmetric
from perfmodel.search.accuracy.representable_numbers import FLOATS, Grid, Integers


class _Nested(NamedTuple):
    """Layout of the scales in a block of blocks."""

    inner: int  # elements that share a scale
    scale_bits: int
    minimum: bool


#: ggml's K layouts (ggml-common.h): 256 weights in smaller blocks whose scales have few bits.
NESTED: Final[dict[str, _Nested]] = {
    "q2_k": _Nested(16, 4, True),
    "q3_k": _Nested(16, 5, False),
    "q4_k": _Nested(32, 6, True),
    "q5_k": _Nested(32, 6, True),
    "q6_k": _Nested(16, 7, False),
}

#: Element grid of a microscaling format and the exponent of its largest normal number. Elements of
#: mxint8 are k/64 (OCP MX v1.0, section 5.3.4), here represented as integers.
MICROSCALING: Final[dict[str, tuple[Grid, int]]] = {
    "mxfp8": (FLOATS["fp8_e4m3"], 8),
    "mxfp6": (FLOATS["fp6_e2m3"], 2),
    "mxfp4": (FLOATS["fp4"], 2),
    "mxint8": (Integers(-128.0, 127.0), 6),
}


def _exponent(rows: Array) -> Array:
    """Return the exponent of each row's largest magnitude, as a column; -127 for a row of zeros."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.where(largest > 0, np.frexp(largest)[1] - 1, -127)


def microscaling(rows: Array, name: str) -> Array:
    """Return rows (blocks of 32) rounded to a microscaling format, shapes ``(blocks, elements)``.

    The scale is ``2^(floor(log2 max) - emax)`` and elements saturate: OCP Microscaling Formats (MX)
    v1.0, 2023, section 6.3.
    """
    grid, emax = MICROSCALING[name]
    shared = np.clip(_exponent(rows) - emax, -127, 127)
    return np.ldexp(grid.nearest(np.ldexp(rows, -shared)), shared)


def block_float(rows: Array, bits: int) -> Array:
    """Return rows rounded to a block float: shared exponent, sign and magnitude bits per element.

    There are ``bits - 1`` magnitude bits; with e = floor(log2 max), the step is
    ``2^(e - bits + 2)``. Wilkinson, "Rounding Errors in Algebraic Processes", 1963; Rouhani et
    al., "Pushing the Limits of Narrow Precision Inferencing", NeurIPS 2020. Shapes
    ``(blocks, elements)``.
    """
    shared = np.clip(_exponent(rows), -127, 127) - (bits - 2)
    top = 2.0 ** (bits - 1) - 1
    return np.ldexp(Integers(-top, top).nearest(np.ldexp(rows, -shared)), shared)


def scaled_blocks(rows: Array, largest: float, *, clip: str) -> Array:
    """Return rows (blocks of 16) rounded to NVFP4: fp4 elements with one fp8 scale per block.

    Parameters
    ----------
    rows
        Shape ``(blocks, elements)``.
    largest
        Largest magnitude of the tensor: its fp32 scale makes the block scales fit fp8 (E4M3).
    clip
        As in `perfmodel.search.accuracy.quantisation_scales.symmetric`.
    """
    if largest == 0:
        return np.zeros_like(rows)
    grid, outer = FLOATS["fp4"], largest / (6.0 * 448.0)
    scale = FLOATS["fp8_e4m3"].nearest(symmetric(rows, grid, clip=clip) / outer) * outer
    column = scale[:, None]
    return grid.nearest(rows / np.where(column > 0, column, 1.0)) * column


def nested(blocks: Array, name: str, bits: int, *, clip: str) -> Array:
    """Return blocks of 256 rounded to a K layout of ggml, with quantised scales and minima.

    The layout is ggml's; the selection of scales is this module's (ggml weights elements by
    magnitude). Shapes ``(blocks, 256)``.
    """
    layout = NESTED[name]
    count, size = blocks.shape
    rows = blocks.reshape(-1, layout.inner)
    if layout.minimum:
        levels = 2**bits - 1
        scale, low = affine(np.pad(rows, ((0, 0), (0, 1))), levels, clip=clip, zero_point=False)
        low = -_shared(np.maximum(-low, 0.0).reshape(count, -1), layout.scale_bits)
        grid: Integers = Integers(0.0, levels)
    else:
        grid = Integers(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
        scale = symmetric(rows, grid, clip=clip)
        low = np.zeros((count, size // layout.inner))
    column = _shared(scale.reshape(count, -1), layout.scale_bits).reshape(-1, 1)
    start = low.reshape(-1, 1)
    codes = grid.nearest((rows - start) / np.where(column > 0, column, 1.0))
    return (codes * column + start).reshape(count, size)


def _shared(values: Array, bits: int) -> Array:
    """Return values of each row as integer multiples of one fp16 number per row."""
    top = 2.0**bits - 1
    unit = half(values.max(axis=1, keepdims=True) / top)
    return np.clip(np.rint(values / np.where(unit > 0, unit, 1.0)), 0, top) * unit
