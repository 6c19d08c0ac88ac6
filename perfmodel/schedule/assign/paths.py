"""Longest paths with engines without limit: what comes before and behind an operator at least."""

from __future__ import annotations

import numpy as np

from perfmodel.schedule.assign.problem import AssignmentProblem, Floats


def heads(problem: AssignmentProblem) -> Floats:
    """Return the earliest start of each operator on each engine, ``(operators, engines)``.

    An operator starts no sooner than its inputs can arrive, each made on the engine that is best
    for this reader alone. Infinite where an input cannot arrive.
    """
    start: Floats = np.zeros((problem.count, problem.width))
    finish: Floats = np.zeros((problem.count, problem.width))
    for i in range(problem.count):
        for t in problem.reads[i]:
            arrival = finish[int(problem.maker[t])][:, None] + problem.delays[t]
            start[i] = np.maximum(start[i], arrival.min(axis=0))
        finish[i] = start[i] + problem.costs[i]
    return start


def tails(problem: AssignmentProblem) -> Floats:
    """Return the least time from an operator's end on each engine to the end of the run.

    As `heads`, backwards.
    """
    behind: Floats = np.zeros((problem.count, problem.width))
    whole: Floats = np.zeros((problem.count, problem.width))
    for i in range(problem.count - 1, -1, -1):
        for t in problem.made[i]:
            for r in problem.readers[t]:
                after = problem.delays[t] + whole[r][None, :]
                behind[i] = np.maximum(behind[i], after.min(axis=1))
        whole[i] = problem.costs[i] + behind[i]
    return behind


def critical_path_s(problem: AssignmentProblem) -> float:
    """Return a lower bound on a run: the longest path, engines without limit."""
    finish = heads(problem) + problem.costs
    return float(finish.min(axis=1).max(initial=0.0))
