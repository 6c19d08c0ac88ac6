"""Local search over orders: runs of steps are moved to reduce the bytes spilled.

A heuristic without proof, for schedules that the exact search leaves open (`portfolio.py`). It
accepts every order that costs no more, a random walk over plateaus.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import belady
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

#: Steps around an eviction that may be moved, maximum distance, and maximum length of a run.
_MOST_STEPS_AWAY, _LONGEST_MOVE, _LONGEST_RUN = 25, 80, 8


def improve_order(
    problem: Problem,
    script: Script,
    capacity_bytes: int,
    deadline: Deadline,
    *,
    tries: int = 20_000,
    seed: int = 1,
) -> Script:
    """Return a script that costs no more, found by moving steps near evictions.

    A run of one to eight steps moves to another position that the dependences allow; Belady's
    replacement gives the cost of the new order, which is accepted unless it is higher.

    Parameters
    ----------
    script
        Feasible script to start from.
    tries
        Maximum number of orders evaluated; the same seed and number give the same script.
    """
    best, least = script, replay(problem, script, capacity_bytes).cost_bytes
    order = list(script.order)
    start = belady(problem, order, capacity_bytes)
    if start is None or not least:
        return best
    current, cost = start, replay(problem, start, capacity_bytes).cost_bytes
    rng = Random(seed)
    before = [set(p) for p in problem.predecessors]
    after = [set(s) for s in problem.successors]
    for _ in range(tries):
        places = [k for k, evicted in enumerate(current.evictions) if evicted]
        if not places or deadline.passed():
            break
        at = rng.choice(places) + rng.randint(-_MOST_STEPS_AWAY, _MOST_STEPS_AWAY)
        at = min(max(at, 0), len(order) - 1)
        length = 1 if rng.random() < 0.5 else rng.randint(2, _LONGEST_RUN)
        changed = _with_moved_run(order, at, length, before, after, rng)
        if changed is None:
            continue
        evicted = belady(problem, changed, capacity_bytes)
        assert evicted is not None, "the capacity holds every step"
        changed_cost = replay(problem, evicted, capacity_bytes).cost_bytes
        if changed_cost <= cost:
            order, current, cost = changed, evicted, changed_cost
            if cost < least:
                best, least = evicted, cost
    return best


def _with_moved_run(
    order: Sequence[int],
    at: int,
    length: int,
    before: Sequence[set[int]],
    after: Sequence[set[int]],
    rng: Random,
) -> list[int] | None:
    """Return the order with a run of steps moved, or None if no move is possible."""
    run = order[at : at + length]
    others = [*order[:at], *order[at + length :]]
    inside = set(run)
    needs = set[int]().union(*(before[s] for s in run)) - inside
    feeds = set[int]().union(*(after[s] for s in run)) - inside
    low = at
    while low > max(0, at - _LONGEST_MOVE) and others[low - 1] not in needs:
        low -= 1
    high = at
    while high < min(len(others), at + _LONGEST_MOVE) and others[high] not in feeds:
        high += 1
    to = rng.randint(low, high)
    return None if to == at else [*others[:to], *run, *others[to:]]
