"""The closed forms beside an event simulation of a channel, its dies, planes and cores."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.nand import Flash, FlashMatrix, published_columns, split, tile
from perfmodel.kinds.nand.events import FlashChannel, simulate
from tests.draws import draws

PAGE, READ = 16384.0, 30e-6

SMALL = FlashChannel(4, READ, 0.256e-6, 0.064e-6, 20.48e-6, 16.384e-6, pieces=64)


def test_one_request_by_hand() -> None:
    """Inputs, reading, multiplying, then four results one after the other."""
    found = simulate(SMALL, 1, 0)
    assert found.seconds == pytest.approx(0.256e-6 + READ + 20.48e-6 + 4 * 0.064e-6, rel=1e-12)


def test_requests_alone_follow_one_another_at_the_pace_of_the_cells() -> None:
    """t_rc = tR + W / (channels * bandwidth), section V-B; the core works on the page before."""
    count = 500
    found = simulate(SMALL, count, 0)
    drain = 20.48e-6 + 4 * 0.064e-6
    assert found.seconds == pytest.approx(count * (READ + 0.256e-6) + drain, rel=1e-9)


def test_a_slow_core_sets_the_pace() -> None:
    slow = replace(SMALL, core_time=50e-6)
    found = simulate(slow, 400, 0)
    first = 0.256e-6 + READ
    assert found.seconds == pytest.approx(first + 400 * 50e-6 + 4 * 0.064e-6, rel=1e-9)


@pytest.mark.parametrize(("dies", "rate"), [(1, PAGE / READ), (2, 1e9), (4, 1e9)])
def test_streaming_alone_takes_the_channel_or_the_cells(dies: int, rate: float) -> None:
    found = simulate(replace(SMALL, dies=dies), 0, 2000)
    assert found.seconds == pytest.approx(2000 * PAGE / rate, rel=0.005)


@pytest.mark.parametrize("columns", [4096.0, 5120.0, 7168.0, 11008.0])
@pytest.mark.parametrize(("channels", "dies"), [(8, 4), (16, 8), (32, 16)])
def test_the_split_takes_as_long_as_its_simulation(
    columns: float, channels: int, dies: int
) -> None:
    """Every request and page of a split played on one channel: the closed form within 3 %."""
    flash = Flash(
        channels, dies, 1.0, 2.0, PAGE, PAGE, READ, channels * 1e9, math.inf, 0.0, 20.48e-6
    )
    matrix = FlashMatrix(65536.0, columns, 1.0, 1.0, 1.0, 1.0)
    found = split(flash, matrix)
    shape = found.tile
    results = float(shape.rows) / dies / 1e9
    channel = FlashChannel(
        dies, READ, float(shape.columns_each) / 1e9, results, 20.48e-6, PAGE / 1e9, pieces=128
    )
    pages = round(float(found.streamed) / PAGE / channels)
    played = simulate(channel, int(found.rounds), pages)
    assert played.seconds == pytest.approx(float(found.seconds), rel=0.03)
    assert played.seconds >= float(found.seconds) * (1 - 0.01)


@pytest.mark.parametrize("pieces", [8, 16, 64])
def test_half_a_piece_is_what_a_request_waits(pieces: int) -> None:
    """The pace of requests beside a channel that is always busy with pieces."""
    piece = PAGE / pieces
    flash = Flash(8.0, 4.0, 1.0, 2.0, PAGE, PAGE, READ, 8e9, math.inf, piece, 20.48e-6)
    matrix = FlashMatrix(65536.0, 4096.0, 1.0, 1.0, 1.0, 1.0)
    pace = float(tile(flash, matrix, published_columns(flash, matrix)).round_time)
    found = simulate(replace(SMALL, pieces=pieces), 100, 1500)
    assert found.requests_done[-1] / 100 == pytest.approx(pace, rel=0.05)
    # Overtaking keeps requests within one piece and the partial sums before them.
    worst = READ + 0.256e-6 + piece / 1e9 + 4 * 0.064e-6
    assert found.requests_done[-1] <= 100 * worst + 60e-6


@settings(max_examples=draws(60), deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 40),
    st.integers(0, 60),
    st.sampled_from([1, 4, 32]),
    st.booleans(),
)
def test_nothing_overlaps_that_cannot(
    dies: int, requests: int, pages: int, pieces: int, first: bool
) -> None:
    channel = replace(SMALL, dies=dies, pieces=pieces, requests_first=first)
    found = simulate(channel, requests, pages, record=True)
    by_part: dict[str, list[tuple[float, float]]] = {}
    for event in found.events:
        by_part.setdefault(event.part, []).append((event.start, event.end))
    for spans in by_part.values():
        spans.sort()
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert start >= end - 1e-12
    # All work was done, and the channel's seconds are those of its bytes.
    carried = requests * (0.256e-6 + dies * 0.064e-6) + pages * 16.384e-6
    assert found.channel_busy == pytest.approx(carried, abs=1e-12)
    multiplied = [e for e in found.events if e.what == "multiply"]
    streamed = [e for e in found.events if e.what == "read to stream"]
    assert (len(multiplied), len(streamed)) == (requests * dies, pages)
    bound = max(requests * READ, carried, pages / dies * READ)
    assert found.seconds >= bound * (1 - 1e-12)


def test_whole_pages_block_the_requests_behind_them() -> None:
    """Section VIII-C, figure 12: read slicing is worth 1.6 to 1.8 times; the channel was half idle.

    The mix of requests and pages is that of OPT-6.7B on the small machine.
    """
    requests, pages = 875, 1570
    sliced = simulate(SMALL, requests, pages)
    whole = simulate(replace(SMALL, pieces=1, requests_first=False), requests, pages)
    assert 1.55 <= whole.seconds / sliced.seconds <= 1.85
    assert sliced.channel_busy / sliced.seconds > 0.95
    assert whole.channel_busy / whole.seconds < 0.65
