"""Linear and integer programmes of an assignment: lower bounds, fractions to round, optima.

Variables: ``x[i, e]``, the fraction of operator i on engine e; ``sent[t, f]``, the fraction of
tensor t sent to engine f; ``total``, the seconds to minimise; and for a parallel run ``end[i]``,
the end of operator i. Constraints, by family:

==============  ====================================================================================
placed          ``sum over e of x[i, e] = 1``
stretch         ``sum over f <= e of (x[i, f] - x[i + 1, f]) >= 0`` (contiguous assignments)
memory          ``sum of demand[i, e] x[i, e] <= limit``
sent, source    ``sent[t, f] >= x[reader, f] - x[maker, f]``; a transport problem between engines if
                the seconds depend on the source
engine, shared  ``total >= `` the load of an engine, or of a resource that all share
follows         ``end[reader] >= end[maker] + wait + seconds of the reader``
window          ``total >= head + work + tail`` of the operators of an engine (Carlier 1982)
between         the work of an engine between two operators (`precedence_cuts.py`)
==============  ====================================================================================

The programme of a parallel run yields a lower bound but no schedule, since two operators on an
engine may still overlap in its solution. The programmes of a serial run and of a pipeline are
exact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_matrix import TOLERANCE
from perfmodel.optimise.milp_model import MilpModel
from perfmodel.schedule.assign.assignment_costs import excess, interval_s, transfers_between
from perfmodel.schedule.assign.contiguous import is_exact
from perfmodel.schedule.assign.longest_paths import heads, tails
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Serial run, engines in parallel, or pipeline of runs.
Goal: TypeAlias = Literal["sequential", "parallel", "throughput"]


#: Maximum number of operators for which a parallel run has window constraints, of which there are
#: many.
_MOST_WITH_WINDOWS = 200


class AssignmentLpModel:
    """The programme of one goal, in units of `scale` seconds; `solve` converts back to seconds.

    Attributes
    ----------
    x, total, end
        Columns of the variables; without `end` except for a parallel run.
    is_source_irrelevant
        Whether the seconds to reach an engine are the same from all others.
    sending
        Columns ``sent``, seconds, and (source, target) of each way of sending a tensor.
    """

    def __init__(self, problem: AssignmentProblem, goal: Goal, contiguous: bool) -> None:
        self.problem, self.goal, self.model = problem, goal, MilpModel(f"assignment_{goal}")
        finite = np.isfinite(problem.costs)
        least: Floats = np.where(finite, problem.costs, np.inf).min(axis=1)
        self.scale = float(least.mean()) or float(problem.costs[finite].max(initial=0.0)) or 1.0
        self.costs: Floats = np.where(finite, problem.costs, 0.0) / self.scale
        price = self.costs if goal == "sequential" else 0.0
        self.x = self.model.variables("x", finite.shape, cost=price, high=finite, integer=True)
        #: Each operator is placed once: ``sum over e of x[i, e] = 1``.
        self.model.require_all("placed", (self.x, 1.0), low=1.0, high=1.0)
        if contiguous:
            self._contiguous()
        self._memories(finite)
        self.is_source_irrelevant = is_exact(problem, forward=False)
        self.sending: tuple[Index, Floats, Index] | None = None
        self.total: Index = np.zeros(0, dtype=np.intp)
        self.end: Index = np.zeros(0, dtype=np.intp)
        if goal == "sequential":
            if len(problem.maker):
                self._transfers()
            return
        self.total = self.model.variables("total", (1,), cost=1.0, high=np.inf)
        self._shared()
        if goal == "parallel":
            self._parallel()
        else:
            self._throughput()

    def _require(self, family: str, *terms: tuple[ArrayLike, ArrayLike]) -> None:
        """Require that the sum of all terms is at least 0."""
        self.model.require_all(family, *terms, low=0.0)

    def _at_least(self, family: str, *terms: tuple[Index, Floats]) -> None:
        """Require ``total >= sum of all terms``."""
        flat = ((at.reshape(1, -1), -factors.reshape(1, -1)) for at, factors in terms)
        self._require(family, (self.total, 1.0), *flat)

    def _contiguous(self) -> None:
        """Require that engines are used in their order, each for one stretch of operators.

        The cumulative share on the first engines decreases along the order:
        ``sum over f <= e of x[i, f] >= sum over f <= e of x[i + 1, f]``.
        """
        for e in range(1, self.problem.width):
            self._require("stretch", (self.x[:-1, :e], 1.0), (self.x[1:, :e], -1.0))

    def _memories(self, finite: NDArray[np.bool_]) -> None:
        """Require that operators fit each memory: ``sum of demand[i, e] x[i, e] <= limit``."""
        for demand, limit in zip(self.problem.demand, self.problem.limits, strict=True):
            # In fractions of the memory, so that the row is scaled like the others.
            part = np.where(finite, demand, 0.0) / max(float(limit), 1.0)
            self.model.require_all(
                "memory", (self.x.reshape(1, -1), part.reshape(1, -1)), high=float(limit > 0)
            )

    def _shared(self) -> None:
        """Bound the total by shared resources: ``total >= sum of busy[i, e] x[i, e]``."""
        for busy in self.problem.shared:
            self._at_least("shared", (self.x, busy / self.scale))

    def _transfers(self) -> tuple[Index, Floats, Index]:
        """Add transfers to the engines of readers; return variables, seconds, (source, target).

        Shape ``(tensors, ways)``; the source is -1 if it is irrelevant. If seconds do not depend on
        it, ``y[t, f] >= x[reader, f] - x[maker, f]``; otherwise ``w[t, e, f] <= x[maker, e]`` and
        ``sum over e of w[t, e, f] >= x[reader, f] - x[maker, f]``.
        """
        problem, m = self.problem, self.problem.width
        tensor, reader = problem.pairs
        if self.is_source_irrelevant or m == 1:
            routes = [(-1, f) for f in range(m)]
            seconds: Floats = problem.entering / self.scale
        else:
            routes = [(e, f) for e in range(m) for f in range(m) if e != f]
            seconds = np.stack([problem.delays[:, e, f] for e, f in routes], axis=1) / self.scale
        open_ = np.isfinite(seconds)
        price: Floats = np.where(open_, seconds, 0.0)
        cost = price if self.goal == "sequential" else 0.0
        sent = self.model.variables("sent", seconds.shape, cost=cost, high=open_)
        for k, (e, _) in enumerate(routes):
            if e >= 0:
                self._require("source", (self.x[problem.maker, e], 1.0), (sent[:, k], -1.0))
        for f in range(m if m > 1 else 0):
            into = [k for k, route in enumerate(routes) if route[1] == f]
            self._require(
                "sent",
                (sent[tensor][:, into], 1.0),
                (self.x[problem.maker[tensor], f], 1.0),
                (self.x[reader, f], -1.0),
            )
        self.sending = sent, price, np.array(routes, dtype=np.intp)
        return self.sending

    def _throughput(self) -> None:
        """Bound the interval by the load of each engine, including receiving.

        ``total >= sum of costs[i, f] x[i, f] + sum of seconds[t, f] sent[t, f]`` on every f.
        """
        sent, seconds, ends = self._transfers()
        for f in range(self.problem.width):
            into: Index = np.flatnonzero(ends[:, 1] == f)
            received = sent[:, into], seconds[:, into]
            self._at_least("engine", (self.x[:, f], self.costs[:, f]), received)

    def _parallel(self) -> None:
        """Bound the makespan by the fractional critical path and the load of each engine.

        ``end[i] >= sum of costs[i, e] x[i, e]``, ``end[r] >= end[maker] + sum of costs[r, e] x[r,
        e] + sum of wait[f] q[f]`` with ``q[f] >= x[r, f] - x[maker, f]``, ``total >= end[i]``, and
        ``total >= sum of costs[i, f] x[i, f]`` for every f.
        """
        problem, costs, x = self.problem, self.costs, self.x
        end = self.end = self.model.variables("end", (problem.count,), high=np.inf)
        tensor, reader = problem.pairs
        # Delay of the input of a reader; the minimum if it depends on the source.
        wait: Floats = problem.entering[tensor] / self.scale
        open_ = np.isfinite(wait)
        q = self.model.variables(
            "wait", wait.shape, high=open_ if self.is_source_irrelevant else 1.0
        )
        maker = problem.maker[tensor]
        for f in range(problem.width):
            self._require("apart", (q[:, f], 1.0), (x[maker, f], 1.0), (x[reader, f], -1.0))
            self._at_least("engine", (x[:, f], costs[:, f]))
        self._require("runs", (end, 1.0), (x, -costs))
        self._require(
            "follows",
            (end[reader], 1.0),
            (end[maker], -1.0),
            (x[reader], -costs[reader]),
            (q, -np.where(open_, wait, 0.0)),
        )
        self._require("last", (np.broadcast_to(self.total, end.shape), 1.0), (end, -1.0))
        if problem.count <= _MOST_WITH_WINDOWS:
            self._windows()
        self._channels()

    def _windows(self) -> None:
        """Bound the total by the operators of an engine with heads from h and tails from t.

        ``total >= h + work + t`` (Carlier, "The one-machine sequencing problem", EJOR 11, 1982).
        """
        before, behind = heads(self.problem), tails(self.problem)
        for e in range(self.problem.width):
            runs = np.isfinite(self.problem.costs[:, e] + before[:, e] + behind[:, e])
            h, t = before[:, e] / self.scale, behind[:, e] / self.scale
            seen: set[bytes] = set()
            for first in _levels(h[runs]):
                for last in _levels(t[runs]):
                    inside = runs & (h >= first) & (t >= last)
                    if inside.sum() < 2 or inside.tobytes() in seen:
                        continue
                    seen.add(inside.tobytes())
                    at: Index = np.flatnonzero(inside)
                    self._window(e, at, float(h[at].min() + t[at].min()))

    def _window(self, e: int, at: Index, low: float) -> None:
        """Add one window, whose head and tail `low` count if the engine has any of the operators.

        ``total >= low any + sum over i of costs[i, e] x[i, e]``, ``any >= x[i, e]``.
        """
        is_used = self.model.variables("some", (1,))
        self._at_least("window", (self.x[at, e], self.costs[at, e]), (is_used, np.full(1, low)))
        self._require("some", (np.broadcast_to(is_used, at.shape), 1.0), (self.x[at, e], -1.0))

    def require_work_between(
        self, first: int | None, last: int | None, e: int, inside: Index
    ) -> None:
        """Require that the work of an engine between two operators fits between them.

        ``start[last] - end[first] >= sum over inside of costs[i, e] x[i, e]``.

        Parameters
        ----------
        first, last
            The work is after the end of `first` and before the start of `last`; None for the start
            and end of the run.
        inside
            Operators that run between the two, on any engine.
        """
        terms: list[tuple[ArrayLike, ArrayLike]] = [
            (self.x[None, inside, e], -self.costs[None, inside, e])
        ]
        if last is None:
            terms.append((self.total, 1.0))
        else:
            terms += [(self.end[[last]], 1.0), (self.x[[last]], -self.costs[[last]])]
        if first is not None:
            terms.append((self.end[[first]], -1.0))
        self._require("between", *terms)

    def _channels(self) -> None:
        """Bound the total by each channel: ``total >= sum of seconds[t] sent[t]`` over it."""
        channels = self.problem.channels
        if channels.max(initial=-1) < 0 or not len(self.problem.maker):
            return
        numbers = np.unique(channels[~np.eye(len(channels), dtype=bool)])
        self.is_source_irrelevant = self.is_source_irrelevant and len(numbers) == 1
        sent, seconds, ends = self._transfers()
        for channel in numbers[numbers >= 0]:
            on = self.is_source_irrelevant | (channels[ends[:, 0], ends[:, 1]] == channel)
            self._at_least("channel", (sent[:, on], seconds[:, on]))

    def values_of(self, engine: Index) -> Floats | None:
        """Return all variables under an assignment; None for a parallel run or an invalid one."""
        if self.goal == "parallel" or excess(self.problem, engine) > 0:
            return None
        values: Floats = np.zeros(self.model.size)
        values[self.x[np.arange(self.problem.count), engine]] = 1.0
        crossing = transfers_between(self.problem, engine)
        if self.sending is not None:
            variables, _, ends = self.sending
            for k, (e, f) in enumerate(ends.tolist()):
                on = (crossing.target == f) & ((crossing.source == e) | (e < 0))
                values[variables[crossing.tensor[on], k]] = 1.0
        # Transfers may have infinite cost.
        values[self.total] = interval_s(self.problem, engine) / self.scale
        return values if np.isfinite(values).all() else None

    def solve(
        self,
        deadline: Deadline,
        *,
        relaxed: bool = False,
        gap: float = 0.0,
        start: Index | None = None,
    ) -> Certified[Floats]:
        """Return all variables and a bound in seconds, reduced by the solver's tolerance.

        Parameters
        ----------
        relaxed
            Allow operators to be divided among engines.
        gap
            Relative gap at which to stop.
        start
            A known assignment, contiguous if the model is; not for a parallel run.
        """
        known = None if start is None else self.values_of(start)
        solved = self.model.solve(deadline, gap=gap, start=known, relaxed=relaxed)
        bound = (
            solved.bound - 1e-7 * max(1.0, abs(solved.bound)) if solved.feasible else solved.bound
        )
        if solved.status == "infeasible":
            return nothing(bound=np.inf)
        bound = max(0.0, bound) if solved.feasible and np.isfinite(bound) else 0.0
        return Certified(
            solved.solution, solved.value * self.scale, bound * self.scale, tolerance=TOLERANCE
        )

    def shares(self, answer: Certified[Floats]) -> Certified[Floats]:
        """Return an answer reduced to the share of each operator on each engine."""
        values = answer.solution
        return answer if values is None else replace(answer, solution=values[self.x])


def solve_relaxed(
    problem: AssignmentProblem, goal: Goal, deadline: Deadline, *, contiguous: bool = False
) -> Certified[Floats]:
    """Solve the linear programme: a lower bound and fractions, ``(operators, engines)``.

    Parameters
    ----------
    goal
        Objective: seconds of a serial run, of a run with engines in parallel (a lower bound on
        it), or between the runs of a pipeline.
    contiguous
        Engines in their order, each with one stretch.
    """
    model = AssignmentLpModel(problem, goal, contiguous)
    return model.shares(model.solve(deadline, relaxed=True))


def solve_integral(
    problem: AssignmentProblem,
    goal: Goal,
    deadline: Deadline,
    *,
    contiguous: bool = False,
    gap: float = 0.0,
    start: Index | None = None,
) -> Certified[Floats]:
    """Solve the programme with every operator on one engine; see `AssignmentLpModel.solve`.

    Returns
    -------
    Certified
        A bound and an assignment for ``parallel``; the optimum for the others if the gap closed.
    """
    model = AssignmentLpModel(problem, goal, contiguous)
    return model.shares(model.solve(deadline, gap=gap, start=start))


def _levels(values: Floats, most: int = 10) -> list[float]:
    """Return a few distinct values spread over the whole range, including the least."""
    distinct: Floats = np.unique(values)
    if not len(distinct):
        return []
    pick: Index = np.unique(np.linspace(0, len(distinct) - 1, most).astype(np.intp))
    return distinct[pick].tolist()
