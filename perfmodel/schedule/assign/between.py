"""Cutting planes for a parallel run: the work of each engine between two dependent operators.

Operators that depend, directly or not, on operator a, and that b depends on, run after the end of
a and before the start of b. Hence the work of each engine between them fits in that interval:
``start[b] - end[a] >= sum of seconds[i, e] x[i, e]`` over those i, for every engine e; a may be
the start of the run, with all ancestors of b in between, and b its end, with all descendants of a.
Longest paths and total loads, which the programme already includes, do not capture that two
operators in the middle wait for each other. There is a row for any two operators and every engine;
only rows violated by the last solution are added, as cutting planes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.linear import AssignmentLpModel
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats

#: Maximum number of operators for which rows are sought: on 300 the bound hardly rose, and the
#: search for schedules lacked the time.
LARGEST = 200

#: Rounds of added rows, for the linear and for the integer programme.
_ROUNDS, _WHOLE_ROUNDS = 3, 6
#: Rows added per operator and round.
_ALL = 2
#: Violation above which a row is added, in units of the programme: beyond the solver's tolerance.
_BROKEN = 1e-6


class Between:
    """The programme of a parallel run, with its cutting planes."""

    def __init__(self, problem: AssignmentProblem) -> None:
        self.model = AssignmentLpModel(problem, "parallel", contiguous=False)
        self.rows: set[tuple[int, int, int]] = set()
        n = problem.count
        self.needs: NDArray[np.bool_] = np.zeros((n, n), dtype=np.bool_)
        for i in range(n):
            for t in problem.reads[i]:
                maker = int(problem.maker[t])
                self.needs[i] |= self.needs[maker]
                self.needs[i, maker] = True

    def relaxed(self, deadline: Deadline) -> Certified[Floats]:
        """Return a lower bound and fractional assignment."""
        return self._rounds(deadline, relaxed=True, gap=0.0, rounds=_ROUNDS)

    def integral(self, deadline: Deadline, *, gap: float = 0.0) -> Certified[Floats]:
        """Return a lower bound and an assignment of every operator to one engine."""
        return self._rounds(deadline, relaxed=False, gap=gap, rounds=_WHOLE_ROUNDS)

    def _rounds(
        self, deadline: Deadline, *, relaxed: bool, gap: float, rounds: int
    ) -> Certified[Floats]:
        best = last = self.model.solved(deadline, relaxed=relaxed, gap=gap)
        for _ in range(rounds):
            if last.solution is None or deadline.passed() or not self._add(last.solution):
                break
            last = self.model.solved(deadline, relaxed=relaxed, gap=gap)
            if last.solution is not None:  # in time
                best = replace(last, bound=max(best.bound, last.bound))
        return self.model.shares(best)

    def _add(self, values: Floats) -> int:
        """Add rows that a solution violates; return their number."""
        model = self.model
        n, m = model.problem.count, model.problem.width
        work: Floats = values[model.x] * model.costs
        end: Floats = np.append(values[model.end], 0.0)
        start: Floats = np.append(values[model.end] - work.sum(axis=1), values[model.total[0]])
        # The last row and column are the start and the end of the run.
        behind, before, many = self._sets()
        violated: list[tuple[float, int, int, int]] = []
        for e in range(m):
            broken: Floats = (behind * work[:, e]) @ before.T - (start[None, :] - end[:, None])
            broken[many == 0] = 0.0
            # Per operator, the largest violation and the largest per operator in between: short
            # rows add up.
            for worst in (broken, broken / np.maximum(many, 1.0)):
                for b, a in enumerate(np.argmax(worst, axis=0).tolist()):
                    if broken[a, b] > _BROKEN and (a, b, e) not in self.rows:
                        violated.append((float(broken[a, b]), a, b, e))
        violated = sorted(set(violated), reverse=True)
        for _, a, b, e in violated[: _ALL * n]:
            self.rows.add((a, b, e))
            model.between(
                a if a < n else None,
                b if b < n else None,
                e,
                np.flatnonzero((behind[a] > 0) & (before[b] > 0)),
            )
        return len(violated)

    def _sets(self) -> tuple[Floats, Floats, Floats]:
        """Return descendants and ancestors of each operator, and the number between any two.

        The last entry is the start of the run, which precedes everything, and its end.
        """
        needs = self.needs.astype(np.float64)
        every = np.ones((1, len(needs)))
        behind: Floats = np.concatenate([needs.T, every])
        before: Floats = np.concatenate([needs, every])
        many: Floats = behind @ before.T
        return behind, before, many
