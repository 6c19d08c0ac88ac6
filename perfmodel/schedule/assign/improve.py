"""Assignments from fractions and by moves: rounding, critical paths, local search."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.evaluate import loads, shared_s, work
from perfmodel.schedule.assign.paths import tails
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.simulate import AssignmentTimeline, list_schedule

#: What a search lowers: first the objective, then what tells equals apart.
Score: TypeAlias = Callable[[Index], tuple[float, ...]]
#: Operators and the engines that they move to.
Move: TypeAlias = tuple[Index, Index]
#: (problem, assignment, random numbers) -> moves from it.
Near: TypeAlias = Callable[[AssignmentProblem, Index, np.random.Generator], Iterator[Move]]


def rounded(problem: AssignmentProblem, share: Floats) -> Index:
    """Return the engine with the largest fraction of each operator, among those that can run it."""
    found: Index = np.argmax(np.where(np.isfinite(problem.costs), share, -1.0), axis=1)
    return found


def constructed(
    problem: AssignmentProblem, goal_s: Callable[[Index], float], deadline: Deadline
) -> Index:
    """Return the best of many list schedules that choose engines as they go.

    Operators by urgency, each where it ends first, as HEFT does (Topcuoglu, Hariri and Wu, IEEE
    TPDS 13(3), 2002, without insertion into gaps); and where the end, some of what is lost against
    the operator's best engine, and the path that is left behind it on that engine (PEFT: Arabnejad
    and Barbosa, IEEE TPDS 25(3), 2014) together are least.

    Parameters
    ----------
    goal_s
        What is lowered, seconds of an assignment.
    deadline
        When to stop, after the first.
    """
    behind = tails(problem)
    finite = np.isfinite(problem.costs)
    least: Floats = problem.costs.min(axis=1)
    lost: Floats = np.where(finite, problem.costs - least[:, None], 0.0)
    left: Floats = np.where(np.isfinite(behind), behind, 1e300)
    mean: Floats = np.where(finite, problem.costs, 0.0).sum(axis=1) / finite.sum(axis=1)
    ranks = [_rank(problem, mean), _rank(problem, least)]
    best, best_s = earliest_finish(problem, ranks[0], np.zeros_like(lost)), np.inf
    for rank in ranks:
        for much in _LOST:
            for ahead in (0.0, 1.0):
                if deadline.passed():
                    return best
                found = earliest_finish(problem, rank, much * lost + ahead * left)
                value = goal_s(found)
                if value < best_s:
                    best, best_s = found, value
    return best


def balanced(problem: AssignmentProblem) -> Index:
    """Return engines chosen one operator after another, where the load is least, transfers aside.

    Operators that lose most on their second-best engine go first.
    """
    ordered = np.sort(problem.costs, axis=1)
    regret: Floats = np.zeros(problem.count)
    if problem.width > 1:
        second = np.where(np.isfinite(ordered[:, 1]), ordered[:, 1], 1e300)
        regret = second - ordered[:, 0]
    load: Floats = np.zeros(problem.width)
    engine: Index = np.zeros(problem.count, dtype=np.intp)
    for i in np.argsort(-regret, kind="stable"):
        e = int(np.argmin(load + problem.costs[i]))
        engine[i] = e
        load[e] += problem.costs[i, e]
    return engine


#: Parts of what is lost on an engine that `constructed` adds to an operator's end.
_LOST = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


def _rank(problem: AssignmentProblem, seconds: Floats) -> list[float]:
    """Return the longest path from each operator's start to the end, with mean delays."""
    m = problem.width
    off = ~np.eye(m, dtype=bool) & np.isfinite(problem.delays)
    total: Floats = np.where(off, problem.delays, 0.0).sum(axis=(1, 2))
    wait: list[float] = (total / np.maximum(off.sum(axis=(1, 2)), 1)).tolist()
    rank = [0.0] * problem.count
    for i in range(problem.count - 1, -1, -1):
        behind = [wait[t] + rank[r] for t in problem.made[i] for r in problem.readers[t]]
        rank[i] = float(seconds[i]) + max(behind, default=0.0)
    return rank


