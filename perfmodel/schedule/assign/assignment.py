"""Solution of an assignment problem: engine, start and end of every operator, with bound.

`solve.py` returns it for abstract problems; `device_assignment.py` wraps it for a network on
devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.deprecation import deprecated_attributes
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.assign.assignment_costs import loads_s
from perfmodel.schedule.assign.list_scheduling import AssignmentTimeline
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Relative excess over the bound up to which a value counts as proved.
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class Assignment(Certified[AssignmentTimeline]):
    """Operators on engines, as `Certified`: the timeline of one run, seconds and lower bound.

    Attributes
    ----------
    goal
        ``sequential`` (a serial run), ``parallel`` (engines at the same time) or ``throughput``
        (the seconds between consecutive runs of a pipeline).
    """

    problem: AssignmentProblem
    goal: str
    tolerance: float = TOLERANCE

    if not TYPE_CHECKING:
        __getattr__ = deprecated_attributes(
            run="solution", value_s="value", bound_s="bound", counts="work"
        )

    @property
    def engine(self) -> Index:
        """Engine of each operator, shape ``(operators,)``; -1 if there is no assignment."""
        if self.solution is None:
            return np.full(self.problem.count, -1, dtype=np.intp)
        return self.solution.engine

    @property
    def loads_s(self) -> Floats:
        """Busy seconds of each engine per run, including receiving."""
        if self.solution is None:
            return np.zeros(self.problem.width)
        return loads_s(self.problem, self.solution.engine)

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Names of the operators that no engine can run."""
        return tuple(self.problem.operators[i] for i in self.problem.unsupported)

    def stretches(self) -> list[tuple[int, int, int]]:
        """Return runs of operators on one engine, in order: (engine, first, last)."""
        stretches: list[tuple[int, int, int]] = []
        for i, e in enumerate(self.engine.tolist()):
            if stretches and stretches[-1][0] == e:
                stretches[-1] = (e, stretches[-1][1], i)
            else:
                stretches.append((e, i, i))
        return stretches
