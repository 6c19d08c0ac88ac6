"""The least makespan of a few operators, proved: branch and bound over schedules.

Every schedule in which no operator could start earlier without another one moving can be built by
adding operators in the order in which they start, each as early as its engine and its inputs allow.
The search does that for each engine, and drops what cannot end before the best known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.paths import tails
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.simulate import AssignmentTimeline, as_soon_as_made


class MakespanSearchResult(NamedTuple):
    """Best schedule found (None: none better than what was known) and whether all were seen."""

    run: AssignmentTimeline | None
    complete: bool
    nodes: int


def parallel(
    problem: AssignmentProblem, known_s: float, deadline: Deadline, *, nodes: int = 200_000
) -> MakespanSearchResult:
    """Search for a schedule that ends before `known_s`.

    For problems without channels, where what waits for one may be sent in an order that this search
    does not try, and with nothing that engines share and no memory to fill.

    Parameters
    ----------
    known_s
        Makespan to beat.
    nodes
        How many partial schedules it looks at.
    """
    if int(problem.channels.max(initial=-1)) >= 0 or problem.shared.any() or problem.demand.any():
        return MakespanSearchResult(None, False, 0)
    search = _MakespanBranchAndBound(problem, known_s, deadline, nodes)
    complete = search.run()
    if search.best is None:
        return MakespanSearchResult(None, complete, search.seen)
    engine, start = search.best
    return MakespanSearchResult(as_soon_as_made(problem, engine, start), complete, search.seen)


class _MakespanBranchAndBound:
    def __init__(
        self, problem: AssignmentProblem, known_s: float, deadline: Deadline, nodes: int
    ) -> None:
        self.problem, self.limit, self.deadline, self.nodes = problem, known_s, deadline, nodes
        n, m = problem.count, problem.width
        self.costs: list[list[float]] = problem.costs.tolist()
        self.delays: list[list[list[float]]] = problem.delays.tolist()
        self.maker: list[int] = problem.maker.tolist()
        behind: Floats = np.where(np.isfinite(problem.costs), tails(problem), np.inf)
        self.behind: list[list[float]] = behind.tolist()
        self.least: list[float] = problem.costs.min(axis=1).tolist()
        self.engine = [-1] * n
        self.start = [0.0] * n
        self.end = [0.0] * n
        self.free = [0.0] * m
        self.missing = [len(each) for each in problem.reads]
        self.best: tuple[Index, Floats] | None = None
        self.seen = 0

    def run(self) -> bool:
        """Search; return whether everything was seen."""
        return self._extend(0, -1.0, -1, 0.0, sum(self.least))

    def _extend(self, done: int, last: float, which: int, end: float, left: float) -> bool:
        """Add one operator in every way that starts no sooner than the last one."""
        problem, n = self.problem, self.problem.count
        if done == n:
            if end < self.limit * (1 - 1e-12):
                self.limit = end
                self.best = (np.array(self.engine, dtype=np.intp), np.array(self.start))
            return True
        self.seen += 1
        if self.seen >= self.nodes or (self.seen % 256 == 0 and self.deadline.passed()):
            return False
        # Engines together have this much to do from the times at which they are free.
        if (sum(max(f, last) for f in self.free) + left) / len(self.free) >= self.limit:
            return True
        ways: list[tuple[float, float, int, int]] = []
        for i in range(n):
            if self.engine[i] >= 0 or self.missing[i]:
                continue
            soonest = np.inf
            for e, cost in enumerate(self.costs[i]):
                if cost == np.inf:
                    continue
                start = self.free[e]
                for t in problem.reads[i]:
                    maker = self.maker[t]
                    there = self.end[maker] + self.delays[t][self.engine[maker]][e]
                    if there > start:
                        start = there
                start = max(start, 0.0)
                reach = max(start, last) + cost + self.behind[i][e]
                soonest = min(soonest, reach)
                if start == np.inf or reach >= self.limit:
                    continue
                if start > last or (start == last and i > which):
                    ways.append((reach, start, i, e))
            if soonest >= self.limit:
                return True
        ways.sort()
        complete = True
        for reach, start, i, e in ways:
            if reach >= self.limit:
                break
            free = self.free[e]
            finish = start + self.costs[i][e]
            self.engine[i], self.start[i], self.end[i], self.free[e] = e, start, finish, finish
            for t in problem.made[i]:
                for r in problem.readers[t]:
                    self.missing[r] -= 1
            complete = self._extend(done + 1, start, i, max(end, finish), left - self.least[i])
            for t in problem.made[i]:
                for r in problem.readers[t]:
                    self.missing[r] += 1
            self.engine[i], self.free[e] = -1, free
            if not complete:
                return False
        return complete
