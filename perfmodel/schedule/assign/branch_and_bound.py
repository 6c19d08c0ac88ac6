"""Exact least makespan of a few operators by depth-first branch and bound over schedules.

Some schedule of least makespan is semi-active: no operator can start earlier unless the order on an
engine changes. Every semi-active schedule can be built by adding operators in the order of their
starts, each as early as its engine and its inputs allow. The search branches on the next operator
and its engine. Its lower bounds are, with ``start`` of the next operator,

``start + seconds + tail`` for every operator that is ready (its longest path to the end), and

``(sum over engines of free + remaining least seconds) / engines`` (the mean load).

Schedules whose bound reaches the incumbent are pruned; the incumbent is optimal when none is
left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.list_scheduling import AssignmentTimeline, as_soon_as_made
from perfmodel.schedule.assign.longest_paths import tails
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats
from perfmodel.schedule.masks import mask_of


def least_makespan(
    problem: AssignmentProblem, known_s: float, deadline: Deadline, *, nodes: int = 200_000
) -> Certified[AssignmentTimeline]:
    """Search for a schedule that ends before `known_s`.

    Only for problems without channels (this search does not try the orders of waiting transfers),
    without shared resources, and without memory limits.

    Parameters
    ----------
    known_s
        Makespan of the incumbent.
    nodes
        Maximum number of partial schedules to examine.

    Returns
    -------
    Certified
        Without a schedule if none better was found; the bound then holds for the incumbent too.
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


@dataclass(slots=True, eq=False)
class _PartialSchedule:
    """Operators that have started, and the times at which engines become free.

    Attributes
    ----------
    engine, start, end
        Engine, start and end of each operator; -1 and 0 before it has started.
    free
        Time at which each engine becomes free.
    end_s, left_s
        Latest end of the started operators, and total of the least seconds of the others.
    done
        Mask of the operators that have started.
    """

    engine: list[int]
    start: list[float]
    end: list[float]
    free: list[float]
    end_s: float
    left_s: float
    done: int


class _AddedOperator(NamedTuple):
    """A partial schedule, and the operator that starts next; -1 for none."""

    before: _PartialSchedule
    start_s: float
    operator: int
    engine: int

    def schedule(self, costs: list[list[float]]) -> _PartialSchedule:
        """Return the schedule extended by the operator."""
        before, start, i, e = self
        if i < 0:
            return before
        engine, starts, ends = before.engine.copy(), before.start.copy(), before.end.copy()
        free, end = before.free.copy(), start + costs[i][e]
        engine[i], starts[i], ends[i], free[e] = e, start, end, end
        end, left = max(before.end_s, end), before.left_s - min(costs[i])
        return _PartialSchedule(engine, starts, ends, free, end, left, before.done | 1 << i)


class _MakespanBranchAndBound(BestFirst[_AddedOperator, _AddedOperator]):
    """Branch and bound over partial schedules, with load and longest-path bounds."""

    depth_first = True

    def __init__(
        self, problem: AssignmentProblem, known_s: float, deadline: Deadline, nodes: int
    ) -> None:
        super().__init__(Incumbent(known_s), deadline, nodes)
        self.problem, self.everything = problem, (1 << problem.count) - 1
        self.costs: list[list[float]] = problem.costs.tolist()
        delays: list[list[list[float]]] = problem.delays.tolist()
        self.inputs = [[(delays[t], int(problem.maker[t])) for t in each] for each in problem.reads]
        #: Bit mask of the operators that must have started before each one.
        self.predecessors = [mask_of({maker for _, maker in each}) for each in self.inputs]
        tail_s: Floats = np.where(np.isfinite(problem.costs), tails(problem), np.inf)
        #: Least seconds from the end of each operator to the end of the run, by engine.
        self.tail_s: list[list[float]] = tail_s.tolist()

    def root(self) -> _AddedOperator:
        """Return the empty schedule."""
        n, left = self.problem.count, sum(min(each) for each in self.costs)
        free = [0.0] * self.problem.width
        none = _PartialSchedule([-1] * n, [0.0] * n, [0.0] * n, free, 0.0, left, 0)
        return _AddedOperator(none, -1.0, -1, -1)

    def settled(self, node: _AddedOperator) -> bool:
        """Return whether every operator has started."""
        before, start, i, e = node
        if i < 0 or before.done | 1 << i != self.everything:
            return False
        end = max(before.end_s, start + self.costs[i][e])
        if end < self.incumbent.value * (1 - 1e-12):
            self.incumbent.offer(node, end)
        return True

    def expand(self, node: _AddedOperator, bound: float) -> list[tuple[float, _AddedOperator]]:
        """Return every extension by one operator that starts no sooner than the last one."""
        del bound
        limit, last, latest, costs = self.incumbent.value, node.start_s, node.operator, self.costs
        schedule = node.schedule(costs)
        engine, end, free, done = schedule.engine, schedule.end, schedule.free, schedule.done
        # Load bound: the remaining work divided over all engines from the times at which they are
        # free.
        if (sum([max(f, last) for f in free]) + schedule.left_s) / len(free) >= limit:
            return []
        extensions: list[tuple[float, float, int, int]] = []
        for i, inputs in enumerate(self.inputs):
            if done >> i & 1 or self.predecessors[i] & ~done:
                continue
            least_end, tail_s = math.inf, self.tail_s[i]
            for e, cost in enumerate(costs[i]):
                if cost == math.inf:
                    continue
                start = free[e]
                for delays, maker in inputs:
                    arrival = end[maker] + delays[engine[maker]][e]
                    if arrival > start:
                        start = arrival
                earliest_end = (start if start > last else last) + cost + tail_s[e]
                if earliest_end < least_end:
                    least_end = earliest_end
                later = start > last or (start == last and i > latest)
                if later and start < math.inf and earliest_end < limit:
                    extensions.append((earliest_end, start, i, e))
            if least_end >= limit:
                return []
        extensions.sort(reverse=True)
        return [(end_s, _AddedOperator(schedule, start, i, e)) for end_s, start, i, e in extensions]
