"""Heuristic order that produces outputs as late as possible: a start for the exact search."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.schedule.problem import Problem


def produce_outputs_late(problem: Problem, order: Sequence[int]) -> tuple[int, ...]:
    """Return an order in which every step that would allocate more than it frees is deferred.

    Such a step (a projection of values, the load of an input) runs just before the first step that
    reads its output. The other steps follow `order`.
    """
    sizes = [b.size_bytes for b in problem.buffers]
    readers_left = [len(readers) for readers in problem.readers]
    done = 0
    result: list[int] = []

    def run_with_predecessors(last: int) -> None:
        nonlocal done
        stack = [last]
        while stack:
            s = stack[-1]
            if done >> s & 1:
                stack.pop()
                continue
            before = [p for p in problem.predecessors[s] if not done >> p & 1]
            if before:
                stack += reversed(before)
                continue
            stack.pop()
            done |= 1 << s
            result.append(s)
            for t in set(problem.steps[s].reads):
                readers_left[t] -= 1

    for s in order:
        step = problem.steps[s]
        freed = sum(sizes[t] for t in set(step.reads) if readers_left[t] == 1)
        if sum(sizes[t] for t in step.writes if readers_left[t]) <= freed:
            run_with_predecessors(s)
    for s in order:
        run_with_predecessors(s)
    return tuple(result)
