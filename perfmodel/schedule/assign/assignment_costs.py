"""Cost of an assignment: seconds of a serial run, load of each engine, pipeline interval.

With engine ``e(i)`` of operator i, and one transfer per tensor and other engine that reads it:

``serial run = sum of cost[i, e(i)] + sum of transfers``,

``load[f] = sum of cost[i, f] over the operators on f + transfers that f receives``,

``interval = max(load of any engine, busy seconds of any shared resource)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Relative tolerance of sums of bytes against the size of a memory.
_ROUNDING = 1e-12


class Transfers(NamedTuple):
    """Transfers, one per tensor and engine that reads it: tensor, source and target engine."""

    tensor: Index
    source: Index
    target: Index

    def seconds(self, problem: AssignmentProblem) -> Floats:
        """Return the seconds of each transfer, ``(transfers,)``."""
        return problem.delays[self.tensor, self.source, self.target]


def transfers_between(problem: AssignmentProblem, engine: Index) -> Transfers:
    """Return the transfers between engines under an assignment, shape ``(operators,)``."""
    tensor, reader = problem.pairs
    target = engine[reader]
    crossing = target != engine[problem.maker[tensor]]
    keys: Index = np.unique(tensor[crossing] * problem.width + target[crossing])
    tensors: Index = keys // problem.width
    return Transfers(tensors, engine[problem.maker[tensors]], keys % problem.width)


def sequential_s(problem: AssignmentProblem, engine: Index) -> float:
    """Return the seconds of one run in which operators and transfers are serialised."""
    computing = problem.costs[np.arange(problem.count), engine].sum()
    return float(computing + transfers_between(problem, engine).seconds(problem).sum())


def work_s(problem: AssignmentProblem, engine: Index) -> Floats:
    """Return the seconds of each engine's operators, without transfers, ``(engines,)``."""
    total: Floats = np.zeros(problem.width)
    np.add.at(total, engine, problem.costs[np.arange(problem.count), engine])
    return total


def loads_s(problem: AssignmentProblem, engine: Index) -> Floats:
    """Return the busy seconds of each engine per run, including receiving, ``(engines,)``."""
    total, crossing = work_s(problem, engine), transfers_between(problem, engine)
    np.add.at(total, crossing.target, crossing.seconds(problem))
    return total


def shared_s(problem: AssignmentProblem, engine: Index) -> float:
    """Return the seconds per run of the busiest resource shared by all engines; 0 without any."""
    busy = problem.shared[:, np.arange(problem.count), engine].sum(axis=1)
    return float(busy.max(initial=0.0))


def excess(problem: AssignmentProblem, engine: Index) -> float:
    """Return the largest relative overflow of a memory; 0 if everything fits."""
    if not len(problem.limits):
        return 0.0
    taken = problem.demand[:, np.arange(problem.count), engine].sum(axis=1)
    overflow = taken - problem.limits
    largest = float((overflow / np.maximum(problem.limits, 1.0)).max(initial=0.0))
    return largest if largest > _ROUNDING else 0.0


def interval_s(problem: AssignmentProblem, engine: Index) -> float:
    """Return the initiation interval of a pipeline of runs: the seconds per run of the bottleneck.

    Runs overlap, each engine working on a different one; an engine waits while it receives. The
    interval is also bounded by the busy time of resources shared by all engines.
    """
    return max(float(loads_s(problem, engine).max()), shared_s(problem, engine))
