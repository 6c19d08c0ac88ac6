"""Order and evictions in one programme: optimal on small graphs, honest when stopped."""

import json
import random
from pathlib import Path

import exhaustive_schedule as all_ways
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.operator_lists import problem_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.highs import new_handle
from perfmodel.schedule.greedy import greedy, orders
from perfmodel.schedule.ilp import full, full_lp, full_size, ilp, retention, retention_lp
from perfmodel.schedule.ilp.interchangeable_chains import interchangeable_chains
from perfmodel.schedule.ilp.order_and_retention import FullScheduleMilp
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay
from tests.draws import draws

SIZES = ((1, 2, 3, 5, 8), (4, 5, 6, 7), (1,), (2, 3), (0, 3, 4))


def some(seed: int, steps: int) -> tuple[Problem, int]:
    rng = random.Random(seed)
    problem = all_ways.random_problem(rng, steps, rng.choice(SIZES))
    slack = rng.choice((1.0, 1.0, 1.0, 1.15))
    return problem, int(problem.largest_working_set_bytes * slack)


@settings(max_examples=draws(70))
@given(st.integers(0, 10**6), st.integers(2, 8), st.booleans())
def test_it_proves_what_trying_everything_says(seed: int, steps: int, started: bool) -> None:
    problem, capacity = some(seed, steps)
    best = all_ways.best(problem, capacity)
    incumbent = greedy(problem, capacity).solution if started else None
    found = full(problem, capacity, incumbent=incumbent)
    assert found.solution is not None
    assert found.proved
    assert found.value == found.bound == best
    assert replay(problem, found.solution, capacity).cost_bytes == best
    assert ilp(problem, capacity).value == best


def test_harder_graphs_that_spill_are_proved() -> None:
    """Graphs of 10 and 11 steps whose optimum is neither zero nor that of a greedy order."""
    spilling = better = 0
    for seed in (3, 8, 21, 31):
        problem, capacity = some(seed, 10 + seed % 2)
        best = all_ways.best(problem, capacity)
        found = full(problem, capacity)
        assert found.proved
        assert found.value == best
        assert best is not None
        spilling += best > 0
        better += min(retention(problem, o, capacity).value for _, o in orders(problem)) > best
    assert spilling >= 3
    assert better >= 2


@settings(max_examples=draws(60))
@given(st.integers(0, 10**6), st.integers(2, 14))
def test_every_script_is_a_solution_of_the_programme(seed: int, steps: int) -> None:
    """The columns of any order keep all rows, symmetry cuts included, and cost what it costs."""
    problem, capacity = some(seed, steps)
    programme = FullScheduleMilp(problem, capacity)
    for _, order in orders(problem):
        columns = programme.start(order, capacity, Deadline())
        assert columns is not None
        assert programme.model.matrix().satisfied_by(columns)
        again = programme.order(columns)
        assert problem.is_order(again)
        cost = int(programme.model.matrix().cost @ columns) - programme.free
        assert cost * programme.unit == retention(problem, again, capacity).value
        # Loads moved to their first reader and alike branches renamed cost no more.
        assert cost * programme.unit <= retention(problem, order, capacity).value


def test_stopped_it_has_a_bound_and_does_not_say_proved() -> None:
    problem, capacity = some(5, 60)
    incumbent = greedy(problem, capacity)
    assert incumbent.value > 0
    found = full(problem, capacity, Deadline(0.3), incumbent.solution)
    assert found.solution is not None
    assert not found.proved
    assert found.bound < found.value <= incumbent.value
    assert replay(problem, found.solution, capacity).cost_bytes == found.value
    nothing = full(problem, capacity, Deadline(0.0))
    assert nothing.solution is None
    assert not nothing.proved


def test_what_does_not_fit_has_no_script() -> None:
    problem, _ = some(5, 8)
    for method in (full, ilp):
        found = method(problem, problem.largest_working_set_bytes - 1)
        assert found.solution is None
        assert not found.proved


