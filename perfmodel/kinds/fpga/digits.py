"""Which constant weights need a multiplier: those that few shifted sums do not make."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Signed digits of a weight from which on its product takes a multiplier: one digit is a shift, two
#: are one adder.
DIGITS = 3


def signed_digits(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return how many signed digits that are not zero each whole number needs at least.

    The canonical form (Reitwiesner, Advances in Computers 1, 1960) has no two of them side by side:
    ``popcount(x xor 3 x)``, since bits in which ``3 x`` and ``x`` differ are its digits.

    Parameters
    ----------
    values
        Whole numbers, of either sign.
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
    """Return the weights that are not zero in fixed point (``design.layers.N.nonzeros``)."""
    return int(np.count_nonzero(_whole(weights, fraction_bits)))


def multipliers_of(weights: npt.ArrayLike, fraction_bits: int, *, digits: int = DIGITS) -> int:
    """Return the weights whose product needs a multiplier (``design.layers.N.multipliers``).

    Parameters
    ----------
    weights
        Of a layer, in any shape.
    fraction_bits
        Bits behind the point: 6 of ``ap_fixed<8,2>``.
    digits
        Signed digits from which on a product takes a multiplier.
    """
    return int(np.count_nonzero(signed_digits(_whole(weights, fraction_bits)) >= digits))
