"""COSMA's baselines: every address checked from outside, every choice against brute force."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfmodel_studies.baselines import (
    ORDERS,
    REPLACEMENTS,
    Baseline,
    Order,
    Placed,
    Replacement,
    arena_height,
    baseline,
)

from benchmarks.operator_lists import problem_of
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.peak.least_peak import peak_of
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay
from tests.draws import draws


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Networks of up to 14 operators: many readers, in-place outputs, stored buffers, scratch."""
    n = draw(st.integers(2, 14))
    reads: list[tuple[int, ...]] = []
    for i in range(n):
        picked = draw(st.sets(st.integers(0, i - 1), min_size=1, max_size=3)) if i else set[int]()
        reads.append(tuple(sorted(picked)))
    readers = [sum(t in r for r in reads) for t in range(n)]
    sizes = [draw(st.integers(1, 9)) for _ in range(n)]
    steps: list[Step] = []
    for i in range(n):
        alone = [t for t in reads[i] if readers[t] == 1]
        over = alone[0] if alone and draw(st.booleans()) else -1
        scratch = draw(st.sampled_from([0, 0, 0, 2]))
        steps.append(Step(f"s{i}", reads[i], (i,), over, scratch, load=not reads[i]))
    buffers = [Buffer(f"b{i}", sizes[i], draw(st.booleans())) for i in range(n)]
    return Problem("random", tuple(steps), tuple(buffers))


def check(problem: Problem, capacity: int, made: Baseline) -> None:
    """Check the script by replaying it, and the addresses pair by pair."""
    script = made.outcome.solution
    assert script is not None
    trace = replay(problem, script, capacity)
    assert trace.cost_bytes == made.cost_bytes
    if not made.places:
        return
    for place in made.places:
        assert place.offset >= 0
        assert place.offset + place.size_bytes <= capacity
    for a, b in itertools.combinations(made.places, 2):
        if a.first <= b.last and b.first <= a.last and a.size_bytes and b.size_bytes:
            apart = a.offset + a.size_bytes <= b.offset or b.offset + b.size_bytes <= a.offset
            assert apart, (a, b)
    # What a step reads and writes lies somewhere while it runs, whole.
    there = [
        {p.buffer for p in made.places if p.first <= k <= p.last}
        for k in range(len(trace.held_bytes))
    ]
    for k, s in enumerate(script.order):
        step = problem.steps[s]
        assert {t for t in step.reads if t != step.takes_over} <= there[k]
        assert set(step.writes) <= there[k]
    for place in made.places:
        if place.buffer >= 0:
            assert place.size_bytes == problem.buffers[place.buffer].size_bytes


@given(problems(), st.integers(0, 6))
@settings(max_examples=draws(150))
def test_every_baseline_fits_and_costs_what_it_says(problem: Problem, more: int) -> None:
    capacity = problem.largest_working_set_bytes + more
    for order in ORDERS:
        for replacement in REPLACEMENTS:
            for addresses in (True, False):
                made = baseline(problem, capacity, order, replacement, addresses=addresses)
                check(problem, capacity, made)


@given(problems())
@settings(max_examples=draws(60))
def test_nothing_leaves_where_everything_fits(problem: Problem) -> None:
    total = sum(b.size_bytes for b in problem.buffers) + 2
    for order in ORDERS:
        for replacement in REPLACEMENTS:
            assert baseline(problem, total, order, replacement).cost_bytes == 0


@given(problems())
@settings(max_examples=draws(60))
def test_bytes_alone_never_leave_at_the_minimum_peak(problem: Problem) -> None:
    peak = minimum_peak(problem).value
    for replacement in REPLACEMENTS:
        made = baseline(problem, peak, "minimum-peak", replacement, addresses=False)
        assert made.cost_bytes == 0


