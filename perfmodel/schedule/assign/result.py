"""What an assignment says: engine, start and end of every operator, its value, bound and proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from perfmodel.schedule.assign.evaluate import loads
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.simulate import AssignmentTimeline

#: A value is proved where it exceeds its bound by no more than this part.
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Assignment:
    """Operators on engines.

    Attributes
    ----------
    goal
        ``sequential`` (one thing at a time), ``parallel`` (engines at the same time) or
        ``throughput`` (the seconds from one run of a pipeline to the next).
    value_s
        What was minimised, seconds; infinite where there is no assignment.
    bound_s
        No assignment of this kind takes less.
    method
        What found it.
    run
        Timeline of one run; None where there is no assignment.
    counts
        What the methods did: nodes, programmes solved.
    """

    problem: AssignmentProblem
    goal: str
    value_s: float
    bound_s: float
    method: str
    run: AssignmentTimeline | None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def feasible(self) -> bool:
        """Whether there is an assignment."""
        return self.run is not None

    @property
    def engine(self) -> Index:
        """Engine of each operator, shape ``(operators,)``; -1 where there is no assignment."""
        if self.run is None:
            return np.full(self.problem.count, -1, dtype=np.intp)
        return self.run.engine

    @property
    def gap(self) -> float:
        """Part by which the value exceeds its bound at most; infinite where nothing is known."""
        if self.value_s <= self.bound_s:
            return 0.0
        return self.value_s / self.bound_s - 1.0 if self.bound_s > 0 else float("inf")

    @property
    def proved(self) -> bool:
        """Whether nothing better exists (to `TOLERANCE`); without an assignment, nothing at all."""
        return self.gap <= TOLERANCE if self.feasible else self.bound_s == np.inf

    @property
    def loads_s(self) -> Floats:
        """Busy seconds of each engine a run, what it receives included."""
        if self.run is None:
            return np.zeros(self.problem.width)
        return loads(self.problem, self.run.engine)

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
