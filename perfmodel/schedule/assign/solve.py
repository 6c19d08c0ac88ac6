"""One call for every kind of assignment: exact where a method closes, else with a bound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from perfmodel.errors import input_error, nearest, one_of
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

#: Operators times engines up to which the integer programme is tried.
_INTEGRAL = 4000
#: Operators times engines up to which the linear programme is tried.
_LINEAR = 50_000
#: Operators up to which every schedule may be looked at.
_FEW = 14
#: Stretches of a parallel run that are made anew for each look of the local search, and their part
#: of the time that is left.
_STRETCHES, _ANEW = 4, 0.8
#: Score, in seconds, of what does not fit.
_TOO_MUCH = 1e200
#: Engines up to which every order of them is tried.
_ORDERS = 8


def solve(
    problem: AssignmentProblem, goal: Goal = "parallel", *, contiguous: bool | str = False,
    time_limit_s: float | None = 10.0, looks: int = 2000, seed: int = 0,
) -> Assignment:  # fmt: skip
    """Put every operator on an engine.

    Parameters
    ----------
    goal
        ``sequential``: operators and transfers follow one another, least sum. ``parallel``: engines
        work at the same time, least makespan. ``throughput``: runs follow each other through a
        pipeline, least load of the busiest engine (its operators and what it receives).
    contiguous
        One stretch of the order an engine: ``True`` or ``"fixed"`` with the engines in their order,
        ``"any"`` in the order that is best. For ``sequential`` and ``throughput``.
    time_limit_s
        Seconds by the clock on the wall; None for no limit.
    looks
        Assignments that the local search looks at.
    seed
        Of the local search.

    Returns
    -------
    Assignment
        Without a run where some operator has no engine, or no contiguous split exists.

    Raises
    ------
    InputError
        An unknown goal, or a contiguous assignment of a parallel run.
    """
    if goal not in GOALS:
        raise input_error(
            f"no goal '{goal}'", "goal", suggestion=nearest(goal, GOALS), expected=one_of(GOALS)
        )
    if contiguous and goal == "parallel":
        raise input_error(
            "a contiguous run has no engines in parallel",
            "contiguous",
            expected="goal sequential or throughput",
        )
    deadline = Deadline(time_limit_s)
    if not problem.count:
        nothing = one_at_a_time(problem, np.zeros(0, dtype=np.intp))
        return Assignment(problem, goal, 0.0, 0.0, "nothing to run", nothing)
    if problem.unsupported:
        return Assignment(problem, goal, np.inf, np.inf, "no engine", None)
    if contiguous:
        return _contiguous(problem, goal, contiguous == "any", deadline)
    if goal == "sequential":
        return _sequential(problem, deadline, looks, seed)
    return _overlapped(problem, goal, deadline, looks, seed)


def _finished(
    problem: AssignmentProblem, goal: Goal, engine: Index, bound_s: float, method: str,
    counts: dict[str, int], known: AssignmentTimeline | None = None,
) -> Assignment:  # fmt: skip
    """Return the assignment with its value and timeline (for a parallel run, `known` if it has)."""
    values: dict[str, Callable[[AssignmentProblem, Index], float]] = {
        "sequential": sequential_s, "throughput": interval_s,
    }  # fmt: skip
    run: AssignmentTimeline
    if goal == "parallel":
        run = list_schedule(problem, engine) if known is None else known
        value = max(run.makespan_s, shared_s(problem, engine))
    else:
        run = one_at_a_time(problem, engine)
        value = values[goal](problem, engine)
    if excess(problem, engine) > 0:  # nothing found that fits
        return Assignment(problem, goal, np.inf, bound_s, method, None, counts)
    if not np.isfinite(value):  # nothing found by which what is made reaches where it is read
        return Assignment(problem, goal, np.inf, bound_s, method, None, counts)
    return Assignment(problem, goal, value, min(bound_s, value), method, run, counts)


def _contiguous(
    problem: AssignmentProblem, goal: Goal, any_order: bool, deadline: Deadline
) -> Assignment:
    bottleneck = goal == "throughput"
    if any_order and problem.width > _ORDERS:
        said = f"{problem.width} engines have too many orders"
        raise input_error(said, "contiguous", expected=f"at most {_ORDERS}, or a fixed order")
    programme = contiguous.free_order if any_order else contiguous.fixed_order
    method = "dynamic programme over stretches"
    found = programme(problem, bottleneck=bottleneck)
    if found is None:
        return Assignment(problem, goal, np.inf, np.inf, method, None)
    # A stretch by itself does not know what engines share, nor, as a rule, where inputs are from.
    whole = not (bottleneck and problem.shared.any()) and contiguous.alone(problem)
    if whole and contiguous.exact(problem, forward=not any_order):
        return _finished(problem, goal, found.engine, found.value_s * (1 + 1e-12), method, {})
    made = _finished(problem, goal, found.engine, found.value_s, method, {})
    if (made.proved and made.feasible) or any_order:
        return made
    if problem.count * problem.width <= _INTEGRAL:
        whole = integral(problem, goal, deadline, contiguous=True)
        if whole.status == "infeasible":
            return Assignment(problem, goal, np.inf, np.inf, "integer programme", None)
        bound = max(found.value_s, whole.bound)
        if whole.solution is not None:
            method = "integer programme"
            second = _finished(problem, goal, rounded(problem, whole.solution), bound, method, {})
            if second.value_s <= made.value_s:
                return second
        return _finished(problem, goal, made.engine, bound, made.method, {})
    return made


def _sequential(
    problem: AssignmentProblem, deadline: Deadline, looks: int, seed: int
) -> Assignment:
    engine = eliminate.sequential(problem, deadline=deadline.within(0.5 * deadline.left()))
    if engine is not None and not excess(problem, engine) > 0:
        value = sequential_s(problem, engine)  # infinite where what is made cannot be had
        return _finished(problem, "sequential", engine, value, "variable elimination", {})
    return _overlapped(problem, "sequential", deadline, looks, seed)


def _overlapped(
    problem: AssignmentProblem, goal: Goal, deadline: Deadline, looks: int, seed: int
) -> Assignment:
    """Bound by linear programme; round, schedule and search; prove where a method closes."""
    score, near = _search(problem, goal)
    counts: dict[str, int] = {}
    least: Floats = problem.costs.min(axis=1)
    bound = {
        "parallel": max(critical_path_s(problem), float(least.sum()) / problem.width),
        "sequential": float(least.sum()),
        "throughput": max(float(least.max()), float(least.sum()) / problem.width),
    }[goal]  # fmt: skip
    starts: dict[str, Index] = {"least cost": np.argmin(problem.costs, axis=1)}
    starts["balanced loads"] = balanced(problem)
    if goal == "parallel":
        quick = deadline.within(0.2 * deadline.left())
        starts["earliest finish"] = constructed(problem, lambda e: score(e)[0], quick)
    for e in np.flatnonzero(np.isfinite(problem.costs).all(axis=0)):
        starts[f"{problem.engines[e]} alone"] = np.full(problem.count, e, dtype=np.intp)
    if len(problem.limits):
        split = contiguous.fixed_order(problem, bottleneck=goal == "throughput")
        if split is not None:
            starts["stretches"] = split.engine
    if problem.width == 1:
        engine = np.zeros(problem.count, dtype=np.intp)
        return _finished(problem, goal, engine, np.inf, "one engine", counts)
    chained: Index | None = None
    if goal != "sequential" or len(problem.limits):  # else it has been tried
        quick = deadline.within(0.2 * deadline.left())
        chained = eliminate.sequential(problem, deadline=quick)
    if chained is not None:
        starts["one at a time"] = chained
        in_turn = sequential_s(problem, chained)
        if goal == "sequential":
            bound = max(bound, in_turn)  # of all assignments, those that do not fit among them
        if not np.isfinite(in_turn):
            return Assignment(problem, goal, np.inf, np.inf, "variable elimination", None)
    size = problem.count * problem.width
    few = problem.count <= LARGEST and size <= _LINEAR
    between = Between(problem) if goal == "parallel" and few else None
    if size <= _LINEAR:
        quick = deadline.within(0.5 * deadline.left())
        found = relaxed(problem, goal, quick) if between is None else between.relaxed(quick)
        counts["linear programmes"] = 1
        if found.status == "infeasible":
            return Assignment(problem, goal, np.inf, np.inf, "linear programme", None, counts)
        if found.solution is not None:
            bound = max(bound, found.bound)
            starts["rounded linear programme"] = rounded(problem, found.solution)
    method, engine = _best(problem, starts, score)
    if size <= _INTEGRAL and score(engine)[0] > bound * (1 + TOLERANCE):
        if goal != "parallel":  # a programme starts from what is known
            quick = deadline.within(0.1 * deadline.left())
            engine = improved(
                problem, engine, score, near, quick, bound_s=bound, looks=looks // 2, seed=seed
            )
            starts[f"{method}, local search"] = engine
        quick = deadline.within(0.4 * deadline.left())
        if between is None:
            whole = integral(problem, goal, quick, gap=1e-7, start=engine)
        else:
            whole = between.integral(quick, gap=1e-7)
            counts["rows between operators"] = len(between.rows)
        counts["integer programmes"] = 1
        if whole.status == "infeasible":
            return Assignment(problem, goal, np.inf, np.inf, "integer programme", None, counts)
        bound = max(bound, whole.bound)
        if whole.solution is not None:
            starts["integer programme"] = rounded(problem, whole.solution)
            method, engine = _best(problem, starts, score)
    run: AssignmentTimeline | None = None
    value = score(engine)[0]
    if goal == "parallel" and problem.count > _FEW and _TOO_MUCH > value > bound * (1 + TOLERANCE):
        anew = _shortened(problem, engine, bound, deadline, looks, seed)
        lasts = max(anew.makespan_s, shared_s(problem, anew.engine))
        if lasts < value:
            method, engine, run = f"{method}, stretches made anew", anew.engine, anew
            value = lasts
    if value > bound * (1 + TOLERANCE):
        better = improved(
            problem, engine, score, near, deadline, bound_s=bound, looks=looks, seed=seed
        )
        if score(better)[0] < value:
            method, engine, run = f"{method}, local search", better, None
    made = _finished(problem, goal, engine, bound, method, counts, run)
    if goal == "parallel" and not made.proved and problem.count <= _FEW:
        return _branched(made, deadline)
    return made


def _shortened(
    problem: AssignmentProblem, engine: Index, bound_s: float, deadline: Deadline, looks: int,
    seed: int,
) -> AssignmentTimeline:  # fmt: skip
    """Return a parallel run made anew stretch by stretch, timed again where channels make wait."""
    run, quick = list_schedule(problem, engine), deadline.within(_ANEW * deadline.left())
    run = shortened(problem, run, quick, bound_s=bound_s, stretches=_STRETCHES * looks, seed=seed)
    if int(problem.channels.max(initial=-1)) < 0:
        return run
    waiting = (list_schedule(problem, run.engine), list_schedule(problem, run.engine, -run.start_s))
    return min(waiting, key=lambda each: each.makespan_s)


def _branched(made: Assignment, deadline: Deadline) -> Assignment:
    """Look for something better among all schedules of a few operators."""
    proof = branch.parallel(made.problem, made.value_s, deadline)
    counts = {**made.counts, "nodes": proof.nodes}
    run = made.run if proof.run is None else proof.run
    assert run is not None
    value = made.value_s if proof.run is None else run.makespan_s
    method = made.method if proof.run is None else "branch and bound"
    bound = value if proof.complete else min(made.bound_s, value)
    return Assignment(made.problem, made.goal, value, bound, method, run, counts)


def _search(problem: AssignmentProblem, goal: Goal) -> tuple[Score, Near]:
    """Return the score of a goal, by which what does not fit comes last, and where to look."""

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


def _best(problem: AssignmentProblem, starts: dict[str, Index], score: Score) -> tuple[str, Index]:
    """Return the best start, of equally good ones that which sends least between engines."""
    values = {name: score(engine)[0] for name, engine in starts.items()}
    good = min(values.values()) * (1 + 1e-9)
    alike = [name for name, value in values.items() if value <= good]
    name = min(alike, key=lambda key: len(sent(problem, starts[key]).tensor))
    return name, starts[name]