def chain(sizes: list[int], early: list[int], wanted: int, stored: list[bool]) -> Problem:
    """Buffers loaded one after the other; some are read and vanish; then one more is made.

    The others are read at the end, the first loaded last.
    """
    n = len(sizes)
    steps = [Step(f"load{i}", (), (i,), load=True) for i in range(n)]
    buffers = [Buffer(f"b{i}", s, stored[i]) for i, s in enumerate(sizes)]
    for t in early:
        steps.append(Step(f"use{t}", (t,), (len(buffers),)))
        buffers.append(Buffer(f"u{t}", 0))
    big = len(buffers)
    steps.append(Step("big", (), (big,), load=True))
    buffers.append(Buffer("big", wanted))
    late = [t for t in range(n) if t not in early]
    for t in reversed(late):
        steps.append(Step(f"use{t}", (t, big), (len(buffers),)))
        buffers.append(Buffer(f"u{t}", 0))
    return Problem("chain", tuple(steps), tuple(buffers))


def place_of(made: Baseline, problem: Problem, name: str) -> Placed:
    index = next(i for i, b in enumerate(problem.buffers) if b.name == name)
    return next(p for p in made.places if p.buffer == index)


def test_the_smallest_gap_that_holds_it_is_taken() -> None:
    # 5 | 1 | 3 | 1 | 4: the first, third and fifth vanish; 3 bytes go where exactly 3 are free.
    problem = chain([5, 1, 3, 1, 4, 1], [0, 2, 4], 3, [False] * 6)
    made = baseline(problem, 20)
    assert made.cost_bytes == 0
    assert place_of(made, problem, "big").offset == 6


def test_the_end_is_taken_only_where_no_gap_between_is_large_enough() -> None:
    problem = chain([5, 1, 3, 1], [0, 2], 6, [False] * 4)
    assert place_of(baseline(problem, 16), problem, "big").offset == 10
    problem = chain([5, 1, 3, 1], [0, 2], 4, [False] * 4)
    assert place_of(baseline(problem, 100), problem, "big").offset == 0


def test_enough_bytes_in_pieces_are_not_enough() -> None:
    # Seven of twelve bytes are free, in pieces of 4 and 3; six are wanted.
    problem = chain([4, 2, 3, 3], [0, 2], 6, [False] * 4)
    assert baseline(problem, 12, addresses=False).cost_bytes == 0
    farthest = baseline(problem, 12, "natural", "belady")
    # Both that are left are read again; the one read last leaves, stored and fetched once.
    assert farthest.cost_bytes == 2 * 2
    assert farthest.outcome.work["evictions"] == 1


def test_belady_takes_the_farthest_and_the_other_the_cheapest() -> None:
    # Buffer 0 is read last of all and is large; buffer 2 is small.
    problem = chain([6, 2, 1], [], 1, [False] * 3)
    assert baseline(problem, 9, "natural", "belady").cost_bytes == 2 * 6
    # The small one leaves, is wanted at once, and the middle one has to leave for it.
    assert baseline(problem, 9, "natural", "fewest-bytes").cost_bytes == 2 * 1 + 2 * 2
    # A copy that exists already makes the large one as cheap as one of half its size.
    problem = chain([4, 3, 3], [], 1, [True, False, False])
    made = baseline(problem, 10, "natural", "fewest-bytes")
    assert made.cost_bytes == 4


@given(st.lists(st.integers(1, 6), min_size=3, max_size=7), st.data(), st.integers(1, 12))
@settings(max_examples=draws(150))
def test_the_cheapest_gap_is_that_of_brute_force(
    sizes: list[int], data: st.DataObject, wanted: int
) -> None:
    n = len(sizes)
    early = sorted(data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1)))
    stored = [data.draw(st.booleans()) for _ in range(n)]
    total = sum(sizes)
    offsets = [sum(sizes[:i]) for i in range(n)]
    late = [t for t in range(n) if t not in early]
    problem = chain(sizes, early, wanted, stored)
    # With the last reads still to come, only the step that makes the large buffer is compared.
    capacity = max(total, problem.largest_working_set_bytes)
    made = baseline(problem, capacity, "natural", "fewest-bytes")
    script = made.outcome.solution
    assert script is not None
    at = next(k for k, s in enumerate(script.order) if problem.steps[s].name == "big")
    price = {t: sizes[t] * (1 if stored[t] else 2) for t in late}
    spent = sum(price[t] for t in script.evictions[at])
    least = min(
        sum(price[t] for t in late if offsets[t] < start + wanted and offsets[t] + sizes[t] > start)
        for start in range(capacity - wanted + 1)
    )
    assert spent == least


