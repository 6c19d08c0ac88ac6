"""The fastest and the most frugal schedules, and what fewest bytes cost in time."""

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
    Price,
    candidate,
    evicted,
    improve,
    known_plan,
    polish,
    script_of,
    with_loads,
)
from perfmodel.schedule.latency.model import Dma, PlanActivity, Timeline
from perfmodel.schedule.latency.simulate import SimulationTables, simulate
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

# Up to so many steps the search over all plans is tried, for so many states without a deadline.
SMALL = 24
NODES = 20_000
# Tries of the local search without a deadline.
TRIES = 400
# With a deadline so many times as many states and tries: the clock is what stops them.
TIMED = 100
# Of the time left, for each thing that others come after; for the first beam, which is quick.
SHARE = 0.5
BEAM_SHARE = 0.2
# Of the beam for few bytes that the search begins with where no schedule is given.
WIDTH = 20
# Equal but for rounding: the same seconds are added up in different orders.
ROUNDING = 1 + 1e-12


@dataclass(frozen=True, slots=True)
class TimedPlan:
    """A schedule and when everything in it happens.

    Attributes
    ----------
    script
        Order and evictions.
    moves
        The plan: what begins after what.
    timeline
        As `simulate` times it.
    """

    script: Script
    moves: tuple[PlanActivity, ...]
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class ScheduleEnergyModel:
    """Energy of transfers and of time.

    Attributes
    ----------
    read_j_per_byte, write_j_per_byte
        Of what crosses the off-chip boundary.
    static_w
        Power that is drawn as long as the schedule lasts.
    fixed_j
        Energy that no schedule changes: arithmetic and on-chip accesses.
    """

    read_j_per_byte: float
    write_j_per_byte: float
    static_w: float = 0.0
    fixed_j: float = 0.0

    def __post_init__(self) -> None:
        values = (self.read_j_per_byte, self.write_j_per_byte, self.static_w, self.fixed_j)
        if not all(0 <= v < math.inf for v in values):
            raise ValueError("energies and powers are finite and not negative")

    @property
    def price(self) -> Price:
        """What a second and a byte cost, in joules."""
        return Price(self.static_w, self.read_j_per_byte, self.write_j_per_byte)


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """The schedule of fewest bytes beside the fastest one.

    Attributes
    ----------
    fewest_bytes, fastest
        Both schedules, timed by the same rules.
    fewest_noncompulsory_bytes, fastest_noncompulsory_bytes
        What each spills and reloads.
    bytes_proved
        No schedule spills and reloads less than the first.
    """

    fewest_bytes: Certified[TimedPlan]
    fastest: Certified[TimedPlan]
    fewest_noncompulsory_bytes: int
    fastest_noncompulsory_bytes: int
    bytes_proved: bool

    @property
    def gap_s(self) -> float:
        """Seconds that fewest bytes take more than the fastest schedule."""
        return self.fewest_bytes.value - self.fastest.value

    @property
    def gap_bytes(self) -> int:
        """Bytes that the fastest schedule moves more."""
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
    """Return a schedule of little makespan, with compute and transfers overlapped.

    Parameters
    ----------
    problem
        Steps with ``seconds`` (compute) and ``stream_bytes`` (weights that come in).
    capacity_bytes
        What the memory on chip holds.
    dma
        The channels off chip.
    deadline
        When to stop; without one a fixed number of tries and states is spent.
    scripts
        Schedules to begin with, such as those of fewest bytes: the result is never slower than any.
        Without any, a beam over orders and evictions of few bytes gives one.
    plans
        Plans to begin with, such as that for a smaller memory or slower channels, which fits here
        and is no slower; the result is never slower than any. What does not fit is passed over.
    bound_bytes
        Bytes that every schedule spills and reloads at least; raises the bound.
    seed
        Of the local search.

    Returns
    -------
    Certified
        The value is the makespan; proved, it is the least over all orders, evictions and sequences
        of transfers. The method is ``given``, ``beam``, ``greedy``, ``local search`` or ``exact``.
        Without a plan where a step does not fit by itself.

    Notes
    -----
    Candidates are timed as `perfmodel.schedule.latency.prefetch` has it: reads begin in the order
    of need, as early as space allows. The best one goes through a local search over orders and
    evictions; on small problems a branch and bound over all plans, in any order of transfers, ends
    with the least makespan there is. The model is that of `perfmodel.schedule.latency.simulate`.
    """
    deadline = deadline or Deadline()
    facts = SimulationTables(problem, capacity_bytes, dma)
    bound = lower_bound(facts, bound_bytes)
    known = [c for c in (known_plan(facts, moves, Price()) for moves in plans) if c is not None]
    best, method, tries = _best(facts, scripts, known, Price(), deadline, bound, seed)
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
    """Return a schedule of little energy: bytes off chip, and static power while it lasts.

    ``energy_j = read bytes x read_j_per_byte + written bytes x write_j_per_byte + static_w x
    makespan + fixed_j``, over the candidates and the local search of `latency`; parameters are as
    there.
    """
    deadline = deadline or Deadline()
    facts = SimulationTables(problem, capacity_bytes, dma)
    least_s = lower_bound(facts, bound_bytes)
    read = sum(facts.load_bytes) + sum(
        s.stream_bytes for s, streamed in zip(problem.steps, facts.streams, strict=True) if streamed
    )
    written = sum(facts.sizes[t] for t in facts.owed)
    bound = (
        power.fixed_j
        + power.static_w * least_s
        + power.read_j_per_byte * read
        + power.write_j_per_byte * written
        + min(power.read_j_per_byte, power.write_j_per_byte) * bound_bytes
    )
    best, method, _ = _best(facts, scripts, (), power.price, deadline, bound - power.fixed_j, seed)
    if best is None:
        return nothing(method, bound)
    plan = _timed_plan(facts, best.moves)
    joules = power.price.of(facts, plan.timeline.makespan_s, best.moves) + power.fixed_j
    return Certified(plan, joules, bound, method)


