"""Descent over orders: runs of steps moved to where fewer bytes are spilled."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import belady
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

#: Steps around an eviction that may be moved, and how far; lengths of the runs that move as one.
_NEAR, _REACH, _RUN = 25, 80, 8


def improved(
    problem: Problem,
    script: Script,
    capacity_bytes: int,
    deadline: Deadline,
    *,
    tries: int = 20_000,
    seed: int = 1,
) -> Script:
    """Return a script that costs no more, from moves of steps near evictions.

    A run of one to eight steps moves to another place that the data allow; Belady's replacement
    says what the new order costs; what is not dearer is kept.

    Parameters
    ----------
    script
        One that fits.
    tries
        Orders costed at most; the same seed and number of tries give the same script.
    """
    best, least = script, replay(problem, script, capacity_bytes).cost_bytes
    order = list(script.order)
    start = belady(problem, order, capacity_bytes)
    if start is None or not least:
        return best
    now, cost = start, replay(problem, start, capacity_bytes).cost_bytes
    rng = Random(seed)
    before = [set(p) for p in problem.predecessors]
    after = [set(s) for s in problem.successors]
    for _ in range(tries):
        places = [k for k, evicted in enumerate(now.evictions) if evicted]
        if not places or deadline.passed():
            break
        at = rng.choice(places) + rng.randint(-_NEAR, _NEAR)
        at = min(max(at, 0), len(order) - 1)
        length = 1 if rng.random() < 0.5 else rng.randint(2, _RUN)
        moved = _moved(order, at, length, before, after, rng)
        if moved is None:
            continue
        made = belady(problem, moved, capacity_bytes)
        assert made is not None, "the capacity holds every step"
        its = replay(problem, made, capacity_bytes).cost_bytes
        if its <= cost:
            order, now, cost = moved, made, its
            if cost < least:
                best, least = made, cost
    return best


def _moved(
    order: Sequence[int],
    at: int,
    length: int,
    before: Sequence[set[int]],
    after: Sequence[set[int]],
    rng: Random,
) -> list[int] | None:
    """Return the order with a run of steps elsewhere, or None where it stays."""
    run = order[at : at + length]
    rest = [*order[:at], *order[at + length :]]
    inside = set(run)
    needs = set[int]().union(*(before[s] for s in run)) - inside
    feeds = set[int]().union(*(after[s] for s in run)) - inside
    low = at
    while low > max(0, at - _REACH) and rest[low - 1] not in needs:
        low -= 1
    high = at
    while high < min(len(rest), at + _REACH) and rest[high] not in feeds:
        high += 1
    to = rng.randint(low, high)
    return None if to == at else [*rest[:to], *run, *rest[to:]]
