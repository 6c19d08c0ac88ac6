"""Greedy insertion of recomputed steps into a schedule while the cost falls.

A hill climb without proof: of all single insertions the one that lowers the cost most is adopted,
until none does. Each order is priced with its optimal evictions (`perfmodel.schedule.ilp`), in a
problem in which the output of a repeated step is a separate buffer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.problem import Problem, Step
from perfmodel.schedule.recompute.recomputation import Recomputation, replay_with_reruns
from perfmodel.schedule.script import Script

#: Maximum length of the chain of steps recomputed for one buffer.
_LONGEST_CHAIN = 4


def insert_reruns(
    problem: Problem, capacity: int, rerun_bytes: Sequence[int], script: Script, deadline: Deadline
) -> Recomputation:
    """Return a script with recomputed steps inserted one after the other while the cost falls."""
    best = replay_with_reruns(problem, script.order, script.evictions, capacity, rerun_bytes)
    has_improved = True
    while has_improved and best.cost_bytes and not deadline.passed():
        has_improved = False
        cheapest = best
        for order in _orders_with_one_rerun(problem, best.order):
            extra = sum(rerun_bytes[s] for s in _rerun_steps(order))
            if extra < cheapest.cost_bytes:
                trial = _with_best_evictions(problem, order, capacity, rerun_bytes, deadline)
                if trial is not None and trial.cost_bytes < cheapest.cost_bytes:
                    cheapest = trial
            if deadline.passed():
                break
        if cheapest.cost_bytes < best.cost_bytes:
            best, has_improved = cheapest, True
    return best


def _rerun_steps(order: Sequence[int]) -> list[int]:
    """Return the steps of an order that have run before, one entry per repetition."""
    seen: set[int] = set()
    reruns: list[int] = []
    for s in order:
        if s in seen:
            reruns.append(s)
        seen.add(s)
    return reruns


def _with_best_evictions(
    problem: Problem,
    order: Sequence[int],
    capacity: int,
    rerun_bytes: Sequence[int],
    deadline: Deadline,
) -> Recomputation | None:
    """Return an order with repetitions under its best evictions, or None if it does not fit."""
    from perfmodel.schedule.ilp import retention

    versions, origin = _versions(problem, order)
    if versions.largest_working_set_bytes > capacity:
        return None
    script = retention(versions, range(len(order)), capacity, deadline).solution
    if script is None:
        return None
    evictions = [tuple(origin[v] for v in out) for out in script.evictions]
    try:
        return replay_with_reruns(problem, order, evictions, capacity, rerun_bytes)
    except ValueError:  # a repetition reads a buffer that was overwritten
        return None


def _versions(problem: Problem, order: Sequence[int]) -> tuple[Problem, list[int]]:
    """Return the problem in which every run of a step writes separate buffers.

    Returns
    -------
    problem : Problem
    origin : list of int
        Original buffer of each buffer of that problem.
    """
    current: dict[int, int] = {}
    origin: list[int] = []
    read: list[int] = []
    runs: list[tuple[int, list[int], list[int]]] = []
    for s in order:
        step = problem.steps[s]
        reads = [current[t] for t in step.reads]
        for v in reads:
            read[v] += 1
        writes: list[int] = []
        for t in step.writes:
            current[t] = len(origin)
            writes.append(current[t])
            origin.append(t)
            read.append(0)
        runs.append((s, reads, writes))
    steps: list[Step] = []
    for s, reads, writes in runs:
        step = problem.steps[s]
        over = -1
        if step.takes_over >= 0:
            version = reads[step.reads.index(step.takes_over)]
            over = version if read[version] == 1 else -1
        steps.append(replace(step, reads=tuple(reads), writes=tuple(writes), takes_over=over))
    buffers = tuple(problem.buffers[t] for t in origin)
    return Problem(problem.name, tuple(steps), buffers), origin


def _orders_with_one_rerun(problem: Problem, order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield orders in which one buffer is recomputed before a step that reads it."""
    last = [-1] * len(problem.buffers)  # position of the last write or read of each buffer
    reads_left = [0] * len(problem.buffers)  # remaining reads of each buffer
    for s in order:
        for t in problem.steps[s].reads:
            reads_left[t] += 1
    for k, s in enumerate(order):
        for t in problem.steps[s].reads:
            if last[t] < k - 1:
                for chain in _rerun_chains(problem, t, reads_left):
                    yield (*order[:k], *chain, *order[k:])
        for t in problem.steps[s].reads:
            reads_left[t] -= 1
            last[t] = k
        for t in problem.steps[s].writes:
            last[t] = k


def _rerun_chains(problem: Problem, t: int, reads_left: Sequence[int]) -> list[tuple[int, ...]]:
    """Return ways to recompute a buffer: by its step only, or after steps for its freed inputs.

    Inputs that other steps still read are on chip or reloaded; the others are kept for longer, or
    recomputed too.
    """
    chains: dict[tuple[int, ...], None] = {}
    for depth in range(_LONGEST_CHAIN):
        chain: list[int] = []
        if _extend_chain(problem, t, reads_left, depth, chain):
            chains[tuple(chain)] = None
    return list(chains)


def _extend_chain(
    problem: Problem, t: int, reads_left: Sequence[int], depth: int, chain: list[int]
) -> bool:
    """Extend a chain by the steps that make a buffer; return False if that is impossible."""
    s = problem.maker[t]
    if s < 0 or problem.steps[s].load:
        return False
    if s in chain:
        return True
    if depth:
        for r in problem.steps[s].reads:
            m = problem.maker[r]
            is_freed = not reads_left[r] and m >= 0 and not problem.steps[m].load
            if is_freed and not _extend_chain(problem, r, reads_left, depth - 1, chain):
                return False
    chain.append(s)
    return True
