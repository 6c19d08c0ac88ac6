"""The problem handed to HiGHS."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.solver import MilpMatrix, Status, solve
from perfmodel.search.exact.incumbent import Incumbent
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.programme import ChoiceMilp, programme
from perfmodel.search.exact.reduced import Reduced

#: Size to which the objective is brought: HiGHS takes a gap of 1e-6 for none.
SIZE = 1e5


def by_programme(
    p: Reduced, incumbent: Incumbent, deadline: Deadline, gap: float
) -> tuple[float, int]:
    """Improve an incumbent with HiGHS; return a lower bound and the nodes looked at.

    A solution of HiGHS may exceed a row by its tolerance. Such a choice is cut off and the rest
    solved again, so that what is proved is proved of the limits as they are.

    Returns
    -------
    tuple of float and int
        The bound is infinite where no choice is left that is better than the incumbent.
    """
    lines = programme(p)
    spread = float(np.where(np.isfinite(p.cost), p.cost, 0.0).max(initial=0.0)) - float(
        p.cost.min(initial=0.0)
    )
    for f in p.factors:
        spread += float(np.ptp(f.cost[np.isfinite(f.cost)]))
    scale = SIZE / (spread * max(1, len(p.count)) or 1.0)
    matrix = replace(lines.matrix, cost=lines.matrix.cost * scale)
    nodes = 0
    bound = -math.inf
    while True:
        found = solve(matrix, deadline, gap=gap)
        nodes += found.nodes
        if found.status is Status.INFEASIBLE:
            return math.inf, nodes
        # Choices that were cut off do not count, so a later bound may be better.
        bound = max(bound, found.bound / scale + p.constant)
        if not found.found:
            return bound, nodes
        local = lines.local(found.values)
        choice = p.choices(local[None])
        incumbent.offer(choice)
        if incumbent.problem.feasible(choice[0].tolist()) or deadline.passed():
            return bound, nodes
        matrix = _without(matrix, lines, local)


def _without(matrix: MilpMatrix, lines: ChoiceMilp, local: Ints) -> MilpMatrix:
    """Forbid one choice: not all of its columns together."""
    chosen = np.flatnonzero(local[lines.decision] == lines.option).astype(np.int32)
    high: Floats = np.append(matrix.row_upper, len(local) - 1.0)
    return replace(
        matrix,
        row_start=np.append(matrix.row_start, matrix.row_start[-1] + len(chosen)).astype(np.int32),
        column=np.concatenate((matrix.column, chosen)),
        value=np.concatenate((matrix.value, np.ones(len(chosen)))),
        row_lower=np.append(matrix.row_lower, -np.inf),
        row_upper=high,
    )