def earliest_finish(problem: AssignmentProblem, rank: list[float], extra: Floats) -> Index:
    """Return engines chosen one operator after another, where its end and `extra` are least.

    Parameters
    ----------
    rank
        Of each operator; of those whose inputs have engines, the highest goes first.
    extra
        Seconds that count beside the end, shape ``(operators, engines)``.
    """
    engine: Index = np.zeros(problem.count, dtype=np.intp)
    end = [0.0] * problem.count
    free: Floats = np.zeros(problem.width)
    missing = [len(each) for each in problem.reads]
    open_ = [(-rank[i], i) for i in range(problem.count) if not missing[i]]
    heapq.heapify(open_)
    while open_:
        _, i = heapq.heappop(open_)
        ready = free
        for t in problem.reads[i]:
            maker = int(problem.maker[t])
            ready = np.maximum(ready, end[maker] + problem.delays[t, int(engine[maker])])
        finish = ready + problem.costs[i]
        if not np.isfinite(finish).any():  # what it reads cannot arrive: at least it can run
            finish = problem.costs[i]
        e = int(np.argmin(finish + extra[i]))
        engine[i], end[i] = e, float(finish[e])
        free[e] = end[i]
        for t in problem.made[i]:
            for r in problem.readers[t]:
                missing[r] -= 1
                if not missing[r]:
                    heapq.heappush(open_, (-rank[r], r))
    return engine


