"""Probabilities of expert visits, and hit rates of a cache.

Independent reference model: each step visits expert ``i`` with probability ``p_i``, independent of
earlier visits. Repetitions by a router beyond that increase the hit rate of a cache further.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.errors import input_error, nearest

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Geometric:
    """Popularity that falls by a constant factor from each expert to the next.

    Within one text routers leave most experts of a layer unused, unlike under any Zipf law; this
    law describes the hit rates of caches for such a text: ``weight[i] = exp(-rate i)``.

    Attributes
    ----------
    rate
        Natural logarithm of the factor.
    """

    rate: float

    def weights(self, count: int) -> Floats:
        """Return the unnormalised weight of each expert, ``(count,)``."""
        return np.asarray(np.exp(-self.rate * np.arange(count, dtype=np.float64)))


#: Distribution of router choices: exponent of a Zipf law, a law, or a weight for each expert; or a
#: text of one of these (`popularity_of`).
Popularity: TypeAlias = float | Geometric | Sequence[float] | str


def popularity_of(
    popularity: Popularity | None,
) -> float | Geometric | Sequence[float] | None:
    """Return a popularity, parsed if it is a text.

    A text is an exponent, ``geometric:RATE``, or weights separated by commas.

    Raises
    ------
    InputError
        The text has none of these forms.
    """
    if not isinstance(popularity, str):
        return popularity
    text = popularity
    law, mark, rate = text.partition(":")
    try:
        if mark and law.strip() == "geometric":
            return Geometric(float(rate))
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise input_error(
            f"'{text}' is not a valid popularity",
            "popularity",
            expected="a number, geometric:RATE, or one for each expert",
            suggestion=nearest(law, ("geometric",)) if mark else "",
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def zipf(count: int, exponent: float) -> Floats:
    """Return the weights ``i ** -exponent`` of a Zipf law, normalised to 1; ``(count,)``."""
    weights = np.asarray(np.arange(1, count + 1, dtype=np.float64) ** -exponent)
    return np.asarray(weights / weights.sum())


def visit_probabilities(
    experts: int, per_token: int, popularity: Popularity | None = None
) -> Floats:
    """Return the probability that a token visits each expert; they sum to `per_token`.

    Proportional to the popularity, and at most 1: the excess of the most popular experts is
    redistributed to the others in proportion.

    Parameters
    ----------
    experts, per_token
        Number of experts, and number that a token visits.
    popularity
        Exponent of a Zipf law, a law, or a weight for each expert; by default uniform.

    Raises
    ------
    InputError
        The text is invalid; or weights are negative, not one per expert, or fewer of them positive
        than visits.
    """
    popularity = popularity_of(popularity)
    if popularity is None:
        weights = np.ones(experts)
    elif isinstance(popularity, int | float):
        weights = zipf(experts, float(popularity))
    elif isinstance(popularity, Geometric):
        weights = popularity.weights(experts)
    else:
        weights = _weights(popularity)
    k = min(per_token, experts)
    if weights.shape != (experts,) or not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise input_error(
            "popularity does not give a weight for each expert",
            "popularity",
            expected=f"{experts} numbers from 0",
        )
    if np.count_nonzero(weights) < k:
        raise input_error(
            f"only {np.count_nonzero(weights)} experts have a positive weight",
            "popularity",
            expected=f"at least {k}",
        )
    is_saturated = np.zeros(experts, dtype=bool)
    chance = np.zeros(experts)
    # Each round saturates at least one expert.
    for _ in range(experts):
        weight = float(weights[~is_saturated].sum())
        left = k - int(is_saturated.sum())
        scaled: Floats = np.zeros(experts) if weight == 0.0 else weights * (left / weight)
        chance = np.asarray(np.where(is_saturated, 1.0, scaled))
        over = (chance > 1.0) & ~is_saturated
        if not over.any():
            break
        is_saturated |= over
    return np.minimum(chance, 1.0)


def _weights(popularity: Sequence[float]) -> Floats:
    """Return weights as an array; an empty one if they are not numbers."""
    try:
        return np.asarray(popularity, dtype=np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)  # not one weight per expert


def touched_probabilities(
    experts: int, per_token: int, tokens: float, popularity: Popularity | None = None
) -> Floats:
    """Return the probability that a step of `tokens` tokens touches each expert; ``(experts,)``.

    ``1 - (1 - p)**tokens``: tokens choose independently. With uniform popularity they sum to the
    number stated by the workload's graph.
    """
    chance = visit_probabilities(experts, per_token, popularity)
    if math.isinf(tokens):
        return np.asarray(np.where(chance > 0.0, 1.0, 0.0))
    return np.asarray(1.0 - (1.0 - chance) ** tokens)


def cycle_hit_rates(chances: Floats, sizes: Floats, copies: Floats, capacity: float) -> Floats:
    """Return the share of the visits that one LRU cache serves for layers in cyclic order.

    A token passes the layers in a fixed order, so that an expert is visited again after a full
    token at the earliest: a cache smaller than the visits of one token serves none (it evicts what
    is needed soonest); otherwise a visit is a hit if the expert was visited by one of the last
    ``n`` tokens. With the visits of ``n`` tokens in the cache, and those of a further token for a
    fraction ``f`` of the layers::

        cached_bytes(n) = sum(copies * size * (1 - (1 - p) ** n))
        hit = 1 - (1 - p) ** n       for 1 - f of the visits, and n + 1 for the others

    Che's approximation in steps of a token (Che, Tung and Wang, "Hierarchical web caching
    systems", IEEE JSAC 20(7), 2002; Fricker, Robert and Roberts, "A versatile and accurate
    approximation for LRU cache performance", ITC 24, 2012): an item is cached if it was visited
    within the last ``n`` steps, where ``n`` fills the cache.

    Parameters
    ----------
    chances
        Probability that a token visits an expert, ``(n,)``.
    sizes
        Bytes of each expert, ``(n,)``.
    copies
        Number of layers with such an expert, ``(n,)``.
    capacity
        Capacity of the cache in bytes.

    Returns
    -------
    array of shape ``(n,)``
    """
    weight = sizes * copies
    seen = chances > 0
    if float(weight[seen].sum()) <= capacity:
        return np.asarray(np.where(seen, 1.0, 0.0))
    missed = 1.0 - chances

    def cached_bytes(tokens: float) -> float:
        return float(np.sum(weight * (1.0 - missed**tokens)))

    # Doubling, then bisection, over whole tokens: the maximum whose visits all fit.
    low, high = 0, 1
    while cached_bytes(high) <= capacity:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cached_bytes(middle) <= capacity else (low, middle)
    share = (capacity - cached_bytes(low)) / (cached_bytes(low + 1) - cached_bytes(low))
    # The visits of an incomplete token are evicted before its layer comes again.
    share = share if low else 0.0
    return np.asarray((1.0 - share) * (1.0 - missed**low) + share * (1.0 - missed ** (low + 1)))
