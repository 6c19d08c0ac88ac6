"""Items in levels: brute force, bounds, and what more room does."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.place.knapsack import assign_items, total_cost
from perfmodel.schedule.place.placement_milp import fits
from tests.draws import draws

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Case = tuple[Floats, Ints, Floats, Floats]


def fractional_bound(
    sizes: Floats, copies: Ints, reads: Floats, seconds: Floats, capacities: Floats
) -> float:
    """Return the least cost where copies may be cut, in closed form.

    Where the cost of a copy is what a run reads of it times the level's seconds a byte, and every
    item may lie anywhere, the most-read bytes fill the fastest level, and so on: two sorted
    sequences have their least scalar product in opposite order (Hardy, Littlewood and Polya,
    "Inequalities", theorem 368).

    Parameters
    ----------
    reads
        Bytes that a run reads of one copy, ``(n,)``.
    seconds
        Of a byte from each level, ``(levels,)``.

    Returns
    -------
    float
        Infinite where the items do not fit.
    """
    order = np.argsort(-reads / sizes, kind="stable")
    stored = np.concatenate([[0.0], np.cumsum(sizes[order] * copies[order])])
    read = np.concatenate([[0.0], np.cumsum(reads[order] * copies[order])])
    fast = np.argsort(seconds, kind="stable")
    ends = np.minimum(np.cumsum(capacities[fast]), stored[-1])
    if ends[-1] < stored[-1] * (1.0 - 1e-12):
        return math.inf
    cut: Floats = np.interp(np.concatenate([[0.0], ends]), stored, read)
    return float(np.sum(np.diff(cut) * seconds[fast]))


def random_case(seed: int, *, holes: float = 0.15) -> Case:
    rng = np.random.default_rng(seed)
    n, levels = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    sizes: Floats = rng.integers(1, 10, n).astype(np.float64)
    copies: Ints = rng.integers(1, 4, n).astype(np.int64)
    reads: Floats = rng.integers(0, 10, n).astype(np.float64)
    costs: Floats = reads[:, None] * np.sort(rng.random(levels))
    costs[rng.random((n, levels)) < holes] = np.inf
    capacities: Floats = rng.integers(1, 30, levels).astype(np.float64)
    return sizes, copies, costs, capacities


def brute(case: Case) -> float:
    """Least cost over every way to distribute the copies."""
    sizes, copies, costs, capacities = case
    levels = costs.shape[1]
    ways = [
        [w for w in itertools.product(range(c + 1), repeat=levels) if sum(w) == c] for c in copies
    ]
    best = math.inf
    for chosen in itertools.product(*ways):
        counts = np.array(chosen)
        if np.any((counts > 0) & np.isinf(costs)) or np.any(sizes @ counts > capacities):
            continue
        best = min(best, total_cost(counts, costs))
    return best


@pytest.mark.parametrize("seed", range(draws(60)))
def test_exact_is_brute_force(seed: int) -> None:
    case = random_case(seed)
    best = brute(case)
    found = assign_items(*case)
    assert found.proved
    if math.isinf(best):
        assert found.solution is None
        assert math.isinf(found.bound)
        return
    assert found.solution is not None
    assert found.value == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert np.array_equal(found.solution.sum(axis=1), case[1])
    assert fits(found.solution, case[0], case[3])


@settings(max_examples=draws(40))
@given(st.integers(0, 10**6))
def test_methods_are_ordered_and_bounded(seed: int) -> None:
    case = random_case(seed, holes=0.1)
    greedy, rounded, exact = (assign_items(*case, method=m) for m in ("greedy", "lp", "exact"))
    assert exact.value <= rounded.value <= greedy.value
    for found in (greedy, rounded, exact):
        assert found.bound <= exact.value
        assert (found.solution is None) == math.isinf(found.value)
        if found.solution is not None:
            assert found.value == total_cost(found.solution, case[2])


@settings(max_examples=draws(40))
@given(st.integers(0, 10**6), st.integers(0, 2), st.floats(0.0, 20.0))
def test_more_room_never_costs_more(seed: int, level: int, more: float) -> None:
    sizes, copies, costs, capacities = random_case(seed, holes=0.0)
    larger = capacities.copy()
    larger[level % len(larger)] += more
    before = assign_items(sizes, copies, costs, capacities)
    after = assign_items(sizes, copies, costs, larger)
    assert after.value <= before.value * (1 + 1e-9) or math.isinf(before.value)
    assert math.isinf(before.value) or not math.isinf(after.value)


@settings(max_examples=draws(40))
@given(st.integers(0, 10**6))
def test_closed_form_is_the_linear_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, levels = int(rng.integers(1, 30)), int(rng.integers(1, 5))
    sizes: Floats = rng.uniform(1.0, 9.0, n)
    copies: Ints = rng.integers(1, 5, n).astype(np.int64)
    reads: Floats = rng.uniform(0.0, 9.0, n)
    seconds: Floats = rng.uniform(0.1, 5.0, levels)
    room: Floats = rng.uniform(0.1, 1.0, levels) * float(sizes @ copies)
    closed = fractional_bound(sizes, copies, reads, seconds, room)
    relaxed = assign_items(sizes, copies, reads[:, None] * seconds, room, method="lp")
    if math.isinf(closed):
        assert relaxed.solution is None
        return
    # `bound` is the relaxation's value, or the placement's own where that is less by rounding.
    assert relaxed.bound == pytest.approx(closed, rel=1e-6, abs=1e-9)


def test_many_items_are_close_to_the_bound_without_a_search() -> None:
    rng = np.random.default_rng(1)
    n = 10_000
    sizes: Floats = rng.uniform(1e4, 1e6, n)
    copies: Ints = np.ones(n, dtype=np.int64)
    reads: Floats = sizes * rng.pareto(1.5, n)
    seconds: Floats = np.array([1e-12, 1e-11, 1e-9, 1e-8])
    room: Floats = np.array([0.01, 0.1, 0.3, 1.0]) * sizes.sum()
    found = assign_items(sizes, copies, reads[:, None] * seconds, room, method="lp")
    assert found.solution is not None
    assert fits(found.solution, sizes, room)
    closed = fractional_bound(sizes, copies, reads, seconds, room)
    assert closed <= found.value <= closed * 1.0001


def test_a_search_that_is_stopped_says_so() -> None:
    rng = np.random.default_rng(3)
    n = 400
    sizes: Floats = rng.uniform(1.0, 1.5, n)
    costs: Floats = (sizes * rng.uniform(1.0, 1.1, n))[:, None] * np.array([1.0, 3.0, 9.0])
    room: Floats = np.array([0.21, 0.33, 1.0]) * sizes.sum()
    found = assign_items(sizes, np.ones(n, dtype=np.int64), costs, room, deadline=Deadline(0.0))
    assert found.solution is not None
    assert not found.proved
    assert 0.0 < found.bound < found.value


def test_a_knapsack_where_greedy_is_wrong() -> None:
    """Density takes the small piece, and then the large one has no room."""
    sizes: Floats = np.array([1.0, 10.0])
    copies: Ints = np.ones(2, dtype=np.int64)
    costs: Floats = np.array([[0.0, 2.0], [0.0, 10.0]])
    room: Floats = np.array([10.0, 100.0])
    assert assign_items(sizes, copies, costs, room, method="greedy").value == 10.0
    exact = assign_items(sizes, copies, costs, room)
    assert exact.value == 2.0
    assert exact.proved


@pytest.mark.parametrize("seed", range(draws(8)))
def test_two_levels_are_a_knapsack(seed: int) -> None:
    """Forty pieces, two levels: dynamic programming over whole sizes."""
    rng = np.random.default_rng(seed)
    n, room = 40, 150
    sizes: Ints = rng.integers(3, 30, n).astype(np.int64)
    saved: Floats = sizes * rng.uniform(0.9, 1.1, n)
    best: Floats = np.zeros(room + 1)
    for size, worth in zip(sizes.tolist(), saved.tolist(), strict=True):
        best[size:] = np.maximum(best[size:], best[:-size] + worth)
    costs: Floats = np.stack([np.zeros(n), saved], axis=1)
    found = assign_items(
        sizes.astype(np.float64), np.ones(n, dtype=np.int64), costs, np.array([room, np.inf])
    )
    assert found.proved
    assert found.value == pytest.approx(float(saved.sum() - best[room]), rel=1e-9)
