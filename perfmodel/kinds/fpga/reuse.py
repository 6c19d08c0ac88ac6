"""Reuse factors that hls4ml accepts, and the number of multipliers that result.

fastmachinelearning/hls4ml, `hls4ml/backends/fpga/fpga_backend.py` (`_validate_reuse_factor`,
`get_closest_reuse_factor`) and the generated configuration (`multiplier_limit`).
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached


def is_valid(inputs: int, outputs: int, factor: int) -> bool:
    """Return whether a reuse factor is valid for a layer under the strategy ``resource``.

    ``ceil(n m / min(n, R))`` multipliers serve whole outputs, or ``R`` is a multiple of ``n``; and
    ``R`` divides ``n m``.

    Parameters
    ----------
    inputs, outputs
        ``n`` and ``m``: products per output, and outputs.
    factor
        ``R``.
    """
    multipliers = -(-inputs * outputs // min(inputs, factor))
    integral = multipliers % outputs == 0 or factor >= inputs
    steps = factor % inputs == 0 or factor < inputs
    return integral and steps and (inputs * outputs) % factor == 0


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
    total = inputs * outputs
    small = [d for d in range(1, int(total**0.5) + 1) if total % d == 0]
    divisors = sorted({*small, *(total // d for d in small)})
    return tuple(d for d in divisors if is_valid(inputs, outputs, d))


def closest(inputs: int, outputs: int, factor: float) -> int:
    """Return the nearest valid reuse factor; in a tie, the smaller."""
    return min(valid_reuse_factors(inputs, outputs), key=lambda valid: (abs(valid - factor), valid))


def multiplier_limit(
    inputs: Value, outputs: Value, nonzeros: Value, factor: Value, *, relaxed: bool = False
) -> Value:
    """Return the largest number of multipliers of a layer under the strategy ``latency``.

    ``ceil(n m / R) - floor(zeros / R)``, as in a layer's configuration by hls4ml.

    Parameters
    ----------
    inputs, outputs, nonzeros, factor
        Numbers or arrays that broadcast.
    relaxed
        Omit ceiling and floor.
    """
    xp = namespace(inputs, outputs, nonzeros, factor)
    products = inputs * outputs
    if relaxed:
        return xp.maximum(nonzeros / factor, 1e-9)
    limit = xp.ceil(products / factor - 1e-9) - xp.floor((products - nonzeros) / factor + 1e-9)
    return xp.maximum(limit, 1.0)


def snapped(inputs: Value, outputs: Value, factor: Value) -> Value:
    """Return the nearest valid reuse factor of every layer and point, in their broadcast shape."""
    n, m, r = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (inputs, outputs, factor)))
    combos, back = np.unique(
        np.stack([n, m, r], axis=-1).reshape(-1, 3), axis=0, return_inverse=True
    )
    nearest = np.array([closest(round(a), round(b), c) for a, b, c in combos], dtype=float)
    return nearest[back.reshape(-1)].reshape(n.shape)
