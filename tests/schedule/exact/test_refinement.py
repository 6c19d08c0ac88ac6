"""Bounds of some of the steps: never above brute force, and of all steps exact."""

import random
from collections.abc import Sequence

import pytest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact import search
from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem, bitmask_problem
from perfmodel.schedule.exact.refinement import refine
from perfmodel.schedule.exact.relaxation import cheapest_evictions, complete_order, relax_to_steps
from perfmodel.schedule.exact.segment_schedule import SegmentSchedule, join_segments, split_script
from perfmodel.schedule.exact.segment_search import SegmentSearch
from perfmodel.schedule.exact.segments import segments
from perfmodel.schedule.exact.shortest_path import cheapest_path
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.greedy import belady
from perfmodel.schedule.ilp import retention
from perfmodel.schedule.masks import bits
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import replay
from tests.draws import draws, of_draws
from tests.schedule.brute_force import fewest_bytes
from tests.schedule.exact.copies import problem_with_copies
from tests.schedule.networks import nas
from tests.schedule.random_graphs import random_problem

_FAR = 1 << 40


def _problem(seed: int) -> tuple[Problem, int]:
    """A problem (copies, outputs in place, several outputs) and a capacity."""
    rng = random.Random(seed)
    problem = problem_with_copies(rng) if seed % 2 else random_problem(rng, 9, outputs=3)
    return problem, problem.largest_working_set_bytes + rng.choice([0, 0, 1, 2])


def _least(core: BitmaskProblem, capacity: int) -> int:
    """The optimum of a core, of its segments and of the whole alike."""
    ends = [
        cheapest_path(StateGraph(c, capacity), _FAR, Deadline()).solution
        for c in (core, *segments(core))
    ]
    costs = [end.cost for end in ends if end is not None]
    assert len(costs) == len(ends)
    assert costs[0] == sum(costs[1:])
    return costs[0]


def test_without_some_steps_nothing_costs_more() -> None:
    positive = tight = 0
    for seed in range(draws(300)):
        problem, capacity = _problem(seed)
        optimum = fewest_bytes(problem, capacity)
        assert optimum is not None
        core, rng = bitmask_problem(problem), random.Random(seed)
        assert _least(relax_to_steps(core, core.full), capacity) == optimum
        keep, above = core.full, optimum
        while keep:
            keep &= ~(1 << rng.choice(list(bits(keep))))
            least = _least(relax_to_steps(core, keep), capacity)
            # The fewer steps, the less.
            assert least <= above, seed
            positive += least > 0
            tight += 0 < least == optimum
            above = least
    assert positive > of_draws(100)
    assert tight > of_draws(50)


def test_orders_through_what_is_left_out_stay() -> None:
    for seed in range(draws(100)):
        core = bitmask_problem(_problem(seed)[0])
        keep = random.Random(seed).getrandbits(core.steps)
        less, kept = relax_to_steps(core, keep), list(bits(keep))
        for i, s in enumerate(kept):
            assert {kept[p] for p in bits(less.ancestors[i])} == {*bits(core.ancestors[s] & keep)}


def test_a_completed_order_is_one_of_all_steps() -> None:
    for seed in range(draws(100)):
        core = bitmask_problem(_problem(seed)[0])
        rng = random.Random(seed)
        some = [s for s in range(core.steps) if rng.random() < 0.5]
        order = complete_order(core, some, range(core.steps))
        assert sorted(order) == list(range(core.steps))
        assert [s for s in order if s in some] == some
        done = 0
        for s in order:
            assert not core.before[s] & ~done
            done |= 1 << s


@pytest.mark.parametrize("outputs", [1, 3])
def test_an_order_gets_its_best_evictions(outputs: int) -> None:
    dear = 0
    for seed in range(draws(60)):
        rng = random.Random(seed)
        problem = random_problem(rng, 12, outputs=outputs)
        capacity = problem.largest_working_set_bytes + rng.choice([0, 0, 1])
        core = bitmask_problem(problem)
        order = complete_order(core, [], sorted(range(core.steps), key=lambda _: rng.random()))
        order = complete_order(core, order, range(core.steps))
        walk = cheapest_evictions(core, order, capacity, _FAR, Deadline(), 1 << 62)
        assert walk is not None
        assert walk.steps == order
        script = join_segments(problem, [(core, walk)])
        assert replay(problem, script, capacity).cost_bytes == walk.cost
        assert walk.cost == retention(problem, script.order, capacity, Deadline()).value, seed
        if walk.cost:
            assert cheapest_evictions(core, order, capacity, walk.cost, Deadline(), 1 << 62) is None
        dear += walk.cost > 0
    assert dear > of_draws(20)


def _refined(problem: Problem, capacity: int) -> SegmentSearch:
    """The whole problem as one segment, its schedule that of the natural order at first."""
    core = bitmask_problem(problem)

    def played(order: Sequence[int]) -> SegmentSchedule | None:
        way = join_segments(problem, [(core, SegmentSchedule.without_evictions(order))]).order
        script = belady(problem, way, capacity)
        assert script is not None
        return split_script(script, [core], capacity)[0]

    part = SegmentSearch(core, capacity)
    part.offer(played(range(core.steps)))
    refine(part, capacity, Deadline(), played)
    return part


def test_the_bound_is_one_and_the_schedule_is_real() -> None:
    proved = spilled = 0
    for seed in range(draws(300)):
        problem, capacity = _problem(seed)
        optimum = fewest_bytes(problem, capacity)
        assert optimum is not None
        part = _refined(problem, capacity)
        assert part.schedule is not None
        assert part.bound_bytes <= optimum <= part.schedule.cost, seed
        script = join_segments(problem, [(part.core, part.schedule)])
        assert replay(problem, script, capacity).cost_bytes == part.schedule.cost
        spilled += optimum > 0
        proved += 0 < optimum == part.bound_bytes
    assert spilled > of_draws(100)
    assert proved > 0.9 * spilled


@pytest.mark.parametrize("cells", [3, 6, 9, 12])
def test_it_proves_networks_of_any_length(cells: int) -> None:
    problem = nas(cells)
    found = search(problem, problem.largest_working_set_bytes, Deadline())
    # Each cell behind the first spills one buffer of 64, and fetches it again.
    assert found.proved
    assert found.value == 128 * (cells - 1)
    # All steps of three cells at once take 136,000.
    assert found.work["expanded"] < 30_000
