"""Representable numbers of a format: small floats and integers, rounded half to even."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from perfmodel.arrays import Array


class Minifloat(NamedTuple):
    """A floating-point format with gradual underflow and saturation on overflow.

    Attributes
    ----------
    mantissa
        Number of stored mantissa bits.
    least, most
        Exponents of the smallest and largest normal number.
    top
        Largest finite value.
    """

    mantissa: int
    least: int
    most: int
    top: float

    @property
    def reach(self) -> float:
        """Largest representable magnitude."""
        return self.top

    def nearest(self, values: Array) -> Array:
        """Return the nearest number of the format, ties to even.

        Parameters
        ----------
        values
            Any shape.
        """
        # frexp's fraction is in [0.5, 1), so the exponent of the leading bit is one less.
        exponent = np.maximum(np.frexp(values)[1] - 1, self.least) - self.mantissa
        return np.clip(
            np.ldexp(np.rint(np.ldexp(values, -exponent)), exponent), -self.top, self.top
        )


class Integers(NamedTuple):
    """Integers from `low` to `top`, inclusive."""

    low: float
    top: float

    @property
    def reach(self) -> float:
        """Largest representable magnitude."""
        return max(-self.low, self.top)

    def nearest(self, values: Array) -> Array:
        """Return the nearest integer in range, ties to even (any shape)."""
        return np.clip(np.rint(values), self.low, self.top)


Grid = Minifloat | Integers

#: Floats by format name. fp32 and narrower by IEEE 754-2019; fp8 by OCP OFP8 v1.0 (E4M3 has no
#: infinity: 448); fp6 as E3M2 (Xia et al., "FP6-LLM", 2024), in mxfp6 as E2M3 (the better of the
#: two in Rouhani et al., "Microscaling Data Formats for Deep Learning", 2023); fp4 as E2M1.
FLOATS: Final[dict[str, Minifloat]] = {
    "fp32": Minifloat(23, -126, 127, float(np.finfo(np.float32).max)),
    "tf32": Minifloat(10, -126, 127, (2 - 2.0**-10) * 2.0**127),
    "bf16": Minifloat(7, -126, 127, (2 - 2.0**-7) * 2.0**127),
    "fp16": Minifloat(10, -14, 15, 65504.0),
    "fp8_e4m3": Minifloat(3, -6, 8, 448.0),
    "fp8_e5m2": Minifloat(2, -14, 15, 57344.0),
    "fp6": Minifloat(2, -2, 4, 28.0),
    "fp6_e2m3": Minifloat(3, 0, 2, 7.5),
    "fp4": Minifloat(1, 0, 2, 6.0),
}
