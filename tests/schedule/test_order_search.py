"""Descent over orders: never dearer, always legal, and as good as what was proved elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.operator_lists import problem_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import belady, orders
from perfmodel.schedule.order_search import improve_order
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay
from tests.draws import draws


@st.composite
def branches(draw: st.DrawFn) -> Problem:
    """Chains side by side from one input, joined at the end: many orders, few of them good."""
    steps = [Step("input", (), (0,), load=True)]
    sizes = [draw(st.integers(1, 6))]
    ends: list[int] = []
    for _ in range(draw(st.integers(2, 4))):
        last = 0
        for _ in range(draw(st.integers(1, 4))):
            steps.append(Step(f"s{len(steps)}", (last,), (len(sizes),)))
            last = len(sizes)
            sizes.append(draw(st.integers(1, 6)))
        ends.append(last)
    steps.append(Step("join", tuple(ends), (len(sizes),)))
    sizes.append(1)
    return Problem("branches", tuple(steps), tuple(Buffer(f"b{i}", s) for i, s in enumerate(sizes)))


def fitting(problem: Problem, capacity: int, order: tuple[int, ...]) -> Script:
    script = belady(problem, order, capacity)
    assert script is not None
    return script


@given(branches(), st.integers(0, 3), st.integers(0, 5))
@settings(max_examples=draws(60))
def test_it_is_legal_and_never_dearer(problem: Problem, more: int, seed: int) -> None:
    capacity = problem.largest_working_set_bytes + more
    for _, order in orders(problem):
        script = fitting(problem, capacity, order)
        made = improve_order(problem, script, capacity, Deadline(), tries=40, seed=seed)
        # The replay refuses what is not legal or does not fit.
        before = replay(problem, script, capacity).cost_bytes
        assert replay(problem, made, capacity).cost_bytes <= before


def test_the_same_seed_gives_the_same_script() -> None:
    sizes = (4, 3, 5, 2, 3, 5, 2, 4, 1)
    steps = (
        Step("x", (), (0,), load=True),
        Step("a1", (0,), (1,)),
        Step("b1", (0,), (2,)),
        Step("a2", (1,), (3,)),
        Step("b2", (2,), (4,)),
        Step("a3", (3,), (5,)),
        Step("b3", (4,), (6,)),
        Step("c", (0,), (7,)),
        Step("join", (5, 6, 7), (8,)),
    )
    problem = Problem("two", steps, tuple(Buffer(f"b{i}", s) for i, s in enumerate(sizes)))
    capacity = problem.largest_working_set_bytes
    script = fitting(problem, capacity, tuple(range(len(steps))))
    first = improve_order(problem, script, capacity, Deadline(), tries=200, seed=3)
    assert first == improve_order(problem, script, capacity, Deadline(), tries=200, seed=3)
    costs = [replay(problem, s, capacity).cost_bytes for s in (script, first)]
    # By hand: one branch after the other holds x and one end; both at once spill.
    assert costs[1] < costs[0]


def test_nothing_is_looked_at_after_the_deadline() -> None:
    problem = Problem(
        "line",
        (Step("x", (), (0,), load=True), Step("y", (0,), (1,))),
        (Buffer("x", 1), Buffer("y", 1)),
    )
    script = fitting(problem, 2, (0, 1))
    assert improve_order(problem, script, 2, Deadline(0.0)) == script


@pytest.mark.data
@pytest.mark.parametrize(("capacity", "optimum"), [(339, 192), (372, 128)])
def test_it_reaches_proved_optima(data: Path, capacity: int, optimum: int) -> None:
    graph: dict[str, Any] = json.loads((data / "ilp" / "graphs" / "nas7.json").read_text())
    known = {b["capacity"]: b for b in graph["best_known"]}[capacity]
    assert known["proved_optimal"]
    assert known["spill_plus_reload"] == optimum
    problem = problem_of(graph)
    script = fitting(problem, capacity * 1024, tuple(range(len(problem.steps))))
    assert replay(problem, script, capacity * 1024).cost_bytes == 704 * 1024
    made = improve_order(problem, script, capacity * 1024, Deadline(), tries=1500)
    assert replay(problem, made, capacity * 1024).cost_bytes == optimum * 1024