def test_inputs_may_be_loaded_again_instead_of_kept() -> None:
    """A network's input that is read first and last: its first load is free, the second is not."""
    buffers = (Buffer("in", 6, stored=True), *(Buffer(n, 5) for n in "abc"), Buffer("o", 1))
    steps = (
        Step("load", (), (0,), load=True),
        Step("a", (0,), (1,)),
        Step("b", (1,), (2,)),
        Step("c", (2,), (3,)),
        Step("o", (0, 3), (4,)),
    )
    problem = Problem("skip", steps, buffers)
    found = full(problem, 12)
    assert found.proved
    assert found.value == 6
    assert found.solution is not None
    trace = replay(problem, found.solution, 12)
    assert (trace.spill_bytes, trace.reload_bytes) == (0, 6)
    assert full(problem, 16).value == 0


# --- symmetry -------------------------------------------------------------------------------------


def fan(branches: int, length: int, sizes: tuple[int, ...]) -> Problem:
    """One tensor, several chains of it, and a step that joins them."""
    buffers, steps = [Buffer("in", 4)], [Step("in", (), (0,))]
    ends: list[int] = []
    for b in range(branches):
        last = 0
        for i in range(length):
            buffers.append(Buffer(f"t{b}{i}", sizes[i]))
            steps.append(Step(f"s{b}{i}", (last,), (len(buffers) - 1,)))
            last = len(buffers) - 1
        ends.append(last)
    buffers.append(Buffer("out", 1))
    steps.append(Step("join", tuple(ends), (len(buffers) - 1,)))
    return Problem("fan", tuple(steps), tuple(buffers))


def test_equal_branches_are_found_and_cost_what_they_cost() -> None:
    problem = fan(3, 2, (5, 2))
    assert interchangeable_chains(problem) == [[(1, 2), (3, 4), (5, 6)]]
    for capacity in (problem.largest_working_set_bytes, 12, 13, 15):
        found = full(problem, capacity)
        assert found.proved
        assert found.value == all_ways.best(problem, capacity)


def test_branches_that_differ_in_anything_stay_apart() -> None:
    problem = fan(2, 2, (5, 2))
    steps, buffers = list(problem.steps), list(problem.buffers)
    assert len(interchangeable_chains(problem)) == 1
    wider = [Buffer(b.name, 6 if b.name == "t00" else b.size_bytes) for b in buffers]
    assert not interchangeable_chains(Problem("w", tuple(steps), tuple(wider)))
    kept = [Buffer(b.name, b.size_bytes, b.name == "t11") for b in buffers]
    assert not interchangeable_chains(Problem("k", tuple(steps), tuple(kept)))
    over = [*steps[:-1], Step("join", (2, 4), (5,), takes_over=2)]
    assert not interchangeable_chains(Problem("o", tuple(over), tuple(buffers)))
    busy = [*steps[:1], Step("s00", (0,), (1,), scratch_bytes=1), *steps[2:]]
    assert not interchangeable_chains(Problem("b", tuple(busy), tuple(buffers)))


@settings(max_examples=draws(60))
@given(st.integers(0, 10**6), st.integers(4, 12))
def test_to_swap_alike_branches_changes_no_cost(seed: int, steps: int) -> None:
    """Swapped in an order, step by step, they cost the same with the best evictions."""
    rng = random.Random(seed)
    problem = all_ways.random_problem(rng, steps, rng.choice(((1,), (2,), (1, 2))))
    capacity = problem.largest_working_set_bytes
    for group in interchangeable_chains(problem):
        swap = {s: s for s in range(len(problem.steps))}
        one, two = rng.sample(group, 2)
        swap |= dict(zip((*one, *two), (*two, *one), strict=True))
        for _, order in orders(problem):
            other = tuple(swap[s] for s in order)
            assert problem.is_order(other)
            a, b = (retention(problem, o, capacity).value for o in (order, other))
            assert a == b


def test_graphs_of_alike_branches_cost_what_trying_everything_says() -> None:
    spilling = alike = 0
    for seed in (s for s in range(24) if s not in (12, 17)):  # which take seconds
        rng = random.Random(seed)
        problem = all_ways.branching_problem(rng)
        capacity = problem.largest_working_set_bytes + rng.choice((0, 0, 1, 2))
        best = all_ways.best(problem, capacity)
        found = full(problem, capacity, incumbent=greedy(problem, capacity).solution)
        assert found.proved
        assert found.value == best
        assert best is not None
        spilling += best > 0
        alike += bool(interchangeable_chains(problem))
    assert spilling > 10
    assert alike > 5


