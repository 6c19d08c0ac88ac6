"""Shorter parallel runs: a stretch of a schedule at a time is made anew, the rest stays.

What stands behind a stretch tells, for everything in it, how long the run goes on after it. So the
end of the whole run follows from the stretch alone, and a beam over its operators, in an order near
the one they have, chooses engines for that. On a narrow graph every long path crosses every
stretch, and what is gained in one is gained by the run; moving single operators is lost there,
since several paths are equally long. The idea is that of large neighbourhoods: Shaw, "Using
constraint programming and local search methods to solve vehicle routing problems", CP 1998.
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

#: Partial stretches that the beam keeps. This and what follows was chosen on a few random problems
#: of benchmarks/assignment.py; it decides how soon something is found, not whether it holds.
_BEAM = 16
#: Operators of a stretch, at least and at most.
_SHORT, _LONG = 6, 30
#: By chance, in mean seconds of an operator: how far operators leave their order, and how much
#: shorter than the longest a path may be and still count.
_SHUFFLE, _BLUR = (0.0, 0.3, 1.0, 2.0), (0.05, 0.2, 0.5)
#: By chance: what seconds of work count beside the longest path.
_LOAD = (0.01, 0.2, 1.0)
#: Mean seconds of an operator that a run may get longer by, at first.
_WORSE = 0.15
#: Stretches after which the search may go back to the best run.
_RETURN = 50
#: Exponents beyond them are all alike: much too early, and much too late.
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
    """Return a run that ends no later than one that is known.

    Every tensor is sent as soon as it is made: channels and what engines share are not looked at.
    Where a memory is overfilled, the run stays as it is.

    Parameters
    ----------
    run
        A schedule that ends; its transfers may have waited.
    bound_s
        A lower bound; the search ends at it.
    stretches
        How many it makes anew.
    """
    search = _WindowSearch(problem, run, np.random.default_rng(seed))
    if not np.isfinite(search.last_s) or excess(problem, run.engine) > 0:
        return run
    best_s, best = search.last_s, search.copy()
    whole = deadline.left()
    for k in range(stretches):
        if best_s <= bound_s * (1 + tolerance) or deadline.passed():
            break
        left = 1 - k / stretches
        if np.isfinite(whole):
            left = min(left, deadline.left() / whole)
        search.step(left)
        if search.last_s < best_s:
            best_s, best = search.last_s, search.copy()
        elif k % _RETURN == 0 and search.last_s > best_s + 2 * left * search.mean_s:
            search.take(*best)
    if best_s >= run.makespan_s:
        return run
    search.take(*best)
    chosen: Index = np.array(search.engine, dtype=np.intp)
    return as_soon_as_made(problem, chosen, np.array(search.start))


class _Stretch(NamedTuple):
    """Operators to place anew, and what is around them.

    `free` is when each engine is done with what comes before, `after` what it still runs behind,
    both ``(engines,)``; `tail` what follows each operator on each engine at least, the operators'
    own engines within the stretch being free: exact for those that nothing in it reads.
    """

    operators: list[int]
    free: Floats
    after: Floats
    tail: Floats


class _WindowSearch:
    """A schedule as an order and engines: everything starts as soon as that allows."""

    def __init__(
        self, problem: AssignmentProblem, run: AssignmentTimeline, random: np.random.Generator
    ) -> None:
        self.problem, self.random = problem, random
        self.costs: list[list[float]] = problem.costs.tolist()
        self.delays: list[list[list[float]]] = problem.delays.tolist()
        maker: list[int] = problem.maker.tolist()
        self.inputs = [[(t, maker[t]) for t in each] for each in problem.reads]
        self.outputs = [[(t, r) for t in each for r in problem.readers[t]] for each in problem.made]
        self.least: Floats = problem.costs.min(axis=1)
        self.last_s = run.makespan_s
        self.mean_s = float(self.least.mean()) or self.last_s / problem.count
        start: list[float] = run.start_s.tolist()
        self.take(run.engine.tolist(), sorted(range(problem.count), key=start.__getitem__))

    def copy(self) -> tuple[list[int], list[int]]:
        """Return the engines and the order."""
        return list(self.engine), list(self.order)

    def take(self, engine: list[int], order: list[int]) -> None:
        """Go on from these engines and this order."""
        self.engine, self.order = list(engine), list(order)
        self._replay()

    def step(self, left: float) -> None:
        """Make one stretch anew, and keep it where the run gets hardly longer by it.

        Parameters
        ----------
        left
            Part of the search that is left; the smaller, the less longer.
        """
        random, n = self.random, len(self.order)
        length = int(random.integers(min(n, _SHORT), min(n, _LONG) + 1))
        at = int(np.clip(random.integers(-length // 2, n - length // 2), 0, n - length))
        stretch = self._stretch(at, length, float(random.choice(_SHUFFLE)))
        blur = self.mean_s * float(random.choice(_BLUR))
        found = self._beam(stretch, blur, float(random.choice(_LOAD)))
        allowed = self.last_s + self.mean_s * _WORSE * left * float(random.exponential())
        if found is None or found[1] > allowed:
            return
        before = self.engine
        self.engine = list(before)
        for i, e in zip(stretch.operators, found[0], strict=True):
            self.engine[i] = e
        if len(self.problem.limits) and excess(self.problem, np.array(self.engine)) > 0:
            self.engine = before
            return
        self.order[at : at + length] = stretch.operators
        self._replay()

    def _replay(self) -> None:
        """Time everything forwards and backwards; put the order by starts."""
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
        # What starts at one moment stays in its order, makers before readers.
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
        """Return the seconds of the first operator of each engine, 0 without any."""
        found: Floats = np.zeros(self.problem.width)
        missing = self.problem.width
        seen = [False] * missing
        for i in operators:
            e = self.engine[i]
            if not seen[e]:
                seen[e], found[e] = True, seconds[i]
                missing -= 1
                if not missing:
                    break
        return found

    def _shuffled(self, operators: list[int], shuffle: float) -> list[int]:
        """Return the operators by start, moved by chance, makers before readers."""
        chance: list[float] = self.random.standard_normal(len(operators)).tolist()
        key = {
            i: self.start[i] + shuffle * self.mean_s * c
            for i, c in zip(operators, chance, strict=True)
        }
        missing = {i: sum(maker in key for _, maker in self.inputs[i]) for i in operators}
        place = {i: k for k, i in enumerate(operators)}
        waiting = [(key[i], place[i], i) for i in operators if not missing[i]]
        heapq.heapify(waiting)
        found: list[int] = []
        while waiting:
            i = heapq.heappop(waiting)[-1]
            found.append(i)
            for _, r in self.outputs[i]:
                if r in missing:
                    missing[r] -= 1
                    if not missing[r]:
                        heapq.heappush(waiting, (key[r], place[r], r))
        return found

    def _beam(self, stretch: _Stretch, blur: float, load: float) -> tuple[list[int], float] | None:
        """Return engines of a stretch, and when the run ends with them; None where none was found.

        Of partial stretches those are kept whose paths, the longest before all, and whose seconds
        of work are least.
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
            found: Floats = np.exp(np.clip((seconds - last) / blur, -_EARLY, _LATE))
            return found

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
            whole = free + stretch.after
            work = (whole.sum(axis=1, keepdims=True) - whole + finish + stretch.after + left) / m
            waits = steep(whole)
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
            rows, chosen = pick // m, pick % m
            every: Index = np.arange(len(pick), dtype=np.intp)
            end, path, engine, free = end[rows], path[rows], engine[rows], free[rows]
            ends = finish[rows, chosen]
            end[:, k], path[:, k], engine[:, k] = ends, own[rows, chosen], chosen
            free[every, chosen] = ends
            top = longest[rows, chosen]
        best = int(np.argmin(top))
        return engine[best].tolist(), float(top[best])
