"""The front against its definition, the hypervolume against inclusion-exclusion."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perfmodel.pareto import front, hypervolume


def dominated(points: np.ndarray, i: int) -> bool:
    return any(
        np.all(points[j] <= points[i]) and np.any(points[j] < points[i]) for j in range(len(points))
    )


def clouds(d: int, most: int = 40) -> st.SearchStrategy[np.ndarray]:
    # Small whole numbers, so that ties and duplicates are common.
    return st.integers(0, most).flatmap(
        lambda n: arrays(np.float64, (n, d), elements=st.integers(0, 6).map(float))
    )


@given(st.integers(1, 4).flatmap(clouds))
def test_front_is_what_nothing_dominates(points: np.ndarray) -> None:
    assert front(points).tolist() == [not dominated(points, i) for i in range(len(points))]


@given(clouds(3), st.data())
def test_order_and_monotone_maps_do_not_change_the_front(
    points: np.ndarray, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(points))))
    assert front(points[order]).tolist() == front(points)[order].tolist()
    assert front(np.exp(points)).tolist() == front(points).tolist()


def test_a_point_with_a_nan_is_on_no_front_and_dominates_nothing() -> None:
    assert front([[0.0, np.nan], [1.0, 1.0], [2.0, 2.0]]).tolist() == [False, True, False]
    assert front([[np.inf, 0.0], [0.0, np.inf]]).tolist() == [True, True]


def by_inclusion_exclusion(points: np.ndarray, corner: np.ndarray) -> float:
    inside = points[(points < corner).all(axis=1)]
    total = 0.0
    for k in range(1, len(inside) + 1):
        for chosen in combinations(range(len(inside)), k):
            meet = inside[list(chosen)].max(axis=0)
            total += (-1) ** (k + 1) * float(np.prod(corner - meet))
    return total


@given(st.integers(1, 4).flatmap(lambda d: clouds(d, 7)))
def test_hypervolume_is_the_measure_of_the_union(points: np.ndarray) -> None:
    corner = np.full(points.shape[1], 5.0)
    assert hypervolume(points, corner) == pytest.approx(by_inclusion_exclusion(points, corner))


def test_hypervolume_of_a_cone_section() -> None:
    """A fine sample of x + y + z = 1 leaves 1/6 of the unit cube undominated."""
    n = 60
    grid = [(i / n, j / n, (n - i - j) / n) for i in range(n + 1) for j in range(n + 1 - i)]
    # The staircase overshoots the plane by O(1/n): each cell is counted from its upper corner.
    assert hypervolume(np.array(grid), np.ones(3)) == pytest.approx(5 / 6, abs=1.5 / n)


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((2, 2, 2))])
def test_shapes_are_checked(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shape \(n, d\)"):
        front(points)
    with pytest.raises(ValueError, match="2 finite numbers"):
        hypervolume(np.zeros((1, 2)), [1.0])