# --- the method -----------------------------------------------------------------------------------


@settings(max_examples=draws(25))
@given(st.integers(0, 10**6))
def test_it_is_never_dearer_than_greedy_nor_with_more_capacity(seed: int) -> None:
    problem, capacity = some(seed, 14)
    costs: list[int] = []
    for more in (0, 2, 5):
        found = ilp(problem, capacity + more, largest=0)
        assert found.solution is not None
        assert found.value <= greedy(problem, capacity + more).value
        assert replay(problem, found.solution, capacity + more).cost_bytes == found.value
        costs.append(found.value)
    assert costs == sorted(costs, reverse=True)


def test_orders_of_others_are_tried_too() -> None:
    problem, capacity = some(21, 11)
    alone = ilp(problem, capacity, largest=0)
    best = full(problem, capacity)
    assert best.solution is not None
    helped = ilp(problem, capacity, more_orders=[best.solution.order], largest=0)
    assert helped.value == best.value <= alone.value
    assert helped.work["orders"] >= alone.work["orders"]


def test_a_cost_of_zero_is_a_proof() -> None:
    problem, _ = some(2, 9)
    found = full(problem, 10**6, incumbent=greedy(problem, 10**6).solution)
    assert found.proved
    assert found.value == 0
    with pytest.raises(ValueError, match="order"):
        full(problem, 10**6, incumbent=Script((0,), ((),)))


@pytest.mark.data
def test_a_residual_network_of_47_operators_is_proved(data: Path) -> None:
    text = (data / "ilp" / "graphs" / "resnet18.json").read_text()
    problem = problem_of(json.loads(text))
    found = ilp(problem, 392 * 1024)
    assert found.proved
    assert found.value == 784 * 1024
    assert full_size(problem) == pytest.approx(found.work["columns"], rel=0.3)


def objective_of(path: Path) -> float:
    """Optimum of an LP file, by a solver that knows nothing of schedules."""
    handle = new_handle()
    handle.readModel(str(path))
    handle.setOptionValue("mip_rel_gap", 0.0)
    handle.run()
    return float(handle.getInfo().objective_function_value)


def test_programmes_are_files_in_the_names_of_the_graph(tmp_path: Path) -> None:
    problem, capacity = some(8, 10)
    order = tuple(range(len(problem.steps)))
    kept, best = retention(problem, order, capacity), full(problem, capacity)
    assert 0 < best.value < kept.value
    retention_lp(problem, order, capacity, tmp_path / "retention.lp")
    full_lp(problem, capacity, tmp_path / "full.lp")
    programme = FullScheduleMilp(problem, capacity)
    assert objective_of(tmp_path / "retention.lp") == pytest.approx(kept.value)
    assert objective_of(tmp_path / "full.lp") == pytest.approx(
        best.value / programme.unit + programme.free
    )
    assert "away_t1_3_9" in (tmp_path / "retention.lp").read_text()
    assert "done_s" in (tmp_path / "full.lp").read_text()
    with pytest.raises(ValueError, match="nothing to decide"):
        retention_lp(problem, order, 10**6, tmp_path / "none.lp")
    with pytest.raises(ValueError, match="does not fit"):
        full_lp(problem, problem.largest_working_set_bytes - 1, tmp_path / "none.lp")
    assert not (tmp_path / "none.lp").exists()


def test_sizes_in_large_units_do_not_lose_a_byte() -> None:
    """Tolerances of a solver are relative; sums of a few megabytes must still be exact."""
    for seed in (1, 7, 17, 23):
        problem, capacity = some(seed, 9)
        large = Problem(
            "large",
            tuple(
                Step(s.name, s.reads, s.writes, s.takes_over, s.scratch_bytes * 1_234_567)
                for s in problem.steps
            ),
            tuple(Buffer(b.name, b.size_bytes * 1_234_567, b.stored) for b in problem.buffers),
        )
        exact = ilp(problem, capacity)
        for off in (0, 1, 1_234_566):
            found = ilp(large, capacity * 1_234_567 + off)
            assert found.value == exact.value * 1_234_567
        least = large.largest_working_set_bytes
        assert full(large, least - 1).solution is None
        assert np.isfinite(float(full(large, least).bound))
