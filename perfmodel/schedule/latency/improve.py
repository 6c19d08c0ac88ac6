"""Local search over scripts: steps moved, evictions changed, with the plan timed each time."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal, TypeAlias

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.latency.model import SECONDS, PlanActivity, ScheduleEnergyModel
from perfmodel.schedule.latency.prefetch import timed
from perfmodel.schedule.latency.simulate import Simulation, SimulationTables
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script

Rule: TypeAlias = Literal["far", "copied", "small"]
Gap: TypeAlias = tuple[int, int]
RULES: tuple[Rule, ...] = ("far", "copied", "small")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A script with its plan, makespan and price."""

    script: Script
    moves: tuple[PlanActivity, ...]
    makespan_s: float
    price: float


def price_of(
    facts: SimulationTables,
    price: ScheduleEnergyModel,
    makespan_s: float,
    moves: Iterable[PlanActivity],
) -> float:
    """Return the price of a plan in seconds or joules."""
    read_and_written = (0, 0) if price is SECONDS else moved_bytes(facts, moves)
    return price.joules(makespan_s, *read_and_written)


def moved_bytes(facts: SimulationTables, moves: Iterable[PlanActivity]) -> tuple[int, int]:
    """Return the bytes that a plan reads from and writes to off-chip memory."""
    read = written = 0
    for move in moves:
        match move.what:
            case "load":
                read += facts.load_bytes[move.index]
            case "stream":
                read += facts.problem.steps[move.index].stream_bytes
            case "reload":
                read += facts.sizes[move.index]
            case "store":
                written += facts.sizes[move.index]
            case _:
                pass
    return read, written


def candidate(
    facts: SimulationTables, script: Script, price: ScheduleEnergyModel
) -> Candidate | None:
    """Return a script with its plan by the rules of `prefetch`; None if stores deadlock."""
    timing = timed(facts, script)
    if timing is None:
        return None
    makespan, moves = timing
    return Candidate(script, moves, makespan, price_of(facts, price, makespan, moves))


def known_plan(
    facts: SimulationTables, moves: tuple[PlanActivity, ...], price: ScheduleEnergyModel
) -> Candidate | None:
    """Return a plan as a candidate, or None if it is invalid or does not fit."""
    end = _end(facts, moves, math.inf)
    if end == math.inf:
        return None
    return Candidate(script_of(moves), moves, end, price_of(facts, price, end, moves))


def script_of(moves: Iterable[PlanActivity]) -> Script:
    """Return the order and evictions of a plan.

    Reloads come later in a script than in a plan, never earlier, so that the script fits if the
    plan does.
    """
    order: list[int] = []
    evictions: list[tuple[int, ...]] = []
    out: list[int] = []
    for move in moves:
        if move.what == "drop":
            out.append(move.index)
        elif move.what == "reload" and move.index in out:
            out.remove(move.index)
        elif move.what in ("run", "load"):
            order.append(move.index)
            evictions.append(tuple(out))
            out = []
    return Script(tuple(order), tuple(evictions))