@given(st.lists(st.integers(1, 6), min_size=2, max_size=7), st.data(), st.integers(1, 12))
@settings(max_examples=draws(100))
def test_the_cheapest_bytes_are_those_of_brute_force(
    sizes: list[int], data: st.DataObject, wanted: int
) -> None:
    n = len(sizes)
    stored = [data.draw(st.booleans()) for _ in range(n)]
    problem = chain(sizes, [], wanted, stored)
    capacity = max(sum(sizes), problem.largest_working_set_bytes)
    made = baseline(problem, capacity, "natural", "fewest-bytes", addresses=False)
    script = made.outcome.solution
    assert script is not None
    price = [size * (1 if copied else 2) for size, copied in zip(sizes, stored, strict=True)]
    over = sum(sizes) + wanted - capacity
    least = min(
        sum(price[t] for t in chosen)
        for k in range(n + 1)
        for chosen in itertools.combinations(range(n), k)
        if sum(sizes[t] for t in chosen) >= over
    )
    assert sum(price[t] for t in script.evictions[n]) == least


def test_operands_move_where_nothing_else_helps() -> None:
    # x (2) lies at 0, y (2) at 4 after what lay between has gone; 4 bytes beside both do not fit
    # into 8, though they would if y lay at 2.
    steps = (
        Step("x", (), (0,), load=True),
        Step("between", (), (1,), load=True),
        Step("y", (), (2,), load=True),
        Step("free", (1,), (3,)),
        Step("add", (0, 2), (4,)),
    )
    sizes = (2, 2, 2, 0, 4)
    problem = Problem("add", steps, tuple(Buffer(f"b{i}", size) for i, size in enumerate(sizes)))
    for replacement in REPLACEMENTS:
        made = baseline(problem, 8, "natural", replacement)
        check(problem, 8, made)
        assert made.outcome.work["moves"] == 1
        assert made.cost_bytes == 2 * 2
        assert baseline(problem, 10, "natural", replacement).cost_bytes == 0


def test_a_step_that_does_not_fit_is_refused() -> None:
    problem = chain([4, 4], [], 4, [False, False])
    with pytest.raises(ValueError, match="a step needs 8 bytes of 7"):
        baseline(problem, 7)
    with pytest.raises(ValueError, match="every step once"):
        baseline(problem, 20, (0, 1))


def test_the_planner_places_large_ones_first() -> None:
    steps = (
        Step("d", (), (0,), load=True),
        Step("a", (), (1,), load=True),
        Step("b", (1,), (2,)),
        Step("c", (2,), (3,)),
        Step("end", (0, 3), (4,)),
    )
    sizes = (1, 3, 2, 6, 0)
    problem = Problem("line", steps, tuple(Buffer(f"b{i}", s) for i, s in enumerate(sizes)))
    script = baseline(problem, 20).outcome.solution
    assert script is not None
    # d lives all along and goes first, at 0; c (6) on it, to 7; a (3) is gone before c: 1 to 4;
    # b (2) lives beside both: 7 to 9.
    assert arena_height(problem, script) == 9


@given(problems())
@settings(max_examples=draws(60))
def test_the_planner_needs_the_peak_or_more(problem: Problem) -> None:
    order = tuple(range(len(problem.steps)))
    script = Script(order, ((),) * len(order))
    assert arena_height(problem, script) >= peak_of(problem, order)


@pytest.mark.data
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("replacement", REPLACEMENTS)
def test_no_baseline_is_below_a_proved_optimum(
    data: Path, order: Order, replacement: Replacement
) -> None:
    for file in sorted((data / "ilp" / "graphs").glob("*.json")):
        graph: dict[str, Any] = json.loads(file.read_text())
        problem = problem_of(graph)
        for known in graph["best_known"]:
            capacity = round(known["capacity"] * 1024)
            for addresses in (True, False):
                made = baseline(problem, capacity, order, replacement, addresses=addresses)
                check(problem, capacity, made)
                if known["proved_optimal"]:
                    assert made.cost_bytes >= known["spill_plus_reload"] * 1024
