"""Every assignment, every order: what the methods must agree with, written apart from them."""

import itertools
from collections.abc import Iterator

import numpy as np

from perfmodel.schedule.assign import Assignment, AssignmentProblem
from perfmodel.schedule.assign.list_scheduling import AssignmentTimeline


def only(problem: AssignmentProblem, engines: list[int]) -> AssignmentProblem:
    """The problem with some of its engines, in the order given."""
    pick = np.asarray(engines, dtype=np.intp)
    return AssignmentProblem(
        problem.costs[:, pick],
        problem.maker,
        problem.readers,
        problem.delays[:, pick[:, None], pick[None, :]],
        problem.channels[np.ix_(pick, pick)],
        problem.operators,
        tuple(problem.engines[e] for e in engines),
        problem.shared[:, :, pick],
        problem.demand[:, :, pick],
        problem.limits,
    )


def random_problem(
    seed: int,
    n: int,
    m: int,
    *,
    alike: bool = True,
    missing: float = 0.1,
    shared: int = 3,
    reach: int = 6,
    channel: bool = False,
    whole: bool = True,
    memory: bool = False,
    tight: float = 0.0,
    together: bool = False,
) -> AssignmentProblem:
    """A random problem: tensors with up to `shared` readers, some costs infinite."""
    random = np.random.default_rng(seed)
    costs = random.integers(1, 30, (n, m)) if whole else random.uniform(1, 30, (n, m))
    costs = costs.astype(float)
    costs[random.random((n, m)) < missing] = np.inf
    for i in range(n):
        if not np.isfinite(costs[i]).any():
            costs[i, random.integers(m)] = 5.0
    maker, readers = [], []
    for i in range(n - 1):
        many = random.integers(0, shared + 1)
        read = sorted({int(r) for r in random.integers(i + 1, min(n, i + reach), many)})
        if read:
            maker.append(i)
            readers.append(read)
    demand = random.integers(1, 10, n).astype(float)
    held = np.zeros((1 if together else m, n, m))
    for e in range(m):
        held[0 if together else e, :, e] = demand
    limit = demand.sum() * tight
    delays = random.integers(0, 12, (len(maker), 1 if alike else m, m)).astype(float)
    return AssignmentProblem.with_tensors(
        costs,
        maker,
        readers,
        np.broadcast_to(delays, (len(maker), m, m)),
        channels=np.zeros((m, m), dtype=int) if channel else None,
        shared=random.integers(1, 12, (1, n, m)) if memory else None,
        demand=held if tight else None,
        limits=[float(int(limit))] * len(held) if tight else (),
    )


def assignments(problem: AssignmentProblem) -> Iterator[tuple[int, ...]]:
    """Every assignment to engines that can run the operators, if the memories hold it."""
    able = [np.flatnonzero(np.isfinite(row)).tolist() for row in problem.costs]
    for engine in itertools.product(*able):
        taken = [sum(each[i, e] for i, e in enumerate(engine)) for each in problem.demand]
        if all(t <= limit for t, limit in zip(taken, problem.limits, strict=True)):
            yield engine


def crossings(problem: AssignmentProblem, engine: tuple[int, ...]) -> set[tuple[int, int, int]]:
    """(tensor, from, to) of everything that crosses."""
    return {
        (t, engine[problem.maker[t]], engine[r])
        for t, read in enumerate(problem.readers)
        for r in read
        if engine[r] != engine[problem.maker[t]]
    }


def in_turn(problem: AssignmentProblem, engine: tuple[int, ...]) -> float:
    own = sum(problem.costs[i, e] for i, e in enumerate(engine))
    return own + sum(problem.delays[t, e, f] for t, e, f in crossings(problem, engine))


def busiest(problem: AssignmentProblem, engine: tuple[int, ...]) -> float:
    busy = [0.0] * problem.width
    for i, e in enumerate(engine):
        busy[e] += problem.costs[i, e]
    for t, e, f in crossings(problem, engine):
        busy[f] += problem.delays[t, e, f]
    return max(*busy, together(problem, engine))


