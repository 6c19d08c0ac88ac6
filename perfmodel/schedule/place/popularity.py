"""How often experts are visited, and how many of the visits a cache serves.

The independent reference model: each step visits expert ``i`` with probability ``p_i``, whatever
was visited before. Real routers repeat themselves more than that, so that an LRU cache does better
than it says; it is a floor under locality, not a forecast of a trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError

__all__ = ["lru_hit_rates", "touched_probabilities", "visit_probabilities", "zipf"]

Floats = npt.NDArray[np.float64]


def zipf(count: int, exponent: float) -> Floats:
    """Return the weights ``i ** -exponent`` of a Zipf law, summing to 1; ``(count,)``."""
    weights = np.asarray(np.arange(1, count + 1, dtype=np.float64) ** -exponent)
    return np.asarray(weights / weights.sum())


def visit_probabilities(
    experts: int, per_token: int, popularity: float | Sequence[float] | None = None
) -> Floats:
    """Return the probability that a token visits each expert; they sum to `per_token`.

    In proportion to the popularity, and 1 at most: what the most popular would have beyond that
    goes to the others, in proportion again.

    Parameters
    ----------
    experts, per_token
        How many there are, and how many a token visits.
    popularity
        Exponent of a Zipf law, or a weight for each expert; by default all are alike.

    Raises
    ------
    InputError
        Weights that are negative, not as many as experts, or fewer above zero than visits.
    """
    if popularity is None:
        weights = np.ones(experts)
    elif isinstance(popularity, int | float):
        weights = zipf(experts, float(popularity))
    else:
        weights = np.asarray(popularity, dtype=np.float64)
    k = min(per_token, experts)
    if weights.shape != (experts,) or not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise InputError(Fault("popularity is no weight for each expert", "popularity",
                               expected=f"{experts} numbers from 0"))  # fmt: skip
    if np.count_nonzero(weights) < k:
        raise InputError(Fault(f"{np.count_nonzero(weights)} experts are ever visited",
                               "popularity", expected=f"{k} at least"))  # fmt: skip
    full = np.zeros(experts, dtype=bool)
    chance = np.zeros(experts)
    # Each round fills one expert at least.
    for _ in range(experts):
        rest = float(weights[~full].sum())
        left = k - int(full.sum())
        scaled: Floats = np.zeros(experts) if rest == 0.0 else weights * (left / rest)
        chance = np.asarray(np.where(full, 1.0, scaled))
        over = (chance > 1.0) & ~full
        if not over.any():
            break
        full |= over
    return np.minimum(chance, 1.0)


def touched_probabilities(
    experts: int, per_token: int, tokens: float, popularity: float | Sequence[float] | None = None
) -> Floats:
    """Return the probability that a step of `tokens` tokens touches each expert; ``(experts,)``.

    ``1 - (1 - p)**tokens``: tokens choose independently. All alike, they sum to what the workload's
    own graph says.
    """
    chance = visit_probabilities(experts, per_token, popularity)
    if math.isinf(tokens):
        return np.asarray(np.where(chance > 0.0, 1.0, 0.0))
    return np.asarray(1.0 - (1.0 - chance) ** tokens)


def lru_hit_rates(rates: Floats, sizes: Floats, capacity: float) -> Floats:
    """Return the share of the visits to each item that an LRU cache serves.

    Che's approximation: an item is there if it was visited within the last ``T`` steps, where ``T``
    solves ``sum(size * (1 - exp(-rate * T))) = capacity`` (Che, Tung and Wang, "Hierarchical web
    caching systems", IEEE JSAC 20(7), 2002; Fricker, Robert and Roberts, "A versatile and accurate
    approximation for LRU cache performance", ITC 24, 2012).

    Parameters
    ----------
    rates
        Visits of each item a step, ``(n,)``.
    sizes
        Their bytes, ``(n,)``.
    capacity
        Bytes of the cache.

    Returns
    -------
    array of shape ``(n,)``
        Between 0 and 1; 1 for all that is ever visited where everything fits.
    """
    seen = rates > 0
    if float(sizes[seen].sum()) <= capacity:
        return np.asarray(np.where(seen, 1.0, 0.0))
    if capacity <= 0:
        return np.zeros(len(rates))
    low, high = 0.0, 1.0 / float(rates[seen].max())

    def held(time: float) -> float:
        return float(np.sum(sizes * -np.expm1(-rates * time)))

    while held(high) < capacity:
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if held(middle) < capacity else (low, middle)
    return np.asarray(-np.expm1(-rates * high))
