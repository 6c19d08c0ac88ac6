"""The closed form of a GEMM: beside an exhaustive search, the staircase, and its own properties."""

import itertools

import numpy as np
import pytest
from exhaustive import search
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.traffic.closed_forms import gemm_traffic
from perfmodel.cost.traffic.closed_forms.gemm import STATIONARY
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from tests.draws import draws

CONVENTIONS = [
    Conventions(buffering=b, allocation=a)
    for b, a in itertools.product(("single", "double"), ("even", "uneven"))
]


def random_problems(rng, count, most):
    """Dimensions spread evenly over their logarithm; widths as quantised networks have them."""
    dims = np.floor(np.exp(rng.uniform(0, np.log(most + 1), (3, count))))
    widths = np.stack(
        [
            rng.choice([0.5, 1.0, 2.0, 4.0], count),
            rng.choice([0.5, 1.0, 2.0, 4.0], count),
            rng.choice([1.0, 2.0], count),
            rng.choice([2.0, 4.0], count),
        ]
    )
    return dims, widths


def as_nest(dims):
    m, n, k = map(int, dims)
    return TileNest(out_rows=m, out_channels=n, in_channels=k)


def closed(dims, widths, capacity, conventions, **options):
    """Arrays of capacities (problems, capacities) beside columns of dimensions and widths."""
    m, n, k = dims[..., None]
    widths = Widths(*widths[..., None])
    return gemm_traffic(TileNest.product(m, n, k), capacity, widths, conventions, **options)


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_equals_the_exhaustive_search(conventions):
    rng = np.random.default_rng(11)
    count = draws(125)
    dims, widths = random_problems(rng, count, 20)
    capacity = np.empty((count, 24))
    exact = np.empty_like(capacity)
    for i in range(count):
        at, best = search(as_nest(dims[:, i]), Widths(*widths[:, i]), conventions)
        chosen = np.linspace(0, len(at) // 2, 24).astype(int)
        capacity[i], exact[i] = at[chosen], best[chosen]
    found = closed(dims, widths, capacity, conventions).total
    assert np.isinf(exact).any()
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
@pytest.mark.parametrize("window", [2, 4])
def test_large_problems_are_never_below_their_staircase_and_hardly_above(conventions, window):
    rng = np.random.default_rng(12)
    count = draws(40)
    dims, widths = random_problems(rng, count, 2048)
    steps = [
        staircase(as_nest(dims[:, i]), Widths(*widths[:, i]), conventions) for i in range(count)
    ]
    # From below the smallest tile to all but everything.
    capacity = np.stack(
        [np.geomspace(s.capacity_bytes[0] * 0.9, s.capacity_bytes[-1], 40) for s in steps]
    )
    exact = np.stack([s(c) for s, c in zip(steps, capacity, strict=True)])
    found = closed(dims, widths, capacity, conventions, window=window).total
    np.testing.assert_array_equal(np.isinf(found), np.isinf(exact))
    fits = np.isfinite(exact)
    ratio = found[fits] / exact[fits]
    assert ratio.min() > 1 - 1e-12
    assert ratio.max() < 1.01
    assert np.mean(ratio > 1 + 1e-12) <= (0.002 if window == 2 else 0.0)


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_parts_are_those_of_the_tile(conventions):
    """From the tile alone, by the rule that a tile is fetched when its index changes."""
    rng = np.random.default_rng(13)
    dims, widths = random_problems(rng, 400, 500)
    capacity = np.exp(rng.uniform(np.log(50), np.log(1e6), (400, 1)))
    found = closed(dims, widths, capacity, conventions)
    fits = np.isfinite(found.total)
    assert fits.any()
    m, n, k, a, b, c, p = (
        np.broadcast_to(x[:, None], found.total.shape)[fits] for x in (*dims, *widths)
    )
    tm, tn, tk = (t[fits] for t in (found.tile_m, found.tile_n, found.tile_k))
    kind = np.array(STATIONARY)[found.stationary[fits]]
    nm, nn, nk = np.ceil(m / tm), np.ceil(n / tn), np.ceil(k / tk)
    reads = np.where(kind == "output", 0, m * n * p * (nk - 1))
    np.testing.assert_allclose(found.input[fits], m * k * a * np.where(kind == "input", 1, nn))
    np.testing.assert_allclose(found.weight[fits], k * n * b * np.where(kind == "weight", 1, nm))
    np.testing.assert_allclose(found.output[fits], m * n * c + 2 * reads)
    np.testing.assert_allclose(found.partial_reads[fits], reads)
    np.testing.assert_allclose(
        found.total[fits], found.input[fits] + found.weight[fits] + found.output[fits]
    )
    # Held whole under uneven allocation, "all" may be one operand with a line of another.
    uneven = conventions.allocation == "uneven"
    even = ~np.char.endswith(kind, "panel") & ~(uneven & (kind == "all"))
    held = tm * tk * a + tk * tn * b + tm * tn * p
    assert np.all(held[even] <= np.broadcast_to(capacity, fits.shape)[fits][even])


dimension = st.integers(1, 4096)
width = st.sampled_from([0.5, 1.0, 2.0, 4.0])


@settings(max_examples=draws(60), deadline=None)
@given(dimension, dimension, dimension, width, width, st.sampled_from(CONVENTIONS))
def test_properties(m, n, k, a, b, conventions):
    capacity = np.geomspace(4, 1e8, 150)
    nest, options = TileNest.product(m, n, k), {"conventions": conventions, "window": 4}
    found = gemm_traffic(nest, capacity, Widths(a, b), **options)
    turned = gemm_traffic(TileNest.product(n, m, k), capacity, Widths(b, a), **options)
    np.testing.assert_array_equal(found.total, turned.total)
    finite = np.isfinite(found.total)
    # More capacity never moves more; nothing moves less than once.
    assert np.all(np.diff(found.total[finite]) <= 0)
    assert not np.any(np.isfinite(found.total[: np.argmax(finite)]))
    least = m * k * a + k * n * b + m * n
    assert np.all(found.total >= least)
    assert found.total[-1] == least or m * n * 4 + m * k * a + k * n * b > 1e8
    # Bytes scale with the widths.
    twice = gemm_traffic(nest, 2 * capacity, Widths(2 * a, 2 * b, 2.0, 8.0), **options)
    np.testing.assert_array_equal(twice.total, 2 * found.total)


def test_points_are_alone_what_they_are_together():
    rng = np.random.default_rng(14)
    dims, _ = random_problems(rng, 3000, 4096)
    capacity = np.exp(rng.uniform(np.log(10), np.log(1e7), 3000))
    together = gemm_traffic(TileNest.product(*dims), capacity).total
    assert together.shape == (3000,)
    for i in range(0, 3000, 300):
        alone = gemm_traffic(TileNest.product(*dims[:, i]), capacity[i]).total
        assert alone.shape == ()
        assert alone == together[i]


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_operands_without_width_neither_move_nor_are_held(conventions):
    for widths in ((0, 1, 1, 4), (1, 0, 1, 4), (1, 2, 0, 0), (0, 1, 0, 0), (1, 1, 0, 4)):
        steps = staircase(
            TileNest(out_rows=30, out_channels=50, in_channels=40), Widths(*widths), conventions
        )
        capacity = np.arange(1.0, 4000.0, 7.0)
        nest = TileNest.product(30, 50, 40)
        found = gemm_traffic(nest, capacity, Widths(*widths), conventions)
        np.testing.assert_allclose(found.total, steps(capacity), rtol=1e-12)


def test_relaxed_is_below_the_whole_tiles_and_near_them():
    rng = np.random.default_rng(15)
    for conventions in CONVENTIONS:
        dims, widths = random_problems(rng, 2000, 4096)
        capacity = np.exp(rng.uniform(np.log(1e3), np.log(1e7), (2000, 1)))
        whole = closed(dims, widths, capacity, conventions).total
        relaxed = closed(dims, widths, capacity, conventions, relaxed=True).total
        fits = np.isfinite(whole)
        ratio = relaxed[fits] / whole[fits]
        assert ratio.max() < 1 + 1e-9
        assert np.quantile(ratio, 0.5) > 0.97
        assert ratio.min() > 0.5


@pytest.fixture
def jax():
    module = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")
    before = module.config.jax_enable_x64
    module.config.update("jax_enable_x64", True)
    yield module
    module.config.update("jax_enable_x64", before)


def test_relaxed_has_slopes(jax):
    conventions = Conventions(allocation="uneven")

    def total(m, n, k, capacity, weight):
        nest, widths = TileNest.product(m, n, k), Widths(weight=weight)
        return gemm_traffic(nest, capacity, widths, conventions, relaxed=True).total

    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3, 4)))
    for point in ((2048.0, 4096.0, 1000.0, 1e6, 0.5), (8.0, 4096.0, 4096.0, 2e5, 1.0)):
        for i, slope in enumerate(slopes(*point)):
            step = np.zeros(5)
            step[i] = point[i] * 1e-6
            up, down = (total(*(np.array(point) + s)) for s in (step, -step))
            np.testing.assert_allclose(slope, (up - down) / (2 * step[i]), rtol=1e-4, atol=1e-3)


def test_other_namespaces_find_the_same(jax):
    conventions = Conventions(allocation="uneven")
    capacity = np.geomspace(10, 1e7, 60)

    def both(capacity):
        nest = TileNest.product(300, 700, 512)
        found = gemm_traffic(nest, capacity, conventions=conventions)
        return found.total, found.weight

    for ours, theirs in zip(both(capacity), jax.jit(both)(capacity), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-12)
