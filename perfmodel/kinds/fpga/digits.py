"""Constant weights whose products need a multiplier in an FPGA, counted from their digits.

A product by a constant is a sum of shifts, one for each non-zero digit of the constant in canonical
signed-digit form (Reitwiesner, Advances in Computers 1, 1960). A synthesis tool builds one or two
digits from look-up tables, and more of them from a multiplier. Users count the weights of a trained
layer with these functions and state the numbers in ``design.layers`` of a spec (docs/fpga.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.caches import cached
from perfmodel.kinds.distinct_columns import Floats
from perfmodel.tracing.array_namespace import NAMESPACE as TRACED

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


@cached(2)
def _shares_by_spread() -> tuple[Floats, Floats]:
    """Return binary logarithms of standard deviations, and the share of multipliers at each.

    The standard deviation of normally distributed weights is in units of the last place; the share
    is that of weights other than zero.
    """
    spreads = np.arange(-2.0, 12.25, 0.5)
    magnitudes = np.arange(1, 1 << 15)
    density = np.exp(-0.5 * np.square(magnitudes / 2.0 ** spreads[:, None]))
    needs = signed_digits(magnitudes) >= DIGITS
    return spreads, (density * needs).sum(axis=1) / density.sum(axis=1)


def multiplier_share(share: Value, more_bits: Value, xp: Any) -> Value:
    """Return the share of non-zero weights that require a multiplier, with further fraction bits.

    A weight of more bits has more signed digits. Weights are taken as normally distributed: the
    share at some bits implies their standard deviation in units of the last place, which doubles
    with every further bit. A share of 1 remains.

    Parameters
    ----------
    share
        Share at the bits that it is known for.
    more_bits
        Bits behind the point beyond those; negative for fewer.
    xp
        Array namespace.
    """
    if xp is TRACED:
        ones = 1.0 + 0.0 * (share + more_bits)
        return xp.by_column(_shares_by_column, (share * ones, more_bits * ones), 1)[0]
    spreads, shares = map(xp.asarray, _shares_by_spread())
    with_bits = xp.interp(xp.interp(share, shares, spreads) + more_bits, spreads, shares)
    return xp.where((more_bits == 0.0) | (share >= shares[-1]), share, with_bits)


def _shares_by_column(columns: Floats) -> Floats:
    return multiplier_share(columns[0], columns[1], np)[None]
