"""Cutting planes for the makespan: the work of each engine between two dependent operators.

Operators that depend, directly or not, on operator a, and that b depends on, run after the end of
a and before the start of b. Hence the work of each engine between them fits in that interval:

``start[b] - end[a] >= sum of seconds[i, e] x[i, e]`` over those i, for every engine e.

Here a may be the start of the run, with all ancestors of b in between, and b its end, with all
descendants of a. Longest paths and total loads, which the programme already includes
(`linear_programmes.py`), do not capture that two operators in the middle wait for each other. There
is one inequality for any two operators and every engine; only those violated by the last solution
are added, in rounds (a cutting-plane method: Dantzig, Fulkerson and Johnson 1954).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.linear_programmes import AssignmentLpModel
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats

#: Maximum number of operators for which inequalities are sought: on 300 the bound hardly rose, and
#: the search for schedules lacked the time.
MOST_OPERATORS = 200

#: Rounds of added inequalities, for the linear and for the integer programme.
_LINEAR_ROUNDS, _INTEGER_ROUNDS = 3, 6
#: Inequalities added per operator and round.
_ADDED_PER_OPERATOR = 2
#: Violation above which an inequality is added, in units of the programme; it exceeds the
#: solver's tolerance.
_LEAST_VIOLATION = 1e-6


class PrecedenceCuts:
    """The programme of a parallel run, with its cutting planes.

    Attributes
    ----------
    rows
        Inequalities added so far: (operator a, operator b, engine).
    ancestors
        Whether each operator depends on each other one, shape ``(operators, operators)``.
    """

    def __init__(self, problem: AssignmentProblem) -> None:
        self.model = AssignmentLpModel(problem, "parallel", contiguous=False)
        self.rows: set[tuple[int, int, int]] = set()
        n = problem.count
        self.ancestors: NDArray[np.bool_] = np.zeros((n, n), dtype=np.bool_)
        for i in range(n):
            for t in problem.reads[i]:
                maker = int(problem.maker[t])
                self.ancestors[i] |= self.ancestors[maker]
                self.ancestors[i, maker] = True

    def solve_relaxed(self, deadline: Deadline) -> Certified[Floats]:
        """Return a lower bound and fractional assignment."""
        return self._rounds(deadline, relaxed=True, gap=0.0, rounds=_LINEAR_ROUNDS)

    def solve_integral(self, deadline: Deadline, *, gap: float = 0.0) -> Certified[Floats]:
        """Return a lower bound and an assignment of every operator to one engine."""
        return self._rounds(deadline, relaxed=False, gap=gap, rounds=_INTEGER_ROUNDS)

    def _rounds(
        self, deadline: Deadline, *, relaxed: bool, gap: float, rounds: int
    ) -> Certified[Floats]:
        """Solve the programme, and again with violated inequalities, for some rounds at most."""
        best = last = self.model.solve(deadline, relaxed=relaxed, gap=gap)
        for _ in range(rounds):
            if last.solution is None or deadline.passed() or not self._add(last.solution):
                break
            last = self.model.solve(deadline, relaxed=relaxed, gap=gap)
            if last.solution is not None:  # in time
                best = replace(last, bound=max(best.bound, last.bound))
        return self.model.shares(best)

    def _add(self, values: Floats) -> int:
        """Add inequalities that a solution violates; return the number of violated ones."""
        model = self.model
        n, m = model.problem.count, model.problem.width
        work: Floats = values[model.x] * model.costs
        end: Floats = np.append(values[model.end], 0.0)
        start: Floats = np.append(values[model.end] - work.sum(axis=1), values[model.total[0]])
        # The last row and column are the start and the end of the run.
        after, before, between = self._operators_between()
        violated: list[tuple[float, int, int, int]] = []
        for e in range(m):
            violation: Floats = (after * work[:, e]) @ before.T - (start[None, :] - end[:, None])
            violation[between == 0] = 0.0
            # For each b, the largest violation and the largest per operator in between: several
            # short inequalities add up.
            for worst in (violation, violation / np.maximum(between, 1.0)):
                for b, a in enumerate(np.argmax(worst, axis=0).tolist()):
                    if violation[a, b] > _LEAST_VIOLATION and (a, b, e) not in self.rows:
                        violated.append((float(violation[a, b]), a, b, e))
        violated = sorted(set(violated), reverse=True)
        for _, a, b, e in violated[: _ADDED_PER_OPERATOR * n]:
            self.rows.add((a, b, e))
            model.require_work_between(
                a if a < n else None,
                b if b < n else None,
                e,
                np.flatnonzero((after[a] > 0) & (before[b] > 0)),
            )
        return len(violated)

    def _operators_between(self) -> tuple[Floats, Floats, Floats]:
        """Return descendants and ancestors of each operator, and the number between any two.

        The last entry is the start of the run, which precedes everything, and its end.
        """
        ancestors = self.ancestors.astype(np.float64)
        every = np.ones((1, len(ancestors)))
        after: Floats = np.concatenate([ancestors.T, every])
        before: Floats = np.concatenate([ancestors, every])
        return after, before, after @ before.T
