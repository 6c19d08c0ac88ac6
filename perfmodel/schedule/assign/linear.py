"""Linear programmes of an assignment: bounds, fractions to round, and proofs where they close.

``x[i, e]`` is the fraction of operator i on engine e. What a tensor costs follows from how far the
engine of a reader is from that of its maker: ``y[t, f] >= x[reader, f] - x[maker, f]`` where the
seconds to reach an engine are the same from every other, a transport from engine to engine where
they are not. The programme of a parallel run has the fractional critical path and the loads of
engines and channels as its rows: a lower bound and no schedule, since two operators on an engine
may still overlap in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from perfmodel.schedule.assign.contiguous import exact
from perfmodel.schedule.assign.evaluate import excess, interval_s, sent
from perfmodel.schedule.assign.paths import heads, tails
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.solver import MilpMatrix, Status, solve

#: One thing at a time, engines in parallel, or a pipeline of runs.
Goal: TypeAlias = Literal["sequential", "parallel", "throughput"]


#: Operators up to which a parallel run's programme has rows of windows: each has many.
_WINDOWS = 200


class Relaxed(NamedTuple):
    """What a programme says: a lower bound in seconds, fractions or a choice; whether it closed.

    `share` is of shape ``(operators, engines)``; None where the solver had nothing in time, or
    where there is nothing (`impossible`). `values` is every variable of the programme.
    """

    bound_s: float
    share: Floats | None
    closed: bool
    impossible: bool = False
    values: Floats | None = None


@dataclass(slots=True)
class _ConstraintRows:
    """Rows ``low <= coefficients . variables`` in triplets."""

    row: list[Index] = field(default_factory=list[Index])
    column: list[Index] = field(default_factory=list[Index])
    value: list[Floats] = field(default_factory=list[Floats])
    low: list[Floats] = field(default_factory=list[Floats])
    count: int = 0

    def add(self, low: float, *terms: tuple[Any, Any]) -> None:
        """Add as many rows as the terms broadcast to: (columns, coefficients) each.

        Columns of shape ``(rows,)`` or ``(rows, k)``; a coefficient is a number or of that shape.
        """
        rows = max(len(columns) for columns, _ in terms)
        for columns, values in terms:
            at: Index = np.asarray(columns, dtype=np.intp)
            at = at[:, None] if at.ndim == 1 else at
            number: Index = np.arange(self.count, self.count + rows, dtype=np.intp)[:, None]
            each: Floats = np.asarray(values, dtype=np.float64)
            if each.ndim == 1:
                each = each[:, None]
            every: Index = np.empty(at.shape, dtype=np.intp)
            every[...] = number
            self.row.append(every.ravel())
            self.column.append(at.ravel())
            value: Floats = np.empty(at.shape)
            value[...] = each
            self.value.append(value.ravel())
        self.low.append(np.full(rows, low))
        self.count += rows


class AssignmentLpModel:
    """Variables and rows of one programme, in units of `scale` seconds."""

    def __init__(self, problem: AssignmentProblem, goal: Goal, contiguous: bool) -> None:
        n, m = problem.count, problem.width
        self.problem = problem
        finite = np.isfinite(problem.costs)
        least: Floats = np.where(finite, problem.costs, np.inf).min(axis=1)
        self.scale = float(least.mean()) or float(problem.costs[finite].max(initial=0.0)) or 1.0
        self.costs: Floats = np.where(finite, problem.costs, 0.0) / self.scale
        self.rows = _ConstraintRows()
        self.lower: list[Floats] = [np.zeros(n * m)]
        self.upper: list[Floats] = [finite.ravel().astype(np.float64)]
        self.size = n * m
        self.x: Index = np.arange(n * m, dtype=np.intp).reshape(n, m)
        self.equal = _ConstraintRows()
        self.equal.add(1.0, (self.x, 1.0))
        if contiguous:
            self._contiguous()
        for held, limit in zip(problem.demand, problem.limits, strict=True):
            # In parts of the memory, so that a row is no larger than the others.
            part = np.where(finite, held, 0.0) / max(float(limit), 1.0)
            self.rows.add(-1.0 if limit else 0.0, (self.x.reshape(1, -1), -part.reshape(1, -1)))
        self.alike = exact(problem, forward=False)
        self.objective: dict[int, float] = {}
        self.sending: tuple[Index, Index] | None = None
        self.whole: Index = np.zeros(0, dtype=np.intp)
        self.end: Index = np.zeros(0, dtype=np.intp)
        getattr(self, f"_{goal}")()

    def _new(self, shape: tuple[int, ...], upper: Floats | float = np.inf) -> Index:
        count = int(np.prod(shape))
        at: Index = np.arange(self.size, self.size + count, dtype=np.intp).reshape(shape)
        self.lower.append(np.zeros(count))
        self.upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), shape).ravel())
        self.size += count
        return at

    def _shared(self, whole: Index) -> None:
        for busy in self.problem.shared:
            self.rows.add(0.0, (whole, 1.0), (self.x.reshape(1, -1),
                                              -busy.reshape(1, -1) / self.scale))  # fmt: skip

    def _contiguous(self) -> None:
        # The share on the first engines falls along the order.
        m = self.problem.width
        for e in range(m - 1):
            self.rows.add(0.0, (self.x[:-1, : e + 1], 1.0), (self.x[1:, : e + 1], -1.0))

    def _transfers(self) -> tuple[Index, Floats, Index]:
        """Add the variables of sending; return them, their seconds and (source, target) of each.

        Of shape ``(tensors, ways)``; the source is -1 where it may be any.
        """
        problem = self.problem
        m, tensors = problem.width, len(problem.maker)
        pair_t, pair_r = problem.pairs
        if self.alike or m == 1:
            seconds: Floats = problem.entering / self.scale
            open_ = np.isfinite(seconds).astype(np.float64)
            y = self._new((tensors, m), open_)
            for f in range(m if m > 1 else 0):
                self.rows.add(
                    0.0, (y[pair_t, f], 1.0), (self.x[problem.maker[pair_t], f], 1.0),
                    (self.x[pair_r, f], -1.0),
                )  # fmt: skip
            ends: Index = np.array([(-1, f) for f in range(m)], dtype=np.intp)
            self.sending = y, ends
            return y, np.where(open_ > 0, seconds, 0.0), ends
        ways = [(e, f) for e in range(m) for f in range(m) if e != f]
        seconds = np.stack([problem.delays[:, e, f] for e, f in ways], axis=1) / self.scale
        open_ = np.isfinite(seconds).astype(np.float64)
        w = self._new((tensors, len(ways)), open_)
        for k, (e, _) in enumerate(ways):
            self.rows.add(0.0, (self.x[problem.maker, e], 1.0), (w[:, k], -1.0))
        for f in range(m):
            into = [k for k, way in enumerate(ways) if way[1] == f]
            self.rows.add(
                0.0, (w[pair_t][:, into], 1.0), (self.x[problem.maker[pair_t], f], 1.0),
                (self.x[pair_r, f], -1.0),
            )  # fmt: skip
        ends = np.array(ways, dtype=np.intp)
        self.sending = w, ends
        return w, np.where(open_ > 0, seconds, 0.0), ends

    def _sequential(self) -> None:
        self.objective = dict(enumerate(self.costs.ravel().tolist()))
        if len(self.problem.maker):
            moved, seconds, _ = self._transfers()
            self.objective |= dict(zip(moved.ravel().tolist(), seconds.ravel().tolist(),
                                       strict=True))  # fmt: skip

    def _throughput(self) -> None:
        whole = self._new((1,))
        self.objective = {int(whole[0]): 1.0}
        self._shared(whole)
        moved, seconds, ends = self._transfers()
        for f in range(self.problem.width):
            into: Index = np.flatnonzero(ends[:, 1] == f)
            self.rows.add(
                0.0, (whole, 1.0), (self.x[None, :, f], -self.costs[None, :, f]),
                (moved[:, into].reshape(1, -1), -seconds[:, into].reshape(1, -1)),
            )  # fmt: skip

    def _parallel(self) -> None:
        problem = self.problem
        m = problem.width
        whole = self._new((1,))
        self.objective = {int(whole[0]): 1.0}
        self._shared(whole)
        end = self._new((problem.count,))
        self.whole, self.end = whole, end
        pair_t, pair_r = problem.pairs
        # What a reader waits for, by itself; least seconds where they depend on the source.
        wait: Floats = problem.entering[pair_t] / self.scale
        open_ = np.isfinite(wait).astype(np.float64)
        q = self._new((len(pair_t), m), open_ if self.alike else 1.0)
        maker = problem.maker[pair_t]
        for f in range(m):
            self.rows.add(0.0, (q[:, f], 1.0), (self.x[maker, f], 1.0), (self.x[pair_r, f], -1.0))
            self.rows.add(0.0, (whole, 1.0), (self.x[None, :, f], -self.costs[None, :, f]))
        self.rows.add(0.0, (end, 1.0), (self.x, -self.costs))
        if len(pair_t):
            self.rows.add(
                0.0, (end[pair_r], 1.0), (end[maker], -1.0), (self.x[pair_r], -self.costs[pair_r]),
                (q, -np.where(open_ > 0, wait, 0.0)),
            )  # fmt: skip
        self.rows.add(0.0, (np.broadcast_to(whole, end.shape), 1.0), (end, -1.0))
        if problem.count <= _WINDOWS:
            self._windows(whole)
        self._channels(whole)

    def _windows(self, whole: Index) -> None:
        """Add what an engine's operators take that start at h at least and have t behind them.

        That is h + their work + t: Carlier, "The one-machine sequencing problem", EJOR 11, 1982.
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
                    low = float(h[at].min() + t[at].min())
                    self._window(whole, e, at, low)

    def _window(self, whole: Index, e: int, at: Index, low: float) -> None:
        some = self._new((1,), 1.0)
        self.rows.add(
            0.0, (whole, 1.0), (self.x[None, at, e], -self.costs[None, at, e]), (some, -low)
        )
        # Least head and tail count only where the engine has some of them: by the largest share.
        self.rows.add(0.0, (np.broadcast_to(some, at.shape), 1.0), (self.x[at, e], -1.0))

    def between(self, first: int | None, last: int | None, e: int, inside: Index) -> None:
        """Add the work of an engine between two operators of a parallel run.

        Parameters
        ----------
        first, last
            It lies behind the end of one and before the start of the other; None for the run's own.
        inside
            Operators that run between the two, on whatever engine.
        """
        terms: list[tuple[Any, Any]] = [(self.x[None, inside, e], -self.costs[None, inside, e])]
        if last is None:
            terms.append((self.whole, 1.0))
        else:
            terms += [(self.end[[last]], 1.0), (self.x[[last]], -self.costs[[last]])]
        if first is not None:
            terms.append((self.end[[first]], -1.0))
        self.rows.add(0.0, *terms)

    def _channels(self, whole: Index) -> None:
        channels = self.problem.channels
        if channels.max(initial=-1) < 0 or not len(self.problem.maker):
            return
        off = ~np.eye(len(channels), dtype=bool)
        lanes = np.unique(channels[off])
        self.alike = self.alike and len(lanes) == 1
        moved, seconds, ends = self._transfers()
        for lane in lanes[lanes >= 0]:
            if self.alike:
                on: Index = np.arange(len(ends), dtype=np.intp)
            else:
                on = np.flatnonzero(channels[ends[:, 0], ends[:, 1]] == lane)
            self.rows.add(
                0.0, (whole, 1.0),
                (moved[:, on].reshape(1, -1), -seconds[:, on].reshape(1, -1)),
            )  # fmt: skip

    def start(self, goal: Goal, engine: Index) -> Floats | None:
        """Return every variable under an assignment; None for a parallel run or what is none."""
        if goal == "parallel" or excess(self.problem, engine) > 0:
            return None
        values: Floats = np.zeros(self.size)
        values[self.x[np.arange(self.problem.count), engine]] = 1.0
        moved = sent(self.problem, engine)
        if self.sending is not None:
            variables, ends = self.sending
            for k, (e, f) in enumerate(ends.tolist()):
                on = (moved.target == f) & ((moved.source == e) | (e < 0))
                values[variables[moved.tensor[on], k]] = 1.0
        if goal == "throughput":
            # The only variable of the objective.
            values[next(iter(self.objective))] = interval_s(self.problem, engine) / self.scale
        return values if np.isfinite(values).all() else None

    def matrix(self, *, whole: bool) -> MilpMatrix:
        """Return the programme, shares whole or not."""
        rows, equal = self.rows, self.equal
        cost: Floats = np.zeros(self.size)
        cost[list(self.objective)] = list(self.objective.values())
        integer = np.zeros(self.size, dtype=np.bool_)
        integer[: self.x.size] = whole
        entries = (
            np.concatenate([*rows.row, *(r + rows.count for r in equal.row)]),
            np.concatenate([*rows.column, *equal.column]),
            np.concatenate([*rows.value, *equal.value]),
        )
        low: Floats = np.concatenate([*rows.low, *equal.low])
        high: Floats = np.concatenate([np.full(rows.count, np.inf), *equal.low])
        return MilpMatrix.of(
            cost, entries, low, high, lower=np.concatenate(self.lower),
            upper=np.concatenate(self.upper), integer=integer,
        )  # fmt: skip


