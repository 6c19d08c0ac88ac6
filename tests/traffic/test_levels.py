"""Two levels jointly: fronts equal an exhaustive search over all nests, and walks through them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from joint import DIMENSIONS, bound_chains, extents, largest, search, walk

from perfmodel.cost.traffic.multilevel_search import multilevel_tiling
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.two_level_tiling import levels_front, two_levels
from perfmodel.pareto import front
from tests.draws import draws, of_draws

CONVENTIONS = [
    Conventions(buffering=b, halo=h) for b in ("single", "double") for h in ("refetched", "kept")
]


def random_gemm(rng: random.Random, top: int = 7) -> TileNest:
    m, n, k = (rng.randint(1, top) for _ in range(3))
    return TileNest(out_rows=m, out_channels=n, in_channels=k, groups=rng.choice([1, 1, 3]))


def random_convolution(rng: random.Random, top: int = 4, long: int = 3) -> TileNest:
    """Windows overlap along every axis that is longer than one; few axes are longer than one."""
    stride, dilation = rng.choice([(1, 1), (2, 1), (1, 2), (2, 3)])
    taps = rng.choice([t for t in (2, 3, 5) if t > stride])
    others = rng.sample("NQKC", rng.randint(0, long - 1))
    size = {d: rng.randint(2, top) if d in others else 1 for d in "NQKC"}
    column_taps = rng.choice([2, 3]) if size["Q"] > 1 else 1
    return TileNest(
        rng.randint(dilation + 1, top + dilation),
        size["Q"],
        size["K"],
        size["C"],
        taps,
        column_taps,
        stride,
        1,
        rng.choice([1, 4]),
        size["N"],
        dilation,
    )


def random_widths(rng: random.Random) -> Widths:
    return Widths(
        rng.choice([0.5, 1, 2]), rng.choice([0, 0.5, 1, 2]), rng.choice([1, 2]), rng.choice([2, 4])
    )


def random_capacities(rng: random.Random, nest: TileNest, widths: Widths, levels: int) -> list[Any]:
    sizes = extents(nest)
    whole = (
        widths.input * sizes["N"] * sizes["C"] * (sizes["P"] + 4) * (sizes["Q"] + 2)
        + widths.weight * sizes["K"] * sizes["C"] * nest.kernel_rows * nest.kernel_columns
        + widths.partial * sizes["N"] * sizes["P"] * sizes["Q"] * sizes["K"]
    )
    # From what the smallest tiles take to a good part of all.
    least = widths.partial + widths.input * nest.kernel_rows * nest.kernel_columns
    least += widths.weight * nest.kernel_rows * nest.kernel_columns
    picked = [least * max(1.1, 0.7 * whole / least) ** rng.random() for _ in range(levels)]
    return sorted((round(c, 1) for c in picked), reverse=True)


def check_front(nest: TileNest, widths: Widths, capacities: list[float], c: Conventions) -> int:
    if c.halo == "kept" and nest.row_dilation > 1:
        c = Conventions(c.buffering, "refetched")
    found = levels_front(nest, widths, capacities[0], capacities[1], c)
    truth = search(nest, widths, (capacities[0], capacities[1]), c)
    if not len(truth):
        assert len(found) == 0
        return 0
    truth = np.unique(truth[front(truth)], axis=0) * nest.groups
    ours = np.stack([found.outer_bytes, found.inner_bytes], axis=1)
    assert ours.shape == truth.shape, (nest, widths, capacities, c)
    np.testing.assert_allclose(ours, truth, rtol=1e-12)
    return len(truth)


def test_fronts_of_gemms_equal_a_search_over_all_nests() -> None:
    rng = random.Random(1)
    lengths = []
    for case in range(draws(130)):
        nest, widths = random_gemm(rng, 6), random_widths(rng)
        capacities = random_capacities(rng, nest, widths, 2)
        lengths.append(check_front(nest, widths, capacities, CONVENTIONS[case % 4]))
    assert sum(n > 1 for n in lengths) > of_draws(15)


def test_fronts_of_convolutions_equal_a_search_over_all_nests() -> None:
    rng = random.Random(2)
    lengths = []
    for case in range(draws(90)):
        nest, widths = random_convolution(rng, 4), random_widths(rng)
        capacities = random_capacities(rng, nest, widths, 2)
        lengths.append(check_front(nest, widths, capacities, CONVENTIONS[case % 4]))
    assert sum(n > 1 for n in lengths) > of_draws(8)


def test_search_counts_what_a_walk_through_the_loops_fetches() -> None:
    rng = random.Random(3)
    seen = 0
    for case in range(draws(60)):
        nest = random_gemm(rng, 4) if case % 3 == 0 else random_convolution(rng, 3)
        widths, kept = random_widths(rng), case % 2 == 1 and nest.row_dilation == 1
        bounds = {d: rng.choice(bound_chains(extents(nest)[d], 2)) for d in DIMENSIONS}
        orders = tuple("".join(rng.sample(DIMENSIONS, 5)) for _ in range(2))
        seen += _priced(nest, widths, orders, bounds, kept) == walk(
            nest, widths, orders, bounds, kept
        )
    assert seen == draws(60)


def _priced(
    nest: TileNest,
    widths: Widths,
    orders: tuple[str, ...],
    bounds: dict[str, tuple[int, ...]],
    kept: bool,
) -> list[float]:
    """What the search counts for one mapping."""
    from joint import evaluate

    loops = [(level, d) for level in range(len(orders)) for d in orders[level]]
    conventions = Conventions("single", "kept" if kept else "refetched")
    room = (float("inf"),) * len(orders)
    return evaluate(nest, widths, room, conventions, loops, bounds)[:, 0].tolist()


def test_three_levels_equal_a_search_over_all_nests() -> None:
    rng = random.Random(4)
    finite = 0
    for case in range(max(16, draws(40))):
        nest = random_gemm(rng, 3) if case % 2 else random_convolution(rng, 3, 2)
        widths, count = random_widths(rng), 3 if case % 4 else 2
        conventions = CONVENTIONS[case // 4 % 4]
        if nest.row_dilation > 1:
            conventions = Conventions(conventions.buffering)
        capacities = random_capacities(rng, nest, widths, count)
        prices = [rng.choice([200.0, 20.0, 6.0, 1.0]) for _ in range(count)]
        truth = search(nest, widths, tuple(capacities), conventions)
        wanted = (truth @ np.array(prices)).min() * nest.groups if len(truth) else np.inf
        found = multilevel_tiling(nest, widths, capacities, prices, conventions)
        assert found.objective == pytest.approx(wanted, rel=1e-12)
        if np.isfinite(wanted):
            finite += 1
            paid = sum(b * p for b, p in zip(found.bytes, prices, strict=True))
            assert paid == pytest.approx(wanted, rel=1e-12)
    assert finite > of_draws(25)


def test_tiles_of_an_optimum_fit_and_move_what_it_says() -> None:
    rng = random.Random(5)
    checked = 0
    for case in range(draws(40)):
        nest = random_gemm(rng, 5) if case % 2 else random_convolution(rng, 3)
        widths, conventions = random_widths(rng), CONVENTIONS[case // 2 % 4]
        if nest.row_dilation > 1:
            conventions = Conventions(conventions.buffering)
        capacities = random_capacities(rng, nest, widths, 2)
        found = two_levels(nest, widths, *capacities, 20.0, 1.0, conventions)
        if not found.tiles:
            continue
        outer, inner = found.tiles
        sizes, bounds = extents(nest), dict[str, tuple[int, ...]]()
        for d, far, near in zip(DIMENSIONS, _tile(outer), _tile(inner), strict=True):
            count = -(-sizes[d] // far)
            bounds[d] = (count, -(-largest(sizes[d], (count,)) // near))
        moved = search(nest, widths, tuple(capacities), conventions, bounds) * nest.groups
        assert any(m == pytest.approx(found.bytes, rel=1e-12) for m in moved.tolist())
        checked += 1
    assert checked > of_draws(25)


def _tile(tile: Any) -> tuple[int, ...]:
    return (
        tile.batch,
        tile.out_rows,
        tile.out_columns,
        tile.out_channels,
        tile.in_channels,
    )


def test_prices_are_arrays_and_a_lookup() -> None:
    nest, widths = TileNest(out_rows=96, out_channels=80, in_channels=70), Widths(1, 1, 1, 4)
    found = levels_front(nest, widths, 3000, 300)
    far, near = np.array([[200.0], [20.0], [5.0]]), np.array([1.0, 6.0])
    energy = found.energy(far, near)
    assert energy.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        one = two_levels(nest, widths, 3000, 300, float(far[i, 0]), float(near[j]))
        assert energy[i, j] == one.objective
        assert one.objective == far[i, 0] * one.outer_bytes + near[j] * one.inner_bytes
    seconds = found.time(25e9, np.array([1e11, 1e12]))
    fast = two_levels(nest, widths, 3000, 300, bandwidths=(25e9, 1e11))
    assert seconds[0] == fast.objective == max(fast.outer_bytes / 25e9, fast.inner_bytes / 1e11)


def test_nothing_fits() -> None:
    nest, widths = TileNest(out_rows=8, out_channels=8, in_channels=8), Widths(1, 1, 1, 4)
    found = levels_front(nest, widths, 100, 2)
    assert len(found) == 0
    assert found.energy(1.0, 1.0) == np.inf
    assert found.time(np.ones(3), 1.0).tolist() == [np.inf] * 3
    assert two_levels(nest, widths, 100, 2, 1, 1).tiles == ()
    assert multilevel_tiling(nest, widths, [100, 50, 2], [1, 1, 1]).objective == np.inf


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((TileNest(), Widths(input=-1), 10, 5), "not negative"),
        ((TileNest(), Widths(), 5, 10), "must not increase from the outermost"),
        ((TileNest(), Widths(), 10, 5, Conventions(allocation="uneven")), "even"),
        (
            (TileNest(9, 9, 1, 1, 3, 3, row_dilation=2), Widths(), 9, 5, Conventions(halo="kept")),
            "dilated",
        ),
    ],
)
def test_what_is_refused(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        levels_front(*arguments)


def test_more_splits_than_can_be_tried_are_refused() -> None:
    nest = TileNest(out_rows=1024, out_channels=1024, in_channels=1024)
    with pytest.raises(ValueError, match="thin"):
        multilevel_tiling(nest, Widths(), [1e6, 1e5, 1e4], [1, 1, 1])
    with pytest.raises(ValueError, match="one energy"):
        multilevel_tiling(nest, Widths(), [1e6, 1e5], [1, 1, 1])
