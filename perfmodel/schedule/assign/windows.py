"""Large neighbourhood search for shorter parallel runs: one stretch at a time is rescheduled.

The schedule after a stretch fixes, for every operator in the stretch, the remaining time of the run
after it. Hence the makespan follows from the stretch only, and a beam over its operators, in an
order close to the current one, chooses engines that minimise it. On a narrow graph every long path
crosses every stretch, so that a gain in one stretch is a gain of the run; moving single operators
fails there, since several paths are equally long. (Shaw, "Using constraint programming and local
search methods to solve vehicle routing problems", CP 1998.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.evaluate import excess
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.simulate import AssignmentTimeline, as_soon_as_made

#: Beam width in partial stretches. This and the following values were tuned on a few random
#: problems of benchmarks/assignment.py; they affect how soon a solution is found, not its validity.
_BEAM = 16
#: Minimum and maximum number of operators of a stretch.
_SHORT, _LONG = 6, 30
#: Random choices, in mean seconds of an operator: perturbation of the order, and slack within which
#: a path still counts as critical.
_SHUFFLE, _BLUR = (0.0, 0.3, 1.0, 2.0), (0.05, 0.2, 0.5)
#: Random choices: weight of seconds of work relative to the longest path.
_LOAD = (0.01, 0.2, 1.0)
#: Accepted increase of the makespan at first, in mean seconds of an operator.
_WORSE = 0.15
#: Number of stretches after which the search may return to the best run.
_RETURN = 50
#: Clipping limits of exponents: much too early, and much too late.
_EARLY, _LATE = 500.0, 50.0


def shortened(
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
    search = _WindowSearch(problem, run, np.random.default_rng(seed))
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
        elif k % _RETURN == 0 and search.last_s > best_s + 2 * left * search.mean_s:
            search.take(*best)
    if best_s >= run.makespan_s:
        return run
    search.take(*best)
    engine = np.array(search.engine, dtype=np.intp)
    return as_soon_as_made(problem, engine, np.array(search.start))


class _Stretch(NamedTuple):
    """Operators to reschedule, and their surroundings.

    `free` is the time at which each engine ends the work before, `after` the work that it still has
    behind, both ``(engines,)``; `tail` is the least time after each operator on each engine, with
    engines within the stretch unlimited: exact for operators without readers in it.
    """

    operators: list[int]
    free: Floats
    after: Floats
    tail: Floats


class _WindowSearch:
    """A schedule as an order and engines: everything starts as soon as these allow."""

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
        self.take(run.engine.tolist(), sorted(range(problem.count), key=start.__getitem__))

    def copy(self) -> tuple[list[int], list[int]]:
        """Return copies of the engines and the order."""
        return list(self.engine), list(self.order)

    def take(self, engine: list[int], order: list[int]) -> None:
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
        length = int(random.integers(min(n, _SHORT), min(n, _LONG) + 1))
        at = int(np.clip(random.integers(-length // 2, n - length // 2), 0, n - length))
        stretch = self._stretch(at, length, float(random.choice(_SHUFFLE)))
        blur = self.mean_s * float(random.choice(_BLUR))
        placed = self._beam(stretch, blur, float(random.choice(_LOAD)))
        allowed = self.last_s + self.mean_s * _WORSE * left * float(random.exponential())
        if placed is None or placed[1] > allowed:
            return
        before = self.engine
        self.engine = list(before)
        for i, e in zip(stretch.operators, placed[0], strict=True):
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
                there = end[maker] + delays[t][engine[maker]][e]
                if there > at:
                    at = there
            start[i] = at
            end[i] = free[e] = at + costs[i][e]
        # Ties keep their order, with makers before readers.
        self.order.sort(key=start.__getitem__)
        busy, tail = [0.0] * m, [0.0] * n
        for i in reversed(self.order):
            e = engine[i]
            behind = busy[e]
            for t, r in self.outputs[i]:
                f = engine[r]
                then = delays[t][e][f] + costs[r][f] + tail[r]
                if then > behind:
                    behind = then
            tail[i] = behind
            busy[e] = behind + costs[i][e]
        self.start, self.end, self.tail, self.last_s = start, end, tail, max(end)

    def _stretch(self, at: int, length: int, shuffle: float) -> _Stretch:
        operators = self._shuffled(self.order[at : at + length], shuffle)
        m, costs, engine = self.problem.width, self.costs, self.engine
        before = self._ends(reversed(self.order[:at]), self.end)
        behind = [costs[i][e] + self.tail[i] for i, e in enumerate(engine)]
        after = self._ends(iter(self.order[at + length :]), behind)
        place = {i: k for k, i in enumerate(operators)}
        tail: Floats = np.zeros((length, m))
        for k in range(length - 1, -1, -1):
            tail[k] = after
            for t, r in self.outputs[operators[k]]:
                if r in place:
                    then = self.problem.costs[r] + tail[place[r]]
                    way = (self.problem.delays[t] + then).min(axis=1)
                else:
                    way = self.problem.delays[t][:, engine[r]] + behind[r]
                np.maximum(tail[k], way, out=tail[k])
        return _Stretch(operators, before, after, tail)

    def _ends(self, operators: Iterator[int], seconds: list[float]) -> Floats:
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

    def _shuffled(self, operators: list[int], shuffle: float) -> list[int]:
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

        The beam retains partial stretches with the least score of paths, dominated by the longest,
        and seconds of work.
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
            return np.exp(np.clip((seconds - last) / blur, -_EARLY, _LATE))

        for k, i in enumerate(operators):
            ready: Floats = free
            for t, maker in self.inputs[i]:
                if maker in place:
                    at = place[maker]
                    there = end[:, at, None] + problem.delays[t][engine[:, at]]
                else:
                    there = self.end[maker] + problem.delays[t][self.engine[maker]]
                ready = np.maximum(ready, there)
            finish = ready + problem.costs[i]
            own = finish + stretch.tail[k]
            longest = np.maximum(top[:, None], own)
            left -= float(self.least[i])
            busy = free + stretch.after
            work = (busy.sum(axis=1, keepdims=True) - busy + finish + stretch.after + left) / m
            waits = steep(busy)
            many = steep(own) + steep(path[:, :k]).sum(axis=1, keepdims=True)
            many += waits.sum(axis=1, keepdims=True) - waits + steep(finish + stretch.after)
            value: Floats = (0.5 * (longest + blur * np.log(many)) + load * work).ravel()
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
            end[:, k], path[:, k], engine[:, k] = ends, own[rows, engines], engines
            free[every, engines] = ends
            top = longest[rows, engines]
        best = int(np.argmin(top))
        return engine[best].tolist(), float(top[best])
