"""Tiles and splits: the paper's equations, every split tried, conservation, and monotony."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.nand import (
    Flash,
    FlashMatrix,
    in_flash_time,
    published_columns,
    split,
    tile,
    widths,
)
from perfmodel.kinds.nand.geometry import Tiling
from tests.draws import draws

PAGE, READ = 16384.0, 30e-6


Column: TypeAlias = npt.NDArray[np.float64]
TILINGS: tuple[Tiling, ...] = ("best", "published", "narrowed")


def flash(channels: Any = 8, dies: Any = 4, **changes: Any) -> Flash:
    base = Flash(
        channels, dies, 1.0, 2.0, PAGE, PAGE, READ, channels * 1e9, math.inf, 0.0, 20.48e-6
    )
    return base._replace(**changes)


def gemv(rows: float, columns: float, weight: float = 1.0) -> FlashMatrix:
    return FlashMatrix(rows, columns, 1.0, weight, 1.0, 1.0)


def test_the_published_tile_of_the_small_machine() -> None:
    """256 x 2048 (height x width) on 8 channels of 4 cores, section VIII-C."""
    matrix = gemv(4096, 4096)
    found = tile(flash(), matrix, published_columns(flash(), matrix))
    assert (found.rows, found.columns) == (256, 2048)
    assert found.fill == 1.0
    # Inputs and results of a tile use at most 6 % of the channel (section IV-C).
    carried = (found.inputs + found.results) / found.requests
    assert carried / 1e9 / found.round_time < 0.06


@pytest.mark.parametrize(("channels", "dies"), [(8, 4), (16, 8), (32, 16), (4, 1), (1, 64)])
def test_no_power_of_two_moves_fewer_bytes(channels: int, dies: int) -> None:
    columns = float(published_columns(flash(channels, dies), gemv(1 << 14, 1 << 14)))
    assert math.log2(columns).is_integer()

    def moved(each: float) -> float:
        return each + dies * PAGE / each

    assert moved(columns) == min(moved(2.0**k) for k in range(15))
    # The paper's optimum, an even split of the traffic, is a bound below.
    assert moved(columns) >= 2 * math.sqrt(dies * PAGE) * (1 - 1e-12)
    assert moved(columns) <= 1.07 * 2 * math.sqrt(dies * PAGE)


@pytest.mark.parametrize(
    ("columns", "wide", "fill"),
    [
        (4096, 4096, 1.0),  # narrowed: 128 columns a channel
        (5120, 8192, 0.625),
        (7168, 8192, 0.875),
        (9216, 16384, 0.5625),
        (16384, 16384, 1.0),
        (20480, 16384, 0.625),  # two tiles wide
        (36864, 16384, 0.75),  # three
    ],
)
def test_a_width_that_is_no_power_of_two_leaves_pages_part_empty(
    columns: int, wide: int, fill: float
) -> None:
    matrix = gemv(8192, columns)
    found = split(flash(32, 16), matrix, tiling="narrowed").tile
    assert (found.columns, found.fill) == (wide, fill)
    published = split(flash(32, 16), matrix, tiling="published").tile
    assert published.columns == 16384
    best = split(flash(32, 16), matrix)
    assert best.seconds <= split(flash(32, 16), matrix, tiling="narrowed").seconds
    # 1024 columns divide every one of these widths.
    assert best.tile.fill == 1.0


def brute(f: Flash, m: FlashMatrix, host: float, each: float) -> float:
    """The least time over every number of requests and, within them, every share, written out.

    For a number of requests the time is convex in the share: searched by thirds.
    """
    weights = m.rows * m.columns * m.weight
    height = f.dies * f.cores * f.page / m.weight / each
    across = math.ceil(m.columns / (each * f.channels) - 1e-9)
    most = across * m.rows / height
    groups = math.ceil(m.columns / each - 1e-9)
    lane = f.bandwidth / f.channels
    inputs = m.vectors * each * m.value
    pace = max(f.read_time + (inputs + f.piece / 2) / lane, m.vectors * f.core_time)
    # Bytes of the busiest channel, and of all of them, with everything multiplied in the dies.
    busiest = most * inputs + across * m.vectors * m.rows * m.result
    whole = busiest / across * groups
    sums = groups * m.vectors * m.rows

    def rest(share: Column) -> Column:
        left = (1 - share) * weights * f.sent / f.page
        streamed = (1 - share) * weights / (f.channels * f.dies * f.page)
        return np.maximum.reduce(
            [
                (left / f.channels + share * busiest) / lane,
                (left + share * whole) / f.link,
                (share * most * f.cores + streamed) * f.read_time / f.planes,
                host * (1 - share) + share * sums / (2 * m.vectors * m.rows * m.columns) * host,
            ]
        )

    rounds = np.arange(math.ceil(most - 1e-9) + 1.0)
    low, high = np.zeros(len(rounds)), np.minimum(rounds / most, 1.0)
    for _ in range(70):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        nearer = rest(a) <= rest(b)
        low, high = np.asarray(np.where(nearer, low, a)), np.asarray(np.where(nearer, b, high))
    return float(np.min(np.maximum(rounds * pace, rest((low + high) / 2))))


@settings(max_examples=draws(80), deadline=None)
@given(
    st.sampled_from([1, 2, 8, 12, 32]),
    st.integers(1, 16),
    st.integers(1, 4),
    st.integers(1, 40000),
    st.integers(1, 40000),
    st.sampled_from([1.0, 2.0, 32.0]),
    st.sampled_from([0.5, 0.5625, 1.0, 2.0]),
    st.floats(0.1, 8.0),
    st.floats(0.0, 0.1),
    st.integers(1, 4),
    st.sampled_from([math.inf, 1e9, 8e9]),
    st.sampled_from(TILINGS),
)
def test_no_other_number_of_requests_is_better(
    channels: int,
    dies: int,
    planes: int,
    rows: int,
    columns: int,
    vectors: float,
    weight: float,
    lane: float,
    host: float,
    cores: int,
    link: float,
    tiling: Tiling,
) -> None:
    f = flash(
        channels,
        dies,
        planes=float(max(planes, cores)),
        bandwidth=channels * lane * 1e9,
        sent=18048.0,
        cores=float(cores),
        link=link,
    )
    m = FlashMatrix(float(rows), float(columns), vectors, weight, 1.0, 2.0)
    found = split(f, m, host, tiling=tiling)
    tried = np.unique(widths(f, m, tiling))
    least = min(brute(f, m, host, float(each)) for each in tried)
    assert float(found.seconds) == pytest.approx(least, rel=1e-9, abs=1e-15)
    # Nothing is lost: what is not multiplied in the dies is streamed.
    weights = rows * columns * weight
    inside = float(found.rounds) * channels * dies * cores * PAGE * float(found.tile.fill)
    assert inside + float(found.streamed) >= weights * (1 - 1e-9)
    assert float(found.host_share) == pytest.approx(float(found.streamed) / weights, abs=1e-12)
    assert float(found.array_bytes) >= weights * (1 - 1e-9)
    assert float(found.request_bytes) <= float(found.rounds) * channels * dies * cores * PAGE * (
        1 + 1e-9
    )
    # What is streamed brings its spare area.
    assert float(found.channel_bytes) >= float(found.streamed) * 18048 / 16384 * (1 - 1e-9)


SHAPES = np.array(
    [
        (4096, 4096),
        (4096, 11008),
        (11008, 4096),
        (5120, 5120),
        (13824, 5120),
        (9216, 9216),
        (36864, 9216),
        (1000, 300),
        (50272, 4096),
        (64, 40000),
        (17, 3),
    ],
    dtype=float,
)


@pytest.mark.parametrize("link", [math.inf, 8e9])
@pytest.mark.parametrize("host", [0.0, 3e-12])
@pytest.mark.parametrize("vectors", [1.0, 3.0])
def test_more_hardware_is_never_slower(link: float, host: float, vectors: float) -> None:
    """Dies, channels and planes from one up, of any number: what has no work idles."""
    rows, columns = SHAPES[:, :1], SHAPES[:, 1:]
    matrix = FlashMatrix(rows, columns, vectors, 1.0, 1.0, 2.0)
    work = host * rows * columns * vectors
    count = np.arange(1.0, 513.0)
    for name, machine in (
        ("dies", flash(dies=count)),
        ("channels", flash(channels=count)),
        ("channels of 16 dies", flash(channels=count, dies=16)),
        ("planes", flash(planes=count[:8])),
    ):
        seconds = split(machine._replace(link=link), matrix, work).seconds
        assert np.all(np.diff(seconds, axis=1) <= 1e-12 * seconds[:, 1:]), name
    # A width that is fixed leaves pages empty, and more of either may be slower: so it is the best
    # width that the statement rests on.
    fixed = split(flash(dies=count), matrix, tiling="narrowed").seconds
    assert np.any(np.diff(fixed, axis=1) > 1e-6 * fixed[:, 1:])


def test_a_tie_takes_the_width_that_moves_less() -> None:
    found = split(flash(), gemv(4096, 4096))
    for each in 2.0 ** np.arange(10):
        other = split(flash(), gemv(4096, 4096), columns=each * 8)
        slower = float(other.seconds) > float(found.seconds) * (1 + 1e-12)
        assert slower or float(other.channel_bytes) >= float(found.channel_bytes) * (1 - 1e-12)


def test_arrays_equal_scalars() -> None:
    rows = np.array([[1000.0], [4096.0], [50272.0]])
    columns = np.array([[512.0], [5120.0], [4096.0]])
    reads = np.array([5e-6, 30e-6, 80e-6])
    whole = split(flash()._replace(read_time=reads), gemv(rows, columns), 1e-4)  # type: ignore[arg-type]
    for i in range(3):
        for j in range(3):
            one = split(flash(read_time=float(reads[j])), gemv(rows[i, 0], columns[i, 0]), 1e-4)
            for name in ("seconds", "rounds", "streamed", "host_share"):
                assert getattr(whole, name)[i, j] == pytest.approx(float(getattr(one, name)))


def test_large_arrays_choose_as_small_ones() -> None:
    """Widths tried one after the other, past some size, or at once: the same split."""
    reads = np.linspace(5e-6, 80e-6, 1000)
    matrix = FlashMatrix(SHAPES[:, :1], SHAPES[:, 1:], 1.0, 1.0, 1.0, 2.0)
    large = split(flash(read_time=reads), matrix, 1e-4)
    for start in range(0, 1000, 250):
        small = split(flash(read_time=reads[start : start + 250]), matrix, 1e-4)
        for name in ("seconds", "rounds", "channel_bytes", "host_share"):
            part = getattr(large, name)[:, start : start + 250]
            np.testing.assert_allclose(part, getattr(small, name), rtol=1e-12)
        np.testing.assert_array_equal(
            large.tile.columns[:, start : start + 250], small.tile.columns
        )


@given(st.integers(1, 30000), st.integers(1, 30000), st.sampled_from([0.25, 0.5, 2.0, 3.0]))
def test_faster_flash_is_never_slower(rows: int, columns: int, factor: float) -> None:
    m = gemv(rows, columns)
    before = float(split(flash(), m, 1e-3).seconds)
    faster = max(factor, 1 / factor)
    for f in (
        flash(bandwidth=8e9 * faster),
        flash(read_time=READ / faster),
        flash(core_time=20.48e-6 / faster),
        flash(planes=4.0),
    ):
        assert float(split(f, m, 1e-3).seconds) <= before * (1 + 1e-12)
    assert float(split(flash(), m, 1e-3 / faster).seconds) <= before * (1 + 1e-12)


def test_one_plane_streams_nothing_for_free() -> None:
    """Where the core's plane is the only one, every page costs a reading, wherever it goes."""
    m = gemv(1 << 14, 1 << 13)
    alone, both = split(flash(planes=1.0), m), split(flash(), m)
    pages = m.rows * m.columns / PAGE / 32
    assert float(alone.seconds) >= pages * READ * (1 - 1e-12)
    assert float(both.seconds) < pages * READ


def test_relaxed_is_a_bound_below() -> None:
    for rows, columns in ((4096, 4096), (5120, 20480), (11008, 4096), (1000, 300)):
        hard = float(split(flash(), gemv(rows, columns)).seconds)
        assert float(split(flash(), gemv(rows, columns), relaxed=True).seconds) <= hard * (1 + 1e-6)


def test_pages_one_after_the_other() -> None:
    f = flash()
    assert in_flash_time(f, 32 * PAGE * 10, 31e-6) == pytest.approx(10 * 31e-6)
    assert in_flash_time(f, 32 * PAGE * 10 + 1, 31e-6) == pytest.approx(11 * 31e-6)
