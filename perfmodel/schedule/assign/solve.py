"""Solver for all goals of an assignment: the methods in their order, and when they prove it.

===============  ===================================================================================
serial run       variable elimination (`serial_optimum.py`): optimal, unless the graph is too wide
contiguous       dynamic programme over stretches (`contiguous.py`): optimal for independent
                 stretches, else a lower bound; then an integer programme
parallel run,    heuristics (`heuristics.py`), then a linear programme with cutting planes
pipeline         (`linear_programmes.py`, `precedence_cuts.py`) for a lower bound, its integer
                 version, and large neighbourhood search (`large_neighbourhood.py`); a few operators
                 end with branch and bound (`branch_and_bound.py`)
===============  ===================================================================================

Every method passes on the best assignment and the largest lower bound so far. The assignment is
proved when its seconds exceed the bound by at most `TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from perfmodel.errors import InputError, input_error, not_among
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign import branch_and_bound, contiguous
from perfmodel.schedule.assign.assignment import TOLERANCE, Assignment
from perfmodel.schedule.assign.assignment_costs import (
    excess,
    interval_s,
    sequential_s,
    shared_s,
    transfers_between,
)
from perfmodel.schedule.assign.heuristics import (
    Neighbourhood,
    Score,
    balance_loads,
    best_list_assignment,
    critical_path_moves,
    interval_score,
    load_moves,
    local_search,
    makespan_score,
    round_shares,
)
from perfmodel.schedule.assign.large_neighbourhood import reschedule_stretches
from perfmodel.schedule.assign.linear_programmes import Goal, solve_integral, solve_relaxed
from perfmodel.schedule.assign.list_scheduling import (
    AssignmentTimeline,
    list_schedule,
    one_at_a_time,
)
from perfmodel.schedule.assign.longest_paths import critical_path_s
from perfmodel.schedule.assign.precedence_cuts import MOST_OPERATORS, PrecedenceCuts
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index
from perfmodel.schedule.assign.serial_optimum import least_serial_assignment

GOALS: tuple[Goal, ...] = ("sequential", "parallel", "throughput")

#: Maximum of operators times engines for the integer programme.
_MOST_INTEGER = 4000
#: Maximum of operators times engines for the linear programme.
_MOST_LINEAR = 50_000
#: Maximum number of operators for branch and bound over schedules.
_MOST_BRANCHED = 14
#: Stretches of a parallel run rescheduled per evaluation of the local search, and their share of
#: the remaining time.
_STRETCHES_PER_LOOK, _STRETCHES_SHARE = 4, 0.8
#: Score, in seconds, of an assignment that exceeds a memory.
_OVERFULL_S = 1e200
#: Maximum number of engines for which every order of them is tried.
_MOST_ORDERED = 8


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
        return _without_assignment(problem, goal, "no engine")
    if contiguous:
        return _contiguous(problem, goal, contiguous == "any", deadline)
    if goal == "sequential":
        return _sequential(problem, deadline, looks, seed)
    return _AssignmentSearch(problem, goal, deadline, looks, seed).answer()


def _evaluated(
    problem: AssignmentProblem,
    goal: Goal,
    engine: Index,
    bound_s: float,
    method: str,
    counts: dict[str, int],
    known: AssignmentTimeline | None = None,
) -> Assignment:
    """Return the assignment with its seconds and timeline.

    Parameters
    ----------
    known
        Timeline of a parallel run; by default the one of list scheduling.
    """
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
        return _without_assignment(problem, goal, method, counts, bound_s)
    return Assignment(run, value, min(bound_s, value), method, counts, problem=problem, goal=goal)


def _without_assignment(
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
    """Return a contiguous assignment: by dynamic programming, else by an integer programme."""
    bottleneck = goal == "throughput"
    if any_order and problem.width > _MOST_ORDERED:
        message = f"{problem.width} engines have too many orders"
        raise input_error(
            message, "contiguous", expected=f"at most {_MOST_ORDERED}, or a fixed order"
        )
    programme = contiguous.free_order if any_order else contiguous.fixed_order
    split = programme(problem, bottleneck=bottleneck)
    method, bound = contiguous.METHOD, split.bound
    if split.solution is None:
        return _without_assignment(problem, goal, method)
    # A stretch in isolation ignores shared resources and, in general, the sources of its inputs.
    is_separate = not (bottleneck and problem.shared.any())
    is_separate = is_separate and contiguous.one_engine_per_memory(problem)
    if is_separate and contiguous.is_exact(problem, forward=not any_order):
        return _evaluated(problem, goal, split.solution, bound * (1 + 1e-12), method, {})
    first = _evaluated(problem, goal, split.solution, bound, method, {})
    if (first.proved and first.feasible) or any_order:
        return first
    if problem.count * problem.width <= _MOST_INTEGER:
        solved = solve_integral(problem, goal, deadline, contiguous=True)
        if solved.status == "infeasible":
            return _without_assignment(problem, goal, "integer programme")
        bound = max(bound, solved.bound)
        if solved.solution is not None:
            method = "integer programme"
            second = _evaluated(
                problem, goal, round_shares(problem, solved.solution), bound, method, {}
            )
            if second.value <= first.value:
                return second
        return _evaluated(problem, goal, first.engine, bound, first.method, {})
    return first


def _sequential(
    problem: AssignmentProblem, deadline: Deadline, looks: int, seed: int
) -> Assignment:
    """Return the assignment of a serial run: by variable elimination, else by search."""
    engine = least_serial_assignment(problem, deadline=deadline.share(0.5))
    if engine is not None and not excess(problem, engine) > 0:
        value = sequential_s(problem, engine)  # infinite if a tensor cannot reach a reader
        return _evaluated(problem, "sequential", engine, value, "variable elimination", {})
    return _AssignmentSearch(problem, "sequential", deadline, looks, seed).answer()


class _AssignmentSearch:
    """Search by linear bounds, rounding, list scheduling and local search.

    Attributes
    ----------
    score, neighbourhood
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
        self.score, self.neighbourhood = _score_and_neighbourhood(problem, goal)
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
            return _evaluated(problem, goal, self.engine, np.inf, self.method, self.counts)
        self._add_starts()
        if not self._add_serial_start():
            return self._no_assignment("variable elimination")
        has_cuts = goal == "parallel" and problem.count <= MOST_OPERATORS
        cuts = PrecedenceCuts(problem) if has_cuts and self.size <= _MOST_LINEAR else None
        if self.size <= _MOST_LINEAR and not self._solve_linear(cuts):
            return self._no_assignment("linear programme")
        self._take_best()
        if self.size <= _MOST_INTEGER and self._is_open() and not self._solve_integer(cuts):
            return self._no_assignment("integer programme")
        if goal == "parallel" and problem.count > _MOST_BRANCHED and self._is_open():
            self._reschedule()
        if self._is_open():
            value = self.value
            better = self._search_locally(self.deadline, self.looks)
            if self.score(better)[0] < value:
                self.method, self.engine, self.run = f"{self.method}, local search", better, None
        best = _evaluated(
            problem, goal, self.engine, self.bound, self.method, self.counts, self.run
        )
        if goal == "parallel" and not best.proved and problem.count <= _MOST_BRANCHED:
            return _search_schedules(best, self.deadline)
        return best

    @property
    def value(self) -> float:
        """Seconds of the incumbent."""
        if self.run is not None:
            return max(self.run.makespan_s, shared_s(self.problem, self.run.engine))
        return self.score(self.engine)[0]

    def _is_open(self) -> bool:
        """Return whether the incumbent exceeds the lower bound."""
        return self.value > self.bound * (1 + TOLERANCE)

    def _no_assignment(self, method: str) -> Assignment:
        """Return the proof by some method that no assignment exists."""
        return _without_assignment(self.problem, self.goal, method, self.counts)

    def _take_best(self) -> None:
        """Adopt the best start; among equal ones, the one with the least transfers."""
        values = {name: self.score(engine)[0] for name, engine in self.starts.items()}
        good = min(values.values()) * (1 + 1e-9)
        alike = [name for name, value in values.items() if value <= good]
        name = min(
            alike, key=lambda key: len(transfers_between(self.problem, self.starts[key]).tensor)
        )
        self.method, self.engine = name, self.starts[name]

    def _add_starts(self) -> None:
        """Add starting assignments that need no programme."""
        problem, starts = self.problem, self.starts
        starts["least cost"] = np.argmin(problem.costs, axis=1)
        starts["balanced loads"] = balance_loads(problem)
        if self.goal == "parallel":
            starts["earliest finish"] = best_list_assignment(
                problem, lambda engine: self.score(engine)[0], self.deadline.share(0.2)
            )
        for e in np.flatnonzero(np.isfinite(problem.costs).all(axis=0)):
            starts[f"{problem.engines[e]} alone"] = np.full(problem.count, e, dtype=np.intp)
        if len(problem.limits):
            split = contiguous.fixed_order(problem, bottleneck=self.goal == "throughput").solution
            if split is not None:
                starts["stretches"] = split

    def _add_serial_start(self) -> bool:
        """Add the optimal serial assignment; return False if no assignment can run.

        A run in which one operator or transfer follows the other has infinite seconds only if some
        tensor cannot reach a reader under any assignment.
        """
        problem = self.problem
        if self.goal == "sequential" and not len(problem.limits):
            return True  # tried before
        serial = least_serial_assignment(problem, deadline=self.deadline.share(0.2))
        if serial is None:
            return True
        self.starts["one at a time"] = serial
        serial_value_s = sequential_s(problem, serial)
        if self.goal == "sequential":
            # Holds for all assignments, including those that exceed a memory.
            self.bound = max(self.bound, serial_value_s)
        return bool(np.isfinite(serial_value_s))

    def _solve_linear(self, cuts: PrecedenceCuts | None) -> bool:
        """Bound by a linear programme and round its solution; return False if it is infeasible."""
        limited = self.deadline.share(0.5)
        linear = (
            solve_relaxed(self.problem, self.goal, limited)
            if cuts is None
            else cuts.solve_relaxed(limited)
        )
        self.counts["linear programmes"] = 1
        if linear.solution is not None:
            self.bound = max(self.bound, linear.bound)
            self.starts["rounded linear programme"] = round_shares(self.problem, linear.solution)
        return linear.status != "infeasible"

    def _solve_integer(self, cuts: PrecedenceCuts | None) -> bool:
        """Bound by an integer programme and adopt its solution; return False if infeasible."""
        if self.goal != "parallel":  # these programmes accept a starting point
            self.engine = self._search_locally(self.deadline.share(0.1), self.looks // 2)
            self.starts[f"{self.method}, local search"] = self.engine
        limited = self.deadline.share(0.4)
        if cuts is None:
            solved = solve_integral(self.problem, self.goal, limited, gap=1e-7, start=self.engine)
        else:
            solved = cuts.solve_integral(limited, gap=1e-7)
            self.counts["rows between operators"] = len(cuts.rows)
        self.counts["integer programmes"] = 1
        if solved.status == "infeasible":
            return False
        self.bound = max(self.bound, solved.bound)
        if solved.solution is not None:
            self.starts["integer programme"] = round_shares(self.problem, solved.solution)
            self._take_best()
        return True

    def _search_locally(self, deadline: Deadline, looks: int) -> Index:
        """Return the incumbent improved by local search."""
        return local_search(
            self.problem,
            self.engine,
            self.score,
            self.neighbourhood,
            deadline,
            bound_s=self.bound,
            looks=looks,
            seed=self.seed,
        )

    def _reschedule(self) -> None:
        """Reschedule a parallel run stretch by stretch; replay it if channels cause waits."""
        problem, value = self.problem, self.value
        if value >= _OVERFULL_S:
            return
        run = reschedule_stretches(
            problem,
            list_schedule(problem, self.engine),
            self.deadline.share(_STRETCHES_SHARE),
            bound_s=self.bound,
            stretches=_STRETCHES_PER_LOOK * self.looks,
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


def _search_schedules(best: Assignment, deadline: Deadline) -> Assignment:
    """Search all schedules of a few operators for a better assignment."""
    proof = branch_and_bound.least_makespan(best.problem, best.value, deadline)
    better = replace(
        best,
        solution=proof.solution,
        value=proof.value,
        bound=proof.bound,
        method=proof.method,
        work={"nodes": 0, **proof.work},
    )
    return best.or_better(better)


def _score_and_neighbourhood(problem: AssignmentProblem, goal: Goal) -> tuple[Score, Neighbourhood]:
    """Return score and neighbourhood of a goal; assignments that exceed a memory rank last."""

    def serial_score(engine: Index) -> tuple[float, ...]:
        return (sequential_s(problem, engine),)

    score, neighbourhood = {
        "parallel": (makespan_score(problem), critical_path_moves),
        "throughput": (interval_score(problem), load_moves),
        "sequential": (serial_score, load_moves),
    }[goal]
    if not len(problem.limits):
        return score, neighbourhood

    def score_if_it_fits(engine: Index) -> tuple[float, ...]:
        overflow = excess(problem, engine)
        return (_OVERFULL_S * (1 + overflow),) if overflow > 0 else score(engine)

    return score_if_it_fits, neighbourhood
