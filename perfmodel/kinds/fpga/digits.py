"""Constant weights whose products need a multiplier in an FPGA, counted from their digits.

A product by a constant is a sum of shifts, one for each non-zero digit of the constant in canonical
signed-digit form (Reitwiesner, Advances in Computers 1, 1960). A synthesis tool builds one or two
digits from look-up tables, and more of them from a multiplier. Users count the weights of a trained
layer with these functions and state the numbers in ``design.layers`` of a spec (docs/fpga.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Signed digits of a weight from which its product requires a multiplier: one digit is a shift,
#: two are one adder.
DIGITS = 3


def signed_digits(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the minimum number of non-zero signed digits of each integer.

    In the canonical form (Reitwiesner, Advances in Computers 1, 1960) no two non-zero digits are
    adjacent; their number is ``popcount(x xor 3 x)``, since they are the bits where ``3 x`` and
    ``x`` differ.

    Parameters
    ----------
    values
        Integers of either sign.
    """
    x = np.abs(np.asarray(values, dtype=np.int64))
    bits = x ^ (3 * x)
    out = np.zeros(x.shape, dtype=np.int64)
    while np.any(bits):
        out += bits & 1
        bits >>= 1
    return out


def _whole(weights: npt.ArrayLike, fraction_bits: int) -> npt.NDArray[np.int64]:
    return np.rint(np.asarray(weights, dtype=float) * 2.0**fraction_bits).astype(np.int64)


def nonzeros_of(weights: npt.ArrayLike, fraction_bits: int) -> int:
    """Return the number of non-zero weights in fixed point (``design.layers.N.nonzeros``)."""
    return int(np.count_nonzero(_whole(weights, fraction_bits)))


def multipliers_of(weights: npt.ArrayLike, fraction_bits: int, *, digits: int = DIGITS) -> int:
    """Return the number of weights that require a multiplier (``design.layers.N.multipliers``).

    Parameters
    ----------
    weights
        Weights of a layer, in any shape.
    fraction_bits
        Bits after the binary point: 6 for ``ap_fixed<8,2>``.
    digits
        Signed digits from which a product requires a multiplier.
    """
    return int(np.count_nonzero(signed_digits(_whole(weights, fraction_bits)) >= digits))
