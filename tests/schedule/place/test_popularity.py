"""Experts and caches: closed forms, and a cache that is simulated."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt
import pytest

from perfmodel.errors import InputError
from perfmodel.schedule.place.popularity import (
    lru_hit_rates,
    touched_probabilities,
    visit_probabilities,
    zipf,
)

Floats = npt.NDArray[np.float64]


def test_visits_add_up_and_are_probabilities() -> None:
    for exponent in (0.0, 0.5, 1.0, 2.0, 4.0):
        chance = visit_probabilities(64, 8, exponent)
        assert chance.sum() == pytest.approx(8.0, rel=1e-12)
        assert chance.max() <= 1.0
        assert np.all(np.diff(chance) <= 1e-15)
    assert visit_probabilities(8, 2) == pytest.approx(np.full(8, 0.25))
    # What one may not have beyond 1 the others share: 4 of 10 -> 1, and (2, 1, 1) share the other.
    assert visit_probabilities(4, 2, [6, 2, 1, 1]) == pytest.approx([1.0, 0.5, 0.25, 0.25])


def test_touched_is_the_coupon_collector() -> None:
    assert touched_probabilities(128, 8, 4.0).sum() == pytest.approx(
        128 * (1 - (1 - 8 / 128) ** 4), rel=1e-12
    )
    assert touched_probabilities(8, 8, float("inf")) == pytest.approx(np.ones(8))
    # Uneven routers touch fewer experts with many tokens.
    assert touched_probabilities(64, 4, 16.0, 1.0).sum() < touched_probabilities(64, 4, 16.0).sum()


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, -1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
def test_popularity_that_is_none_is_refused(wrong: list[float]) -> None:
    with pytest.raises(InputError, match="popularity"):
        visit_probabilities(4, 2, wrong)


def simulated(rates: Floats, sizes: Floats, capacity: float, visits: int) -> Floats:
    """Hit rate of each item in an LRU cache under independent visits."""
    rng = np.random.default_rng(0)
    cache: OrderedDict[int, float] = OrderedDict()
    held = 0.0
    hits, seen = np.zeros(len(rates)), np.zeros(len(rates))
    for step, item in enumerate(rng.choice(len(rates), visits, p=rates / rates.sum()).tolist()):
        warm = step > visits // 4
        seen[item] += warm
        if item in cache:
            hits[item] += warm
            cache.move_to_end(item)
            continue
        cache[item] = float(sizes[item])
        held += float(sizes[item])
        while held > capacity:
            held -= cache.popitem(last=False)[1]
    return hits.sum() / seen.sum() * np.ones(1)


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_che_is_what_a_simulated_cache_does(exponent: float, share: float) -> None:
    rates = zipf(200, exponent)
    sizes: Floats = np.random.default_rng(1).integers(1, 4, 200).astype(np.float64)
    capacity = share * float(sizes.sum())
    hit = lru_hit_rates(rates, sizes, capacity)
    assert float(hit @ rates) == pytest.approx(
        float(simulated(rates, sizes, capacity, 40_000)[0]), abs=0.015
    )


def test_limits_of_a_cache() -> None:
    rates, sizes = zipf(10, 1.0), np.ones(10)
    assert lru_hit_rates(rates, sizes, 10.0) == pytest.approx(np.ones(10))
    assert lru_hit_rates(rates, sizes, 0.0) == pytest.approx(np.zeros(10))
    # All alike: the share that fits.
    assert lru_hit_rates(np.ones(1000), np.ones(1000), 250.0) == pytest.approx(
        np.full(1000, 0.25)
    )  # fmt: skip
    grown = [float(lru_hit_rates(rates, sizes, c) @ rates) for c in np.linspace(0.5, 9.5, 10)]
    assert np.all(np.diff(grown) > 0)
    # Pinning the most visited serves at least as much (independent visits).
    for capacity in (2.0, 5.0):
        pinned = float(rates[: int(capacity)].sum())
        assert float(lru_hit_rates(rates, sizes, capacity) @ rates) <= pinned
