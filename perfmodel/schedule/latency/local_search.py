"""Local search for low latency or energy: steps moved, evictions or single transfers changed.

A heuristic without proof. `improve_script` changes the order and the evictions and times the plan
that `prefetch` makes of each script; `improve_activities` then moves single transfers within the
best plan. Both accept a change that costs no more (a random walk over plateaus).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal, TypeAlias

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import script_with_evictions, with_loads
from perfmodel.schedule.latency.prefetch import least_timed_plan
from perfmodel.schedule.latency.simulate import Simulation, SimulationTables
from perfmodel.schedule.latency.timeline import SECONDS, PlanActivity, ScheduleEnergyModel
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script

#: Rules by which buffers are evicted, see `script_by_rule`.
Rule: TypeAlias = Literal["far", "copied", "small"]
RULES: tuple[Rule, ...] = ("far", "copied", "small")

#: A buffer and its number of remaining reads when it is evicted.
Eviction: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A script with its plan, its makespan in seconds, and its price in seconds or joules."""

    script: Script
    activities: tuple[PlanActivity, ...]
    makespan_s: float
    price: float


def price_of(
    tables: SimulationTables,
    price: ScheduleEnergyModel,
    makespan_s: float,
    activities: Iterable[PlanActivity],
) -> float:
    """Return the price of a plan in seconds or joules."""
    if price is SECONDS:
        return makespan_s
    return price.joules(makespan_s, *transferred_bytes(tables, activities))


def transferred_bytes(
    tables: SimulationTables, activities: Iterable[PlanActivity]
) -> tuple[int, int]:
    """Return the bytes that a plan reads from and writes to off-chip memory."""
    read = written = 0
    for activity in activities:
        match activity.what:
            case "load":
                read += tables.load_bytes[activity.index]
            case "stream":
                read += tables.problem.steps[activity.index].stream_bytes
            case "reload":
                read += tables.sizes[activity.index]
            case "store":
                written += tables.sizes[activity.index]
            case _:
                pass
    return read, written


def candidate(
    tables: SimulationTables, script: Script, price: ScheduleEnergyModel
) -> Candidate | None:
    """Return a script with its plan by the rules of `prefetch`; None if stores deadlock."""
    timing = least_timed_plan(tables, script)
    if timing is None:
        return None
    makespan, activities = timing
    return Candidate(script, activities, makespan, price_of(tables, price, makespan, activities))


def known_plan(
    tables: SimulationTables, activities: tuple[PlanActivity, ...], price: ScheduleEnergyModel
) -> Candidate | None:
    """Return a plan as a candidate, or None if it is invalid or does not fit."""
    end = _makespan(tables, activities, math.inf)
    if end == math.inf:
        return None
    return Candidate(
        script_of(activities), activities, end, price_of(tables, price, end, activities)
    )


def script_of(activities: Iterable[PlanActivity]) -> Script:
    """Return the order and evictions of a plan.

    Reloads come later in a script than in a plan, never earlier, so that the script fits if the
    plan does.
    """
    order: list[int] = []
    evictions: list[tuple[int, ...]] = []
    out: list[int] = []
    for activity in activities:
        if activity.what == "drop":
            out.append(activity.index)
        elif activity.what == "reload" and activity.index in out:
            out.remove(activity.index)
        elif activity.what in ("run", "load"):
            order.append(activity.index)
            evictions.append(tuple(out))
            out = []
    return Script(tuple(order), tuple(evictions))


def script_by_rule(
    problem: Problem,
    order: Sequence[int],
    capacity_bytes: int,
    rule: Rule = "far",
    preferred: Set[Eviction] = frozenset(),
) -> Script | None:
    """Return a script of an order, with buffers evicted whenever it does not fit.

    Parameters
    ----------
    rule
        Eviction rule: ``far``, the buffer with the farthest next use (Belady); ``copied``, one with
        a copy off chip; ``small``, the smallest sufficient buffer, else the largest.
    preferred
        Buffers, each with its number of remaining reads, to evict before all others.
    """
    sizes = [b.size_bytes for b in problem.buffers]

    def choose(
        candidates: set[int], excess: int, uses: Sequence[list[int]], stored: Sequence[bool]
    ) -> list[int]:
        victims: list[int] = []
        while excess > 0 and candidates:
            enough = min((sizes[t] for t in candidates if sizes[t] >= excess), default=0)
            t = max(
                candidates,
                key=lambda t: (
                    (t, len(uses[t])) in preferred,
                    sizes[t] == enough if rule == "small" else rule == "copied" and stored[t],
                    sizes[t] if rule == "small" and not enough else 0,
                    uses[t][-1],
                    sizes[t],
                    t,
                ),
            )
            candidates.discard(t)
            victims.append(t)
            excess -= sizes[t]
        return victims

    return script_with_evictions(problem, order, capacity_bytes, choose)


