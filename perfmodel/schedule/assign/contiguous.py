"""Contiguous assignment: each engine runs one stretch of the order; exact dynamic programmes.

With the engines in a fixed order, the best split of the first j operators over the first e engines
follows from the best splits of fewer (cost O(m n^2) for n operators on m engines, one vector
operation a pair of operator and engine). With the engines in a free order the states are sets of
engines (O(2^m m n^2)). What enters a stretch depends on the stretch alone only where seconds to
reach an engine are the same from every other; elsewhere the least of them gives a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index


class ContiguousAssignment(NamedTuple):
    """Engine of each operator and what the programme says it costs (a bound unless exact)."""

    engine: Index
    value_s: float


def fixed_order(problem: AssignmentProblem, *, bottleneck: bool) -> ContiguousAssignment | None:
    """Split the order into at most one stretch an engine, in the order of the engines.

    Parameters
    ----------
    bottleneck
        Minimise the largest of the stretches' seconds (a pipeline), not their sum.

    Returns
    -------
    Split or None
        None where no split avoids engines that cannot run an operator.
    """
    n, m = problem.count, problem.width
    best: Floats = np.full((m, n + 1), np.inf)
    best[:, 0] = 0.0
    # prefix[e, i]: the best of the first i operators on engines before e; which of them was last.
    prefix: Floats = np.full((m + 1, n + 1), np.inf)
    prefix[:, 0] = 0.0
    origin: Index = np.full((m, n + 1), -1, dtype=np.intp)
    taken: Index = np.full((m + 1, n + 1), -1, dtype=np.intp)
    for j, stretch in enumerate(_stretches(problem, entering(problem, forward=True)), start=1):
        for e in range(m):
            before = prefix[e, :j]
            whole = np.maximum(before, stretch[e]) if bottleneck else before + stretch[e]
            at = int(np.argmin(whole))
            best[e, j], origin[e, j] = whole[at], at
            if best[e, j] < prefix[e, j]:
                prefix[e + 1, j], taken[e + 1, j] = best[e, j], e
            else:
                prefix[e + 1, j], taken[e + 1, j] = prefix[e, j], taken[e, j]
    value = float(prefix[m, n])
    if not np.isfinite(value):
        return None
    engine: Index = np.zeros(n, dtype=np.intp)
    end, limit = n, m
    while end > 0:
        e = int(taken[limit, end])
        start = int(origin[e, end])
        engine[start:end] = e
        end, limit = start, e
    return ContiguousAssignment(engine, value)


def free_order(problem: AssignmentProblem, *, bottleneck: bool) -> ContiguousAssignment | None:
    """Split the order into at most one stretch an engine, engines in whatever order is best.

    As `fixed_order`; for a dozen engines at most.
    """
    n, m = problem.count, problem.width
    sets = 1 << m
    best: Floats = np.full((sets, n + 1), np.inf)
    best[:, 0] = 0.0
    origin: Index = np.full((sets, n + 1), -1, dtype=np.intp)
    last: Index = np.full((sets, n + 1), -1, dtype=np.intp)
    for j, stretch in enumerate(_stretches(problem, problem.entering), start=1):
        for chosen in range(1, sets):
            for e in range(m):
                if not chosen >> e & 1:
                    continue
                before = best[chosen ^ (1 << e), :j]
                whole = np.maximum(before, stretch[e]) if bottleneck else before + stretch[e]
                at = int(np.argmin(whole))
                if whole[at] < best[chosen, j]:
                    best[chosen, j], origin[chosen, j], last[chosen, j] = whole[at], at, e
    value = float(best[sets - 1, n])
    if not np.isfinite(value):
        return None
    engine: Index = np.zeros(n, dtype=np.intp)
    end, chosen = n, sets - 1
    while end > 0:
        e, start = int(last[chosen, end]), int(origin[chosen, end])
        engine[start:end] = e
        end, chosen = start, chosen ^ (1 << e)
    return ContiguousAssignment(engine, value)


def entering(problem: AssignmentProblem, *, forward: bool) -> Floats:
    """Return least seconds for a tensor to reach each engine, ``(tensors, engines)``.

    Parameters
    ----------
    forward
        From the engines before it only.
    """
    if not forward:
        return problem.entering
    m = problem.width
    off = np.where(np.tri(m, dtype=bool), np.inf, problem.delays)
    found: Floats = off.min(axis=1) if len(off) else np.zeros((0, m))
    return found


def exact(problem: AssignmentProblem, *, forward: bool) -> bool:
    """Tell whether the programmes price every transfer as it is, not at its least."""
    least = entering(problem, forward=forward)[:, None, :]
    apart = np.tri(problem.width, dtype=bool) if forward else np.eye(problem.width, dtype=bool)
    return bool((np.where(apart, least, problem.delays) == least).all())


def alone(problem: AssignmentProblem) -> bool:
    """Tell whether each memory is one engine's, so that a stretch by itself shows what fits."""
    used = (problem.demand > 0).any(axis=1)
    return bool((used.sum(axis=1) <= 1).all())


def _stretches(problem: AssignmentProblem, least: Floats) -> Iterator[Floats]:
    """Yield, for each end, the seconds of the stretches from every start, ``(engines, starts)``.

    What was made before a start and is read behind it enters once, in ``least`` seconds.
    """
    n, m = problem.count, problem.width
    finite: Floats = np.where(np.isfinite(problem.costs), problem.costs, 0.0)
    seconds: Floats = np.zeros((m, n))
    held: Floats = np.zeros((len(problem.limits), m, n))
    # Stretches that start at or before an operator that the engine cannot run do not exist.
    blocked = np.zeros(m, dtype=np.intp)
    previous: dict[int, int] = {}
    for j in range(n):
        seconds[:, : j + 1] += finite[j][:, None]
        for t in problem.reads[j]:
            # From starts up to its last reader before this one it has entered already.
            after = previous.get(t, int(problem.maker[t])) + 1
            seconds[:, after : j + 1] += least[t][:, None]
            previous[t] = j
        blocked[~np.isfinite(problem.costs[j])] = j + 1
        if len(problem.limits):
            held[:, :, : j + 1] += problem.demand[:, j, :, None]
            over = (held > problem.limits[:, None, None]).any(axis=0)
            # The longer a stretch, the more it holds: what is over is over from all earlier starts.
            blocked = np.maximum(blocked, over.sum(axis=1))
        view: Floats = seconds[:, : j + 1].copy()
        for e in np.flatnonzero(blocked):
            view[e, : blocked[e]] = np.inf
        yield view
