"""Assignments from fractions and by moves: rounding, critical paths, local search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from perfmodel.schedule.assign.evaluate import loads, shared_s, work
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.simulate import Timeline, list_schedule
from perfmodel.schedule.deadline import Deadline

__all__ = [
    "earliest_finish", "improved", "interval_score", "makespan_score",
    "near_loads", "near_path", "rounded",
]  # fmt: skip

#: What a search lowers: first the objective, then what tells equals apart.
Score: TypeAlias = Callable[[Index], tuple[float, ...]]
#: (problem, assignment, random numbers) -> assignments beside it.
Near: TypeAlias = Callable[[AssignmentProblem, Index, np.random.Generator], Iterator[Index]]


def rounded(problem: AssignmentProblem, share: Floats) -> Index:
    """Return the engine with the largest fraction of each operator, among those that can run it."""
    found: Index = np.argmax(np.where(np.isfinite(problem.costs), share, -1.0), axis=1)
    return found


def earliest_finish(problem: AssignmentProblem) -> Index:
    """Return the assignment of HEFT: operators by urgency, each where it ends first.

    Topcuoglu, Hariri and Wu, IEEE TPDS 13(3), 2002; mean costs and delays over the engines that can
    run an operator, no insertion into gaps.
    """
    n, m = problem.count, problem.width
    finite = np.isfinite(problem.costs)
    mean: Floats = np.where(finite, problem.costs, 0.0).sum(axis=1) / finite.sum(axis=1)
    off = ~np.eye(m, dtype=bool) & np.isfinite(problem.delays)
    wait = np.where(off, problem.delays, 0.0).sum(axis=(1, 2)) / np.maximum(off.sum(axis=(1, 2)), 1)
    rank: Floats = np.zeros(n)
    for i in range(n - 1, -1, -1):
        behind = [wait[t] + rank[r] for t in problem.made[i] for r in problem.readers[t]]
        rank[i] = mean[i] + max(behind, default=0.0)
    engine: Index = np.zeros(n, dtype=np.intp)
    end: Floats = np.zeros(n)
    free: Floats = np.zeros(m)
    # Equal ranks keep the order in which makers come first.
    for i in np.lexsort((np.arange(n), -rank)):
        ready: Floats = np.zeros(m)
        for t in problem.reads[int(i)]:
            maker = int(problem.maker[t])
            ready = np.maximum(ready, end[maker] + problem.delays[t, int(engine[maker])])
        finish = np.maximum(free, ready) + problem.costs[int(i)]
        if not np.isfinite(finish).any():  # what it reads cannot arrive: at least it can run
            finish = problem.costs[int(i)]
        e = int(np.argmin(finish))
        engine[i], end[i], free[e] = e, finish[e], finish[e]
    return engine


def improved(
    problem: AssignmentProblem, engine: Index, score: Score, near: Near, deadline: Deadline, *,
    bound_s: float = 0.0, looks: int = 2000, seed: int = 0, tolerance: float = 1e-6,
) -> Index:  # fmt: skip
    """Move operators, and exchange pairs, between engines as long as it helps.

    Where nothing near helps any more, a few operators change at random and the search goes on from
    there.

    Parameters
    ----------
    score
        What is lowered; its first entry is the objective in seconds.
    near
        What it tries beside an assignment, the most promising first.
    bound_s
        A lower bound; the search ends at it.
    looks
        How many assignments it looks at.
    """
    random = np.random.default_rng(seed)
    best, best_score = engine, score(engine)
    now, now_score = best, best_score
    seen = 1
    while seen < looks and best_score[0] > bound_s * (1 + tolerance):
        moved = False
        for candidate in near(problem, now, random):
            if seen >= looks or deadline.passed():
                break
            seen += 1
            found = score(candidate)
            if found < now_score:
                now, now_score, moved = candidate, found, True
                break
        if now_score < best_score:
            best, best_score = now, now_score
        if deadline.passed():
            break
        if not moved:
            now = _shaken(problem, best, random)
            now_score = score(now)
            seen += 1
    return best


def near_loads(
    problem: AssignmentProblem, engine: Index, random: np.random.Generator, width: int = 60,
    *, receiving: bool = True,
) -> Iterator[Index]:  # fmt: skip
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
            changed = engine.copy()
            changed[mine[k // problem.width]] = k % problem.width
            yield changed
        for k in flat:
            i, f = int(mine[k // problem.width]), int(k % problem.width)
            theirs: Index = np.flatnonzero(engine == f)
            if not len(theirs):
                continue
            back = problem.costs[theirs, e] - problem.costs[theirs, f]
            for j in theirs[np.argsort(back)[:6]]:
                if np.isfinite(problem.costs[j, e]):
                    changed = engine.copy()
                    changed[i], changed[int(j)] = f, e
                    yield changed
    for _ in range(width):
        yield _shaken(problem, engine, random, 1)


def near_path(
    problem: AssignmentProblem, engine: Index, random: np.random.Generator, width: int = 40
) -> Iterator[Index]:
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
        changed = engine.copy()
        changed[path[k // problem.width]] = k % problem.width
        yield changed
    for i, j in zip(path[:-1].tolist(), path[1:].tolist(), strict=True):
        for e in range(problem.width):
            if np.isfinite(problem.costs[[i, j], e]).all() and (engine[[i, j]] != e).any():
                changed = engine.copy()
                changed[[i, j]] = e
                yield changed
    yield from near_loads(problem, engine, random, width, receiving=False)


def _critical(problem: AssignmentProblem, run: Timeline) -> Index:
    """Return operators of a longest chain of waits, from the start of the run to its end."""
    by_end: dict[tuple[int, float], int] = {}
    for i in range(problem.count):
        by_end[int(run.engine[i]), float(run.end_s[i])] = i
    arrived = {(int(t), int(f)): float(s) for t, f, s in
               zip(run.tensor, run.target, run.arrived_s, strict=True)}  # fmt: skip
    at = int(np.argmax(run.end_s))
    path = [at]
    while run.start_s[at] > 0:
        start, e = float(run.start_s[at]), int(run.engine[at])
        maker = next(
            (int(problem.maker[t]) for t in problem.reads[at]
             if arrived.get((t, e), float(run.end_s[problem.maker[t]])) == start), -1,
        )  # fmt: skip
        at = maker if maker >= 0 else by_end.get((e, start), -1)
        if at < 0 or at in path[-2:]:
            break
        path.append(at)
    return np.array(path[::-1], dtype=np.intp)


def _shaken(
    problem: AssignmentProblem, engine: Index, random: np.random.Generator, count: int = 3
) -> Index:
    """Return the assignment with a few operators on other engines, cheap ones rather."""
    changed = engine.copy()
    for i in random.integers(problem.count, size=count):
        cost = problem.costs[i]
        weight = np.where(np.isfinite(cost), 1.0 / (cost + 1e-12 + cost[np.isfinite(cost)].min()),
                          0.0)  # fmt: skip
        changed[i] = random.choice(problem.width, p=weight / weight.sum())
    return changed


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
