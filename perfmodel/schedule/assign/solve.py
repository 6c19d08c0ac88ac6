"""Solver for all kinds of assignment: exact if a method closes the gap, else with a bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from perfmodel.errors import InputError, input_error, not_among
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign import branch, contiguous, eliminate
from perfmodel.schedule.assign.between import LARGEST, Between
from perfmodel.schedule.assign.evaluate import excess, interval_s, sent, sequential_s, shared_s
from perfmodel.schedule.assign.improve import (
    Near,
    Score,
    balanced,
    constructed,
    improved,
    interval_score,
    makespan_score,
    near_loads,
    near_path,
    rounded,
)
from perfmodel.schedule.assign.linear import Goal, integral, relaxed
from perfmodel.schedule.assign.paths import critical_path_s
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.result import TOLERANCE, Assignment
from perfmodel.schedule.assign.simulate import AssignmentTimeline, list_schedule, one_at_a_time
from perfmodel.schedule.assign.windows import shortened

GOALS: tuple[Goal, ...] = ("sequential", "parallel", "throughput")

#: Maximum of operators times engines for the integer programme.
_INTEGRAL = 4000
#: Maximum of operators times engines for the linear programme.
_LINEAR = 50_000
#: Maximum number of operators for branch and bound over schedules.
_FEW = 14
#: Stretches of a parallel run rescheduled per evaluation of the local search, and their share of
#: the remaining time.
_STRETCHES, _ANEW = 4, 0.8
#: Score, in seconds, of an assignment that exceeds a memory.
_TOO_MUCH = 1e200
#: Maximum number of engines for which every order of them is tried.
_ORDERS = 8


def solve(
    problem: AssignmentProblem,
    goal: Goal = "parallel",
    *,
    contiguous: bool | str = False,
    time_limit_s: float | None = 10.0,
    looks: int = 2000,
    seed: int = 0,
) -> Assignment:
    """Assign every operator to an engine.

    Parameters
    ----------
    goal
        ``sequential``: operators and transfers are serialised, least sum. ``parallel``: engines
        work at the same time, least makespan. ``throughput``: runs follow each other through a
        pipeline, least load of the busiest engine (its operators and transfers received).
    contiguous
        One stretch of the order per engine: ``True`` or ``"fixed"`` with the engines in the given
        order, ``"any"`` in the best order. For ``sequential`` and ``throughput``.
    time_limit_s
        Limit in seconds of wall-clock time; None for no limit.
    looks
        Maximum number of assignments evaluated by the local search.
    seed
        Seed of the local search.

    Returns
    -------
    Assignment
        Without a solution if some operator has no engine, or no contiguous split exists.

    Raises
    ------
    InputError
        An unknown goal, or a contiguous assignment of a parallel run.
    """
    if goal not in GOALS:
        raise InputError(not_among(f"no goal '{goal}'", goal, GOALS, "goal"))
    if contiguous and goal == "parallel":
        raise input_error(
            "engines of a contiguous assignment run one after the other",
            "contiguous",
            expected="goal sequential or throughput",
        )
    deadline = Deadline(time_limit_s)
    if not problem.count:
        nothing = one_at_a_time(problem, np.zeros(0, dtype=np.intp))
        return Assignment(nothing, 0.0, 0.0, "nothing to run", problem=problem, goal=goal)
    if problem.unsupported:
        return _none(problem, goal, "no engine")
    if contiguous:
        return _contiguous(problem, goal, contiguous == "any", deadline)
    if goal == "sequential":
        return _sequential(problem, deadline, looks, seed)
    return _OverlapSearch(problem, goal, deadline, looks, seed).answer()


def _finished(
    problem: AssignmentProblem,
    goal: Goal,
    engine: Index,
    bound_s: float,
    method: str,
    counts: dict[str, int],
    known: AssignmentTimeline | None = None,
) -> Assignment:
    """Return the assignment with its value and timeline (`known`, if given, for a parallel run)."""
    values: dict[str, Callable[[AssignmentProblem, Index], float]] = {
        "sequential": sequential_s,
        "throughput": interval_s,
    }
    run: AssignmentTimeline
    if goal == "parallel":
        run = list_schedule(problem, engine) if known is None else known
        value = max(run.makespan_s, shared_s(problem, engine))
    else:
        run = one_at_a_time(problem, engine)
        value = values[goal](problem, engine)
    # The assignment does not fit a memory, or a tensor cannot reach a reader.
    if excess(problem, engine) > 0 or not np.isfinite(value):
        return _none(problem, goal, method, counts, bound_s)
    return Assignment(run, value, min(bound_s, value), method, counts, problem=problem, goal=goal)


def _none(
    problem: AssignmentProblem,
    goal: Goal,
    method: str,
    counts: Mapping[str, int] | None = None,
    bound_s: float = np.inf,
) -> Assignment:
    """Return an assignment without a solution; an infinite bound means that none exists."""
    return Assignment(None, np.inf, bound_s, method, counts or {}, problem=problem, goal=goal)


def _contiguous(
    problem: AssignmentProblem, goal: Goal, any_order: bool, deadline: Deadline
) -> Assignment:
    bottleneck = goal == "throughput"
    if any_order and problem.width > _ORDERS:
        message = f"{problem.width} engines have too many orders"
        raise input_error(message, "contiguous", expected=f"at most {_ORDERS}, or a fixed order")
    programme = contiguous.free_order if any_order else contiguous.fixed_order
    split = programme(problem, bottleneck=bottleneck)
    method, bound = contiguous.METHOD, split.bound
    if split.solution is None:
        return _none(problem, goal, method)
    # A stretch in isolation ignores shared resources and, in general, the sources of its inputs.
    separate = not (bottleneck and problem.shared.any())
    separate = separate and contiguous.one_engine_per_memory(problem)
    if separate and contiguous.exact(problem, forward=not any_order):
        return _finished(problem, goal, split.solution, bound * (1 + 1e-12), method, {})
    first = _finished(problem, goal, split.solution, bound, method, {})
    if (first.proved and first.feasible) or any_order:
        return first
    if problem.count * problem.width <= _INTEGRAL:
        solved = integral(problem, goal, deadline, contiguous=True)
        if solved.status == "infeasible":
            return _none(problem, goal, "integer programme")
        bound = max(bound, solved.bound)
        if solved.solution is not None:
            method = "integer programme"
            second = _finished(problem, goal, rounded(problem, solved.solution), bound, method, {})
            if second.value <= first.value:
                return second
        return _finished(problem, goal, first.engine, bound, first.method, {})
    return first


def _sequential(
    problem: AssignmentProblem, deadline: Deadline, looks: int, seed: int
) -> Assignment:
    engine = eliminate.sequential(problem, deadline=deadline.within(0.5 * deadline.left()))
    if engine is not None and not excess(problem, engine) > 0:
        value = sequential_s(problem, engine)  # infinite if a tensor cannot reach a reader
        return _finished(problem, "sequential", engine, value, "variable elimination", {})
    return _OverlapSearch(problem, "sequential", deadline, looks, seed).answer()


class _OverlapSearch:
    """Search by linear bounds, rounding, list scheduling and local search.

    Attributes
    ----------
    score, near
        Score of the goal, and neighbourhood of the local search.
    bound
        Lower bound on all assignments, in seconds.
    starts
        Starting assignments, by method.
    method, engine, run
        Incumbent: its method, the engine of each operator, and its timeline if known.
    """

    def __init__(
        self, problem: AssignmentProblem, goal: Goal, deadline: Deadline, looks: int, seed: int
    ) -> None:
        self.problem, self.deadline = problem, deadline
        self.goal: Goal = goal
        self.looks, self.seed = looks, seed
        self.score, self.near = _search(problem, goal)
        self.size = problem.count * problem.width
        self.counts: dict[str, int] = {}
        least: Floats = problem.costs.min(axis=1)
        total, slowest = float(least.sum()), float(least.max())
        self.bound = {
            "parallel": max(critical_path_s(problem), total / problem.width),
            "sequential": total,
            "throughput": max(slowest, total / problem.width),
        }[goal]
        self.starts: dict[str, Index] = {}
        self.method, self.engine = "one engine", np.zeros(problem.count, dtype=np.intp)
        self.run: AssignmentTimeline | None = None

    def answer(self) -> Assignment:
        """Return the best assignment; proved if the gap closes."""
        problem, goal = self.problem, self.goal
        if problem.width == 1:
            return _finished(problem, goal, self.engine, np.inf, self.method, self.counts)
        self._add_starts()
        if not self._chain():
            return self._nothing("variable elimination")
        few = problem.count <= LARGEST and self.size <= _LINEAR
        between = Between(problem) if goal == "parallel" and few else None
        if self.size <= _LINEAR and not self._relax(between):
            return self._nothing("linear programme")
        self._take_best()
        if self.size <= _INTEGRAL and self._open() and not self._integrate(between):
            return self._nothing("integer programme")
        if goal == "parallel" and problem.count > _FEW and self._open():
            self._shorten()
        if self._open():
            value = self.value
            better = self._improved(self.deadline, self.looks)
            if self.score(better)[0] < value:
                self.method, self.engine, self.run = f"{self.method}, local search", better, None
        best = _finished(problem, goal, self.engine, self.bound, self.method, self.counts, self.run)
        if goal == "parallel" and not best.proved and problem.count <= _FEW:
            return _branched(best, self.deadline)
        return best

    @property
    def value(self) -> float:
        """Seconds of the incumbent."""
        if self.run is not None:
            return max(self.run.makespan_s, shared_s(self.problem, self.run.engine))
        return self.score(self.engine)[0]

    def _open(self) -> bool:
        return self.value > self.bound * (1 + TOLERANCE)

    def _part(self, share: float) -> Deadline:
        return self.deadline.within(share * self.deadline.left())

    def _nothing(self, method: str) -> Assignment:
        return _none(self.problem, self.goal, method, self.counts)

    def _take_best(self) -> None:
        """Adopt the best start; among equal ones, the one with the least transfers."""
        values = {name: self.score(engine)[0] for name, engine in self.starts.items()}
        good = min(values.values()) * (1 + 1e-9)
        alike = [name for name, value in values.items() if value <= good]
        name = min(alike, key=lambda key: len(sent(self.problem, self.starts[key]).tensor))
        self.method, self.engine = name, self.starts[name]

    def _add_starts(self) -> None:
        """Add starting assignments that need no programme."""
        problem, starts = self.problem, self.starts
        starts["least cost"] = np.argmin(problem.costs, axis=1)
        starts["balanced loads"] = balanced(problem)
        if self.goal == "parallel":
            starts["earliest finish"] = constructed(
                problem, lambda engine: self.score(engine)[0], self._part(0.2)
            )
        for e in np.flatnonzero(np.isfinite(problem.costs).all(axis=0)):
            starts[f"{problem.engines[e]} alone"] = np.full(problem.count, e, dtype=np.intp)
        if len(problem.limits):
            split = contiguous.fixed_order(problem, bottleneck=self.goal == "throughput").solution
            if split is not None:
                starts["stretches"] = split

    def _chain(self) -> bool:
        """Add the optimal serial assignment; return False if no assignment can run."""
        problem = self.problem
        if self.goal == "sequential" and not len(problem.limits):
            return True  # tried before
        chained = eliminate.sequential(problem, deadline=self._part(0.2))
        if chained is None:
            return True
        self.starts["one at a time"] = chained
        in_turn = sequential_s(problem, chained)
        if self.goal == "sequential":
            # Holds for all assignments, including those that exceed a memory.
            self.bound = max(self.bound, in_turn)
        return bool(np.isfinite(in_turn))

    def _relax(self, between: Between | None) -> bool:
        """Bound by a linear programme and round its solution; return False if it has none."""
        quick = self._part(0.5)
        linear = (
            relaxed(self.problem, self.goal, quick) if between is None else between.relaxed(quick)
        )
        self.counts["linear programmes"] = 1
        if linear.solution is not None:
            self.bound = max(self.bound, linear.bound)
            self.starts["rounded linear programme"] = rounded(self.problem, linear.solution)
        return linear.status != "infeasible"

    def _integrate(self, between: Between | None) -> bool:
        """Bound by an integer programme and adopt its solution; return False if it has none."""
        if self.goal != "parallel":  # these programmes accept a starting point
            self.engine = self._improved(self._part(0.1), self.looks // 2)
            self.starts[f"{self.method}, local search"] = self.engine
        quick = self._part(0.4)
        if between is None:
            solved = integral(self.problem, self.goal, quick, gap=1e-7, start=self.engine)
        else:
            solved = between.integral(quick, gap=1e-7)
            self.counts["rows between operators"] = len(between.rows)
        self.counts["integer programmes"] = 1
        if solved.status == "infeasible":
            return False
        self.bound = max(self.bound, solved.bound)
        if solved.solution is not None:
            self.starts["integer programme"] = rounded(self.problem, solved.solution)
            self._take_best()
        return True

    def _improved(self, deadline: Deadline, looks: int) -> Index:
        return improved(
            self.problem,
            self.engine,
            self.score,
            self.near,
            deadline,
            bound_s=self.bound,
            looks=looks,
            seed=self.seed,
        )

    def _shorten(self) -> None:
        """Reschedule a parallel run stretch by stretch; replay it if channels cause waits."""
        problem, value = self.problem, self.value
        if value >= _TOO_MUCH:
            return
        run = shortened(
            problem,
            list_schedule(problem, self.engine),
            self._part(_ANEW),
            bound_s=self.bound,
            stretches=_STRETCHES * self.looks,
            seed=self.seed,
        )
        if int(problem.channels.max(initial=-1)) >= 0:
            run = min(
                list_schedule(problem, run.engine),
                list_schedule(problem, run.engine, -run.start_s),
                key=lambda each: each.makespan_s,
            )
        if max(run.makespan_s, shared_s(problem, run.engine)) < value:
            self.method, self.engine = f"{self.method}, stretches made anew", run.engine
            self.run = run


def _branched(best: Assignment, deadline: Deadline) -> Assignment:
    """Search all schedules of a few operators for a better assignment."""
    proof = branch.least_makespan(best.problem, best.value, deadline)
    better = replace(
        best,
        solution=proof.solution,
        value=proof.value,
        bound=proof.bound,
        method=proof.method,
        work={"nodes": 0, **proof.work},
    )
    return best.or_better(better)


def _search(problem: AssignmentProblem, goal: Goal) -> tuple[Score, Near]:
    """Return score and neighbourhood of a goal; assignments that exceed a memory rank last."""

    def in_turn(engine: Index) -> tuple[float, ...]:
        return (sequential_s(problem, engine),)

    score, near = {
        "parallel": (makespan_score(problem), near_path),
        "throughput": (interval_score(problem), near_loads),
        "sequential": (in_turn, near_loads),
    }[goal]
    if not len(problem.limits):
        return score, near

    def fitting(engine: Index) -> tuple[float, ...]:
        over = excess(problem, engine)
        return (_TOO_MUCH * (1 + over),) if over > 0 else score(engine)

    return fitting, near
