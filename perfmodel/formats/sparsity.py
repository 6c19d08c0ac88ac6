"""Sparse weights: stored bits of the non-zero weights and of their indices, by encoding.

Encodings: n of every m weights (NVIDIA A100), a bitmap, and relative indices (Han et al., "EIE",
ISCA 2016); unstructured sparsity takes the smallest, or none.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value
from perfmodel.errors import input_error

_NM = re.compile(r"(\d+):(\d+)")
_EXPECTED = "n:m (2:4), or the fraction of zeros as s0.9"


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Pattern and density of sparse weights.

    Attributes
    ----------
    pattern
        ``unstructured``, or ``n:m``: n of every m weights are non-zero.
    density
        Fraction of non-zero weights.
    """

    pattern: str
    density: float

    def storage_bits(self, bits: Value) -> Value:
        """Return the stored bits per weight, zeros included, with the smallest index encoding.

        Parameters
        ----------
        bits
            Stored bits b of a non-zero weight, a number or an array.

        Notes
        -----
        For density d:

        - ``n:m``: ``d (b + ceil(log2 m))``, an index per non-zero weight (NVIDIA A100 white paper,
          2020: 2 bits for 2:4).
        - Unstructured: the minimum of dense ``b``, a bitmap ``d b + 1``, and relative indices of r
          bits, ``d (1 + q / (1 - q)) (b + r)`` with ``q = (1 - d)^(2^r)`` for r from 1 to 16: gaps
          are geometric, and a padding zero is stored whenever one exceeds ``2^r`` (Han et al.,
          "EIE", ISCA 2016).
        """
        match = _NM.fullmatch(self.pattern)
        if match:
            return self.density * (bits + math.ceil(math.log2(int(match[2]))))
        choices = [bits, self.density * bits + 1.0]
        for r in range(1, 17):
            q = (1.0 - self.density) ** (2**r)
            entries = self.density * (1.0 + q / (1.0 - q)) if q < 1 else math.inf
            choices.append(entries * (bits + r))
        least = choices[0]
        for choice in choices[1:]:
            least = np.minimum(least, choice)
        return least if np.ndim(least) else float(least)


def parse_sparsity(text: str) -> Sparsity:
    """Parse ``2:4`` or ``s0.9`` (fraction of zeros).

    Raises
    ------
    InputError
        Neither form, or a fraction outside [0, 1).
    """
    match = _NM.fullmatch(text)
    if match:
        n, m = int(match[1]), int(match[2])
        if 0 < n <= m <= 1024:
            return Sparsity(f"{n}:{m}", n / m)
    elif text.startswith("s"):
        try:
            zeros = float(text[1:])
        except ValueError:
            zeros = math.nan
        if 0.0 <= zeros < 1.0:
            return Sparsity("unstructured", 1.0 - zeros)
    raise input_error(f"'{text}' is not a sparsity", path="precision", expected=_EXPECTED)
