"""Pipelines: timelines checked by independent rules, brute force, closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfmodel_studies.streams.optimal import best_order
from perfmodel_studies.streams.order import (
    chains,
    hottest_first,
    johnson,
    johnson_makespan,
    lower_bounds,
)
from perfmodel_studies.streams.slices import bit_slices

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.stream.pipeline import Load, StreamTimeline, pipeline
from tests.draws import draws


def random_items(seed: int, *, most: int = 6, after: bool = True) -> list[Load]:
    rng = np.random.default_rng(seed)
    items: list[Load] = []
    for i in range(int(rng.integers(1, most + 1))):
        parent = i - 1 if i and rng.random() < 0.4 else -1
        waits = int(rng.integers(0, i)) if after and i and rng.random() < 0.3 else -1
        io, compute = (float(v) for v in rng.integers(0, 6, 2))
        items.append(
            Load(
                str(i),
                io,
                compute,
                float(rng.integers(1, 5)),
                waits,
                parent,
                float(rng.integers(1, 9)),
            )
        )
    return items


def random_limit(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed + 10**7)
    return [
        {},
        {"slots": int(rng.integers(1, 4))},
        {"buffer_bytes": float(rng.integers(4, 12))},
    ][int(rng.integers(0, 3))]


def check(
    line: StreamTimeline, slots: int | None = None, buffer_bytes: float | None = None
) -> None:
    """The rules of a schedule, from its times alone."""
    items, order = line.items, line.order
    loads = sorted((line.io_start[i], line.io_end[i]) for i in order if items[i].io_s > 0)
    works = [(line.compute_start[i], line.compute_end[i]) for i in order]
    for one, two in itertools.pairwise(loads):
        assert two[0] >= one[1] - 1e-9  # one load at a time
    for one, two in itertools.pairwise(works):
        assert two[0] >= one[1] - 1e-9  # one computation at a time, in order
    for i, item in enumerate(items):
        assert line.io_end[i] - line.io_start[i] == pytest.approx(item.io_s, abs=1e-9)
        assert line.compute_end[i] - line.compute_start[i] == pytest.approx(item.compute_s)
        assert line.compute_start[i] >= line.io_end[i] - 1e-9  # nothing before its data
        if item.after >= 0:
            assert line.io_start[i] >= line.compute_end[item.after] - 1e-9
        if item.parent >= 0:
            assert order.index(item.parent) < order.index(i)
    # What is in the buffer at the start of each load: itself, and all that is not done with.
    last = line.compute_end.copy()
    for i in reversed(order):
        if items[i].parent >= 0:
            last[items[i].parent] = max(last[items[i].parent], last[i])
    limit = (
        math.inf if slots is None and buffer_bytes is None else float(slots or buffer_bytes or 0)
    )
    for i in order:
        if items[i].io_s <= 0:
            continue
        now = line.io_start[i]
        inside = [
            j
            for j in order
            if items[j].io_s > 0 and line.io_start[j] <= now and (last[j] > now + 1e-9 or j == i)
        ]
        assert sum(1.0 if slots else items[j].size_bytes for j in inside) <= limit + 1e-9


def brute(items: list[Load], limit: dict[str, Any]) -> float:
    best = math.inf
    for order in itertools.permutations(range(len(items))):
        try:
            best = min(best, pipeline(items, order, **limit).makespan_s)
        except ValueError:
            continue
    return best


@given(st.integers(0, 10**6))
def test_timelines_keep_the_rules(seed: int) -> None:
    items, limit = random_items(seed, most=12), random_limit(seed)
    try:
        line = pipeline(items, **limit)
    except ValueError:
        # Some item is too large, or what is kept for others leaves it no room.
        assert limit
        return
    check(line, **limit)
    assert line.makespan_s >= lower_bounds(items).best - 1e-9
    assert line.bubble_s == pytest.approx(sum(b - a for a, b in line.bubbles()), abs=1e-9)
    places = limit.get("slots") or limit.get("buffer_bytes")
    assert places is None or line.peak_places <= places + 1e-9
    assert len(line.to_dict()["items"]) == len(items)


@pytest.mark.parametrize("seed", range(draws(80)))
def test_the_best_order_is_brute_force(seed: int) -> None:
    items, limit = random_items(seed), random_limit(seed)
    least = brute(items, limit)
    if math.isinf(least):
        with pytest.raises(ValueError, match="no order fits"):
            best_order(items, **limit)
        return
    found = best_order(items, **limit)
    assert found.makespan_s == pytest.approx(least, abs=1e-9)
    assert found.proved
    assert found.bound_s == found.makespan_s
    line = pipeline(items, found.order, **limit)
    check(line, **limit)
    assert line.makespan_s == found.makespan_s


@pytest.mark.parametrize("seed", range(draws(60)))
def test_johnson_is_brute_force_with_chains(seed: int) -> None:
    items = random_items(seed + 1000, after=False)
    line = pipeline(items, johnson(items))
    check(line)
    assert line.makespan_s == pytest.approx(brute(items, {}), abs=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_orders_are_ordered_and_more_slots_never_hurt(seed: int, slots: int) -> None:
    """Whatever others build on is kept: with a slot for each of them, no order is stuck."""
    items = random_items(seed, most=8, after=False)
    slots += sum(len(chain) - 1 for chain in chains(items))
    few = best_order(items, slots=slots)
    more = best_order(items, slots=slots + 1)
    free = pipeline(items, johnson(items)).makespan_s
    assert free <= more.makespan_s + 1e-9
    assert more.makespan_s <= few.makespan_s + 1e-9
    for order in (hottest_first(items), johnson(items), range(len(items))):
        assert few.makespan_s <= pipeline(items, order, slots=slots).makespan_s + 1e-9


@given(st.integers(1, 20), st.floats(0.01, 5), st.floats(0.01, 5))
def test_closed_forms(n: int, io: float, work: float) -> None:
    items = [Load(str(i), io, work) for i in range(n)]
    for slots in (2, 3, None):
        overlapped = io + (n - 1) * max(io, work) + work
        assert pipeline(items, slots=slots).makespan_s == pytest.approx(overlapped, rel=1e-9)
    assert pipeline(items, slots=1).makespan_s == pytest.approx(n * (io + work), rel=1e-9)
    resident = [Load(str(i), 0.0, work) for i in range(n)]
    assert pipeline(resident, slots=1).makespan_s == pytest.approx(n * work, rel=1e-9)


def test_johnsons_own_example() -> None:
    """The five jobs of the paper: least makespan 47."""
    times = [(4.0, 5.0), (4.0, 1.0), (30.0, 4.0), (6.0, 30.0), (2.0, 3.0)]
    items = [Load(str(i), a, b) for i, (a, b) in enumerate(times)]
    assert johnson(items) == (4, 0, 3, 2, 1)
    assert pipeline(items, johnson(items)).makespan_s == 47.0
    assert johnson_makespan(times) == 47.0


def test_what_nobody_waits_for_does_not_stop_the_engine() -> None:
    wrong = Load("wrong guess", 10.0, 0.0, requests=0.0)
    items = [Load("a", 1.0, 1.0), wrong, Load("b", 0.0, 1.0)]
    line = pipeline(items)
    assert line.makespan_s == 3.0
    # But it keeps the channel busy, and its place taken.
    after = [Load("a", 1.0, 1.0), wrong, Load("b", 1.0, 1.0)]
    assert pipeline(after).makespan_s == 13.0


def test_what_builds_on_something_keeps_it() -> None:
    base, more = Load("base", 1.0, 1.0, 1.0), Load("residual", 1.0, 1.0, 1.0, parent=0)
    other = Load("other", 1.0, 1.0, 1.0)
    line = pipeline([base, other, more], slots=2)
    # `more` may take the place of `other`, not that of `base`.
    assert line.io_start[2] == line.compute_end[1]
    with pytest.raises(ValueError, match="never finds room"):
        pipeline([base, more], slots=1)


def test_wrong_orders_are_refused() -> None:
    items = [Load("a", 1.0, 1.0), Load("b", 1.0, 1.0, after=0), Load("c", 1.0, 1.0, parent=1)]
    for order in ((0, 1), (1, 0, 2), (0, 2, 1), (0, 0, 1)):
        with pytest.raises(ValueError, match=r"order|comes before"):
            pipeline(items, order)
    with pytest.raises(ValueError, match="not both"):
        pipeline(items, slots=1, buffer_bytes=3.0)
    with pytest.raises(ValueError, match="at least one slot"):
        pipeline(items, slots=0)
    with pytest.raises(ValueError, match="two items build on"):
        johnson([items[0], Load("x", 1, 1, parent=0), Load("y", 1, 1, parent=0)])


def test_a_search_that_is_stopped_has_a_bound() -> None:
    rng = np.random.default_rng(5)
    items = [Load(str(i), rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.5)) for i in range(40)]
    found = best_order(items, slots=2, deadline=Deadline(0.0))
    assert not found.proved
    assert found.bound_s <= found.makespan_s
    assert sorted(found.order) == list(range(40))


def test_hottest_expert_lowest_bits_first() -> None:
    requests = [[1, 0, 0], [0, 5, 1], [2, 0, 3]]
    items = bit_slices(requests, (2.0, 1.0, 1.0), 1.0, 1.0)
    names = [items[i].name for i in hottest_first(items)]
    # Six requests need expert 1's base; five of expert 2 its base, three its residuals.
    assert names == [
        "expert 1 slice 0",
        "expert 1 slice 1",
        "expert 2 slice 0",
        "expert 2 slice 1",
        "expert 2 slice 2",
        "expert 0 slice 0",
        "expert 1 slice 2",
    ]
    assert sum(item.compute_s for item in items) == np.sum(requests)
    assert sum(item.io_s for item in items) == 2.0 + 4.0 + 4.0
    held = bit_slices(requests, (2.0, 1.0, 1.0), 1.0, 1.0, resident=[1, 1, 1])
    assert sum(item.io_s for item in held) == 4.0
    check(pipeline(items, hottest_first(items), buffer_bytes=9.0), buffer_bytes=9.0)


@settings(max_examples=draws(30))
@given(st.integers(0, 10**6))
def test_hottest_first_is_a_good_order_for_slices(seed: int) -> None:
    """Never below the least. Five slots: four bases may wait for their residuals."""
    rng = np.random.default_rng(seed)
    requests = rng.poisson(1.0, (4, 2))
    if not requests.any():
        return
    items = bit_slices(requests, (2.0, 1.0), 1.0, 0.7)
    least = best_order(items, slots=5)
    hot = pipeline(items, hottest_first(items), slots=5).makespan_s
    assert least.proved
    assert least.makespan_s <= hot + 1e-9
    assert lower_bounds(items).best <= least.makespan_s + 1e-9
