"""Closed forms of convolutions beside an exhaustive search, staircases, and their properties."""

import itertools
from dataclasses import astuple, replace

import numpy as np
import pytest
from exhaustive import search

from perfmodel.cost.traffic.closed_forms import (
    convolution_traffic,
    depthwise_traffic,
    gemm_traffic,
)
from perfmodel.cost.traffic.closed_forms.convolution import STATIONARY
from perfmodel.cost.traffic.convolution_axis import flatten_nest
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase

CONVENTIONS = [
    Conventions(buffering=b, halo=h)
    for b, h in itertools.product(("single", "double"), ("refetched", "kept"))
]


def random_nests(rng, count, positions, channels, *, batch=1, kernels=(1, 3, 5, 7), dilation=1):
    """Nests with extents spread over their logarithm, square more often than not."""
    out = []
    for _ in range(count):
        p, q = (int(np.exp(rng.uniform(0, np.log(positions + 1)))) for _ in range(2))
        k, c = (int(np.exp(rng.uniform(0, np.log(channels + 1)))) for _ in range(2))
        r, s = (int(x) for x in rng.choice(kernels, 2))
        if rng.random() < 0.6:
            q, s = p, r
        stride, spread = int(rng.integers(1, 3)), int(rng.integers(1, dilation + 1))
        out.append(
            TileNest(
                out_rows=p,
                out_columns=q,
                out_channels=k,
                in_channels=c,
                kernel_rows=r,
                kernel_columns=s,
                row_stride=stride,
                column_stride=stride,
                row_dilation=spread,
                column_dilation=spread,
                batch=int(rng.integers(1, batch + 1)),
            )
        )
    return out


def random_widths(rng, count):
    return [
        Widths(
            *(
                float(x)
                for x in (
                    rng.choice([0.5, 1, 2, 4]),
                    rng.choice([0.5, 1, 2, 4]),
                    rng.choice([1, 2]),
                    rng.choice([2, 4]),
                )
            )
        )
        for _ in range(count)
    ]


def columns(nests):
    """Keyword arguments of a closed form, a line a nest."""
    names = TileNest.__slots__
    return TileNest(
        **{name: np.array([[getattr(n, name)] for n in nests], dtype=float) for name in names}
    )


def widths_of(widths):
    return Widths(*np.array([astuple(w) for w in widths]).T[..., None])


def closed(nests, widths, capacity, conventions, **options):
    return convolution_traffic(columns(nests), capacity, widths_of(widths), conventions, **options)


def staircases(nests, widths, conventions):
    return [staircase(n, w, conventions) for n, w in zip(nests, widths, strict=True)]


