"""Schedules of least latency and least energy, and their tradeoff with fewest bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import orders
from perfmodel.schedule.latency.bounds import lower_bound
from perfmodel.schedule.latency.exact import exact
from perfmodel.schedule.latency.improve import (
    RULES,
    Candidate,
    candidate,
    evicted,
    improve,
    known_plan,
    polish,
    price_of,
    script_of,
    with_loads,
)
from perfmodel.schedule.latency.model import (
    SECONDS,
    Dma,
    PlanActivity,
    ScheduleEnergyModel,
    Timeline,
)
from perfmodel.schedule.latency.simulate import SimulationTables, simulate
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

# Maximum number of steps for the search over all plans, and number of states without a deadline.
SMALL = 24
NODES = 20_000
# Number of local search tries without a deadline.
TRIES = 400
# Factor on states and tries with a deadline, so that the clock is the effective limit.
TIMED = 100
# Share of the remaining time for each phase but the last, and for the first beam, which is quick.
SHARE = 0.5
BEAM_SHARE = 0.2
# Width of the beam for few bytes that starts the search if no schedule is given.
WIDTH = 20
# Relative tolerance for round-off: the same durations are summed in different orders.
ROUNDING = 1 + 1e-12


@dataclass(frozen=True, slots=True)
class TimedPlan:
    """A schedule with its timed plan.

    Attributes
    ----------
    script
        Order and evictions.
    moves
        The plan: activities in the order of their starts.
    timeline
        Timeline of the plan, by `simulate`.
    """

    script: Script
    moves: tuple[PlanActivity, ...]
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
    facts = SimulationTables(problem, capacity_bytes, dma)
    bound = lower_bound(facts, bound_bytes)
    known = [c for c in (known_plan(facts, moves, SECONDS) for moves in plans) if c is not None]
    best, method, tries = _best(facts, scripts, known, SECONDS, deadline, bound, seed)
    if best is None:
        return nothing(method, bound)
    answer = Certified(best.moves, best.makespan_s, bound, method, {"tries": tries, "states": 0})
    if answer.value > bound and len(problem.steps) <= SMALL:
        every = exact(facts, answer.value, deadline, NODES * _patience(deadline))
        answer = answer.or_better(every)
    plan = _timed_plan(facts, answer.solution or ())
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
    facts = SimulationTables(problem, capacity_bytes, dma)
    least_s = lower_bound(facts, bound_bytes)
    read = sum(facts.load_bytes) + sum(
        s.stream_bytes for s, streamed in zip(problem.steps, facts.streams, strict=True) if streamed
    )
    written = sum(facts.sizes[t] for t in facts.owed)
    spilled_j = min(power.read_j_per_byte, power.write_j_per_byte) * bound_bytes
    bound = power.joules(least_s, read, written) + spilled_j
    best, method, _ = _best(facts, scripts, (), power, deadline, bound, seed)
    if best is None:
        return nothing(method, bound)
    plan = _timed_plan(facts, best.moves)
    joules = price_of(facts, power, plan.timeline.makespan_s, best.moves)
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

        half = deadline.within(SHARE * deadline.left())
        fewest = fewest_bytes(problem, capacity_bytes, deadline=half)
    if fewest.solution is None:
        return None
    facts = SimulationTables(problem, capacity_bytes, dma)
    of_bytes = candidate(facts, fewest.solution, SECONDS)
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
    first = _timed_plan(facts, of_bytes.moves)
    return Tradeoff(
        Certified(first, first.timeline.makespan_s, fastest.bound, "given"),
        fastest,
        first.timeline.noncompulsory_bytes(problem),
        fastest.solution.timeline.noncompulsory_bytes(problem),
        fewest.proved,
    )


def _timed_plan(facts: SimulationTables, moves: tuple[PlanActivity, ...]) -> TimedPlan:
    timeline = simulate(facts.problem, moves, facts.capacity_bytes, facts.dma)
    script = script_of(moves)
    replay(facts.problem, script, facts.capacity_bytes)  # raises if it is invalid
    return TimedPlan(script, moves, timeline)


def _best(
    facts: SimulationTables,
    scripts: Iterable[Script],
    known: Iterable[Candidate],
    price: ScheduleEnergyModel,
    deadline: Deadline,
    bound: float,
    seed: int,
) -> tuple[Candidate | None, str, int]:
    """Return the cheapest candidate after local search, the method that found it, and the tries."""
    problem, capacity = facts.problem, facts.capacity_bytes
    best = min(known, key=lambda c: c.price, default=None)
    method = "given"
    for name, script in _scripts(problem, capacity, scripts, deadline):
        better = candidate(facts, script, price)
        if better is not None and (best is None or better.price < best.price):
            best, method = better, name
        if best is not None and name != "given" and deadline.passed():
            break
    if best is None:
        return None, method, 0
    tries = 0
    if best.price > bound * ROUNDING and not deadline.passed():
        tries = TRIES * _patience(deadline)
        better = improve(facts, best, price, deadline.within(SHARE * deadline.left()), tries, seed)
        if len(problem.steps) <= SMALL:
            deadline = deadline.within(SHARE * deadline.left())  # the remainder is for the proof
        better = polish(facts, better, price, deadline, tries, seed)
        if better.price < best.price:
            best, method = better, "local search"
    return best, method, tries


def _patience(deadline: Deadline) -> int:
    return 1 if deadline.left() == math.inf else TIMED


def _scripts(
    problem: Problem, capacity: int, known: Iterable[Script], deadline: Deadline
) -> Iterable[tuple[str, Script]]:
    none = True
    for script in known:
        none = False
        yield "given", script
    if none and not deadline.passed():
        # A schedule of few bytes is a good start.
        from perfmodel.schedule.exact import beam

        allowed = deadline.within(BEAM_SHARE * deadline.left())
        better = beam(problem, capacity, WIDTH, allowed)
        if better.solution is not None:
            yield "beam", better.solution
    for _, order in orders(problem):
        late = with_loads(problem, [s for s in order if not problem.steps[s].load])
        for rule in RULES:
            script = evicted(problem, late, capacity, rule)
            if script is not None:
                yield "greedy", script
