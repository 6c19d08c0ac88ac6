"""Heuristic assignments, without proof: rounding, list scheduling, and local search.

`solve.py` starts from the rounded shares of a linear programme (`round_shares`), from list
schedules that choose engines as they proceed (`best_list_assignment`: HEFT and PEFT), and from
balanced loads (`balance_loads`); it improves the best of them by `local_search`, whose moves come
from the busiest engine (`load_moves`) or from the critical path (`critical_path_moves`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.assignment_costs import loads_s, shared_s, work_s
from perfmodel.schedule.assign.list_scheduling import AssignmentTimeline, list_schedule, upward_rank
from perfmodel.schedule.assign.longest_paths import tails
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Score to minimise, lexicographically: first the objective, then tie-breakers.
Score: TypeAlias = Callable[[Index], tuple[float, ...]]
#: Operators, and the engines they move to.
Move: TypeAlias = tuple[Index, Index]
#: Weights of the loss on an engine that `best_list_assignment` adds to an operator's end.
_LOSS_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)

#: (problem, assignment, random generator) -> moves to neighbouring assignments.
Neighbourhood: TypeAlias = Callable[[AssignmentProblem, Index, np.random.Generator], Iterator[Move]]


def round_shares(problem: AssignmentProblem, share: Floats) -> Index:
    """Return the engine with the largest fraction of each operator, among those that can run it."""
    return np.argmax(np.where(np.isfinite(problem.costs), share, -1.0), axis=1)


def best_list_assignment(
    problem: AssignmentProblem, goal_s: Callable[[Index], float], deadline: Deadline
) -> Index:
    """Return the best of several list schedules that choose engines as they proceed.

    Operators are placed by upward rank, each on the engine where it ends first, as in HEFT
    (Topcuoglu, Hariri and Wu, IEEE TPDS 13(3), 2002, without insertion into gaps); or where the sum
    of its end, a fraction of the loss relative to its best engine, and the remaining path on that
    engine (PEFT: Arabnejad and Barbosa, IEEE TPDS 25(3), 2014) is least.

    Parameters
    ----------
    goal_s
        Objective to minimise: seconds of an assignment.
    deadline
        Time at which to stop, after the first schedule.
    """
    tail = tails(problem)
    finite = np.isfinite(problem.costs)
    least: Floats = problem.costs.min(axis=1)
    loss: Floats = np.where(finite, problem.costs - least[:, None], 0.0)
    path_ahead: Floats = np.where(np.isfinite(tail), tail, 1e300)
    mean: Floats = np.where(finite, problem.costs, 0.0).sum(axis=1) / finite.sum(axis=1)
    ranks = [_mean_upward_rank(problem, mean), _mean_upward_rank(problem, least)]
    best, best_s = earliest_finish_assignment(problem, ranks[0], np.zeros_like(loss)), np.inf
    for rank in ranks:
        for weight in _LOSS_WEIGHTS:
            for ahead in (0.0, 1.0):
                if deadline.passed():
                    return best
                engine = earliest_finish_assignment(
                    problem, rank, weight * loss + ahead * path_ahead
                )
                value = goal_s(engine)
                if value < best_s:
                    best, best_s = engine, value
    return best


def balance_loads(problem: AssignmentProblem) -> Index:
    """Return a greedy assignment of each operator to the engine of least load, without transfers.

    Operators with the largest loss on their second-best engine go first.
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


def _mean_upward_rank(problem: AssignmentProblem, seconds: Floats) -> list[float]:
    """Return the longest path from each operator's start to the end, with mean delays."""
    off = ~np.eye(problem.width, dtype=bool) & np.isfinite(problem.delays)
    total: Floats = np.where(off, problem.delays, 0.0).sum(axis=(1, 2))
    wait: Floats = total / np.maximum(off.sum(axis=(1, 2)), 1)
    return upward_rank(problem, seconds, wait[problem.pairs[0]]).tolist()


def earliest_finish_assignment(
    problem: AssignmentProblem, rank: list[float], extra: Floats
) -> Index:
    """Return a greedy assignment that minimises the end of each operator plus `extra`.

    Parameters
    ----------
    rank
        Rank of each operator; among those whose inputs are placed, the highest goes first.
    extra
        Seconds added to the end, shape ``(operators, engines)``.
    """
    engine: Index = np.zeros(problem.count, dtype=np.intp)
    end = [0.0] * problem.count
    free: Floats = np.zeros(problem.width)
    missing = [len(each) for each in problem.reads]
    queue = [(-rank[i], i) for i in range(problem.count) if not missing[i]]
    heapq.heapify(queue)
    while queue:
        _, i = heapq.heappop(queue)
        ready = free
        for t in problem.reads[i]:
            maker = int(problem.maker[t])
            ready = np.maximum(ready, end[maker] + problem.delays[t, int(engine[maker])])
        finish = ready + problem.costs[i]
        if not np.isfinite(finish).any():  # no input can arrive: choose an engine that can run it
            finish = problem.costs[i]
        e = int(np.argmin(finish + extra[i]))
        engine[i], end[i] = e, float(finish[e])
        free[e] = end[i]
        for t in problem.writes[i]:
            for r in problem.readers[t]:
                missing[r] -= 1
                if not missing[r]:
                    heapq.heappush(queue, (-rank[r], r))
    return engine


