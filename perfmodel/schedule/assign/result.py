"""What an assignment says: engine, start and end of every operator, its value, bound and proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.former import former_attributes
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.assign.evaluate import loads
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.simulate import AssignmentTimeline

#: A value is proved where it exceeds its bound by no more than this part.
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class Assignment(Certified[AssignmentTimeline]):
    """Operators on engines, as `Certified`: the timeline of one run, seconds and their bound.

    Attributes
    ----------
    goal
        ``sequential`` (one thing at a time), ``parallel`` (engines at the same time) or
        ``throughput`` (the seconds from one run of a pipeline to the next).
    """

    problem: AssignmentProblem
    goal: str
    tolerance: float = TOLERANCE

    if not TYPE_CHECKING:
        __getattr__ = former_attributes(
            run="solution", value_s="value", bound_s="bound", counts="work"
        )

    @property
    def engine(self) -> Index:
        """Engine of each operator, shape ``(operators,)``; -1 where there is no assignment."""
        if self.solution is None:
            return np.full(self.problem.count, -1, dtype=np.intp)
        return self.solution.engine

    @property
    def loads_s(self) -> Floats:
        """Busy seconds of each engine a run, what it receives included."""
        if self.solution is None:
            return np.zeros(self.problem.width)
        return loads(self.problem, self.solution.engine)

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Operators that no engine runs."""
        return tuple(self.problem.operators[i] for i in self.problem.unsupported)

    def stretches(self) -> list[tuple[int, int, int]]:
        """Runs of operators on one engine, in order: (engine, first, last)."""
        found: list[tuple[int, int, int]] = []
        for i, e in enumerate(self.engine.tolist()):
            if found and found[-1][0] == e:
                found[-1] = (e, found[-1][1], i)
            else:
                found.append((e, i, i))
        return found
