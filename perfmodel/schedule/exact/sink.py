"""Orders in which outputs are produced as late as possible."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.schedule.problem import Problem


def sunk(problem: Problem, order: Sequence[int]) -> tuple[int, ...]:
    """Return an order in which every step that would allocate more than it frees is deferred.

    Such a step (a projection of values, the load of an input) runs just before the first step that
    reads its output.
    """
    sizes = [b.size_bytes for b in problem.buffers]
    left = [len(readers) for readers in problem.readers]
    done = 0
    result: list[int] = []

    def run(last: int) -> None:
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
                left[t] -= 1

    for s in order:
        step = problem.steps[s]
        freed = sum(sizes[t] for t in set(step.reads) if left[t] == 1)
        if sum(sizes[t] for t in step.writes if left[t]) <= freed:
            run(s)
    for s in order:
        run(s)
    return tuple(result)
