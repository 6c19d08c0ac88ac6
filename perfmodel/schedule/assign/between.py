"""A stronger bound on a parallel run: what lies between two operators takes an engine its time.

What reads, directly or not, what operator a made, and is read so by b, runs after the end of a and
before the start of b. So from one to the other each engine's work between them fits:
``start[b] - end[a] >= sum of seconds[i, e] x[i, e]`` over those i, for every engine e; where a is
the start of the run, over all that b needs, where b is its end, over all that needs a. Longest
paths and loads of whole runs, which the programme has already, do not see that two operators in the
middle wait for each other. There is a row for any two operators and every engine: those are added
that the last solution breaks, as cutting planes are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.linear import AssignmentLpModel
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats

#: Operators up to which rows are looked for: on 300 the bound hardly rose, and the search for
#: schedules lacked the time.
LARGEST = 200

#: Times that rows are added, to a programme of shares and to one of whole operators.
_ROUNDS, _WHOLE_ROUNDS = 3, 6
#: Rows added at a time for every operator.
_ALL = 2
#: Units of the programme by which a row is broken: beyond the solver's tolerance.
_BROKEN = 1e-6


class Between:
    """The programme of a parallel run, and the rows that were found for it."""

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
        """Return a lower bound and fractions."""
        return self._rounds(deadline, relaxed=True, gap=0.0, rounds=_ROUNDS)

    def integral(self, deadline: Deadline, *, gap: float = 0.0) -> Certified[Floats]:
        """Return a lower bound and an assignment, every operator on one engine."""
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
        """Add rows that a solution breaks; return how many."""
        model = self.model
        n, m = model.problem.count, model.problem.width
        work: Floats = values[model.x] * model.costs
        end: Floats = np.append(values[model.end], 0.0)
        start: Floats = np.append(values[model.end] - work.sum(axis=1), values[model.total[0]])
        # The last one of each is the start of the run, and its end.
        behind, before, many = self._sets()
        found: list[tuple[float, int, int, int]] = []
        for e in range(m):
            broken: Floats = (behind * work[:, e]) @ before.T - (start[None, :] - end[:, None])
            broken[many == 0] = 0.0
            # For each later one the most, and the most for each operator: short rows add up.
            for worst in (broken, broken / np.maximum(many, 1.0)):
                for b, a in enumerate(np.argmax(worst, axis=0).tolist()):
                    if broken[a, b] > _BROKEN and (a, b, e) not in self.rows:
                        found.append((float(broken[a, b]), a, b, e))
        found = sorted(set(found), reverse=True)
        for _, a, b, e in found[: _ALL * n]:
            self.rows.add((a, b, e))
            model.between(
                a if a < n else None,
                b if b < n else None,
                e,
                np.flatnonzero((behind[a] > 0) & (before[b] > 0)),
            )
        return len(found)

    def _sets(self) -> tuple[Floats, Floats, Floats]:
        """Return what is behind each operator, what is before it, and how many between any two.

        The last one of each is the start of the run, behind which everything is, and its end.
        """
        needs = self.needs.astype(np.float64)
        every = np.ones((1, len(needs)))
        behind: Floats = np.concatenate([needs.T, every])
        before: Floats = np.concatenate([needs, every])
        many: Floats = behind @ before.T
        return behind, before, many
