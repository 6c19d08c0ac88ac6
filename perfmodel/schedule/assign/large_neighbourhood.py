"""Large neighbourhood search for shorter parallel runs: one stretch at a time is rescheduled.

A heuristic without proof (Shaw, "Using constraint programming and local search methods to solve
vehicle routing problems", CP 1998), with an acceptance rule like that of simulated annealing.

The schedule after a stretch fixes, for every operator in the stretch, the remaining time of the run
after it. Hence the makespan follows from the stretch only, and a beam over its operators, in an
order close to the current one, chooses engines that minimise it. On a narrow graph every long path
crosses every stretch, so that a gain in one stretch is a gain of the run; moving single operators
fails there, since several paths are equally long.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.assignment_costs import excess
from perfmodel.schedule.assign.list_scheduling import AssignmentTimeline, as_soon_as_made
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Beam width in partial stretches. This and the following values were tuned on a few random
#: problems of benchmarks/assignment.py; they affect how soon a solution is found, not its validity.
_BEAM = 16
#: Minimum and maximum number of operators of a stretch.
_SHORTEST, _LONGEST = 6, 30
#: Random choices, in mean seconds of an operator: perturbation of the order, and slack within which
#: a path still counts as critical.
_SHUFFLE, _BLUR = (0.0, 0.3, 1.0, 2.0), (0.05, 0.2, 0.5)
#: Random choices: weight of the mean work of the engines relative to the longest path.
_LOAD = (0.01, 0.2, 1.0)
#: Accepted increase of the makespan at first, in mean seconds of an operator.
_ACCEPTED_INCREASE = 0.15
#: Number of stretches after which the search may return to the best run.
_RETURN_PERIOD = 50
#: Clipping limits of exponents: much too early, and much too late.
_MOST_EARLY, _MOST_LATE = 500.0, 50.0


def reschedule_stretches(
    problem: AssignmentProblem,
    run: AssignmentTimeline,
    deadline: Deadline,
    *,
    bound_s: float = 0.0,
    stretches: int = 8000,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> AssignmentTimeline:
    """Return a run that ends no later than a known one.

    Every tensor is sent as soon as it is made: channels and shared resources are ignored. If a
    memory is overfilled, the run is returned unchanged.

    Parameters
    ----------
    run
        A complete schedule, whose transfers may include waits.
    bound_s
        Lower bound; the search stops when it is reached.
    stretches
        Maximum number of stretches to reschedule.
    """
    search = _StretchSearch(problem, run, np.random.default_rng(seed))
    if not np.isfinite(search.last_s) or excess(problem, run.engine) > 0:
        return run
    best_s, best = search.last_s, search.copy()
    budget_s = deadline.left()
    for k in range(stretches):
        if best_s <= bound_s * (1 + tolerance) or deadline.passed():
            break
        left = 1 - k / stretches
        if np.isfinite(budget_s):
            left = min(left, deadline.left() / budget_s)
        search.step(left)
        if search.last_s < best_s:
            best_s, best = search.last_s, search.copy()
        elif k % _RETURN_PERIOD == 0 and search.last_s > best_s + 2 * left * search.mean_s:
            search.restart_from(*best)
    if best_s >= run.makespan_s:
        return run
    search.restart_from(*best)
    engine = np.array(search.engine, dtype=np.intp)
    return as_soon_as_made(problem, engine, np.array(search.start))


class _Stretch(NamedTuple):
    """Operators to reschedule, and their surroundings.

    Attributes
    ----------
    free, after
        Time at which each engine ends the work before the stretch, and least time from the end of
        the stretch to the end of the run on each engine, both ``(engines,)``.
    tail
        Least time after each operator on each engine, ``(operators, engines)``, with unlimited
        engines within the stretch: exact for operators without readers in it.
    """

    operators: list[int]
    free: Floats
    after: Floats
    tail: Floats


class _StretchSearch:
    """A schedule as an order and engines: everything starts as soon as these allow.

    Attributes
    ----------
    engine, order
        Engine of each operator, and the operators by start.
    start, end, tail, last_s
        Start and end of each operator, the time from its end to the end of the run, and the
        makespan, all in seconds.
    """

    def __init__(
        self, problem: AssignmentProblem, run: AssignmentTimeline, random: np.random.Generator
    ) -> None:
        self.problem, self.random = problem, random
        self.costs: list[list[float]] = problem.costs.tolist()
        self.delays: list[list[list[float]]] = problem.delays.tolist()
        maker: list[int] = problem.maker.tolist()
        self.inputs = [[(t, maker[t]) for t in each] for each in problem.reads]
        self.outputs = [
            [(t, r) for t in each for r in problem.readers[t]] for each in problem.writes
        ]
        self.least: Floats = problem.costs.min(axis=1)
        self.last_s = run.makespan_s
        self.mean_s = float(self.least.mean()) or self.last_s / problem.count
        start: list[float] = run.start_s.tolist()
        self.restart_from(run.engine.tolist(), sorted(range(problem.count), key=start.__getitem__))

    def copy(self) -> tuple[list[int], list[int]]:
        """Return copies of the engines and the order."""
        return list(self.engine), list(self.order)

    def restart_from(self, engine: list[int], order: list[int]) -> None:
        """Continue from the given engines and order."""
        self.engine, self.order = list(engine), list(order)
        self._replay()

    def step(self, left: float) -> None:
        """Reschedule one stretch, and accept it unless the run becomes much longer.

        Parameters
        ----------
        left
            Remaining fraction of the search; the accepted increase shrinks with it.
        """
        random, n = self.random, len(self.order)
        length = int(random.integers(min(n, _SHORTEST), min(n, _LONGEST) + 1))
        at = int(np.clip(random.integers(-length // 2, n - length // 2), 0, n - length))
        stretch = self._stretch(at, length, float(random.choice(_SHUFFLE)))
        blur = self.mean_s * float(random.choice(_BLUR))
        rescheduled = self._beam(stretch, blur, float(random.choice(_LOAD)))
        increase = self.mean_s * _ACCEPTED_INCREASE * left * float(random.exponential())
        if rescheduled is None or rescheduled[1] > self.last_s + increase:
            return
        before = self.engine
        self.engine = list(before)
        for i, e in zip(stretch.operators, rescheduled[0], strict=True):
            self.engine[i] = e
        if len(self.problem.limits) and excess(self.problem, np.array(self.engine)) > 0:
            self.engine = before
            return
        self.order[at : at + length] = stretch.operators
        self._replay()

    def _replay(self) -> None:
        """Compute times forwards and backwards; sort the order by starts."""
        n, m = self.problem.count, self.problem.width
        engine, costs, delays = self.engine, self.costs, self.delays
        free, start, end = [0.0] * m, [0.0] * n, [0.0] * n
        for i in self.order:
            e = engine[i]
            at = free[e]
            for t, maker in self.inputs[i]:
                arrival = end[maker] + delays[t][engine[maker]][e]
                if arrival > at:
                    at = arrival
            start[i] = at
            end[i] = free[e] = at + costs[i][e]
        # Ties keep their order, with makers before readers.
        self.order.sort(key=start.__getitem__)
        busy, tail = [0.0] * m, [0.0] * n
        for i in reversed(self.order):
            e = engine[i]
            following_s = busy[e]
            for t, r in self.outputs[i]:
                f = engine[r]
                following = delays[t][e][f] + costs[r][f] + tail[r]
                if following > following_s:
                    following_s = following
            tail[i] = following_s
            busy[e] = following_s + costs[i][e]
        self.start, self.end, self.tail, self.last_s = start, end, tail, max(end)

    def _stretch(self, at: int, length: int, shuffle: float) -> _Stretch:
        """Return a stretch of the order, with its operators in a perturbed order."""
        operators = self._shuffle(self.order[at : at + length], shuffle)
        m, costs, engine = self.problem.width, self.costs, self.engine
        before = self._first_of_each_engine(reversed(self.order[:at]), self.end)
        following_s = [costs[i][e] + self.tail[i] for i, e in enumerate(engine)]
        after = self._first_of_each_engine(iter(self.order[at + length :]), following_s)
        place = {i: k for k, i in enumerate(operators)}
        tail: Floats = np.zeros((length, m))
        for k in range(length - 1, -1, -1):
            tail[k] = after
            for t, r in self.outputs[operators[k]]:
                if r in place:
                    following = self.problem.costs[r] + tail[place[r]]
                    path_s = (self.problem.delays[t] + following).min(axis=1)
                else:
                    path_s = self.problem.delays[t][:, engine[r]] + following_s[r]
                np.maximum(tail[k], path_s, out=tail[k])
        return _Stretch(operators, before, after, tail)

    def _first_of_each_engine(self, operators: Iterator[int], seconds: list[float]) -> Floats:
        """Return the seconds of the first operator of each engine, 0 if it has none."""
        first: Floats = np.zeros(self.problem.width)
        missing = self.problem.width
        seen = [False] * missing
        for i in operators:
            e = self.engine[i]
            if not seen[e]:
                seen[e], first[e] = True, seconds[i]
                missing -= 1
                if not missing:
                    break
        return first

    def _shuffle(self, operators: list[int], shuffle: float) -> list[int]:
        """Return the operators by randomly perturbed start, makers before readers."""
        chance: list[float] = self.random.standard_normal(len(operators)).tolist()
        key = {
            i: self.start[i] + shuffle * self.mean_s * c
            for i, c in zip(operators, chance, strict=True)
        }
        missing = {i: sum(maker in key for _, maker in self.inputs[i]) for i in operators}
        place = {i: k for k, i in enumerate(operators)}
        waiting = [(key[i], place[i], i) for i in operators if not missing[i]]
        heapq.heapify(waiting)
        shuffled: list[int] = []
        while waiting:
            i = heapq.heappop(waiting)[-1]
            shuffled.append(i)
            for _, r in self.outputs[i]:
                if r in missing:
                    missing[r] -= 1
                    if not missing[r]:
                        heapq.heappush(waiting, (key[r], place[r], r))
        return shuffled

    def _beam(self, stretch: _Stretch, blur: float, load: float) -> tuple[list[int], float] | None:
        """Return the engines of a stretch and the resulting makespan; None if none was found.

        The beam retains the partial stretches of least score, in seconds:
        ``(longest + blur * log(sum over paths of exp((path - makespan) / blur))) / 2 + load *
        work``, a soft maximum over the lengths of all paths, so that among equally long ones fewer
        are better, plus the mean work of the engines.
        """
        problem, operators = self.problem, stretch.operators
        m, length, last = problem.width, len(operators), self.last_s
        place = {i: k for k, i in enumerate(operators)}
        end: Floats = np.zeros((1, length))
        path: Floats = np.zeros((1, length))
        engine: Index = np.zeros((1, length), dtype=np.intp)
        free: Floats = stretch.free[None, :]
        top: Floats = (free + stretch.after).max(axis=1)
        left = float(self.least[operators].sum())

        def steep(seconds: Floats) -> Floats:
            exponents = np.maximum((seconds - last) / blur, -_MOST_EARLY)
            return np.exp(np.minimum(exponents, _MOST_LATE))

        for k, i in enumerate(operators):
            ready: Floats = free
            for t, maker in self.inputs[i]:
                if maker in place:
                    at = place[maker]
                    arrival = end[:, at, None] + problem.delays[t][engine[:, at]]
                else:
                    arrival = self.end[maker] + problem.delays[t][self.engine[maker]]
                ready = np.maximum(ready, arrival)
            finish = ready + problem.costs[i]
            path_end = finish + stretch.tail[k]
            longest = np.maximum(top[:, None], path_end)
            left -= float(self.least[i])
            busy = free + stretch.after
            work = (busy.sum(axis=1, keepdims=True) - busy + finish + stretch.after + left) / m
            waits = steep(busy)
            steepness = steep(path_end) + steep(path[:, :k]).sum(axis=1, keepdims=True)
            steepness += waits.sum(axis=1, keepdims=True) - waits + steep(finish + stretch.after)
            value: Floats = (0.5 * (longest + blur * np.log(steepness)) + load * work).ravel()
            if k == length - 1:
                value = longest.ravel()
            pick: Index = np.arange(len(value), dtype=np.intp)
            if len(value) > _BEAM:
                pick = np.argpartition(value, _BEAM - 1)[:_BEAM]
            pick = pick[np.isfinite(value[pick])]
            if not len(pick):
                return None
            rows, engines = pick // m, pick % m
            every: Index = np.arange(len(pick), dtype=np.intp)
            end, path, engine, free = end[rows], path[rows], engine[rows], free[rows]
            ends = finish[rows, engines]
            end[:, k], path[:, k], engine[:, k] = ends, path_end[rows, engines], engines
            free[every, engines] = ends
            top = longest[rows, engines]
        best = int(np.argmin(top))
        return engine[best].tolist(), float(top[best])