def tradeoff(
    problem: Problem,
    capacity_bytes: int,
    dma: Dma,
    deadline: Deadline | None = None,
    *,
    fewest: Certified[Script] | None = None,
) -> Tradeoff | None:
    """Return the schedule of fewest bytes beside the fastest one.

    Parameters
    ----------
    fewest
        The outcome for bytes, where it is known; else it is sought, for half of the time.

    Returns
    -------
    Tradeoff or None
        None where a step does not fit by itself.
    """
    deadline = deadline or Deadline()
    if fewest is None:
        from perfmodel.schedule.portfolio import fewest_bytes

        half = deadline.within(SHARE * deadline.left())
        fewest = fewest_bytes(problem, capacity_bytes, deadline=half)
    if fewest.solution is None:
        return None
    facts = SimulationTables(problem, capacity_bytes, dma)
    of_bytes = candidate(facts, fewest.solution, Price())
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
    replay(facts.problem, script, facts.capacity_bytes)  # the plan is a schedule like any other
    return TimedPlan(script, moves, timeline)


def _best(
    facts: SimulationTables,
    scripts: Iterable[Script],
    known: Iterable[Candidate],
    price: Price,
    deadline: Deadline,
    bound: float,
    seed: int,
) -> tuple[Candidate | None, str, int]:
    """Return the cheapest candidate after the local search, what found it, and the tries."""
    problem, capacity = facts.problem, facts.capacity_bytes
    best = min(known, key=lambda c: c.price, default=None)
    method = "given"
    for name, script in _scripts(problem, capacity, scripts, deadline):
        found = candidate(facts, script, price)
        if found is not None and (best is None or found.price < best.price):
            best, method = found, name
        if best is not None and name != "given" and deadline.passed():
            break
    if best is None:
        return None, method, 0
    tries = 0
    if best.price > bound * ROUNDING and not deadline.passed():
        tries = TRIES * _patience(deadline)
        better = improve(facts, best, price, deadline.within(SHARE * deadline.left()), tries, seed)
        if len(problem.steps) <= SMALL:
            deadline = deadline.within(SHARE * deadline.left())  # the rest is for the proof
        better = polish(facts, better, price, deadline, tries, seed)
        if better.price < best.price:
            best, method = better, "local search"
    return best, method, tries


def _patience(deadline: Deadline) -> int:
    return 1 if deadline.left() == math.inf else TIMED


def _scripts(
    problem: Problem, capacity: int, given: Iterable[Script], deadline: Deadline
) -> Iterable[tuple[str, Script]]:
    none = True
    for script in given:
        none = False
        yield "given", script
    if none and not deadline.passed():
        # Few bytes are a good beginning.
        from perfmodel.schedule.exact import beam

        allowed = deadline.within(BEAM_SHARE * deadline.left())
        found = beam(problem, capacity, WIDTH, allowed)
        if found.solution is not None:
            yield "beam", found.solution
    for _, order in orders(problem):
        late = with_loads(problem, [s for s in order if not problem.steps[s].load])
        for rule in RULES:
            script = evicted(problem, late, capacity, rule)
            if script is not None:
                yield "greedy", script
