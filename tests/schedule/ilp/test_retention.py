"""The best evictions of an order, against trying all of them."""

import json
import random
from pathlib import Path

import exhaustive_schedule as all_ways
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.operator_lists import problem_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import belady, orders
from perfmodel.schedule.ilp import retention
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay
from tests.draws import draws, of_draws

SIZES = ((1, 2, 3, 5, 8), (4, 5, 6, 7), (1,), (2, 3), (0, 3, 4))


def some(seed: int, steps: int) -> tuple[Problem, int]:
    """A random problem and a capacity that hardly fits."""
    rng = random.Random(seed)
    problem = all_ways.random_problem(rng, steps, rng.choice(SIZES))
    slack = rng.choice((1.0, 1.0, 1.1, 1.3))
    return problem, int(problem.largest_working_set_bytes * slack)


@settings(max_examples=draws(120))
@given(st.integers(0, 10**6), st.integers(2, 9))
def test_an_order_costs_what_trying_all_evictions_says(seed: int, steps: int) -> None:
    problem, capacity = some(seed, steps)
    for _, order in orders(problem):
        best = all_ways.best_of_order(problem, order, capacity)
        found = retention(problem, order, capacity)
        assert found.solution is not None
        assert found.solution.order == order
        assert found.value == best == found.work["order_bound_bytes"]
        assert found.work["order_optimal"] == 1
        assert replay(problem, found.solution, capacity).cost_bytes == best


@settings(max_examples=draws(15))
@given(st.integers(0, 10**6))
def test_long_orders_are_never_dearer_than_belady_nor_cheaper_with_less(seed: int) -> None:
    problem, capacity = some(seed, 40)
    order = tuple(range(40))
    costs: list[int] = []
    for more in (0, 1, 3, 8):
        rule = belady(problem, order, capacity + more)
        found = retention(problem, order, capacity + more)
        assert rule is not None
        assert found.solution is not None
        assert found.value <= replay(problem, rule, capacity + more).cost_bytes
        assert found.work["order_optimal"] == 1
        costs.append(found.value)
    assert costs == sorted(costs, reverse=True)


def test_random_graphs_spill_and_beladys_rule_is_not_the_best() -> None:
    """Else the tests above would compare nothing with nothing."""
    spilling = beaten = 0
    for seed in range(draws(60)):
        problem, capacity = some(seed, 12)
        order = tuple(range(len(problem.steps)))
        rule = belady(problem, order, capacity)
        assert rule is not None
        found = retention(problem, order, capacity)
        spilling += found.value > 0
        beaten += found.value < replay(problem, rule, capacity).cost_bytes
    assert spilling > of_draws(20)
    assert beaten > of_draws(3)


@pytest.mark.parametrize(("stored", "cost"), [(False, 4 + 4 + 4), (True, 4 + 4)])
def test_a_store_is_paid_once_and_a_stored_tensor_costs_only_its_reloads(
    stored: bool, cost: int
) -> None:
    """Twice 10 of 10 bytes are taken by others between the three readings of `a`."""
    sizes = {"a": 4, "x": 2, "y": 8, "z": 2, "u": 2, "v": 8, "w": 2, "o": 1}
    buffers = tuple(Buffer(n, size, stored and n == "a") for n, size in sizes.items())
    steps = (
        Step("a", (), (0,), load=True),
        Step("x", (0,), (1,)),
        Step("y", (1,), (2,)),
        Step("z", (2,), (3,)),
        Step("u", (0, 3), (4,)),
        Step("v", (4,), (5,)),
        Step("w", (5,), (6,)),
        Step("o", (0, 6), (7,)),
    )
    problem = Problem("twice away", steps, buffers)
    for capacity in (10, 13):
        found = retention(problem, range(8), capacity)
        assert found.value == cost == all_ways.best_of_order(problem, range(8), capacity)
    assert retention(problem, range(8), 14).value == 0
    assert retention(problem, range(8), 14).proved


def test_a_step_that_does_not_fit_has_no_script() -> None:
    problem, _ = some(3, 8)
    found = retention(problem, range(8), problem.largest_working_set_bytes - 1)
    assert found.solution is None
    assert not found.proved


def test_without_time_it_returns_the_script_it_was_given_and_proves_nothing() -> None:
    problem, capacity = next(
        (p, c)
        for p, c in (some(seed, 30) for seed in range(50))
        if (rule := belady(p, tuple(range(30)), c)) is not None
        and retention(p, tuple(range(30)), c).value < replay(p, rule, c).cost_bytes
    )
    order = tuple(range(30))
    rule = belady(problem, order, capacity)
    assert rule is not None
    stopped = retention(problem, order, capacity, Deadline(0.0))
    assert stopped.solution == rule
    assert stopped.work["order_optimal"] == 0
    assert stopped.work["order_bound_bytes"] <= retention(problem, order, capacity).value
    assert not stopped.proved
    best = retention(problem, order, capacity).solution
    again = retention(problem, order, capacity, Deadline(0.0), incumbent=best)
    assert again.solution == best


def test_it_proves_nothing_of_other_orders() -> None:
    """Two readings of one tensor: next to each other nothing leaves."""
    buffers = tuple(Buffer(n, 4) for n in ("a", "b", "c", "d", "e"))
    steps = (
        Step("a", (), (0,)),
        Step("b", (0,), (1,)),
        Step("c", (1,), (2,)),
        Step("d", (2,), (3,)),
        Step("e", (0,), (4,)),
    )
    problem = Problem("twice", steps, buffers)
    dear = retention(problem, (0, 1, 2, 3, 4), 8)
    assert dear.value == 8
    assert not dear.proved
    assert dear.bound == 0
    assert retention(problem, (0, 4, 1, 2, 3), 8).proved


def test_it_does_not_invent_what_its_incumbent_lacks() -> None:
    problem, capacity = some(11, 10)
    order = tuple(range(10))
    nothing = Script(order, ((),) * 10)
    with pytest.raises(ValueError, match="needs"):
        retention(problem, order, problem.largest_working_set_bytes - 1, incumbent=nothing)
    assert capacity >= problem.largest_working_set_bytes


@pytest.mark.data
def test_known_costs_of_natural_orders(data: Path) -> None:
    """The transformer's natural order costs 1728 KiB with the best evictions, found with CBC."""
    text = (data / "ilp" / "graphs" / "transformer_8_heads.json").read_text()
    problem = problem_of(json.loads(text))
    natural = retention(problem, range(len(problem.steps)), 1152 * 1024)
    assert natural.value == 1728 * 1024
    best = min(retention(problem, o, 1152 * 1024).value for _, o in orders(problem))
    assert best == 1152 * 1024
