"""Reuse factors that hls4ml accepts for a dense or convolutional layer, and its multipliers.

A layer with n inputs per output and m outputs has n m products. With reuse factor R every
multiplier of the FPGA computes R of them in turn, so that about n m / R multipliers are built
(Duarte et al., JINST 13 P07027, 2018). hls4ml replaces a factor that its code generator does not
support by the nearest valid one. The rules are those of
fastmachinelearning/hls4ml, `hls4ml/backends/fpga/fpga_backend.py` (`_validate_reuse_factor`,
`get_closest_reuse_factor`), and of the generated configuration (`multiplier_limit`); the circuits
of `perfmodel.kinds.fpga` are costed with the factors from here.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached


def is_valid(inputs: int, outputs: int, factor: int) -> bool:
    """Return whether a reuse factor R is valid for a layer under the strategy ``resource``.

    R divides n m, and

    - if ``R < n``, the number of multipliers ``ceil(n m / R)`` is a multiple of m, so that each
      output has as many multipliers as any other;
    - if ``R >= n``, R is a multiple of n, so that a multiplier computes whole outputs.

    Parameters
    ----------
    inputs, outputs
        ``n`` and ``m``: products per output, and outputs.
    factor
        ``R``: products that share a multiplier.
    """
    products = inputs * outputs
    if products % factor:
        return False
    if factor < inputs:
        return products // factor % outputs == 0
    return factor % inputs == 0


@cached(2 << 10)
def valid_reuse_factors(inputs: int, outputs: int) -> tuple[int, ...]:
    """Return all valid reuse factors of a layer under the strategy ``resource``, ascending.

    Parameters
    ----------
    inputs, outputs
        Products per output (``kernel x channels`` of a convolution), and outputs.

    Examples
    --------
    >>> valid_reuse_factors(16, 5)
    (1, 2, 4, 8, 16, 80)
    """
    products = inputs * outputs
    small = [d for d in range(1, int(products**0.5) + 1) if products % d == 0]
    divisors = sorted({*small, *(products // d for d in small)})
    return tuple(d for d in divisors if is_valid(inputs, outputs, d))


def closest(inputs: int, outputs: int, factor: float) -> int:
    """Return the nearest valid reuse factor; in a tie, the smaller."""
    return min(valid_reuse_factors(inputs, outputs), key=lambda valid: (abs(valid - factor), valid))


def multiplier_limit(
    inputs: Value, outputs: Value, nonzeros: Value, factor: Value, *, relaxed: bool = False
) -> Value:
    """Return the largest number of multipliers of a layer under the strategy ``latency``.

    ``max(ceil(n m / R) - floor(zeros / R), 1)``, with ``zeros = n m - nonzeros`` weights whose
    products are left out; the limit in a layer's configuration by hls4ml.

    Parameters
    ----------
    inputs, outputs, nonzeros, factor
        ``n``, ``m``, weights that are not zero, and ``R``; numbers or arrays that broadcast.
    relaxed
        Omit ceiling and floor: ``nonzeros / R``.
    """
    xp = namespace(inputs, outputs, nonzeros, factor)
    products = inputs * outputs
    if relaxed:
        return xp.maximum(nonzeros / factor, 1e-9)
    limit = xp.ceil(products / factor - 1e-9) - xp.floor((products - nonzeros) / factor + 1e-9)
    return xp.maximum(limit, 1.0)


def closest_valid_factors(inputs: Value, outputs: Value, factor: Value) -> Value:
    """Return the nearest valid reuse factor of every layer and point, in their broadcast shape."""
    n, m, r = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (inputs, outputs, factor)))
    layers = np.stack([n, m, r], axis=-1).reshape(-1, 3)
    distinct, index = np.unique(layers, axis=0, return_inverse=True)
    nearest = np.array([closest(round(a), round(b), c) for a, b, c in distinct], dtype=float)
    return nearest[index.reshape(-1)].reshape(n.shape)
