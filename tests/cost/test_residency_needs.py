"""What a memory must have for an activation to be resident, against the rule word by word."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.cost.residency import residency_needs
from perfmodel.workload.lifetimes import lifetimes_of


def by_the_rule(intervals: list[tuple[int, int]], sizes: list[float]) -> list[float]:
    needs: list[float] = []
    for begin, end in intervals:
        shorter = [i for i, (a, b) in enumerate(intervals) if b - a <= end - begin]
        beside = [
            sum(sizes[i] for i in shorter if intervals[i][0] <= step <= intervals[i][1])
            for step in range(begin, end + 1)
        ]
        needs.append(max(beside))
    return needs


@pytest.mark.parametrize("seed", range(40))
def test_needs_follow_the_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, steps = int(rng.integers(1, 25)), int(rng.integers(1, 15))
    begins = rng.integers(0, steps, count)
    ends = np.minimum(begins + rng.integers(0, steps, count), steps - 1)
    intervals = [(int(a), int(b)) for a, b in zip(begins, ends, strict=True)]
    points = int(rng.choice([1, 3, 80]))
    sizes = rng.integers(0, 1000, (count, points)).astype(float)
    names = [str(i) for i in range(count)]
    needs = residency_needs(lifetimes_of(names, names, intervals), sizes)
    for point in range(points):
        assert needs[:, point].tolist() == by_the_rule(intervals, sizes[:, point].tolist())


def test_a_size_without_end_stays_with_those_that_live_beside_it() -> None:
    lives = lifetimes_of("abc", "abc", [(0, 0), (1, 2), (2, 2)])
    needs = residency_needs(lives, np.array([[np.inf], [2.0], [3.0]]))
    assert needs[:, 0].tolist() == [np.inf, 5.0, 3.0]


def test_needs_grow_linearly_with_the_steps_of_a_training_step() -> None:
    """Forward activations that backward reads in reverse: every pair overlaps."""
    count = 1500
    intervals = [(i, 2 * count - i - 1) for i in range(count)]
    names = [str(i) for i in range(count)]
    needs = residency_needs(lifetimes_of(names, names, intervals), np.ones((count, 1)))
    assert needs[:, 0].tolist() == [float(count - i) for i in range(count)]