def evicted(
    problem: Problem,
    order: Sequence[int],
    capacity_bytes: int,
    rule: Rule = "far",
    preferred: Set[Gap] = frozenset(),
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
    uses: list[list[int]] = [[] for _ in sizes]
    for k in range(len(order) - 1, -1, -1):
        for t in dict.fromkeys(problem.steps[order[k]].reads):
            uses[t].append(k)
    copied = [b.stored for b in problem.buffers]
    resident: set[int] = set()
    occupied = 0
    evictions: list[tuple[int, ...]] = []
    for s in order:
        step = problem.steps[s]
        missing = [t for t in dict.fromkeys(step.reads) if t not in resident]
        over = occupied + sum(sizes[t] for t in missing) + problem.growth_bytes[s] - capacity_bytes
        out: list[int] = []
        if over > 0:
            others = resident.difference(step.reads)
            while over > 0 and others:
                enough = min((sizes[t] for t in others if sizes[t] >= over), default=0)
                t = max(
                    others,
                    key=lambda t: (
                        (t, len(uses[t])) in preferred,
                        sizes[t] == enough if rule == "small" else rule == "copied" and copied[t],
                        sizes[t] if rule == "small" and not enough else 0,
                        uses[t][-1],
                        sizes[t],
                        t,
                    ),
                )
                others.discard(t)
                out.append(t)
                over -= sizes[t]
            for t in sorted(out, key=lambda t: -sizes[t]):
                if over + sizes[t] <= 0:
                    out.remove(t)
                    over += sizes[t]
            if over > 0:
                return None
        for t in out:
            copied[t] = True
            resident.discard(t)
        evictions.append(tuple(out))
        resident.update(step.reads, step.writes)
        for t in dict.fromkeys(step.reads):
            uses[t].pop()
        resident = {t for t in resident if uses[t]}
        occupied = sum(sizes[t] for t in resident)
    return Script(tuple(order), tuple(evictions))


def improve(
    facts: SimulationTables,
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
    problem = facts.problem
    rng = random.Random(seed)
    order = [s for s in start.script.order if not problem.steps[s].load]
    gaps = gaps_of(problem, start.script)
    best = here = start
    for _ in range(most_tries):
        if deadline.passed() or len(order) < 2:
            break
        tried, wanted = order, gaps
        rule: Rule = "far"
        kind = rng.random()
        if kind < 0.6:
            tried = _moved(problem, order, rng)
        if kind < 0.3:
            rule, wanted = rng.choice(RULES), set[Gap]()
        elif kind >= 0.6:
            wanted = gaps ^ {_some_gap(problem, gaps, rng)}
        script = evicted(problem, with_loads(problem, tried), facts.capacity_bytes, rule, wanted)
        if script is None or script == here.script:
            continue
        timed_plan = candidate(facts, script, price)
        if timed_plan is not None and timed_plan.price <= here.price:
            here, order, gaps = timed_plan, tried, gaps_of(problem, script)
            if here.price < best.price:
                best = here
    return best


def polish(
    facts: SimulationTables,
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
    here = list(start.moves)
    makespan = start.makespan_s
    others = [m for m in here if m.what != "run"]
    for _ in range(most_tries if others else 0):
        if deadline.passed():
            break
        k = here.index(rng.choice(others if rng.random() < 0.85 else here))
        at = max(0, min(len(here) - 1, k + rng.choice((-8, -4, -3, -2, -1, 1, 2, 3, 4, 8))))
        if at == k:
            continue
        tried = here[:k] + here[k + 1 :]
        tried.insert(at, here[k])
        end = _end(facts, tried, makespan)
        if end <= makespan:
            here, makespan = tried, end
    if makespan >= start.makespan_s:
        return start
    moves = tuple(here)
    script = script_of(moves)
    return Candidate(script, moves, makespan, price_of(facts, price, makespan, moves))


def _end(facts: SimulationTables, moves: Iterable[PlanActivity], most: float) -> float:
    """Return the makespan of a plan, or infinity if it is invalid or longer than `most`."""
    simulation = Simulation(facts)
    try:
        for move in moves:
            simulation.issue(move)
            if simulation.end_s > most:
                return math.inf
    except ValueError:
        return math.inf
    return simulation.end_s if simulation.finished else math.inf


def _moved(problem: Problem, order: list[int], rng: random.Random) -> list[int]:
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


def _some_gap(problem: Problem, gaps: set[Gap], rng: random.Random) -> Gap:
    """Return one of the gaps, or a random new one."""
    if gaps and rng.random() < 0.5:
        return rng.choice(sorted(gaps))
    t = rng.randrange(len(problem.buffers))
    return t, rng.randint(1, max(1, len(problem.readers[t])))


def gaps_of(problem: Problem, script: Script) -> set[Gap]:
    """Return the evictions of a script: buffers, each with its number of remaining reads."""
    left = [len(r) for r in problem.readers]
    gaps: set[Gap] = set()
    for s, out in zip(script.order, script.evictions, strict=True):
        gaps.update((t, left[t]) for t in out)
        for t in dict.fromkeys(problem.steps[s].reads):
            left[t] -= 1
    return gaps


def with_loads(problem: Problem, runs: Sequence[int]) -> tuple[int, ...]:
    """Return an order of steps with each load just before the first step that reads it."""
    steps = problem.steps
    order: list[int] = []
    placed: set[int] = set()
    for s in runs:
        for p in problem.predecessors[s]:
            if steps[p].load and p not in placed:
                placed.add(p)
                order.append(p)
        order.append(s)
    order += [s for s, step in enumerate(steps) if step.load and s not in placed]
    return tuple(order)