def beside(steps, points, least):
    """Capacities from `least` (or the smallest tile) to all but everything, and the optimum."""
    capacity = np.stack(
        [
            np.geomspace(
                max(least, s.capacity_bytes[0]), max(least, s.capacity_bytes[-1]) * 0.999, points
            )
            for s in steps
        ]
    )
    capacity = np.ceil(capacity)
    return capacity, np.stack([s(c) for s, c in zip(steps, capacity, strict=True)])


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_never_below_the_exhaustive_search_and_seldom_above(conventions):
    rng = np.random.default_rng(31)
    nests = random_nests(rng, 9, 6, 5, kernels=(1, 2, 3), batch=2)
    widths = random_widths(rng, 9)
    capacity, exact = np.empty((9, 12)), np.empty((9, 12))
    for i, (nest, width) in enumerate(zip(nests, widths, strict=True)):
        # Flat indices may be cut where a search of rows and columns has rectangles only.
        at, best = search(flatten_nest(nest), width, conventions)
        chosen = np.linspace(0, len(at) // 2 - 1, 12).astype(int)
        capacity[i], exact[i] = at[chosen], best[chosen]
    found = closed(nests, widths, capacity, conventions).total
    np.testing.assert_array_equal(np.isinf(found), np.isinf(exact))
    assert np.isinf(exact).any()
    fits = np.isfinite(exact)
    ratio = found[fits] / exact[fits]
    assert ratio.min() > 1 - 1e-12
    assert np.median(ratio) < 1 + 1e-12
    # Nests of a few elements are hard on a grid, and still most are exact.
    assert np.mean(ratio < 1 + 1e-12) > 0.9
    assert np.mean(ratio) < 1.01


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_most_equal_their_staircase(conventions):
    rng = np.random.default_rng(32)
    nests = random_nests(rng, 60, 128, 512)
    widths = random_widths(rng, 60)
    capacity, exact = beside(staircases(nests, widths, conventions), 3, 1024.0)
    ratio = closed(nests, widths, capacity, conventions).total / exact
    assert ratio.min() > 1 - 1e-12
    assert np.median(ratio) < 1 + 1e-12
    assert np.quantile(ratio, 0.99) < 1.02
    assert np.mean(ratio) < 1.002


def test_batches_groups_and_dilation():
    rng = np.random.default_rng(33)
    conventions = Conventions()
    nests = random_nests(rng, 30, 40, 100, batch=6, dilation=3)
    widths = random_widths(rng, 30)
    capacity, exact = beside(staircases(nests, widths, conventions), 3, 1024.0)
    found = closed(nests, widths, capacity, conventions).total
    ratio = found / exact
    assert ratio.min() > 1 - 1e-12
    assert np.quantile(ratio, 0.98) < 1.02
    many = replace(columns(nests), groups=np.full((30, 1), 7.0))
    grouped = convolution_traffic(many, capacity, widths_of(widths), conventions)
    np.testing.assert_allclose(grouped.total, 7 * found, rtol=1e-12)


@pytest.mark.parametrize("conventions", CONVENTIONS[::2], ids=str)
def test_depthwise(conventions):
    rng = np.random.default_rng(34)
    nests = [
        TileNest(
            **{name: getattr(n, name) for name in TileNest.__slots__}
            | {"in_channels": 1, "out_channels": 1, "groups": 32}
        )
        for n in random_nests(rng, 150, 256, 1, kernels=(3, 5, 7), batch=2)
    ]
    widths = random_widths(rng, 150)
    steps = staircases(nests, widths, conventions)
    both = [
        (n, w, s)
        for n, w, s in zip(nests, widths, steps, strict=True)
        if s.capacity_bytes[-1] > 2048
    ]
    nests, widths, steps = (list(x) for x in zip(*both, strict=True))
    assert len(nests) > 60
    capacity, exact = beside(steps, 4, 1024.0)
    found = depthwise_traffic(columns(nests), capacity, widths_of(widths), conventions)
    ratio = found.total / exact
    assert ratio.min() > 1 - 1e-12
    assert np.mean(ratio < 1 + 1e-12) > 0.97
    assert np.quantile(ratio, 0.99) < 1.002


def test_parts_add_up_and_the_tile_fits():
    rng = np.random.default_rng(35)
    nests = random_nests(rng, 40, 64, 64)
    widths = random_widths(rng, 40)
    for conventions in (CONVENTIONS[0], CONVENTIONS[3]):
        steps = staircases(nests, widths, conventions)
        capacity, _ = beside(steps, 3, 512.0)
        found = closed(nests, widths, capacity, conventions)
        np.testing.assert_allclose(found.total, found.input + found.weight + found.output)
        kind = np.array(STATIONARY)[found.stationary]
        weights = np.array(
            [
                [n.out_channels * n.in_channels * n.kernel_rows * n.kernel_columns * w.weight]
                for n, w in zip(nests, widths, strict=True)
            ]
        )
        times = found.weight / weights
        np.testing.assert_allclose(times, np.round(times))
        assert np.all(times[(kind == "weight") | (kind == "all")] == 1)
        assert np.all(found.partial_reads[kind == "output"] == 0)
        w = widths_of(widths)
        taps = found.tile_kernel_rows * found.tile_kernel_columns
        outputs = found.tile_rows * found.tile_columns * found.tile_batch
        held = (
            found.tile_in_channels * found.tile_out_channels * taps * w.weight
            + found.tile_out_channels * outputs * w.partial
        )
        # The input beside them, at the least an element of each position or tap.
        held += found.tile_in_channels * np.maximum(1, found.tile_batch) * w.input
        assert np.all(held <= capacity)


def test_one_tap_is_a_gemm_of_all_pixels():
    capacity = np.geomspace(100, 1e6, 30)
    found = convolution_traffic(TileNest(14, 9, 96, 40, batch=3), capacity)
    gemm = gemm_traffic(TileNest.product(14 * 9 * 3, 96, 40), capacity)
    np.testing.assert_array_equal(found.total, gemm.total)
    np.testing.assert_array_equal(found.weight, gemm.weight)
    np.testing.assert_array_equal(found.tile_rows, gemm.tile_m)


#: Rows, columns, channels out and in, kernel, stride of the distinct layers of ResNet-18.
RESNET18 = [
    (112, 112, 64, 3, 7, 2),
    (56, 56, 64, 64, 3, 1),
    (28, 28, 128, 64, 3, 2),
    (28, 28, 128, 128, 3, 1),
    (28, 28, 128, 64, 1, 2),
    (14, 14, 256, 128, 3, 2),
    (14, 14, 256, 256, 3, 1),
    (14, 14, 256, 128, 1, 2),
    (7, 7, 512, 256, 3, 2),
    (7, 7, 512, 512, 3, 1),
    (7, 7, 512, 256, 1, 2),
]


@pytest.mark.parametrize("conventions", CONVENTIONS[:3:2], ids=str)
def test_resnet18_within_two_percent_and_falling(conventions):
    nests = [
        TileNest(
            out_rows=p,
            out_columns=q,
            out_channels=k,
            in_channels=c,
            kernel_rows=r,
            kernel_columns=r,
            row_stride=s,
            column_stride=s,
        )
        for p, q, k, c, r, s in RESNET18
    ]
    widths = [Widths(1, 1, 1, 4)] * len(nests)
    capacity = 2.0 ** np.arange(10, 24.5, 0.5) // 1
    exact = np.stack([s(capacity) for s in staircases(nests, widths, conventions)])
    found = closed(nests, widths, capacity, conventions).total
    ratio = found / exact
    assert ratio.min() > 1 - 1e-12
    assert ratio.max() < 1.02
    # A larger buffer moves more only by what the closed form misses.
    assert np.all(found[:, 1:] <= found[:, :-1] * 1.01)


def test_relaxed_is_near_the_optimum_and_smooth():
    rng = np.random.default_rng(36)
    # One position has no window that slides: with a little more it has.
    nests = [n for n in random_nests(rng, 80, 128, 512) if n.out_rows > 1]
    widths = random_widths(rng, len(nests))
    conventions = Conventions()
    capacity, exact = beside(staircases(nests, widths, conventions), 3, 1024.0)
    ratio = closed(nests, widths, capacity, conventions, relaxed=True).total / exact
    assert ratio.max() < 1.05
    assert ratio.min() > 0.5
    assert np.median(ratio) > 0.93
    # The traffic moves little with little more of anything.
    for name in ("out_channels", "in_channels", "out_rows", "capacity"):
        base, room, w = columns(nests), capacity, widths_of(widths)
        if name == "capacity":
            room = capacity * (1 + 1e-6)
        more = (
            base
            if name == "capacity"
            else replace(base, **{name: getattr(base, name) * (1 + 1e-6)})
        )
        change = convolution_traffic(more, room, w, relaxed=True).total
        change = change / convolution_traffic(base, capacity, w, relaxed=True).total - 1
        assert np.all(np.abs(change) < 1e-5)
        assert np.all(change < 1e-12 if name == "capacity" else change > -1e-6)


def test_relaxed_depthwise_falls_with_the_capacity():
    capacity = np.geomspace(300, 1e4, 20)
    nest = TileNest(56, 40, kernel_rows=3, kernel_columns=5, groups=32)
    whole = depthwise_traffic(nest, capacity).total
    relaxed, more = (
        depthwise_traffic(nest, c, relaxed=True).total for c in (capacity, capacity * (1 + 1e-6))
    )
    np.testing.assert_allclose(relaxed, whole, rtol=0.1)
    assert np.all(relaxed < whole * 1.01)
    slope = (more / relaxed - 1) / 1e-6
    assert np.all((slope < -0.01) & (slope > -1))


def test_uneven_tiles_are_refused():
    nest, uneven = TileNest(8, 8, 8, 8, 3, 3), Conventions(allocation="uneven")
    with pytest.raises(ValueError, match="staircase"):
        convolution_traffic(nest, 1e4, conventions=uneven)
    with pytest.raises(ValueError, match="staircase"):
        depthwise_traffic(nest, 1e4, conventions=uneven)


@pytest.mark.parametrize("conventions", CONVENTIONS[1:3], ids=str)
def test_operands_without_width_and_buffers_of_any_size(conventions):
    nest = TileNest(14, 14, 20, 12, 3, 3)
    for widths in (Widths(0, 1, 1, 4), Widths(1, 0, 1, 4), Widths(1, 2, 0, 0), Widths(0, 1, 0, 0)):
        steps = staircase(nest, widths, conventions)
        capacity = np.floor(np.geomspace(steps.capacity_bytes[0], steps.capacity_bytes[-1], 12))
        found = closed([nest], [widths], capacity[None], conventions).total[0]
        np.testing.assert_allclose(found, steps(capacity), rtol=0.02)
    total = convolution_traffic(nest, np.array([0.0, 1.0, np.inf]), conventions=conventions).total
    np.testing.assert_array_equal(total, [np.inf, np.inf, 16 * 16 * 12 + 2160 + 14 * 14 * 20])
