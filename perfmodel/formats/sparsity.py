"""Sparse weights: what storage saves, apart from what an engine saves."""

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
    """Zeros among the weights.

    Attributes
    ----------
    pattern
        ``unstructured``, or ``n:m``: n of every m weights are kept.
    density
        Fraction of weights kept.
    """

    pattern: str
    density: float

    def storage_bits(self, bits: Value) -> Value:
        """Return stored bits for each dense weight, with the cheapest index for the density.

        Parameters
        ----------
        bits
            Stored bits of a kept weight, a number or an array.

        Notes
        -----
        ``n:m``: a position of ``ceil(log2 m)`` bits for each kept weight (NVIDIA A100 white paper,
        2020: 2 bits for 2:4). Unstructured: the least of dense, a bitmap (1 bit a weight) and
        relative indices of r bits with a padding zero where a gap exceeds ``2**r`` (Han et al.,
        "EIE", ISCA 2016); gaps are geometric.
        """
        match = _NM.fullmatch(self.pattern)
        if match:
            return self.density * (bits + math.ceil(math.log2(int(match[2]))))
        choices = [bits, self.density * bits + 1.0]
        for r in range(1, 17):
            beyond = (1.0 - self.density) ** (2**r)
            entries = self.density * (1.0 + beyond / (1.0 - beyond)) if beyond < 1 else math.inf
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
        Neither form, or a fraction outside 0 to 1.
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
    raise input_error(f"'{text}' is no sparsity", path="precision", expected=_EXPECTED)
