"""Several memory levels: against a search over every state, and against one level."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from perfmodel.schedule.greedy import belady
from perfmodel.schedule.levels import LevelPlan, RetentionLevel, over_levels
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import replay
from tests.draws import draws, of_draws

State = tuple[tuple[frozenset[int], ...], frozenset[int]]


def replay_levels(problem: Problem, plan: LevelPlan) -> tuple[int, ...]:
    """Run a plan and return the bytes that crossed each boundary.

    Raises
    ------
    ValueError
        Something moves from where it is not, a level overflows, or a step misses what it reads.
    """
    n = len(plan.levels)
    sizes = [b.size_bytes for b in problem.buffers]
    stored = {t for t, b in enumerate(problem.buffers) if b.stored}
    there: list[set[int]] = [set() for _ in range(n)]
    waiting = [len(r) for r in problem.readers]
    crossed = [0] * n
    for k, s in enumerate(plan.order):
        step, kept = problem.steps[s], plan.contents[k]
        # A copy that moves down is there while it passes; drops come after the moves down.
        passing: set[tuple[int, int]] = set()
        old = [set(level) for level in there]
        downs = sorted((m for m in plan.moves[k] if m.down), key=lambda m: m.boundary)
        for m in downs:
            if m.buffer not in old[m.boundary] and (m.boundary, m.buffer) not in passing:
                raise ValueError(f"buffer {m.buffer} moves down from where it is not, at {k}")
            crossed[m.boundary] += sizes[m.buffer]
            passing.add((m.boundary + 1, m.buffer))
        stored |= {b for level, b in passing if level == n}
        ups = sorted((m for m in plan.moves[k] if not m.down), key=lambda m: -m.boundary)
        arriving: set[tuple[int, int]] = set()
        for m in ups:
            below = m.boundary + 1
            there_now = m.buffer in stored if below == n else m.buffer in kept[below]
            if not there_now and (below, m.buffer) not in arriving:
                raise ValueError(f"buffer {m.buffer} moves up from where it is not, at {k}")
            crossed[m.boundary] += sizes[m.buffer]
            arriving.add((m.boundary, m.buffer))
        for level in range(n):
            for b in kept[level]:
                came = (level, b) in arriving or (level > 0 and (level, b) in passing)
                if b not in old[level] and not came:
                    raise ValueError(f"buffer {b} is held from nowhere, at {k}")
            room = plan.levels[level].capacity_bytes
            total = sum(sizes[b] for b in kept[level])
            if total + (problem.growth_bytes[s] if level == 0 else 0) > room:
                raise ValueError(f"'{plan.levels[level].name}' overflows at {k}")
        if not kept[0].issuperset(step.reads):
            raise ValueError(f"'{step.name}' misses what it reads")
        there = [set(level) for level in kept]
        there[0].update(step.writes)
        for t in dict.fromkeys(step.reads):
            waiting[t] -= 1
        for level in there:
            level.difference_update([t for t in level if not waiting[t]])
    return tuple(crossed)


def random_problem(
    rng: np.random.Generator, steps: int, *, stored: bool = True, over: bool = True
) -> Problem:
    buffers: list[Buffer] = []
    made: list[Step] = []
    readers = np.zeros(steps, dtype=int)
    reads: list[tuple[int, ...]] = []
    for i in range(steps):
        count = int(rng.integers(0, min(i, 3) + 1)) if i else 0
        picked = tuple(sorted(int(t) for t in rng.choice(i, count, replace=False))) if i else ()
        reads.append(picked)
        for t in picked:
            readers[t] += 1
        buffers.append(
            Buffer(f"b{i}", int(rng.integers(1, 6)), bool(stored and rng.random() < 0.3))
        )
    for i in range(steps):
        alone = [t for t in reads[i] if readers[t] == 1]
        takes = alone[0] if over and alone and rng.random() < 0.4 else -1
        made.append(
            Step(f"s{i}", reads[i], (i,), takes, int(rng.integers(0, 2)), load=not reads[i])
        )
    return Problem("random", tuple(made), tuple(buffers))


def subsets(items: Iterable[int]) -> Iterator[frozenset[int]]:
    listed = sorted(items)
    for n in range(len(listed) + 1):
        yield from map(frozenset, itertools.combinations(listed, n))


def cheapest(problem: Problem, levels: list[RetentionLevel]) -> float | None:
    """Search every set of copies in every level, step by step (Dijkstra), by the rules alone."""
    n = len(levels)
    sizes = [b.size_bytes for b in problem.buffers]
    alive = [
        {
            t
            for t in range(len(sizes))
            if problem.maker[t] < k and any(r >= k for r in problem.readers[t])
        }
        for k in range(len(problem.steps) + 1)
    ]
    stored = frozenset(t for t, b in enumerate(problem.buffers) if b.stored)
    start: State = (tuple(frozenset() for _ in levels), frozenset())
    heap: list[tuple[float, int, int, State]] = [(0.0, 0, 0, start)]
    best: dict[tuple[int, State], float] = {(0, start): 0.0}
    tie = itertools.count(1)
    while heap:
        cost, _, k, (there, kept) = heapq.heappop(heap)
        if best[k, (there, kept)] < cost:
            continue
        if k == len(problem.steps):
            return cost
        step = problem.steps[k]
        for held in itertools.product(*(subsets(alive[k]) for _ in levels)):
            if not held[0].issuperset(step.reads):
                continue
            totals = [sum(sizes[t] for t in h) for h in held]
            totals[0] += problem.growth_bytes[k]
            if any(t > level.capacity_bytes for t, level in zip(totals, levels, strict=True)):
                continue
            for fresh in subsets(alive[k] - kept - stored):
                below = kept | fresh
                move = 0.0
                for t in alive[k]:
                    one = _buffer(
                        t, there, held, t in kept | stored, t in below | stored, n, levels
                    )
                    if one is None:
                        break
                    move += one * sizes[t]
                else:
                    after = tuple(
                        frozenset((h | set(step.writes) if i == 0 else h) & alive[k + 1])
                        for i, h in enumerate(held)
                    )
                    state: State = (after, frozenset(below & alive[k + 1]))
                    if cost + move < best.get((k + 1, state), np.inf):
                        best[k + 1, state] = cost + move
                        heapq.heappush(heap, (cost + move, next(tie), k + 1, state))
    return None


def _buffer(
    t: int,
    there: tuple[frozenset[int], ...],
    held: tuple[frozenset[int], ...],
    was: bool,
    now: bool,
    n: int,
    levels: list[RetentionLevel],
) -> float | None:
    """Return the cheapest crossings that take one buffer from copies to copies, or None."""
    old = [t in h for h in there] + [was]
    new = [t in h for h in held] + [now]
    best: float | None = None
    for down in itertools.product((False, True), repeat=n):
        reach = list(old)
        valid = True
        passed = [False] * (n + 1)
        for i in range(n):
            if down[i]:
                valid = valid and (old[i] or passed[i])
                passed[i + 1] = True
        if not valid:
            continue
        for up in itertools.product((False, True), repeat=n):
            arrived = [False] * (n + 1)
            fine = True
            for i in range(n - 1, -1, -1):
                if up[i]:
                    fine = fine and (new[i + 1] or arrived[i + 1])
                    arrived[i] = True
            ok = fine and all(
                not new[i] or reach[i] or (i > 0 and passed[i]) or arrived[i] for i in range(n + 1)
            )
            if ok:
                cost = sum(
                    (d + u) * level.cost_per_byte
                    for d, u, level in zip(down, up, levels, strict=True)
                )
                best = cost if best is None else min(best, cost)
    return best


def checked(problem: Problem, levels: list[RetentionLevel]) -> LevelPlan | None:
    plan = over_levels(problem, levels, range(len(problem.steps)))
    if plan is not None:
        assert replay_levels(problem, plan) == plan.crossing_bytes
        assert plan.proved
        assert plan.bound <= plan.cost
    return plan


def test_two_levels_cost_what_a_search_of_every_state_finds() -> None:
    rng = np.random.default_rng(0)
    paid = deep = 0
    for _ in range(draws(16)):
        problem = random_problem(rng, 7)
        levels = [
            RetentionLevel("L1", problem.largest_working_set_bytes, 1.0),
            RetentionLevel("L2", int(rng.integers(0, 7)), 3.0),
        ]
        plan = checked(problem, levels)
        assert plan is not None
        assert plan.cost == pytest.approx(cheapest(problem, levels))
        paid += plan.cost > 0
        deep += plan.crossing_bytes[1] > 0
    assert paid >= of_draws(5)
    assert deep >= of_draws(2)


@pytest.mark.parametrize("seed", range(draws(10)))
def test_one_level_is_the_retention_of_an_order(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    problem = random_problem(rng, 8)
    capacity = problem.largest_working_set_bytes + int(rng.integers(0, 3))
    plan = checked(problem, [RetentionLevel("L1", capacity)])
    assert plan is not None
    assert plan.cost == pytest.approx(cheapest(problem, [RetentionLevel("L1", capacity)]))
    script = belady(problem, range(len(problem.steps)), capacity)
    assert script is not None
    assert plan.cost <= replay(problem, script, capacity).cost_bytes


@pytest.mark.parametrize("seed", range(draws(10)))
def test_an_endless_second_level_is_off_chip(seed: int) -> None:
    rng = np.random.default_rng(200 + seed)
    problem = random_problem(rng, 9, stored=False)
    capacity = problem.largest_working_set_bytes
    one = checked(problem, [RetentionLevel("L1", capacity)])
    two = checked(problem, [RetentionLevel("L1", capacity), RetentionLevel("L2", 10**9, 50.0)])
    none = checked(problem, [RetentionLevel("L1", capacity), RetentionLevel("L2", 0, 0.0)])
    assert one is not None
    assert two is not None
    assert none is not None
    assert two.cost == pytest.approx(one.cost)
    assert two.crossing_bytes[1] == 0
    # A level that holds nothing and costs nothing to pass is not there.
    assert none.cost == pytest.approx(one.cost)


def test_a_larger_second_level_never_costs_more_and_takes_the_traffic() -> None:
    rng = np.random.default_rng(5)
    problem = random_problem(rng, 14, stored=False)
    capacity = problem.largest_working_set_bytes
    costs: list[float] = []
    for room in (0, 2, 4, 8, 16, 32):
        plan = checked(problem, [RetentionLevel("L1", capacity), RetentionLevel("L2", room, 10.0)])
        assert plan is not None
        costs.append(plan.cost)
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


def test_three_levels_pass_what_stops_in_none() -> None:
    """a is made, pushed out by b and c, and read at the end; only the third level holds it."""
    buffers = (Buffer("a", 4), Buffer("b", 4), Buffer("c", 4), Buffer("d", 1))
    steps = (
        Step("a", (), (0,)),
        Step("b", (), (1,)),
        Step("c", (1,), (2,)),
        Step("d", (0, 2), (3,)),
    )
    problem = Problem("three", steps, buffers)
    levels = [
        RetentionLevel("L1", 9, 1.0),
        RetentionLevel("L2", 3, 10.0),
        RetentionLevel("L3", 4, 100.0),
    ]
    plan = checked(problem, levels)
    assert plan is not None
    assert plan.crossing_bytes == (8, 8, 0)
    assert plan.cost == 88.0


def test_what_does_not_fit_or_is_no_order_is_said() -> None:
    problem = random_problem(np.random.default_rng(0), 5)
    assert over_levels(problem, [RetentionLevel("L1", 0)], range(5)) is None
    with pytest.raises(ValueError, match="at least one level"):
        over_levels(problem, [])
    with pytest.raises(ValueError, match="order"):
        over_levels(problem, [RetentionLevel("L1", 100)], [0, 0, 1, 2, 3])


def test_the_order_is_that_of_the_fewest_bytes() -> None:
    rng = np.random.default_rng(8)
    for _ in range(5):
        problem = random_problem(rng, 9, stored=False)
        levels = [RetentionLevel("L1", problem.largest_working_set_bytes)]
        plan = over_levels(problem, levels)
        natural = checked(problem, levels)
        assert plan is not None
        assert natural is not None
        assert plan.cost <= natural.cost
        assert replay_levels(problem, plan) == plan.crossing_bytes
