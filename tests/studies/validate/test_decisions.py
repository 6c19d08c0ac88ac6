"""Scores of decisions, against enumeration and cases done by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from perfmodel_studies.decisions import (
    PERCENTILES,
    factor,
    front_score,
    limit_score,
    limits,
    random_front,
    random_limit,
    reference_points,
    top_recall,
)

from perfmodel.errors import InputError

# Five alternatives: cost, quality. The measured front is 0, 1, 3; nothing beats 3.
COST = np.array([1.0, 2.0, 2.5, 4.0, 8.0])
QUALITY = np.array([10.0, 30.0, 20.0, 50.0, 40.0])


def test_corners_by_hand() -> None:
    corners = reference_points(COST, QUALITY)
    assert corners.worst == (8.0, -10.0)
    assert corners.nadir == (4.0, -10.0)


def area(cost: np.ndarray, quality: np.ndarray, corner: tuple[float, float]) -> float:
    """Return the area under the staircase of the best quality within each cost."""
    steps = sorted({c for c in cost.tolist() if c < corner[0]}) + [corner[0]]
    floor = -corner[1]
    return sum(
        (b - a) * max(0.0, quality[cost <= a].max(initial=floor) - floor)
        for a, b in pairwise(steps)
    )


def test_a_perfect_prediction_finds_everything() -> None:
    found = front_score(3.0 * COST, COST, QUALITY)
    assert (found.size, found.measured_size, found.recall) == (3, 3, 1.0)
    assert found.hypervolume == found.hypervolume_nadir == 1.0


def test_a_front_that_misses_counts_what_it_misses() -> None:
    # 1 looks dearer than 3: it is not on the found front.
    found = front_score([1.0, 5.0, 6.0, 4.0, 8.0], COST, QUALITY)
    assert (found.size, found.recall) == (2, pytest.approx(2 / 3))
    # Corner (8, 10): 4 * 40 of 4 * 40 + 2 * 20. Corner (4, 10): nothing of 2 * 20.
    assert found.hypervolume == pytest.approx(160 / 200)
    assert found.hypervolume_nadir == 0.0


@pytest.mark.parametrize("seed", range(10))
def test_shares_of_hypervolume_are_those_of_the_staircase(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost, quality = rng.uniform(1, 5, 40), rng.normal(50, 10, 40)
    guess = cost * rng.lognormal(0, 0.3, 40)
    found = front_score(guess, cost, quality)
    on = np.array(
        [
            not np.any((guess <= g) & (quality >= q) & ((guess < g) | (quality > q)))
            for g, q in zip(guess, quality, strict=True)
        ]
    )
    assert found.size == on.sum()
    for share, corner in zip(
        (found.hypervolume, found.hypervolume_nadir), reference_points(cost, quality), strict=True
    ):
        whole = area(cost, quality, corner)
        assert share == pytest.approx(area(cost[on], quality[on], corner) / whole)
        assert share <= 1.0


def test_limits_by_hand() -> None:
    # As measured.
    found = limit_score(COST, COST, QUALITY, 4.0)
    assert (found.index, found.regret, found.broken, found.tried) == (3, 0.0, False, 1)
    # 3 is thought to cost 5: 1 is taken, 20 below the best.
    found = limit_score([1.0, 2.0, 2.5, 5.0, 8.0], COST, QUALITY, 4.0)
    assert (found.index, found.regret, found.regret_met, found.broken) == (1, 20.0, 20.0, False)
    # 3 is thought to cost 1: it breaks 2.5 by 60 %, and is better for it; then 4, then 1.
    found = limit_score([1.0, 2.0, 2.5, 1.0, 2.0], COST, QUALITY, 2.5)
    assert (found.index, found.regret, found.broken) == (3, -20.0, True)
    assert found.excess == pytest.approx(0.6)
    assert (found.regret_met, found.tried) == (0.0, 3)
    # No prediction meets it: the cheapest is tried first.
    found = limit_score(10 * COST, COST, QUALITY, 2.0)
    assert (found.index, found.regret_met, found.tried) == (-1, 20.0, 1)


def test_scores_do_not_depend_on_the_order_of_alternatives() -> None:
    rng = np.random.default_rng(4)
    cost, quality = rng.uniform(1, 5, 60), rng.normal(50, 10, 60)
    guess = cost * rng.lognormal(0, 0.2, 60)
    order = rng.permutation(60)
    assert front_score(guess, cost, quality) == front_score(
        guess[order], cost[order], quality[order]
    )
    for limit in limits(cost):
        a = limit_score(guess, cost, quality, float(limit))
        b = limit_score(guess[order], cost[order], quality[order], float(limit))
        assert (a.regret, a.regret_met, a.tried) == (b.regret, b.regret_met, b.tried)


def test_small_numbers_by_hand() -> None:
    assert factor([1.0, 2.0, 4.0], [2.0, 6.0, 4.0]) == 2.0
    assert top_recall([1, 2, 3, 4], [1, 3, 2, 4], 2) == 0.5
    assert top_recall(COST, COST, 5) == 1.0
    assert limits(np.arange(101)).tolist() == list(PERCENTILES)


def test_a_random_search_of_everything_finds_everything() -> None:
    assert random_front(COST, QUALITY, 5, draws=3) == (1.0, 1.0)
    assert random_limit(COST, QUALITY, 4.0, 5, draws=3) == 0.0
    # One of five: the mean over 3 regrets 40, 20, 30, 0 that meet it, and the worst for the fifth.
    one = random_limit(COST, QUALITY, 4.0, 1, draws=4000)
    assert one == pytest.approx((40 + 20 + 30 + 0 + 40) / 5, abs=1.5)


def test_bad_input_is_refused_with_every_fault() -> None:
    with pytest.raises(InputError, match="no alternative meets") as caught:
        limit_score(COST, COST, QUALITY, 0.5)
    assert "at least 1" in str(caught.value)
    with pytest.raises(InputError) as caught:
        front_score(COST[:3], COST, [1, 2, 3, 4, np.nan])
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError, match="1 to 5"):
        top_recall(COST, COST, 6)
