"""Contiguous assignment, one stretch of the order per engine: dynamic programmes over stretches.

The best split of the first j operators over a set of engines follows from the best splits of fewer
operators over the set without the engine that runs last. With a fixed order of engines the sets are
prefixes of that order (cost O(m n^2) for n operators on m engines, one vector operation per pair of
operator and engine); with a free order they are all subsets (O(2^m m n^2)). The input of a stretch
depends on the stretch only if the seconds to reach an engine are the same from every other engine;
otherwise their minimum yields a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

METHOD = "dynamic programme over stretches"

#: Transitions to a set of engines: a set whose splits are inherited, and each (previous set, engine
#: of the last stretch). Set 0 has no engine.
_Transitions: TypeAlias = tuple[int, Sequence[tuple[int, int]]]


def fixed_order(problem: AssignmentProblem, *, bottleneck: bool) -> Certified[Index]:
    """Split the order into at most one stretch per engine, in the given order of the engines.

    Parameters
    ----------
    bottleneck
        Minimise the largest of the seconds of the stretches (a pipeline) instead of their sum.

    Returns
    -------
    Certified
        Engine of each operator. The seconds are those of the programme: a lower bound unless
        `is_exact`. Without a solution if every split uses an engine that cannot run an
        operator.
    """
    transitions: list[_Transitions] = [(0, ()), *((e, [(e, e)]) for e in range(problem.width))]
    return _best_split(problem, entering(problem, forward=True), transitions, bottleneck)


def free_order(problem: AssignmentProblem, *, bottleneck: bool) -> Certified[Index]:
    """Split the order into at most one stretch per engine, in the best order of the engines.

    As `fixed_order`; for at most about a dozen engines.
    """
    transitions: list[_Transitions] = [
        (0, [(engines ^ 1 << e, e) for e in range(problem.width) if engines >> e & 1])
        for engines in range(1 << problem.width)
    ]
    return _best_split(problem, problem.entering, transitions, bottleneck)


def _best_split(
    problem: AssignmentProblem, least: Floats, transitions: Sequence[_Transitions], bottleneck: bool
) -> Certified[Index]:
    """Return the best split over the last set of engines.

    ``best[set, j] = min over (before, e), i < j of best[before, i] + seconds of i..j on e``, with
    the larger of the two instead of the sum for a bottleneck.
    """
    shape = len(transitions), problem.count + 1
    best: Floats = np.full(shape, np.inf)
    best[:, 0] = 0.0
    #: First operator and engine of the last stretch of each split, and the previous set.
    begin, engine, before = (np.full(shape, -1, dtype=np.intp) for _ in range(3))
    combine = np.maximum if bottleneck else np.add
    for j, stretch in enumerate(_stretches(problem, least), start=1):
        for k, (inherited, extensions) in enumerate(transitions):
            for table in (best, begin, engine, before):
                table[k, j] = table[inherited, j]
            for previous, e in extensions:
                seconds = combine(best[previous, :j], stretch[e])
                at = int(np.argmin(seconds))
                if seconds[at] < best[k, j]:
                    best[k, j] = seconds[at]
                    begin[k, j], engine[k, j], before[k, j] = at, e, previous
    value = float(best[-1, -1])
    if not np.isfinite(value):
        return nothing(METHOD, np.inf)
    split: Index = np.zeros(problem.count, dtype=np.intp)
    k, end = len(transitions) - 1, problem.count
    while end > 0:
        start = int(begin[k, end])
        split[start:end] = engine[k, end]
        k, end = int(before[k, end]), start
    return Certified(split, value, value, METHOD)


def entering(problem: AssignmentProblem, *, forward: bool) -> Floats:
    """Return least seconds for a tensor to reach each engine, ``(tensors, engines)``.

    Parameters
    ----------
    forward
        Consider only transfers from preceding engines.
    """
    if not forward:
        return problem.entering
    return np.where(np.tri(problem.width, dtype=bool), np.inf, problem.delays).min(axis=1)


def is_exact(problem: AssignmentProblem, *, forward: bool) -> bool:
    """Return whether the programmes price every transfer exactly instead of at its minimum."""
    least = entering(problem, forward=forward)[:, None, :]
    excluded = np.tri(problem.width, dtype=bool) if forward else np.eye(problem.width, dtype=bool)
    return bool((np.where(excluded, least, problem.delays) == least).all())


def one_engine_per_memory(problem: AssignmentProblem) -> bool:
    """Return whether each memory serves one engine, so that each stretch fits independently."""
    used = (problem.demand > 0).any(axis=1)
    return bool((used.sum(axis=1) <= 1).all())


def _stretches(problem: AssignmentProblem, least: Floats) -> Iterator[Floats]:
    """Yield, for each end, the seconds of the stretches from every start, ``(engines, starts)``.

    A tensor made before a start and read after it enters once, in ``least`` seconds.
    """
    n, m = problem.count, problem.width
    finite: Floats = np.where(np.isfinite(problem.costs), problem.costs, 0.0)
    seconds: Floats = np.zeros((m, n))
    demand: Floats = np.zeros((len(problem.limits), m, n))
    # A stretch that includes an operator the engine cannot run is infeasible.
    blocked = np.zeros(m, dtype=np.intp)
    previous: dict[int, int] = {}
    for j in range(n):
        seconds[:, : j + 1] += finite[j][:, None]
        for t in problem.reads[j]:
            # For starts up to its previous reader the tensor has already entered.
            after = previous.get(t, int(problem.maker[t])) + 1
            seconds[:, after : j + 1] += least[t][:, None]
            previous[t] = j
        blocked[~np.isfinite(problem.costs[j])] = j + 1
        if len(problem.limits):
            demand[:, :, : j + 1] += problem.demand[:, j, :, None]
            overflows = (demand > problem.limits[:, None, None]).any(axis=0)
            # Demand grows with the length: a stretch that overflows does so from earlier starts
            # too.
            blocked = np.maximum(blocked, overflows.sum(axis=1))
        view: Floats = seconds[:, : j + 1].copy()
        for e in np.flatnonzero(blocked):
            view[e, : blocked[e]] = np.inf
        yield view