def improved(
    problem: AssignmentProblem,
    engine: Index,
    score: Score,
    near: Near,
    deadline: Deadline,
    *,
    bound_s: float = 0.0,
    looks: int = 2000,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> Index:
    """Move operators, and exchange pairs, between engines as long as it helps.

    Where nothing near helps any more, a few operators change at random and the search goes on from
    there.

    Parameters
    ----------
    score
        What is lowered; its first entry is the objective in seconds.
    near
        Moves that it tries, the most promising first.
    bound_s
        A lower bound; the search ends at it.
    looks
        How many assignments it looks at.
    """
    if not (np.isfinite(problem.costs).sum(axis=1) > 1).any():
        return engine  # there is no choice
    random = np.random.default_rng(seed)
    best, best_score = engine, score(engine)
    now, now_score = best, best_score
    seen = 1
    while seen < looks and best_score[0] > bound_s * (1 + tolerance):
        moved = False
        for operators, targets in near(problem, now, random):
            if seen >= looks or deadline.passed():
                break
            seen += 1
            if (now[operators] == targets).all():
                continue
            candidate = now.copy()
            candidate[operators] = targets
            found = score(candidate)
            if found < now_score:
                # The other moves were for the assignment before; most hold for this one too.
                now, now_score, moved = candidate, found, True
        if now_score < best_score:
            best, best_score = now, now_score
        if deadline.passed():
            break
        if not moved:
            operators, targets = _chance(problem, random, 3)
            now = best.copy()
            now[operators] = targets
            now_score = score(now)
            seen += 1
    return best


def near_loads(
    problem: AssignmentProblem,
    engine: Index,
    random: np.random.Generator,
    width: int = 60,
    *,
    receiving: bool = True,
) -> Iterator[Move]:
    """Yield moves off the busiest engine, then exchanges with it, the cheapest first.

    Parameters
    ----------
    receiving
        Engines are busy while they receive.
    """
    busy = loads(problem, engine) if receiving else work(problem, engine)
    busy = np.minimum(busy, 1e300)  # what cannot be sent is received for ever
    order = np.argsort(-busy)
    for e in order[: max(1, len(order) // 2)]:
        mine: Index = np.flatnonzero(engine == e)
        if not len(mine):
            continue
        lost = problem.costs[mine] - problem.costs[mine, e][:, None] + 1e-3 * busy[None, :]
        lost[:, e] = np.inf
        flat = np.argsort(lost, axis=None)[:width]
        flat = flat[np.isfinite(lost.ravel()[flat])]
        for k in flat:
            yield mine[[k // problem.width]], np.array([k % problem.width])
        for k in flat:
            i, f = int(mine[k // problem.width]), int(k % problem.width)
            theirs: Index = np.flatnonzero(engine == f)
            if not len(theirs):
                continue
            back = problem.costs[theirs, e] - problem.costs[theirs, f]
            for j in theirs[np.argsort(back)[:6]]:
                if np.isfinite(problem.costs[j, e]):
                    yield np.array([i, int(j)]), np.array([f, e])
    for _ in range(width):
        yield _chance(problem, random, 1)


def near_path(
    problem: AssignmentProblem, engine: Index, random: np.random.Generator, width: int = 40
) -> Iterator[Move]:
    """Yield moves off the critical path of the schedule, those that lose least first.

    Then the same of its operators in pairs of neighbours, so that a tensor stays where it is, and
    what `near_loads` yields.
    """
    run = list_schedule(problem, engine)
    path = _critical(problem, run)
    lost = problem.costs[path] - problem.costs[path, engine[path]][:, None]
    lost[np.arange(len(path)), engine[path]] = np.inf
    flat = np.argsort(lost + random.random(lost.shape) * 1e-9, axis=None)
    flat = flat[np.isfinite(lost.ravel()[flat])][: 3 * width]
    for k in flat:
        yield path[[k // problem.width]], np.array([k % problem.width])
    for i, j in zip(path[:-1].tolist(), path[1:].tolist(), strict=True):
        for e in range(problem.width):
            if np.isfinite(problem.costs[[i, j], e]).all():
                yield np.array([i, j]), np.array([e, e])
    yield from near_loads(problem, engine, random, width, receiving=False)


def _critical(problem: AssignmentProblem, run: AssignmentTimeline) -> Index:
    """Return operators of a longest chain of waits, from the start of the run to its end."""
    by_end: dict[tuple[int, float], int] = {}
    for i in range(problem.count):
        by_end[int(run.engine[i]), float(run.end_s[i])] = i
    arrived = {
        (int(t), int(f)): float(s)
        for t, f, s in zip(run.tensor, run.target, run.arrived_s, strict=True)
    }
    at = int(np.argmax(run.end_s))
    path = [at]
    while run.start_s[at] > 0:
        start, e = float(run.start_s[at]), int(run.engine[at])
        maker = next(
            (
                int(problem.maker[t])
                for t in problem.reads[at]
                if arrived.get((t, e), float(run.end_s[problem.maker[t]])) == start
            ),
            -1,
        )
        at = maker if maker >= 0 else by_end.get((e, start), -1)
        if at < 0 or at in path[-2:]:
            break
        path.append(at)
    return np.array(path[::-1], dtype=np.intp)


def _chance(problem: AssignmentProblem, random: np.random.Generator, count: int) -> Move:
    """Return a move of a few operators by chance, rather to engines that run them fast."""
    found: Index = random.integers(problem.count, size=count).astype(np.intp)
    targets: Index = np.zeros(count, dtype=np.intp)
    for k, i in enumerate(found):
        cost = problem.costs[i]
        able = np.isfinite(cost)
        weight = np.where(able, 1.0 / (cost + 1e-12 + cost[able].min()), 0.0)
        targets[k] = random.choice(problem.width, p=weight / weight.sum())
    return found, targets


def makespan_score(problem: AssignmentProblem) -> Score:
    """Score of a parallel run: when it ends, then how unevenly engines are loaded."""

    def score(engine: Index) -> tuple[float, ...]:
        busy = work(problem, engine)
        run = list_schedule(problem, engine)
        value = max(run.makespan_s, shared_s(problem, engine))
        return value, float(busy.max()), float(busy.sum())

    return score


def interval_score(problem: AssignmentProblem) -> Score:
    """Score of a pipeline: the busiest engine, then all of them."""

    def score(engine: Index) -> tuple[float, ...]:
        busy = np.sort(loads(problem, engine))[::-1]
        return max(float(busy[0]), shared_s(problem, engine)), *busy.tolist()

    return score
