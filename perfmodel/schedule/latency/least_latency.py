"""Schedules of least latency and least energy, and their tradeoff with fewest bytes.

The methods, in their order: scripts of few bytes (`perfmodel.schedule.exact.beam`) and greedy
scripts, timed by the rules of `prefetch.py`; local search over scripts and single transfers
(`local_search.py`); on problems of few steps branch and bound over all plans
(`branch_and_bound.py`). The lower bound (`bounds.py`) holds for all plans; the latency is proved
when it is reached, or when branch and bound ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import orders, with_loads
from perfmodel.schedule.latency.bounds import lower_bound
from perfmodel.schedule.latency.branch_and_bound import least_makespan
from perfmodel.schedule.latency.local_search import (
    RULES,
    Candidate,
    candidate,
    improve_activities,
    improve_script,
    known_plan,
    price_of,
    script_by_rule,
    script_of,
)
from perfmodel.schedule.latency.simulate import SimulationTables, simulate
from perfmodel.schedule.latency.timeline import (
    SECONDS,
    Dma,
    PlanActivity,
    ScheduleEnergyModel,
    Timeline,
)
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

#: Maximum number of steps for the search over all plans, and number of states without a deadline.
_MOST_STEPS_PROVED = 24
_MOST_NODES = 20_000
#: Number of local search tries without a deadline.
_TRIES = 400
#: Factor on states and tries with a deadline, so that the clock is the effective limit.
_TIMED_FACTOR = 100
#: Share of the remaining time for each phase but the last, and for the first beam, which is quick.
_SHARE = 0.5
_BEAM_SHARE = 0.2
#: Width of the beam for few bytes that starts the search if no schedule is given.
_BEAM_WIDTH = 20
#: Relative tolerance for round-off: the same durations are summed in different orders.
_ROUND_OFF = 1 + 1e-12


@dataclass(frozen=True, slots=True)
class TimedPlan:
    """A schedule with its timed plan.

    Attributes
    ----------
    script
        Order and evictions.
    activities
        The plan: activities in the order of their starts.
    timeline
        Timeline of the plan, by `simulate`.
    """

    script: Script
    activities: tuple[PlanActivity, ...]
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """The schedule of fewest bytes and the fastest one.

    Attributes
    ----------
    fewest_bytes, fastest
        Both schedules, timed by the same rules.
    fewest_noncompulsory_bytes, fastest_noncompulsory_bytes
        Bytes that each spills and reloads.
    bytes_proved
        Whether no schedule spills and reloads fewer bytes than the first.
    """

    fewest_bytes: Certified[TimedPlan]
    fastest: Certified[TimedPlan]
    fewest_noncompulsory_bytes: int
    fastest_noncompulsory_bytes: int
    bytes_proved: bool

    @property
    def gap_s(self) -> float:
        """Additional seconds of the schedule of fewest bytes over the fastest one."""
        return self.fewest_bytes.value - self.fastest.value

    @property
    def gap_bytes(self) -> int:
        """Additional bytes of the fastest schedule over the one of fewest bytes."""
        return self.fastest_noncompulsory_bytes - self.fewest_noncompulsory_bytes


def latency(
    problem: Problem,
    capacity_bytes: int,
    dma: Dma,
    deadline: Deadline | None = None,
    *,
    scripts: Iterable[Script] = (),
    plans: Iterable[tuple[PlanActivity, ...]] = (),
    bound_bytes: float = 0,
    seed: int = 0,
) -> Certified[TimedPlan]:
    """Return a schedule of low makespan, with compute and transfers overlapped.

    Parameters
    ----------
    problem
        Steps with ``seconds`` (compute) and ``stream_bytes`` (weights read from off chip).
    capacity_bytes
        Capacity of the on-chip memory.
    dma
        Off-chip channels.
    deadline
        Time at which to stop; without one a fixed number of tries and states is spent.
    scripts
        Schedules to start from, such as those of fewest bytes: the result is never slower than any.
        By default a beam over orders and evictions of few bytes provides one.
    plans
        Plans to start from, such as that for a smaller memory or slower channels, which fits here
        and is no slower; the result is never slower than any. Plans that do not fit are ignored.
    bound_bytes
        Lower bound on the bytes that any schedule spills and reloads; strengthens the bound.
    seed
        Seed of the local search.

    Returns
    -------
    Certified
        The value is the makespan; if proved, it is the least over all orders, evictions and
        sequences of transfers. The method is ``given``, ``beam``, ``greedy``, ``local search`` or
        ``exact``. Without a plan if a step does not fit with nothing else resident.

    Notes
    -----
    Candidates are timed by the rules of `perfmodel.schedule.latency.prefetch`: reads begin in the
    order of need, as early as space allows. The best one is improved by a local search over orders
    and evictions; on small problems a branch and bound over all plans, with any order of transfers,
    returns the least makespan. The model is that of `perfmodel.schedule.latency.simulate`.
    """
    deadline = deadline or Deadline()
    tables = SimulationTables(problem, capacity_bytes, dma)
    bound = lower_bound(tables, bound_bytes)
    known = [
        c
        for c in (known_plan(tables, activities, SECONDS) for activities in plans)
        if c is not None
    ]
    best, method, tries = _best_candidate(tables, scripts, known, SECONDS, deadline, bound, seed)
    if best is None:
        return nothing(method, bound)
    answer = Certified(
        best.activities, best.makespan_s, bound, method, {"tries": tries, "states": 0}
    )
    if answer.value > bound and len(problem.steps) <= _MOST_STEPS_PROVED:
        proof = least_makespan(
            tables, answer.value, deadline, _MOST_NODES * _effort_factor(deadline)
        )
        answer = answer.or_better(proof)
    plan = _timed_plan(tables, answer.solution or ())
    return Certified(plan, plan.timeline.makespan_s, answer.bound, answer.method, answer.work)


def energy(
    problem: Problem,
    capacity_bytes: int,
    dma: Dma,
    power: ScheduleEnergyModel,
    deadline: Deadline | None = None,
    *,
    scripts: Iterable[Script] = (),
    bound_bytes: float = 0,
    seed: int = 0,
) -> Certified[TimedPlan]:
    """Return a schedule of low energy: off-chip transfers, plus static power times duration.

    Searches the candidates and the neighbourhood of `latency`, with the same parameters.
    """
    deadline = deadline or Deadline()
    tables = SimulationTables(problem, capacity_bytes, dma)
    least_s = lower_bound(tables, bound_bytes)
    read = sum(tables.load_bytes) + sum(
        s.stream_bytes
        for s, streamed in zip(problem.steps, tables.streams, strict=True)
        if streamed
    )
    written = sum(tables.sizes[t] for t in tables.required_stores)
    spilled_j = min(power.read_j_per_byte, power.write_j_per_byte) * bound_bytes
    bound = power.joules(least_s, read, written) + spilled_j
    best, method, _ = _best_candidate(tables, scripts, (), power, deadline, bound, seed)
    if best is None:
        return nothing(method, bound)
    plan = _timed_plan(tables, best.activities)
    joules = price_of(tables, power, plan.timeline.makespan_s, best.activities)
    return Certified(plan, joules, bound, method)


def tradeoff(
    problem: Problem,
    capacity_bytes: int,
    dma: Dma,
    deadline: Deadline | None = None,
    *,
    fewest: Certified[Script] | None = None,
) -> Tradeoff | None:
    """Return the schedule of fewest bytes and the fastest one.

    Parameters
    ----------
    fewest
        The outcome for bytes, if known; by default half of the time is spent on it.

    Returns
    -------
    Tradeoff or None
        None if a step does not fit with nothing else resident.
    """
    deadline = deadline or Deadline()
    if fewest is None:
        from perfmodel.schedule.portfolio import fewest_bytes

        half = deadline.share(_SHARE)
        fewest = fewest_bytes(problem, capacity_bytes, deadline=half)
    if fewest.solution is None:
        return None
    tables = SimulationTables(problem, capacity_bytes, dma)
    of_bytes = candidate(tables, fewest.solution, SECONDS)
    if of_bytes is None:
        return None
    fastest = latency(
        problem,
        capacity_bytes,
        dma,
        deadline,
        scripts=(fewest.solution,),
        bound_bytes=fewest.bound,
    )
    assert fastest.solution is not None
    first = _timed_plan(tables, of_bytes.activities)
    return Tradeoff(
        Certified(first, first.timeline.makespan_s, fastest.bound, "given"),
        fastest,
        first.timeline.noncompulsory_bytes(problem),
        fastest.solution.timeline.noncompulsory_bytes(problem),
        fewest.proved,
    )


def _timed_plan(tables: SimulationTables, activities: tuple[PlanActivity, ...]) -> TimedPlan:
    """Return a plan with its script and timeline."""
    timeline = simulate(tables.problem, activities, tables.capacity_bytes, tables.dma)
    script = script_of(activities)
    replay(tables.problem, script, tables.capacity_bytes)  # raises if it is invalid
    return TimedPlan(script, activities, timeline)


def _best_candidate(
    tables: SimulationTables,
    scripts: Iterable[Script],
    known: Iterable[Candidate],
    price: ScheduleEnergyModel,
    deadline: Deadline,
    bound: float,
    seed: int,
) -> tuple[Candidate | None, str, int]:
    """Return the cheapest candidate after local search, the method that found it, and the tries."""
    problem, capacity = tables.problem, tables.capacity_bytes
    best = min(known, key=lambda c: c.price, default=None)
    method = "given"
    for name, script in _starting_scripts(problem, capacity, scripts, deadline):
        better = candidate(tables, script, price)
        if better is not None and (best is None or better.price < best.price):
            best, method = better, name
        if best is not None and name != "given" and deadline.passed():
            break
    if best is None:
        return None, method, 0
    tries = 0
    if best.price > bound * _ROUND_OFF and not deadline.passed():
        tries = _TRIES * _effort_factor(deadline)
        better = improve_script(tables, best, price, deadline.share(_SHARE), tries, seed)
        if len(problem.steps) <= _MOST_STEPS_PROVED:
            deadline = deadline.share(_SHARE)  # the remainder is for the proof
        better = improve_activities(tables, better, price, deadline, tries, seed)
        if better.price < best.price:
            best, method = better, "local search"
    return best, method, tries


def _effort_factor(deadline: Deadline) -> int:
    """Return the factor on the effort of searches: large if the clock limits them anyway."""
    return 1 if deadline.left() == math.inf else _TIMED_FACTOR


def _starting_scripts(
    problem: Problem, capacity: int, known: Iterable[Script], deadline: Deadline
) -> Iterable[tuple[str, Script]]:
    """Yield scripts to start from, each with the method that made it."""
    is_empty = True
    for script in known:
        is_empty = False
        yield "given", script
    if is_empty and not deadline.passed():
        # A schedule of few bytes is a good start.
        from perfmodel.schedule.exact import beam

        allowed = deadline.share(_BEAM_SHARE)
        better = beam(problem, capacity, _BEAM_WIDTH, allowed)
        if better.solution is not None:
            yield "beam", better.solution
    for _, order in orders(problem):
        late = with_loads(problem, [s for s in order if not problem.steps[s].load])
        for rule in RULES:
            script = script_by_rule(problem, late, capacity, rule)
            if script is not None:
                yield "greedy", script
