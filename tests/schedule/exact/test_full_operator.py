"""The bound of steps that fill the memory: never too high; the search finds the same with it."""

import random

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.beam_search import beam_search
from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem, bitmask_problem
from perfmodel.schedule.exact.full_operator import full_operator_bound
from perfmodel.schedule.exact.shortest_path import cheapest_path
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.problem import Buffer, Problem, Step
from tests.draws import draws, of_draws
from tests.schedule.brute_force import fewest_bytes
from tests.schedule.random_graphs import random_problem

_FAR = 1 << 40


def _wired(rng: random.Random, n: int) -> Problem:
    """A randomly wired graph of equal sizes, most of which a last step reads."""
    steps = [Step("load", (), (0,), load=True)]
    for i in range(1, n):
        reads = rng.sample(range(max(0, i - 7), i), min(i, rng.choice([1, 1, 2, 2, 3, 4])))
        steps.append(Step(f"s{i}", tuple(sorted(reads)), (i,)))
    unread = sorted(set(range(n)) - {t for s in steps for t in s.reads})
    steps.append(Step("merge", tuple(unread), (n,)))
    sizes = [rng.choice([4, 4, 4, 5]) for _ in range(n + 1)]
    return Problem(
        "wired", tuple(steps), tuple(Buffer(f"t{t}", z, t == 0) for t, z in enumerate(sizes))
    )


def _problem(seed: int) -> tuple[Problem, BitmaskProblem, int]:
    rng = random.Random(seed)
    problem = _wired(rng, rng.randint(7, 10)) if seed % 4 else random_problem(rng, 10)
    slack = rng.choice([0, 0, 1, 3])
    return problem, bitmask_problem(problem), problem.largest_working_set_bytes + slack


def test_the_bound_is_one_on_every_state_of_a_cheapest_schedule() -> None:
    used = positive = 0
    for seed in range(draws(260)):
        problem, core, capacity = _problem(seed)
        optimum = fewest_bytes(problem, capacity)
        assert optimum is not None
        graph = StateGraph(core, capacity, merge=False)
        bound = full_operator_bound(graph, _FAR, Deadline())
        plain = cheapest_path(graph, _FAR, Deadline())
        assert plain.solution is not None
        assert plain.solution.cost == optimum
        if bound is None:
            continue
        bound.solve(_FAR, Deadline())
        used += 1
        for visit in plain.solution.path():
            told = bound(visit.executed, visit.resident, visit.clean)
            assert visit.cost + told <= optimum, seed
        start = bound(*graph.start())
        positive += start > 0
        # Guided, the search ends with the same; below the optimum there is nothing.
        guided = cheapest_path(graph, optimum + 1, Deadline(), bound=bound)
        assert guided.solution is not None
        assert guided.solution.cost == optimum
        assert guided.work["expanded"] <= plain.work["expanded"]
        none = cheapest_path(graph, optimum, Deadline(), bound=bound)
        assert none.solution is None
        assert none.bound == optimum
        # A beam that keeps everything finds the optimum too.
        wide = beam_search(graph, 10**6, optimum + 1, Deadline(), bound)
        assert wide is not None
        assert wide.cost == optimum
    assert used > of_draws(60)
    assert positive > of_draws(20)


def test_a_limit_and_few_expansions_leave_it_a_bound() -> None:
    for seed in range(1, 120, 2):
        problem, core, capacity = _problem(seed)
        optimum = fewest_bytes(problem, capacity)
        assert optimum is not None
        for limit, expansions in ((optimum + 1, 1), (optimum + 1, 10**6), (_FAR, 2)):
            graph = StateGraph(core, capacity, merge=False)
            bound = full_operator_bound(graph, _FAR, Deadline())
            if bound is not None:
                bound.solve(limit, Deadline(), expansions)
                found = cheapest_path(graph, limit, Deadline(), bound=bound)
                assert found.solution is not None
                assert found.solution.cost == optimum


def test_stopped_the_search_tells_a_bound() -> None:
    for seed in range(draws(60)):
        problem, core, capacity = _problem(seed)
        optimum = fewest_bytes(problem, capacity)
        assert optimum is not None
        for expansions in (0, 3, 10, 30):
            graph = StateGraph(core, capacity, merge=False)
            bound = full_operator_bound(graph, optimum + 1, Deadline())
            for by in (None, bound):
                found = cheapest_path(graph, _FAR, Deadline(), bound=by, expansions=expansions)
                assert found.bound <= optimum
                assert found.solution is None or found.solution.cost == optimum
