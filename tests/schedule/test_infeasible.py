"""What does not fit, as data: amounts that add up, levers that do what they say."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.operator_lists import problem_of
from perfmodel.schedule.greedy import greedy
from perfmodel.schedule.infeasible import over_peak, over_working_set, unproved
from perfmodel.schedule.infeasible.levers import InfeasibleInstance
from perfmodel.schedule.infeasible.problem_changes import (
    disjoint_pairs,
    fusable,
    fused,
    in_place,
    in_place_source,
    narrowed,
    sum_steps,
    without_scratch,
)
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Certified, Script, replay
from perfmodel.units import binary
from tests.draws import draws
from tests.schedule.random_graphs import random_sums

KIB = 1024


def residual() -> Problem:
    """x -> conv1 -> conv2 -> add(conv2, x): 64 KiB tensors, a wide one between."""
    sizes = {"x": 64, "h": 96, "y": 64, "z": 64, "o": 8}
    buffers = tuple(Buffer(n, k * KIB, n == "x") for n, k in sizes.items())
    steps = (
        Step("load", (), (0,), load=True),
        Step("conv1", (0,), (1,)),
        Step("conv2", (1,), (2,), scratch_bytes=16 * KIB),
        Step("add", (0, 2), (3,)),
        Step("head", (3,), (4,)),
    )
    return Problem("residual", steps, buffers)


# --- the working set ------------------------------------------------------------------------------


def test_a_step_that_is_too_large_is_named_with_its_parts() -> None:
    why = over_working_set(residual(), 168 * KIB)
    assert (why.demand, why.bound, why.gap) == (192 * KIB, 168 * KIB, 24 * KIB)
    assert why.statement == (
        "'add' needs 192 KiB on chip at once, of 168 KiB: 24 KiB too much; "
        "1 other step needs too much"
    )
    assert {t.name: t.amount for t in why.terms} == {
        "x (read)": 64 * KIB,
        "y (read)": 64 * KIB,
        "z (written)": 64 * KIB,
    }
    said = {v.statement: v for v in why.levers}
    assert said["24 KiB more"].enough
    assert said["write in place: add over y"].saves == (192 - 176) * KIB
    assert not said["write in place: add over y"].enough  # conv2 still needs 176 KiB
    both = "write in place: add over y, and stream the weights and workspace of conv2"
    assert said[both].enough
    assert said[both].saves == (192 - 160) * KIB
    text = why.text()
    assert text.splitlines()[0] == why.statement
    assert "24 KiB more" in text
    assert "(saves 16 KiB, not enough alone)" in text
    assert str(why) == text


def test_a_fusion_helps_where_what_lies_between_was_what_was_too_much() -> None:
    """x -> conv (a large output) -> sum with a small scale: fused, the large output is gone."""
    sizes = {"x": 8, "h": 64, "b": 64, "z": 64}
    buffers = tuple(Buffer(n, k * KIB, n in "xb") for n, k in sizes.items())
    steps = (
        Step("load x", (), (0,), load=True),
        Step("load b", (), (2,), load=True),
        Step("conv3", (0,), (1,)),
        Step("add3", (1, 2), (3,)),
    )
    problem = Problem("p", steps, buffers)
    why = over_working_set(problem, 150 * KIB)
    lever = next(v for v in why.levers if v.statement == "fuse conv3 with add3")
    assert lever.enough
    assert lever.saves == (192 - 136) * KIB
    assert fused(problem, (2, 3)).largest_working_set_bytes == 136 * KIB
    nothing = over_working_set(problem, 150 * KIB, pointwise=frozenset())
    assert not any("fuse" in v.statement for v in nothing.levers)


@settings(max_examples=draws(150))
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 12))
def test_terms_add_up_and_more_by_the_gap_is_exactly_enough(
    seed: int, steps: int, less: int
) -> None:
    problem = random_sums(random.Random(seed), steps)
    least = problem.largest_working_set_bytes
    less = min(less, least)
    why = over_working_set(problem, least - less)
    assert sum(t.amount for t in why.terms) == why.demand == least
    assert why.gap == less
    assert why.levers[0].enough
    assert why.levers[0].statement == f"{binary(less)} more"
    assert greedy(problem, int(why.bound + why.gap)).solution is not None
    assert greedy(problem, least - 1).solution is None
    order = [v.enough for v in why.levers]
    assert order == sorted(order, reverse=True)
    for lever in why.levers:
        assert 0 < lever.saves <= why.demand
        assert lever.enough == (why.demand - lever.saves <= why.bound) or "more" in lever.statement


@settings(max_examples=draws(100))
@given(st.integers(0, 10**6), st.integers(3, 12), st.integers(1, 10))
def test_levers_do_what_they_say(seed: int, steps: int, less: int) -> None:
    """Each is read back from its sentence, done by hand here, and leads to the need it promised."""
    problem = random_sums(random.Random(seed), steps)
    capacity = problem.largest_working_set_bytes - less
    everything = frozenset(range(1, steps))
    index = {step.name: s for s, step in enumerate(problem.steps)}
    for lever in over_working_set(problem, capacity, pointwise=everything).levers:
        needs = dict(enumerate(problem.working_set_bytes))
        said = lever.statement
        if ", and " in said or " and " in said or "more" in said or "+" in said:
            continue  # of several things, or of what was fused before
        if match := re.fullmatch(r"fuse (\w+) with (\w+)", said):
            one, two = (index[n] for n in match.groups())
            a, b = problem.steps[one], problem.steps[two]
            over = {a.takes_over, b.takes_over} - {-1, *a.writes}
            outside = (set(a.reads) | set(b.reads)) - set(a.writes)
            held = sum(problem.buffers[t].size_bytes for t in outside)
            made = problem.buffers[b.writes[0]].size_bytes
            last = b.takes_over if b.takes_over not in a.writes else a.takes_over
            made -= min(made, problem.buffers[last].size_bytes) if last in over else 0
            del needs[one]
            needs[two] = held + made + a.scratch_bytes + b.scratch_bytes
        elif match := re.fullmatch(r"write in place: (\w+) over (\w+)", said):
            s = index[match[1]]
            needs[s] -= problem.buffers[problem.steps[s].writes[0]].size_bytes
        elif match := re.fullmatch(r"stream the weights and workspace of (\w+)", said):
            needs[index[match[1]]] -= problem.steps[index[match[1]]].scratch_bytes
        else:
            continue
        assert max(needs.values()) == problem.largest_working_set_bytes - lever.saves


def test_tiling_says_how_many_parts_are_enough() -> None:
    problem = residual()
    lever = next(v for v in over_working_set(problem, 150 * KIB).levers if "tile" in v.statement)
    assert lever.enough
    # add: 192 - 64 + 64 / 2 = 160 is too much, a quarter is not; conv2: 176 - 96 + 48 = 128 is not.
    assert "x of add in 4 parts" in lever.statement
    assert "h of conv2 in 2 parts" in lever.statement
    assert "h of conv1 in 2 parts" in lever.statement
    assert "256 KiB off-chip traffic" in lever.statement
    assert lever.saves == (192 - 144) * KIB
    # Where in place and scratch alone are too much, no number of parts is enough.
    flat = Problem("flat", (Step("a", (), (0,), scratch_bytes=9),), (Buffer("a", 1),))
    assert not any("tile" in v.statement for v in over_working_set(flat, 5).levers)


def test_what_fits_is_not_explained() -> None:
    with pytest.raises(ValueError, match="every step fits"):
        over_working_set(residual(), 192 * KIB)
    with pytest.raises(ValueError, match="fits into"):
        over_peak(residual(), 300 * KIB, Certified(None, 300 * KIB, 300 * KIB))


def test_it_is_plain_data() -> None:
    why = over_working_set(residual(), 168 * KIB)
    data = json.loads(json.dumps(why.to_dict()))
    assert data["demand"] - data["bound"] == data["gap"]
    assert data["unit"] == "B"
    assert data["proved"] is True
    assert [set(v) for v in data["levers"]] == [{"statement", "saves", "enough"}] * len(why.levers)
    seconds = replace(why, unit="s")
    assert " s  " in seconds.text()


# --- changes --------------------------------------------------------------------------------------


@settings(max_examples=draws(100))
@given(st.integers(0, 10**6), st.integers(3, 10))
def test_changed_problems_are_problems_of_the_same_network(seed: int, steps: int) -> None:
    problem = random_sums(random.Random(seed), steps)
    for first, second in fusable(problem, frozenset(range(steps))):
        made = fused(problem, (first, second))
        assert len(made.steps) == steps - 1
        assert len(made.buffers) == len(problem.buffers) - 1
        both = made.steps[second - 1]
        names = {made.buffers[t].name for t in both.reads}
        one, two = problem.steps[first], problem.steps[second]
        assert names == {
            problem.buffers[t].name for t in {*one.reads, *two.reads} - set(one.writes)
        }
        # To run two steps as one is to run the first just before the second, with less between.
        order = [s for s in range(steps) if s != first]
        at = order.index(second)
        order.insert(at, first)
        held = list(replay(problem, Script(tuple(order), ((),) * steps)).held_bytes)
        fewer = replay(made, Script(tuple(range(steps - 1)), ((),) * (steps - 1))).held_bytes
        before = held[at] - problem.growth_bytes[first]
        assert fewer[at] == before + made.growth_bytes[at]
        assert [*held[:at], *held[at + 2 :]] == [*fewer[:at], *fewer[at + 1 :]]
    one_by_one = together = InfeasibleInstance(problem, 0, frozenset(range(0, steps, 2)))
    while pairs := fusable(one_by_one.problem, one_by_one.pointwise):
        one_by_one = one_by_one.fused(pairs[0])
    while pairs := disjoint_pairs(fusable(together.problem, together.pointwise)):
        together = together.fused(*pairs)
    assert together == one_by_one
    # A step that was fused is pointwise no longer; the others are what they were.
    names = {together.problem.steps[s].name for s in together.pointwise}
    alone = {s.name for s in together.problem.steps if "+" not in s.name}
    assert names == {f"s{i}" for i in range(0, steps, 2)} & alone
    for s in range(1, steps):
        if in_place_source(problem, s) >= 0:
            made = in_place(problem, [s])
            assert made.largest_working_set_bytes <= problem.largest_working_set_bytes
            assert minimum_peak(made).value <= minimum_peak(problem).value
    half = narrowed(problem)
    assert half.largest_working_set_bytes >= problem.largest_working_set_bytes / 2 - 1e-9
    assert all(
        b.size_bytes * 2 >= a.size_bytes for a, b in zip(problem.buffers, half.buffers, strict=True)
    )
    assert not any(s.scratch_bytes for s in without_scratch(problem, range(steps)).steps)


def test_sums_are_what_has_two_inputs_of_the_size_of_its_output() -> None:
    assert sum_steps(residual()) == {3}
    with pytest.raises(ValueError, match="not the only reader"):
        fused(residual(), (0, 3))
    with pytest.raises(ValueError, match="no input to write over"):
        in_place(residual(), [1])


# --- the peak, proofs --------------------------------------------------------------------


def test_the_fullest_moment_of_the_best_order_is_opened() -> None:
    problem = residual()
    best = minimum_peak(problem)
    assert best.value == 240 * KIB
    why = over_peak(problem, 200 * KIB, best)
    assert sum(t.amount for t in why.terms) == best.value
    assert {t.name for t in why.terms} == {
        "h (read)",
        "y (written)",
        "conv2 (scratch)",
        "x (kept)",
    }
    said = {v.statement: v for v in why.levers}
    spills = said["spill and reload 64 KiB at most"]
    assert spills.enough
    assert greedy(problem, 200 * KIB).value == 64 * KIB
    half = said["half the bits of every activation (as from 8 to 4)"]
    assert half.saves == 240 * KIB - minimum_peak(narrowed(problem)).value
    assert not over_peak(problem, 200 * KIB, Certified(None, 230 * KIB, 0)).terms


@settings(max_examples=draws(40))
@given(st.integers(0, 10**6), st.integers(3, 10))
def test_terms_of_any_peak_add_up(seed: int, steps: int) -> None:
    problem = random_sums(random.Random(seed), steps)
    best = minimum_peak(problem)
    why = over_peak(problem, best.value - 1, best)
    assert sum(t.amount for t in why.terms) == best.value == why.demand
    for lever in why.levers:
        assert lever.saves > 0


def test_what_is_not_proved_says_how_much_is_open_and_what_would_settle_it() -> None:
    problem = residual()
    script = greedy(problem, 200 * KIB).solution
    assert script is not None
    open_outcome = Certified(script, 64 * KIB, 16 * KIB, "beam")
    why = unproved(problem, 200 * KIB, open_outcome)
    assert (why.best, why.bound, why.gap) == (64 * KIB, 16 * KIB, 48 * KIB)
    assert "75.0 %" in why.statement
    assert sum(t.amount for t in why.terms) == why.best
    said = [v.statement for v in why.levers]
    assert said[0] == "40 KiB more: nothing is spilled then"
    assert replay(problem, Script(tuple(range(5)), ((),) * 5), 240 * KIB).cost_bytes == 0
    assert "method exact, which proves 64 KiB" in said
    assert any(v.startswith("another order") for v in said)
    stopped = unproved(problem, 200 * KIB, replace(open_outcome, method="exact"))
    assert "method ilp, which proves 64 KiB" in [v.statement for v in stopped.levers]
    assert json.loads(json.dumps(why.to_dict()))["gap"] == 48 * KIB
    assert "what would close it" in str(why)
    with pytest.raises(ValueError, match="not proved"):
        unproved(problem, 200 * KIB, replace(open_outcome, bound=open_outcome.value))


def test_a_poor_script_of_a_good_order_is_told_from_a_poor_order() -> None:
    problem = residual()
    # Everything leaves as soon as it may: dearer than needed on the same order.
    wasteful = Script((0, 1, 2, 3, 4), ((), (), (0,), (2,), ()))
    cost = replay(problem, wasteful, 200 * KIB).cost_bytes
    why = unproved(problem, 200 * KIB, Certified(wasteful, cost, 64 * KIB, "beam"))
    lever = next(v for v in why.levers if v.statement.startswith("the same order"))
    assert lever.enough
    assert cost - lever.saves == 64 * KIB


@pytest.mark.data
def test_a_residual_network_that_lacks_twelve_kibibytes(data: Path) -> None:
    text = (data / "ilp" / "graphs" / "resnet18.json").read_text()
    problem = problem_of(json.loads(text))
    why = over_working_set(problem, 380 * KIB)
    assert why.levers[0].statement == "12 KiB more"
    assert [t.amount for t in why.terms] == [196 * KIB, 196 * KIB]
    assert "conv1[2]" in why.statement  # one of several of that name
