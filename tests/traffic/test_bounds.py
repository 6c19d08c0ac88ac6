"""No tiling moves less than a bound: beside the exhaustive search, staircases and closed forms."""

import itertools

import numpy as np
import pytest
from exhaustive import search

from perfmodel.cost.traffic.bounds import compulsory_bound, relaxed_bound, root_bound
from perfmodel.cost.traffic.closed_forms import gemm_traffic
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from tests.draws import draws

CONVENTIONS = [
    Conventions(*c)
    for c in itertools.product(("single", "double"), ("refetched", "kept"), ("even",))
]
WIDTHS = [Widths(1, 1, 1, 4), Widths(2, 0.5, 1, 2), Widths(0.5, 4, 2, 4), Widths(4, 1, 2, 2)]


def bounds_of(nest, widths, capacity):
    """Compulsory and square-root bound of a nest at an array of capacities."""
    return compulsory_bound(nest, widths), root_bound(nest, capacity, widths)


def random_convolution(rng, positions, channels):
    p, q = (int(np.exp(rng.uniform(0, np.log(positions)))) for _ in range(2))
    k, c = (int(np.exp(rng.uniform(0, np.log(channels)))) for _ in range(2))
    r, s, stride, other, dilation, batch = (int(x) for x in rng.integers(1, 4, 6))
    return TileNest(
        out_rows=p,
        out_columns=q,
        out_channels=k,
        in_channels=c,
        kernel_rows=r,
        kernel_columns=s,
        row_stride=stride,
        column_stride=other,
        row_dilation=dilation,
        batch=batch,
        groups=2,
    )


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_below_the_exhaustive_search(conventions):
    rng = np.random.default_rng(41)
    for i in range(draws(8)):
        nest, widths = random_convolution(rng, 6, 5), WIDTHS[i % len(WIDTHS)]
        capacity, best = search(nest, widths, conventions)
        least, root = bounds_of(nest, widths, np.maximum(capacity, 0.5))
        assert np.all(best >= root * (1 - 1e-12))
        # With everything held, compulsory is what moves.
        assert best[-1] == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_below_staircases_of_convolutions(conventions):
    rng = np.random.default_rng(42)
    close = []
    for i in range(draws(40)):
        nest, widths = random_convolution(rng, 64, 200), WIDTHS[i % len(WIDTHS)]
        steps = staircase(nest, widths, conventions)
        least, root = bounds_of(nest, widths, steps.capacity_bytes)
        assert steps.compulsory_bytes == pytest.approx(least, rel=1e-12)
        assert np.all(steps.traffic_bytes >= root * (1 - 1e-12))
        assert np.all(root >= least * (1 - 1e-12))
        # Just before each step down the bound is tightest.
        before = bounds_of(nest, widths, np.nextafter(steps.capacity_bytes[1:], 0))[1]
        assert np.all(steps.traffic_bytes[:-1] >= before * (1 - 1e-12))
        close.append(np.median(steps.traffic_bytes / root))
    assert np.median(close) < 2


@pytest.mark.parametrize("allocation", ["even", "uneven"])
@pytest.mark.parametrize("buffering", ["single", "double"])
def test_gemm_bounds_below_staircases(buffering, allocation):
    rng = np.random.default_rng(43)
    conventions = Conventions(buffering=buffering, allocation=allocation)
    ratios = []
    for i in range(draws(60)):
        m, n, k = (int(x) for x in np.exp(rng.uniform(0, np.log(1500), 3)))
        widths = WIDTHS[i % len(WIDTHS)]
        nest = TileNest.product(m, n, k)
        steps = staircase(nest, widths, conventions)
        for capacity, traffic in (
            (steps.capacity_bytes, steps.traffic_bytes),
            (np.nextafter(steps.capacity_bytes[1:], 0), steps.traffic_bytes[:-1]),
        ):
            relaxed = relaxed_bound(nest, capacity, widths, conventions)
            assert np.all(traffic >= relaxed * (1 - 1e-9))
            if allocation == "even":
                root = root_bound(nest, capacity, widths)
                assert np.all(traffic >= root * (1 - 1e-12))
                assert np.all(relaxed >= root * (1 - 1e-9))
            ratios.append(traffic / relaxed)
    assert np.median(np.concatenate(ratios)) < 1.06


def test_gemm_is_a_convolution_of_one_tap():
    capacity = np.geomspace(10, 1e7, 50)
    nest = TileNest.product(100, 200, 300)
    gemm = root_bound(nest, capacity, WIDTHS[1])
    one_tap = root_bound(TileNest(10, 10, 200, 300), capacity, WIDTHS[1])
    np.testing.assert_allclose(gemm, one_tap)
    assert compulsory_bound(nest, WIDTHS[1]) == gemm[-1]


def test_the_leading_term_is_reached():
    """Square products in large numbers of tiles come close to ``2 n^3 / sqrt(C)`` elements."""
    n = 2**14
    capacity = np.geomspace(2**14, 2**20, 13)
    found = gemm_traffic(
        TileNest.product(n, n, n), capacity, Widths(partial=1.0), Conventions("single")
    )
    leading = 2 * n**3 / np.sqrt(capacity)
    ratio = found.total / leading
    assert np.all(ratio > 1)
    assert np.all(ratio < 1.15)