def improve_script(
    tables: SimulationTables,
    start: Candidate,
    price: ScheduleEnergyModel,
    deadline: Deadline,
    most_tries: int,
    seed: int = 0,
) -> Candidate:
    """Return the cheapest plan found by moving single steps or changing evictions.

    A random step moves to a random position between its predecessors and successors (mostly a near
    one), or another buffer becomes a preferred eviction; evictions are then chosen again, with
    those of the current plan preferred or by one of three rules; the plan is accepted if it costs
    no more. The sequence of tries depends on the seed only.
    """
    problem = tables.problem
    rng = random.Random(seed)
    order = [s for s in start.script.order if not problem.steps[s].load]
    evictions = evictions_of(problem, start.script)
    best = current = start
    for _ in range(most_tries):
        if deadline.passed() or len(order) < 2:
            break
        trial, preferred = order, evictions
        rule: Rule = "far"
        kind = rng.random()
        if kind < 0.6:
            trial = _with_moved_step(problem, order, rng)
        if kind < 0.3:
            rule, preferred = rng.choice(RULES), set[Eviction]()
        elif kind >= 0.6:
            preferred = evictions ^ {_random_eviction(problem, evictions, rng)}
        script = script_by_rule(
            problem, with_loads(problem, trial), tables.capacity_bytes, rule, preferred
        )
        if script is None or script == current.script:
            continue
        timed_plan = candidate(tables, script, price)
        if timed_plan is not None and timed_plan.price <= current.price:
            current, order, evictions = timed_plan, trial, evictions_of(problem, script)
            if current.price < best.price:
                best = current
    return best


def improve_activities(
    tables: SimulationTables,
    start: Candidate,
    price: ScheduleEnergyModel,
    deadline: Deadline,
    most_tries: int,
    seed: int = 0,
) -> Candidate:
    """Return the cheapest plan found by moving single activities of a plan.

    A random activity, mostly a transfer or a drop, moves earlier or later in the sequence; the plan
    is accepted if it is valid and costs no more.
    """
    rng = random.Random(seed)
    sequence = list(start.activities)
    makespan = start.makespan_s
    others = [a for a in sequence if a.what != "run"]
    for _ in range(most_tries if others else 0):
        if deadline.passed():
            break
        k = sequence.index(rng.choice(others if rng.random() < 0.85 else sequence))
        at = max(0, min(len(sequence) - 1, k + rng.choice((-8, -4, -3, -2, -1, 1, 2, 3, 4, 8))))
        if at == k:
            continue
        trial = sequence[:k] + sequence[k + 1 :]
        trial.insert(at, sequence[k])
        end = _makespan(tables, trial, makespan)
        if end <= makespan:
            sequence, makespan = trial, end
    if makespan >= start.makespan_s:
        return start
    activities = tuple(sequence)
    script = script_of(activities)
    return Candidate(script, activities, makespan, price_of(tables, price, makespan, activities))


def _makespan(tables: SimulationTables, activities: Iterable[PlanActivity], most: float) -> float:
    """Return the makespan of a plan, or infinity if it is invalid or longer than `most`."""
    simulation = Simulation(tables)
    try:
        for activity in activities:
            simulation.issue(activity)
            if simulation.end_s > most:
                return math.inf
    except ValueError:
        return math.inf
    return simulation.end_s if simulation.finished else math.inf


def _with_moved_step(problem: Problem, order: list[int], rng: random.Random) -> list[int]:
    """Return an order with one step moved, mostly to a near position."""
    k = rng.randrange(len(order))
    s = order[k]
    others = order[:k] + order[k + 1 :]
    first = max((i + 1 for i, r in enumerate(others) if problem.ancestors[s] >> r & 1), default=0)
    last = min(
        (i for i, r in enumerate(others) if problem.descendants[s] >> r & 1), default=len(others)
    )
    if rng.random() < 0.7:
        first, last = max(first, k - 4), min(last, k + 4)
    at = rng.randint(first, last)
    return [*others[:at], s, *others[at:]]


def _random_eviction(problem: Problem, evictions: set[Eviction], rng: random.Random) -> Eviction:
    """Return one of the evictions, or a random new one."""
    if evictions and rng.random() < 0.5:
        return rng.choice(sorted(evictions))
    t = rng.randrange(len(problem.buffers))
    return t, rng.randint(1, max(1, len(problem.readers[t])))


def evictions_of(problem: Problem, script: Script) -> set[Eviction]:
    """Return the evictions of a script: buffers, each with its number of remaining reads."""
    left = [len(r) for r in problem.readers]
    evictions: set[Eviction] = set()
    for s, out in zip(script.order, script.evictions, strict=True):
        evictions.update((t, left[t]) for t in out)
        for t in dict.fromkeys(problem.steps[s].reads):
            left[t] -= 1
    return evictions
