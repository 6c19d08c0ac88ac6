"""Experts and caches: closed forms, and a cache that is simulated."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from perfmodel.errors import InputError
from perfmodel.schedule.place.popularity import (
    Geometric,
    Popularity,
    cycle_hit_rates,
    touched_probabilities,
    visit_probabilities,
)

Floats = npt.NDArray[np.float64]


def test_visits_add_up_and_are_probabilities() -> None:
    for exponent in (0.0, 0.5, 1.0, 2.0, 4.0):
        chance = visit_probabilities(64, 8, exponent)
        assert chance.sum() == pytest.approx(8.0, rel=1e-12)
        assert chance.max() <= 1.0
        assert np.all(np.diff(chance) <= 1e-15)
    falling = visit_probabilities(64, 8, Geometric(0.05))
    assert falling.sum() == pytest.approx(8.0, rel=1e-12)
    assert falling[1:] / falling[:-1] == pytest.approx(np.full(63, np.exp(-0.05)))
    assert visit_probabilities(64, 8, Geometric(0.0)) == pytest.approx(np.full(64, 0.125))
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


def drawn(chance: Floats, rng: np.random.Generator) -> list[int]:
    """As many experts as the probabilities add up to, each with its own (systematic sampling)."""
    order = rng.permutation(len(chance))
    ends = np.cumsum(chance[order]) + rng.random()
    return order[np.floor(ends) > np.floor(ends - chance[order])].tolist()


def cycled(chance: Floats, layers: int, places: int, tokens: int) -> float:
    """Hit rate of one LRU cache where tokens go through layers, a draw each."""
    rng = np.random.default_rng(0)
    cache: OrderedDict[tuple[int, int], None] = OrderedDict()
    hits = seen = 0
    for token in range(tokens):
        for layer in range(layers):
            for expert in drawn(chance, rng):
                key = (layer, expert)
                if token > tokens // 4:
                    seen += 1
                    hits += key in cache
                cache.pop(key, None)
                cache[key] = None
                if len(cache) > places:
                    cache.popitem(last=False)
    return hits / seen


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize("places", [30, 120, 200, 260])
def test_a_cache_that_layers_take_turns_in(exponent: float, places: int) -> None:
    """Ten layers of 32 experts, four a token: a token visits 40, and fewer places serve nothing."""
    chance = visit_probabilities(32, 4, exponent)
    hit = cycle_hit_rates(chance, np.ones(32), np.full(32, 10.0), float(places))
    expected = float(hit @ chance) / 4.0
    assert expected == pytest.approx(cycled(chance, 10, places, 600), abs=0.055)
    assert (expected == 0.0) == (places < 40)


def test_a_cycle_of_one_token_is_a_cliff() -> None:
    """gpt-oss-120b at four experts a token: 36 layers, three matrices of 2880 x 2880 in 4.25 bits.

    Its runs on a phone need 1815 MiB a token, and a cache of 1500 MiB serves none of it.
    """
    expert = 3 * 2880**2 * 4.25 / 8
    chance = visit_probabilities(128, 4, 1.0)
    sizes, copies = np.full(128, expert), np.full(128, 36.0)
    assert float(chance @ (sizes * copies)) / 2**20 == pytest.approx(1815, rel=1e-3)

    def hit(mib: float) -> float:
        return float(cycle_hit_rates(chance, sizes, copies, mib * 2**20) @ chance) / 4.0

    assert hit(1500.0) == 0.0
    assert hit(1900.0) > 0.2
    grown = [hit(float(mib)) for mib in range(1900, 60000, 2000)]
    assert np.all(np.diff(grown) >= -1e-12)
    assert grown[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "same"),
    [("0.8", 0.8), ("geometric:0.25", Geometric(0.25)), ("4,2,1,1", [4.0, 2.0, 1.0, 1.0])],
)
def test_a_text_is_the_law_that_it_names(text: str, same: Popularity) -> None:
    assert visit_probabilities(4, 2, text) == pytest.approx(visit_probabilities(4, 2, same))


@pytest.mark.parametrize(
    "wrong", ["geometric:", "geometric:fast", "geometic:0.5", "even", "", "1,x", "geometric:nan"]
)
def test_a_text_that_names_no_law_is_refused(wrong: str) -> None:
    with pytest.raises(InputError) as caught:
        visit_probabilities(4, 2, wrong)
    assert caught.value.faults[0].path == "popularity"


@pytest.mark.parametrize("wrong", [{"a": 1}, [[1, 2], [3]], object(), b"x"])
def test_what_is_no_popularity_at_all_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError):
        visit_probabilities(4, 2, wrong)
