"""Uneven tiles of a product against closed forms: panels of one operand, slices of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from tests.draws import draws, of_draws

UNEVEN = Conventions("single", "refetched", "uneven")


def panels(m: int, n: int, k: int, w: Widths, capacity: Any) -> Any:
    """Least traffic with one operand held whole along one extent, by solving for the other."""
    a, b, c = m * k * w.input, k * n * w.weight, m * n * w.output
    again = 2 * m * n * w.partial

    def count(extent: int, fits: Any) -> Any:
        tile = np.clip(np.floor(fits), 0, extent)
        return np.where(tile > 0, np.ceil(extent / np.maximum(tile, 1)), np.inf)

    def slices(element: float, whole: float, element_along: float, extent: int) -> Any:
        return count(extent, (capacity - element) / (whole + element_along))

    return np.min(
        [
            # Rows of A with all of K, or of C with all of N: B comes once for each panel.
            a + c + b * slices(w.weight, w.input * k, w.partial, m),
            a + c + b * slices(w.weight, w.partial * n, w.input, m),
            # Columns of B with all of K, or of C with all of M: A comes once for each.
            b + c + a * slices(w.input, w.weight * k, w.partial, n),
            b + c + a * slices(w.input, w.partial * m, w.weight, n),
            # Slices of K, all of A or of B in them: C goes out and comes back for each.
            a + b + c + again * (slices(w.partial, w.input * m, w.weight, k) - 1),
            a + b + c + again * (slices(w.partial, w.weight * n, w.input, k) - 1),
        ],
        axis=0,
    )


def test_uneven_products_are_the_best_of_even_tiles_and_panels() -> None:
    rng = np.random.default_rng(0)
    gained = 0
    for _ in range(draws(60)):
        m, n, k = (int(2**x) for x in rng.uniform(0, 11, 3))
        w = Widths(*(float(rng.choice(c)) for c in ((0.5, 1, 2, 4), (0.5, 1, 2), (1, 2), (2, 4))))
        capacity = 2 ** rng.uniform(8, 22, 60)
        even = staircase(TileNest(m, 1, n, k), w, Conventions("single"))(capacity)
        best = np.minimum(even, panels(m, n, k, w, capacity))
        assert np.array_equal(staircase(TileNest(m, 1, n, k), w, UNEVEN)(capacity), best)
        gained += int(np.sum(best < even))
    assert gained > of_draws(50)


@settings(max_examples=draws(40))
@given(
    m=st.integers(2, 2000),
    n=st.integers(2, 2000),
    k=st.integers(2, 2000),
    w=st.builds(Widths, *[st.integers(1, 64).map(lambda i: i / 16)] * 4),
)
def test_the_largest_buffer_of_use(m: int, n: int, k: int, w: Widths) -> None:
    """Everything crosses once from the smallest operand, a row of another and one element on."""
    a, b, c = m * k * w.input, k * n * w.weight, m * n * w.partial
    wanted = min(
        a + m * w.partial + w.weight,
        a + k * w.weight + w.partial,
        b + n * w.partial + w.input,
        b + k * w.input + w.partial,
        c + m * w.input + w.weight,
        c + n * w.weight + w.input,
    )
    found = staircase(TileNest(m, 1, n, k), w, UNEVEN)
    assert found.capacity_bytes[-1] == wanted
    assert found.compulsory_bytes == a + b + m * n * w.output
