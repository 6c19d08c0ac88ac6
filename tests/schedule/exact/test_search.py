"""The exact search beside brute force, on random graphs, with and without interchangeable steps."""

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact import beam, search, segment_search, state_graph
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Certified, Script, replay
from tests.draws import draws, of_draws
from tests.schedule.brute_force import fewest_bytes
from tests.schedule.exact.copies import problem_with_copies
from tests.schedule.random_graphs import random_problem


def _tight(problem: Problem, rng: random.Random) -> int:
    return int(problem.largest_working_set_bytes * rng.choice([1, 1, 1.1, 1.25]))


def _checked(problem: Problem, capacity: int, outcome: Certified[Script]) -> int:
    """The cost, replayed."""
    assert outcome.solution is not None
    assert replay(problem, outcome.solution, capacity).cost_bytes == outcome.value
    assert outcome.bound <= outcome.value
    assert outcome.proved == (outcome.bound == outcome.value)
    return outcome.value


def test_equals_brute_force_on_300_graphs() -> None:
    spilled = 0
    for seed in range(draws(300)):
        rng = random.Random(seed)
        problem = random_problem(rng, rng.randint(5, 9))
        capacity = _tight(problem, rng)
        found = search(problem, capacity, Deadline())
        assert found.proved
        assert _checked(problem, capacity, found) == fewest_bytes(problem, capacity), seed
        spilled += found.value > 0
    assert spilled > of_draws(20)


def test_interchangeable_steps_change_nothing() -> None:
    merged = spilled = 0
    for seed in range(draws(300)):
        rng = random.Random(seed)
        problem = problem_with_copies(rng, most=10)
        capacity = _tight(problem, rng)
        found = search(problem, capacity, Deadline())
        assert found.proved
        assert _checked(problem, capacity, found) == fewest_bytes(problem, capacity), seed
        merged += found.work["interchangeable"] > 0
        spilled += found.value > 0
    assert merged > of_draws(250)
    assert spilled > of_draws(120)


def test_longer_graphs() -> None:
    spilled = 0
    for seed in range(draws(80)):
        rng = random.Random(10_000 + seed)
        problem = random_problem(rng, rng.randint(11, 13), scratch=False)
        capacity = problem.largest_working_set_bytes
        found = search(problem, capacity, Deadline())
        assert found.proved
        assert _checked(problem, capacity, found) == fewest_bytes(problem, capacity), seed
        spilled += found.value > 0
    assert spilled > of_draws(8)


@given(st.integers(0, 10**6), st.booleans())
def test_more_capacity_never_costs_more(seed: int, copies: bool) -> None:
    rng = random.Random(seed)
    problem = problem_with_copies(rng, most=14) if copies else random_problem(rng, 12)
    least = problem.largest_working_set_bytes
    costs = [search(problem, least + more, Deadline()).value for more in (0, 1, 3, 8, 200)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == 0


@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e-6, 1e-3]))
def test_stopped_early_the_bound_is_still_one(seed: int, seconds: float) -> None:
    rng = random.Random(seed)
    problem = problem_with_copies(rng, most=12) if seed % 2 else random_problem(rng, 12)
    capacity = problem.largest_working_set_bytes
    early = search(problem, capacity, Deadline(seconds))
    cost = _checked(problem, capacity, early)
    optimum = search(problem, capacity, Deadline()).value
    assert early.bound <= optimum <= cost
    narrow = beam(problem, capacity, 3, Deadline(seconds))
    assert _checked(problem, capacity, narrow) >= optimum
    assert narrow.bound <= optimum


def test_a_given_script_is_bettered() -> None:
    for seed in range(draws(40)):
        rng = random.Random(seed)
        problem = random_problem(rng, 10)
        capacity = problem.largest_working_set_bytes
        best = search(problem, capacity, Deadline())
        assert best.solution is not None
        again = search(problem, capacity, Deadline(0.0), best.solution)
        assert _checked(problem, capacity, again) == best.value