def together(problem: AssignmentProblem, engine: tuple[int, ...]) -> float:
    """Seconds of the busiest thing that engines share."""
    return max(
        (sum(each[i, e] for i, e in enumerate(engine)) for each in problem.shared), default=0.0
    )


def makespan(problem: AssignmentProblem, engine: tuple[int, ...]) -> float:
    """Least makespan of an assignment over every topological order (no channels)."""
    n, best = problem.count, np.inf
    for order in itertools.permutations(range(n)):
        place = {i: k for k, i in enumerate(order)}
        if any(
            place[r] < place[int(problem.maker[t])]
            for t, read in enumerate(problem.readers)
            for r in read
        ):
            continue
        free, end = [0.0] * problem.width, [0.0] * n
        for i in order:
            e = engine[i]
            start = free[e]
            for t in problem.reads[i]:
                maker = int(problem.maker[t])
                start = max(start, end[maker] + problem.delays[t, engine[maker], e])
            end[i] = free[e] = start + problem.costs[i, e]
        best = min(best, max(end))
    return best


def contiguous(engine: tuple[int, ...], *, fixed: bool) -> bool:
    """Whether each engine has one stretch (in the order of the engines)."""
    runs = [e for e, _ in itertools.groupby(engine)]
    return len(set(runs)) == len(runs) and (not fixed or runs == sorted(runs))


def replay(found: Assignment) -> None:
    """Check a timeline against the problem, event by event."""
    problem, run = found.problem, found.solution
    assert run is not None
    assert np.isfinite(problem.costs[np.arange(problem.count), run.engine]).all()
    check_timeline(problem, run)
    engine = tuple(int(e) for e in run.engine)
    if found.goal == "sequential":
        assert np.isclose(run.makespan_s, found.value, rtol=1e-9)
        assert np.isclose(in_turn(problem, engine), found.value, rtol=1e-9)
    elif found.goal == "throughput":
        assert np.isclose(busiest(problem, engine), found.value, rtol=1e-9)
    else:
        end = max(run.makespan_s, together(problem, engine))
        assert np.isclose(end, found.value, rtol=1e-9)
    assert found.bound <= found.value * (1 + 1e-12)


def check_timeline(problem: AssignmentProblem, run: AssignmentTimeline) -> None:
    """No overlap on an engine or channel, nothing read before it is there, all that crosses."""
    n = problem.count
    tiny = 1e-9 * max(1.0, float(run.end_s.max(initial=0.0)))
    for i in range(n):
        assert abs(run.end_s[i] - run.start_s[i] - problem.costs[i, run.engine[i]]) <= tiny
    for e in range(problem.width):
        mine = sorted((run.start_s[i], run.end_s[i]) for i in range(n) if run.engine[i] == e)
        assert all(b[0] >= a[1] - tiny for a, b in itertools.pairwise(mine))
    engine = tuple(int(e) for e in run.engine)
    sent = list(zip(run.tensor.tolist(), run.source.tolist(), run.target.tolist(), strict=True))
    assert len(sent) == len(set(sent))
    assert set(sent) == crossings(problem, engine)
    there: dict[tuple[int, int], float] = {}
    by_channel: dict[int, list[tuple[float, float]]] = {}
    for k, (t, e, f) in enumerate(sent):
        start, end = float(run.sent_s[k]), float(run.arrived_s[k])
        assert start >= run.end_s[problem.maker[t]] - tiny
        assert abs(end - start - problem.delays[t, e, f]) <= tiny
        there[t, f] = end
        if problem.channels[e, f] >= 0:
            by_channel.setdefault(int(problem.channels[e, f]), []).append((start, end))
    for spans in by_channel.values():
        spans.sort()
        assert all(b[0] >= a[1] - tiny for a, b in itertools.pairwise(spans))
    for t, read in enumerate(problem.readers):
        maker = int(problem.maker[t])
        for r in read:
            ready = run.end_s[maker] if engine[r] == engine[maker] else there[t, engine[r]]
            assert run.start_s[r] >= ready - tiny