def relaxed(
    problem: AssignmentProblem, goal: Goal, deadline: Deadline, *, contiguous: bool = False
) -> Relaxed:
    """Solve the linear programme: a lower bound and fractions.

    Parameters
    ----------
    goal
        What is minimised: the seconds of a run one thing at a time, of a run with engines in
        parallel (a bound on it), or between the runs of a pipeline.
    contiguous
        Engines in their order, each on one stretch.
    """
    return solved(AssignmentLpModel(problem, goal, contiguous), deadline, whole=False, gap=0.0)


def integral(
    problem: AssignmentProblem, goal: Goal, deadline: Deadline, *, contiguous: bool = False,
    gap: float = 0.0, start: Index | None = None,
) -> Relaxed:  # fmt: skip
    """Solve the programme with every operator whole.

    Parameters
    ----------
    gap
        Relative gap at which it stops.
    start
        A known assignment, in stretches where they are asked for; not for a parallel run.

    Returns
    -------
    Relaxed
        For ``parallel`` a bound and an assignment; for the others the optimum where it closed.
    """
    model = AssignmentLpModel(problem, goal, contiguous)
    known = None if start is None else model.start(goal, start)
    return solved(model, deadline, whole=True, gap=gap, start=known)


def solved(
    model: AssignmentLpModel,
    deadline: Deadline,
    *,
    whole: bool,
    gap: float,
    start: Floats | None = None,
) -> Relaxed:
    """Solve a programme as it is, operators whole or not; `start` is every variable."""
    matrix = model.matrix(whole=whole)
    if start is not None and not matrix.keeps(start):
        start = None  # what it sends costs for ever, or rounding is in the way
    found = solve(matrix, deadline, gap=gap, start=start)
    bound = 0.0
    if found.found and np.isfinite(found.bound):
        bound = max(0.0, _safe(found.bound)) * model.scale
    share: Floats | None = None
    if found.found:
        share = found.values[: model.x.size].reshape(model.x.shape)
    impossible = found.status is Status.INFEASIBLE
    values = found.values if found.found else None
    return Relaxed(bound, share, found.status is Status.OPTIMAL, impossible, values)


def _levels(values: Floats, most: int = 10) -> list[float]:
    """Return a few distinct values spread over all of them, the least included."""
    found: Floats = np.unique(values)
    if not len(found):
        return []
    pick: Index = np.unique(np.linspace(0, len(found) - 1, most).astype(np.intp))
    return found[pick].tolist()


def _safe(value: float) -> float:
    """Take the solver's tolerance off a bound."""
    return value - 1e-7 * max(1.0, abs(value))