def local_search(
    problem: AssignmentProblem,
    engine: Index,
    score: Score,
    neighbourhood: Neighbourhood,
    deadline: Deadline,
    *,
    bound_s: float = 0.0,
    looks: int = 2000,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> Index:
    """Improve an assignment by moving operators, and exchanging pairs, between engines.

    In a local optimum a few operators change at random and the search continues from there.

    Parameters
    ----------
    score
        Score to minimise; its first entry is the objective in seconds.
    neighbourhood
        Moves to try, the most promising first.
    bound_s
        Lower bound; the search stops when it is reached.
    looks
        Maximum number of assignments evaluated.
    """
    if not (np.isfinite(problem.costs).sum(axis=1) > 1).any():
        return engine  # a single engine leaves no choice
    random = np.random.default_rng(seed)
    best, best_score = engine, score(engine)
    current, current_score = best, best_score
    evaluated = 1
    while evaluated < looks and best_score[0] > bound_s * (1 + tolerance):
        is_improved = False
        for operators, targets in neighbourhood(problem, current, random):
            if evaluated >= looks or deadline.passed():
                break
            evaluated += 1
            if (current[operators] == targets).all():
                continue
            candidate = current.copy()
            candidate[operators] = targets
            value = score(candidate)
            if value < current_score:
                # Continue with the old list of moves: most remain valid for the new assignment.
                current, current_score, is_improved = candidate, value, True
        if current_score < best_score:
            best, best_score = current, current_score
        if deadline.passed():
            break
        if not is_improved:
            operators, targets = _random_move(problem, random, 3)
            current = best.copy()
            current[operators] = targets
            current_score = score(current)
            evaluated += 1
    return best


def load_moves(
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
        Count the time that engines receive as busy.
    """
    busy = loads_s(problem, engine) if receiving else work_s(problem, engine)
    busy = np.minimum(busy, 1e300)  # impossible transfers have infinite duration
    order = np.argsort(-busy)
    for e in order[: max(1, len(order) // 2)]:
        members: Index = np.flatnonzero(engine == e)
        if not len(members):
            continue
        loss = problem.costs[members] - problem.costs[members, e][:, None] + 1e-3 * busy[None, :]
        loss[:, e] = np.inf
        moves = _least(loss, width)
        for k, f in moves:
            yield members[[k]], np.array([f])
        for k, f in moves:
            i = int(members[k])
            candidates: Index = np.flatnonzero(engine == f)
            if not len(candidates):
                continue
            back = problem.costs[candidates, e] - problem.costs[candidates, f]
            for j in candidates[np.argsort(back)[:6]]:
                if np.isfinite(problem.costs[j, e]):
                    yield np.array([i, int(j)]), np.array([f, e])
    for _ in range(width):
        yield _random_move(problem, random, 1)


def critical_path_moves(
    problem: AssignmentProblem, engine: Index, random: np.random.Generator, width: int = 40
) -> Iterator[Move]:
    """Yield moves off the critical path of the schedule, those with the least loss first.

    Then the same for pairs of neighbouring operators, so that a tensor stays on one engine, and the
    moves of `load_moves`.
    """
    run = list_schedule(problem, engine)
    path = _critical_path(problem, run)
    loss = problem.costs[path] - problem.costs[path, engine[path]][:, None]
    loss[np.arange(len(path)), engine[path]] = np.inf
    for k, e in _least(loss + random.random(loss.shape) * 1e-9, 3 * width):
        yield path[[k]], np.array([e])
    for i, j in zip(path[:-1].tolist(), path[1:].tolist(), strict=True):
        for e in range(problem.width):
            if np.isfinite(problem.costs[[i, j], e]).all():
                yield np.array([i, j]), np.array([e, e])
    yield from load_moves(problem, engine, random, width, receiving=False)


def _least(table: Floats, most: int) -> list[tuple[int, int]]:
    """Return the positions (row, column) of the least finite entries of a table, ascending."""
    rows, columns = np.unravel_index(np.argsort(table, axis=None)[:most], table.shape)
    finite = np.isfinite(table[rows, columns])
    return list(zip(rows[finite].tolist(), columns[finite].tolist(), strict=True))


def _critical_path(problem: AssignmentProblem, run: AssignmentTimeline) -> Index:
    """Return the operators of a critical path, from the start of the run to its end."""
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


def _random_move(problem: AssignmentProblem, random: np.random.Generator, count: int) -> Move:
    """Return a random move of a few operators, biased to engines that run them fast."""
    operators: Index = random.integers(problem.count, size=count).astype(np.intp)
    targets: Index = np.zeros(count, dtype=np.intp)
    for k, i in enumerate(operators):
        cost = problem.costs[i]
        can_run = np.isfinite(cost)
        weight = np.where(can_run, 1.0 / (cost + 1e-12 + cost[can_run].min()), 0.0)
        targets[k] = random.choice(problem.width, p=weight / weight.sum())
    return operators, targets


def makespan_score(problem: AssignmentProblem) -> Score:
    """Return the score of a parallel run: makespan, then imbalance of the engine loads."""

    def score(engine: Index) -> tuple[float, ...]:
        busy = work_s(problem, engine)
        run = list_schedule(problem, engine)
        value = max(run.makespan_s, shared_s(problem, engine))
        return value, float(busy.max()), float(busy.sum())

    return score


def interval_score(problem: AssignmentProblem) -> Score:
    """Return the score of a pipeline: load of the bottleneck, then all loads, descending."""

    def score(engine: Index) -> tuple[float, ...]:
        busy = np.sort(loads_s(problem, engine))[::-1]
        return max(float(busy[0]), shared_s(problem, engine)), *busy.tolist()

    return score
