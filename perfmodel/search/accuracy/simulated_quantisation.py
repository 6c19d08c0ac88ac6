"""Simulated quantisation: weights rounded to a format and back, and the resulting noise."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import Fault
from perfmodel.formats import Format
from perfmodel.search.accuracy.block_quantisation import (
    MICROSCALING,
    NESTED,
    block_float,
    microscaling,
    nested,
    scaled_blocks,
)
from perfmodel.search.accuracy.quantisation_scales import affine, binary, symmetric, ternary
from perfmodel.search.accuracy.representable_numbers import FLOATS, Grid, Integers
from perfmodel.settings import FaultList

Clip = Literal["max", "mse"]

#: Floats with a scale per channel, as their small range requires in practice (Micikevicius et
#: al., "FP8 Formats for Deep Learning", 2022, section 4); wider ones are plain casts.
_SCALED: Final = frozenset({"fp8_e4m3", "fp8_e5m2", "fp6", "fp4"})
#: Groups with a stored minimum instead of a zero point (ggml-common.h).
_MINIMUM: Final = frozenset({"q4_1", "q5_1"})
_GGUF: Final = re.compile(r"q\d_[01k](?:_[ms])?")
#: Elements processed at once, so that temporaries fit in the caches.
_CHUNK: Final = 1 << 18


def fake_quantise(
    weights: npt.ArrayLike, format: Format, *, axis: int | None = 0, clip: Clip = "mse"
) -> Array:
    """Return weights quantised to a format and dequantised.

    Parameters
    ----------
    weights
        Any shape, finite.
    format
        Integers: symmetric two's complement with a scale per channel; one bit is ``-a, a``. `uint8`
        and groups with zero bits: an integer zero point. Groups: consecutive elements of a channel,
        scales in fp16. ``ternary``: the best three levels ``-a, 0, a``. Floats of 8 bits and less:
        rounded to their grid with a scale per channel; wider ones are cast. Block floats and
        microscaling: a power of two per block. ggml layouts: for a mixture, its base layout.
    axis
        Axis of the output channels, each with its own scales; ``None``: one scale for the whole
        tensor. Groups and blocks run over the other axes in order (input channels first).
    clip
        ``mse``: the scale of least squared error, which may clip; ``max``: no clipping.
        Microscaling and block floats have the scales of their definitions.

    Returns
    -------
    array
        Same shape, float64.

    Raises
    ------
    InputError
        A codebook, whose tables are not simulated; an array of bits; weights that are not finite.
    """
    dense = np.asarray(weights, dtype=np.float64)
    faults = FaultList(_format_faults(format))
    if not np.isfinite(dense).all():
        faults.append(Fault("weights hold NaN or infinity", expected="finite numbers"))
    faults.settle()
    if not dense.size:
        return dense.copy()
    name = _base(format)
    if name in FLOATS and name not in _SCALED:
        return FLOATS[name].nearest(dense)
    if name == "fp64":
        return dense.copy()
    if axis is None or dense.ndim < 2:
        shape, rows = dense.shape, dense.reshape(1, -1)
    else:
        channels_first = np.moveaxis(dense, axis, 0)
        shape, rows = channels_first.shape, channels_first.reshape(channels_first.shape[0], -1)
    quantised = _rows(rows, format, name, clip).reshape(shape)
    return quantised if axis is None or dense.ndim < 2 else np.moveaxis(quantised, 0, axis)


def noise(
    weights: npt.ArrayLike, format: Format, axis: int | None = 0, *, clip: Clip = "mse"
) -> tuple[float, float]:
    """Return the squared norms ``||Q(W) - W||^2`` and ``||W||^2``.

    Their ratio is the noise-to-signal ratio; parameters as for `fake_quantise`.
    """
    dense = np.asarray(weights, dtype=np.float64)
    error = fake_quantise(dense, format, axis=axis, clip=clip) - dense
    return float(np.vdot(error, error)), float(np.vdot(dense, dense))


def simulated(format: Format) -> bool:
    """Return whether `fake_quantise` supports a format."""
    return not _format_faults(format)


def _base(format: Format) -> str:
    return format.name.partition("@")[0]


def _format_faults(format: Format) -> list[Fault]:
    expected = "an integer, a float, ternary, a block float, microscaling or a plain ggml layout"
    if np.ndim(format.element_bits):
        return [Fault(f"'{format.name}' has an array of bits", "format", expected="one number")]
    known = format.family in {"int", "ternary"} or _base(format) in {
        "fp64",
        "nvfp4",
        "bfp8",
        "bfp16",
        *FLOATS,
        *MICROSCALING,
    }
    integral = format.family == "ternary" or float(format.element_bits).is_integer()
    if not known or not integral or format.name == "bool":
        return [Fault(f"'{format.name}' is not simulated", "format", expected=expected)]
    return []


def _rows(rows: Array, format: Format, name: str, clip: Clip) -> Array:
    """Quantise ``(channels, elements)``; each group or block becomes a row."""
    if not format.group:
        return _chunks(rows, _plain(format, name, clip))
    short = -rows.shape[1] % format.group
    # Zero padding is exact with any scale and zero point, so it adds no error to the last group.
    # It would change a stored minimum and the mean of one bit: these repeat the edge instead.
    edge = name in _MINIMUM or (format.family == "int" and format.element_bits == 1)
    mode = "edge" if edge else "constant"
    padded = np.pad(rows, ((0, 0), (0, short)), mode=mode) if short else rows
    quantised = _chunks(padded.reshape(-1, format.group), _grouped(format, name, clip, rows))
    return quantised.reshape(padded.shape)[:, : rows.shape[1]]


def _chunks(rows: Array, function: Callable[[Array], Array]) -> Array:
    step = max(1, _CHUNK // rows.shape[1])
    parts = [function(rows[i : i + step]) for i in range(0, len(rows), step)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _integers(bits: int) -> Integers:
    return Integers(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


def _scaled(rows: Array, grid: Grid, clip: Clip, stored: bool) -> Array:
    scale = symmetric(rows, grid, clip=clip, stored=stored)[:, None]
    return grid.nearest(rows / np.where(scale > 0, scale, 1.0)) * scale


def _affine(rows: Array, bits: int, clip: Clip, **how: bool) -> Array:
    levels = 2**bits - 1
    scale, low = (part[:, None] for part in affine(rows, levels, clip=clip, **how))
    codes = np.clip(np.rint((rows - low) / np.where(scale > 0, scale, 1.0)), 0, levels)
    return codes * scale + low


def _plain(format: Format, name: str, clip: Clip) -> Callable[[Array], Array]:
    """Return the quantiser of rows without groups."""
    bits = int(format.element_bits)
    if format.family == "ternary":
        return ternary
    if name in FLOATS:
        return lambda rows: _scaled(rows, FLOATS[name], clip, stored=False)
    if name == "uint8":
        return lambda rows: _affine(rows, bits, clip)
    if bits == 1:
        return binary
    return lambda rows: _scaled(rows, _integers(bits), clip, stored=False)


def _grouped(format: Format, name: str, clip: Clip, rows: Array) -> Callable[[Array], Array]:
    """Return the quantiser of rows that are groups or blocks."""
    bits = int(format.element_bits)
    if name in MICROSCALING:
        return lambda part: microscaling(part, name)
    if name == "nvfp4":
        largest = float(np.abs(rows).max())
        return lambda part: scaled_blocks(part, largest, clip=clip)
    if format.family == "block_float":
        return lambda part: block_float(part, bits)
    if format.family == "ternary":
        return ternary
    layout: Any = re.sub(r"_[ms]$", "", name)
    if layout in NESTED:
        return lambda part: nested(part, layout, bits, clip=clip)
    if layout in _MINIMUM:
        return lambda part: _affine(part, bits, clip, zero_point=False, stored=True)
    if format.zero_bits and not _GGUF.fullmatch(name):
        return lambda part: _affine(part, bits, clip, stored=True)
    return binary if bits == 1 else lambda part: _scaled(part, _integers(bits), clip, stored=True)
