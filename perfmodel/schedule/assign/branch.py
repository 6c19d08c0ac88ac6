"""The least makespan of a few operators, proved: branch and bound over schedules.

Every schedule in which no operator could start earlier without another one moving can be built by
adding operators in the order in which they start, each as early as its engine and its inputs allow.
The search does that for each engine, and drops what cannot end before the best known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.paths import tails
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats
from perfmodel.schedule.assign.simulate import AssignmentTimeline, as_soon_as_made


def parallel(
    problem: AssignmentProblem, known_s: float, deadline: Deadline, *, nodes: int = 200_000
) -> Certified[AssignmentTimeline]:
    """Search for a schedule that ends before `known_s`.

    For problems without channels, where what waits for one may be sent in an order that this search
    does not try, and with nothing that engines share and no memory to fill.

    Parameters
    ----------
    known_s
        Makespan to beat.
    nodes
        How many partial schedules it looks at.

    Returns
    -------
    Certified
        Without a schedule where none better was found; then the bound is of the known one too.
    """
    if int(problem.channels.max(initial=-1)) >= 0 or problem.shared.any() or problem.demand.any():
        return nothing("branch and bound")
    search = _MakespanBranchAndBound(problem, known_s, deadline, nodes)
    answer = search.run(search.root())
    run, value = None, math.inf
    if answer.solution is not None:
        last = answer.solution.schedule(search.costs)
        run = as_soon_as_made(problem, np.array(last.engine, dtype=np.intp), np.array(last.start))
        value = run.makespan_s
    bound = min(answer.bound, value)
    return Certified(run, value, bound, "branch and bound", {"nodes": search.nodes})


class _PartialSchedule:
    """Operators that have started, as bits, and when engines are free."""

    __slots__ = ("done", "end", "end_s", "engine", "free", "left_s", "start")

    def __init__(
        self,
        engine: list[int],
        start: list[float],
        end: list[float],
        free: list[float],
        end_s: float,
        left_s: float,
        done: int,
    ) -> None:
        self.engine, self.start, self.end, self.free = engine, start, end, free
        self.end_s, self.left_s, self.done = end_s, left_s, done


class _AddedOperator(NamedTuple):
    """A partial schedule, and the operator that starts next: -1 for none."""

    before: _PartialSchedule
    start_s: float
    operator: int
    engine: int

    def schedule(self, costs: list[list[float]]) -> _PartialSchedule:
        """Return the schedule with the operator."""
        before, start, i, e = self
        if i < 0:
            return before
        engine, starts, ends = before.engine.copy(), before.start.copy(), before.end.copy()
        free, end = before.free.copy(), start + costs[i][e]
        engine[i], starts[i], ends[i], free[e] = e, start, end, end
        end, left = max(before.end_s, end), before.left_s - min(costs[i])
        return _PartialSchedule(engine, starts, ends, free, end, left, before.done | 1 << i)


class _MakespanBranchAndBound(BestFirst[_AddedOperator, _AddedOperator]):
    depth_first = True

    def __init__(
        self, problem: AssignmentProblem, known_s: float, deadline: Deadline, nodes: int
    ) -> None:
        super().__init__(Incumbent(known_s), deadline, nodes)
        self.problem, self.everything = problem, (1 << problem.count) - 1
        self.costs: list[list[float]] = problem.costs.tolist()
        delays: list[list[list[float]]] = problem.delays.tolist()
        self.inputs = [[(delays[t], int(problem.maker[t])) for t in each] for each in problem.reads]
        #: Operators that must have started before each, as bits.
        self.needs = [sum(1 << maker for maker in {m for _, m in each}) for each in self.inputs]
        behind: Floats = np.where(np.isfinite(problem.costs), tails(problem), np.inf)
        self.behind: list[list[float]] = behind.tolist()

    def root(self) -> _AddedOperator:
        """Return the schedule of nothing."""
        n, left = self.problem.count, sum(min(each) for each in self.costs)
        free = [0.0] * self.problem.width
        none = _PartialSchedule([-1] * n, [0.0] * n, [0.0] * n, free, 0.0, left, 0)
        return _AddedOperator(none, -1.0, -1, -1)

    def settled(self, node: _AddedOperator) -> bool:
        """Tell whether every operator has started."""
        before, start, i, e = node
        if i < 0 or before.done | 1 << i != self.everything:
            return False
        end = max(before.end_s, start + self.costs[i][e])
        if end < self.incumbent.value * (1 - 1e-12):
            self.incumbent.offer(node, end)
        return True

    def expand(self, node: _AddedOperator, bound: float) -> list[tuple[float, _AddedOperator]]:
        """Add one operator in every way that starts no sooner than the last one."""
        del bound
        limit, last, latest, costs = self.incumbent.value, node.start_s, node.operator, self.costs
        schedule = node.schedule(costs)
        engine, end, free, done = schedule.engine, schedule.end, schedule.free, schedule.done
        # Engines together have this much to do from the times at which they are free.
        if (sum([max(f, last) for f in free]) + schedule.left_s) / len(free) >= limit:
            return []
        ways: list[tuple[float, float, int, int]] = []
        for i, inputs in enumerate(self.inputs):
            if done >> i & 1 or self.needs[i] & ~done:
                continue
            soonest, behind = math.inf, self.behind[i]
            for e, cost in enumerate(costs[i]):
                if cost == math.inf:
                    continue
                start = free[e]
                for delays, maker in inputs:
                    there = end[maker] + delays[engine[maker]][e]
                    if there > start:
                        start = there
                reach = (start if start > last else last) + cost + behind[e]
                if reach < soonest:
                    soonest = reach
                later = start > last or (start == last and i > latest)
                if later and start < math.inf and reach < limit:
                    ways.append((reach, start, i, e))
            if soonest >= limit:
                return []
        ways.sort(reverse=True)
        return [(reach, _AddedOperator(schedule, at, i, e)) for reach, at, i, e in ways]