def test_a_script_that_evicts_what_it_need_not_is_still_one() -> None:
    # The activation in place is run with the product; the given script keeps them apart, and puts
    # the product away in between.
    problem = Problem(
        "apart",
        (
            Step("input", (), (0,), load=True),
            Step("product", (0,), (1,)),
            Step("other", (0,), (3,)),
            Step("activation", (1,), (2,), takes_over=1),
            Step("sum", (2, 3), (4,)),
        ),
        tuple(Buffer(f"t{t}", 4, t == 0) for t in range(5)),
    )
    script = Script((0, 1, 2, 3, 4), ((), (), (1,), (), ()))
    assert replay(problem, script, 16).cost_bytes == 8
    found = search(problem, 12, Deadline(), script)
    assert _checked(problem, 12, found) == fewest_bytes(problem, 12) == 0


def test_a_step_that_does_not_fit_leaves_no_script() -> None:
    problem = random_problem(random.Random(3), 8)
    less = problem.largest_working_set_bytes - 1
    for found in (search(problem, less, Deadline()), beam(problem, less, 5, Deadline())):
        assert found.solution is None
        assert not found.proved


def _attention(heads: int) -> Problem:
    steps = [Step("x", (), (0,), load=True), Step("norm", (0,), (1,))]
    buffers = [Buffer("x", 16, stored=True), Buffer("norm", 16)]

    def add(name: str, reads: tuple[int, ...], size: int, over: int = -1) -> int:
        buffers.append(Buffer(name, size))
        steps.append(Step(name, reads, (len(buffers) - 1,), over))
        return len(buffers) - 1

    total = -1
    for _ in range(heads):
        query, key, value = (add(name, (1,), 2) for name in ("query", "key", "value"))
        scores = add("scores", (query, key), 10)
        weights = add("softmax", (scores,), 10, scores)
        context = add("context", (weights, value), 2)
        total = add("sum", (context,) if total < 0 else (context, total), 16, total)
    add("residual", (total, 0), 16, total)
    return Problem("attention", tuple(steps), tuple(buffers))


@pytest.mark.parametrize("capacity", [42, 46])
def test_heads_of_attention_are_merged(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Queries and keys are one type, values, scores (with the softmax) and contexts others.
    more = _attention(3)
    merged = search(more, capacity, Deadline())
    assert merged.proved
    assert merged.work["interchangeable"] == 3 * 5
    monkeypatch.setattr(segment_search, "StateGraph", partial(StateGraph, merge=False))
    plain = search(more, capacity, Deadline())
    assert plain.work["interchangeable"] == 0
    assert _checked(more, capacity, merged) == _checked(more, capacity, plain)
    assert merged.work["expanded"] <= plain.work["expanded"]


def test_merged_and_plain_search_agree_on_larger_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [problem_with_copies(random.Random(seed), most=15) for seed in range(40)]
    merged = [search(p, p.largest_working_set_bytes, Deadline()).value for p in problems]
    monkeypatch.setattr(segment_search, "StateGraph", partial(StateGraph, merge=False))
    plain = [search(p, p.largest_working_set_bytes, Deadline()).value for p in problems]
    assert merged == plain
    assert sum(cost > 0 for cost in plain) > 20


@pytest.mark.parametrize("most", [1, 2])
def test_with_few_evictions_tried_the_bound_is_still_one(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_graph, "_MOST_SETS", most)
    left_open = 0
    for seed in range(draws(150)):
        rng = random.Random(seed)
        copies = seed % 3 == 0
        problem = problem_with_copies(rng, most=9) if copies else random_problem(rng, 9)
        capacity = problem.largest_working_set_bytes
        found = search(problem, capacity, Deadline())
        optimum = fewest_bytes(problem, capacity)
        assert optimum is not None
        assert found.bound <= optimum <= _checked(problem, capacity, found)
        left_open += not found.proved
    assert left_open > 0
