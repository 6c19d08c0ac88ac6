"""Longest paths with unlimited engines: lower bounds on the time before and after an operator.

The critical-path method (Kelley and Walker 1959) on operators with a choice of engines: an operator
starts when all inputs have arrived, each from the engine that is best for it. With ``d[t, f, e]``
the seconds to send tensor t from engine f to e, and t made by ``m``,

``head[i, e] = max over t read by i, min over f of (head[m, f] + cost[m, f] + d[t, f, e])``.

`linear_programmes.py` and `branch_and_bound.py` prune with these bounds.
"""

from __future__ import annotations

import numpy as np

from perfmodel.schedule.assign.problem import AssignmentProblem, Floats


def heads(problem: AssignmentProblem) -> Floats:
    """Return the earliest start of each operator on each engine, ``(operators, engines)``.

    A lower bound: each input comes from the engine that is best for this reader. Infinite if an
    input cannot arrive.
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

    As `heads`, in reverse.
    """
    tail: Floats = np.zeros((problem.count, problem.width))
    least: Floats = np.zeros((problem.count, problem.width))
    for i in range(problem.count - 1, -1, -1):
        for t in problem.writes[i]:
            for r in problem.readers[t]:
                after = problem.delays[t] + least[r][None, :]
                tail[i] = np.maximum(tail[i], after.min(axis=1))
        least[i] = problem.costs[i] + tail[i]
    return tail


def critical_path_s(problem: AssignmentProblem) -> float:
    """Return a lower bound on the makespan: the longest path with unlimited engines."""
    finish = heads(problem) + problem.costs
    return float(finish.min(axis=1).max(initial=0.0))
