"""The least makespan against two that try everything: every plan, and what each moment allows."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import belady, orders
from perfmodel.schedule.latency import Dma, PlanActivity, latency, prefetch, simulate
from perfmodel.schedule.latency.bounds import lower_bound
from perfmodel.schedule.latency.branch_and_bound import least_makespan
from perfmodel.schedule.latency.simulate import Simulation, SimulationTables
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import replay
from tests.draws import draws, of_draws
from tests.schedule.latency.event_search import EventSearch
from tests.schedule.latency.instances import brisk, instance, odd, squeezed

Make: TypeAlias = Callable[[int, int], tuple[Problem, int, Dma]]


def brute_force(problem: Problem, capacity: int, dma: Dma, best: float, most: int) -> float | None:
    """Least makespan over every sequence of activities that the model allows, if below `best`.

    Every order of steps, every store and drop and reload at every place, every sequence of
    transfers; equal states are visited once, and left where what has to run or come in yet takes
    too long. The only plans left out drop what was reloaded and not read since. None when there are
    more states than `most`.
    """
    facts = SimulationTables(problem, capacity, dma)
    moves = [
        PlanActivity(what, i)
        for i, s in enumerate(problem.steps)
        for what in (("load",) if s.load else ("run", "stream"))
        if what != "stream" or s.stream_bytes
    ]
    for t in range(len(problem.buffers)):
        moves += [PlanActivity("store", t), PlanActivity("reload", t), PlanActivity("drop", t)]
    reads = [set(s.reads) for s in problem.steps]
    seen: set[object] = set()
    stack: list[tuple[Simulation, frozenset[int]]] = [(Simulation(facts), frozenset())]
    while stack:
        sim, unread = stack.pop()
        left = [i for i in range(len(problem.steps)) if not sim.issued >> i & 1]
        compute = max(sim.now, sim.engine) + sum(facts.seconds[i] for i in left)
        fetch = sum(facts.fetch_s[i] for i in left if i not in sim.fetched)
        if max(sim.end_s, compute, max(sim.now, sim.reading) + fetch) >= best:
            continue
        if sim.finished:
            best = sim.end_s
            continue
        for move in moves:
            i, there = move.index, move.index in sim.ready
            if (
                # Spares the refusals that are plain to see.
                (move.what == "run" and (sim.issued >> i & 1 or not reads[i] <= sim.ready.keys()))
                or (move.what in ("store", "drop") and (not there or i in unread))
                or (move.what == "reload" and there)
                or (move.what in ("load", "stream") and (sim.issued >> i & 1 or i in sim.fetched))
            ):
                continue
            try:
                if sim.begin(move) == math.inf:
                    continue
            except ValueError:
                continue
            child = sim.copy()
            child.issue(move)
            since = unread
            if move.what == "reload":
                since = unread | {move.index}
            elif move.what == "run":
                since = unread.difference(problem.steps[move.index].reads)
            state = (
                *(child.now, child.engine, child.reading, child.writing, child.free),
                tuple(child.releases),
                *(frozenset(d.items()) for d in (child.ready, child.used, child.copied)),
                frozenset(child.fetched.items()),
                child.issued,
                since,
            )
            if state not in seen:
                seen.add(state)
                if len(seen) > most:
                    return None
                stack.append((child, since))
    return best


def test_brute_force_agrees() -> None:
    agreed = hard = evicting = 0
    for make, n, seeds in (
        (instance, 3, 90),
        (instance, 4, 70),
        (instance, 5, 60),
        (squeezed, 4, 140),
        (squeezed, 5, 60),
    ):
        for seed in range(seeds):
            problem, capacity, dma = make(1000 * n + seed, n)
            facts = SimulationTables(problem, capacity, dma)
            found = least_makespan(facts)
            assert found.solution is not None
            assert found.bound == found.value
            assert simulate(problem, found.solution, capacity, dma).makespan_s == found.value
            faster = brute_force(problem, capacity, dma, found.value, 1000)
            if faster is None:
                continue
            assert faster == found.value
            agreed += 1
            hard += found.value > lower_bound(facts)
            evicting += any(m.what == "drop" for m in found.solution)
    assert agreed >= 300
    assert hard >= 100  # the bound alone does not tell
    assert evicting >= 100


def test_brute_force_finds_plans_by_itself() -> None:
    # Not told what to beat, it ends at the same makespan.
    for seed in range(draws(60)):
        problem, capacity, dma = instance(seed, 3)
        least = brute_force(problem, capacity, dma, math.inf, 10**5)
        assert least == least_makespan(SimulationTables(problem, capacity, dma)).value


@pytest.mark.parametrize(
    ("make", "n", "seeds", "agreeing", "evicting"),
    [
        (squeezed, 4, 20, 20, 20),
        (odd, 4, 100, 100, 4),
        (squeezed, 6, 14, 12, 12),
        (odd, 6, 20, 20, 5),
        (instance, 9, 16, 9, 1),
        (brisk, 9, 24, 12, 12),
        (odd, 9, 8, 5, 1),
    ],
)
def test_a_search_that_knows_no_plans_agrees(
    make: Make, n: int, seeds: int, agreeing: int, evicting: int
) -> None:
    agreed = evicted = 0
    for seed in range(seeds):
        problem, capacity, dma = make(1000 * n + seed, n)
        least = EventSearch(problem, capacity, dma).run(7000)
        if least is None:
            continue
        # Of nine steps a makespan to beat spares time: one that only the least is below.
        found = least_makespan(
            SimulationTables(problem, capacity, dma), math.inf if n < 9 else least + 1 / 16
        )
        assert found.solution is not None
        assert found.bound == found.value == least
        agreed += 1
        evicted += any(m.what == "drop" for m in found.solution)
    assert agreed >= agreeing
    assert evicted >= evicting


@pytest.mark.parametrize("n", [6, 9])
def test_it_agrees_where_everything_fits(n: int) -> None:
    agreed = 0
    for seed in range(draws(15)):
        problem, _, dma = instance(2000 * n + seed, n)
        room = sum(b.size_bytes for b in problem.buffers)
        room += sum(s.scratch_bytes for s in problem.steps)
        least = EventSearch(problem, room, dma).run(6000)
        if least is not None:
            found = least_makespan(SimulationTables(problem, room, dma))
            assert found.bound == found.value == least
            agreed += 1
    assert agreed >= of_draws(14)


def test_an_input_that_comes_early_is_dropped_where_its_reload_asks_for_less() -> None:
    # The load of `x` finds no place for its workspace after `full`; its reload does.
    steps = (
        Step("x", (), (0,), scratch_bytes=6, load=True),
        Step("small", (0,), (1,), seconds=3.0),
        Step("full", (), (2,), scratch_bytes=6, seconds=5.0),
        Step("last", (1, 2), (3,), seconds=1.0),
    )
    sizes = (1, 1, 8, 1)
    problem = Problem(
        "early", steps, tuple(Buffer(f"t{i}", n, i in (0, 3)) for i, n in enumerate(sizes))
    )
    dma = Dma(1.0, 1.0)
    found = least_makespan(SimulationTables(problem, 14, dma))
    assert found.solution is not None
    assert PlanActivity("drop", 0) in found.solution
    assert found.value == found.bound == 1 + 5 + 1 + 3 + 1 + 1
    assert EventSearch(problem, 14, dma).run(1000) == found.value


@pytest.mark.parametrize("make", [instance, squeezed])
def test_nine_steps_are_proved_and_never_slower_than_any_rule(make) -> None:
    proved = 0
    for seed in range(5):
        problem, capacity, dma = make(seed, 9)
        facts = SimulationTables(problem, capacity, dma)
        found = latency(problem, capacity, dma)
        assert found.solution is not None
        proved += found.proved
        assert lower_bound(facts) <= found.bound <= found.value
        for _, order in orders(problem):
            script = belady(problem, order, capacity)
            assert script is not None
            plan = prefetch(problem, script, capacity, dma)
            assert plan is not None
            timed = simulate(problem, plan, capacity, dma).makespan_s
            assert timed >= found.bound
            again = latency(problem, capacity, dma, Deadline(0), scripts=(script,))
            assert again.value <= timed
    assert proved >= 3


def test_faster_channels_and_more_space_never_slow_down() -> None:
    for seed in range(draws(24)):
        problem, capacity, dma = (instance if seed % 2 else squeezed)(seed, 5)
        makespans = [
            least_makespan(SimulationTables(problem, capacity + more, channels)).value
            for more, channels in (
                (0, dma),
                (0, replace(dma, read_bytes_per_s=2 * dma.read_bytes_per_s)),
                (0, replace(dma, write_bytes_per_s=4 * dma.write_bytes_per_s)),
                (0, replace(dma, latency_s=0.0)),
                (0, replace(dma, channels=2)),
                (0, replace(dma, double_buffered=True)),
                (4, dma),
            )
        ]
        assert makespans[0] == max(makespans)


def test_a_plan_of_the_search_is_a_schedule_of_as_many_bytes() -> None:
    for seed in range(draws(8)):
        problem, capacity, dma = squeezed(seed, 6)
        found = latency(problem, capacity, dma)
        assert found.solution is not None
        trace = replay(problem, found.solution.script, capacity)
        assert trace.cost_bytes <= found.solution.timeline.noncompulsory_bytes(problem)
