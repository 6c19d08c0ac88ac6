"""What an assignment costs when one thing happens at a time, and what it loads each engine with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Part of a memory that sums of bytes may be off by.
_ROUNDING = 1e-12


class Sent(NamedTuple):
    """Tensors that cross, each once an engine that reads it: tensor, source and target engine."""

    tensor: Index
    source: Index
    target: Index


def sent(problem: AssignmentProblem, engine: Index) -> Sent:
    """Return what crosses between engines under an assignment, shape ``(operators,)``."""
    tensor, reader = problem.pairs
    target = engine[reader]
    crossing = target != engine[problem.maker[tensor]]
    keys: Index = np.unique(tensor[crossing] * problem.width + target[crossing])
    found: Index = keys // problem.width
    return Sent(found, engine[problem.maker[found]], keys % problem.width)


def sequential_s(problem: AssignmentProblem, engine: Index) -> float:
    """Return seconds of one run when operators and transfers follow one another."""
    moved = sent(problem, engine)
    own = problem.costs[np.arange(problem.count), engine].sum()
    return float(own + problem.delays[moved.tensor, moved.source, moved.target].sum())


def loads(problem: AssignmentProblem, engine: Index) -> Floats:
    """Return busy seconds of each engine a run, what it receives included, ``(engines,)``."""
    moved = sent(problem, engine)
    total: Floats = np.zeros(problem.width)
    np.add.at(total, engine, problem.costs[np.arange(problem.count), engine])
    np.add.at(total, moved.target, problem.delays[moved.tensor, moved.source, moved.target])
    return total


def work(problem: AssignmentProblem, engine: Index) -> Floats:
    """Return seconds of each engine's operators alone, ``(engines,)``."""
    total: Floats = np.zeros(problem.width)
    np.add.at(total, engine, problem.costs[np.arange(problem.count), engine])
    return total


def shared_s(problem: AssignmentProblem, engine: Index) -> float:
    """Return the seconds a run of whatever is busiest of what all engines share; 0 without any."""
    busy = problem.shared[:, np.arange(problem.count), engine].sum(axis=1)
    return float(busy.max(initial=0.0))


def excess(problem: AssignmentProblem, engine: Index) -> float:
    """Return the largest part by which a memory is overfilled; 0 where everything fits."""
    if not len(problem.limits):
        return 0.0
    taken = problem.demand[:, np.arange(problem.count), engine].sum(axis=1)
    over = taken - problem.limits
    most = float((over / np.maximum(problem.limits, 1.0)).max(initial=0.0))
    return most if most > _ROUNDING else 0.0


def interval_s(problem: AssignmentProblem, engine: Index) -> float:
    """Return the initiation interval of a pipeline of runs: the busiest engine's seconds a run.

    Runs overlap, each engine working on another one; an engine waits while it receives. What all
    share limits it too.
    """
    return max(float(loads(problem, engine).max()), shared_s(problem, engine))
