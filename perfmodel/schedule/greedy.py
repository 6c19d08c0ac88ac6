"""Fast schedules without proof: three orders, each with Belady's replacement.

They are the first method of the portfolio (`portfolio.py`), and the starts of all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, outcome_of

#: (buffers that may be evicted, bytes to free, positions of the uses left of each buffer, the next
#: one last, whether each buffer has a copy off chip) -> buffers to evict.
EvictionRule: TypeAlias = Callable[[set[int], int, Sequence[list[int]], Sequence[bool]], list[int]]


def depth_first_order(problem: Problem) -> tuple[int, ...]:
    """Return the order that finishes a branch before it begins the next."""
    order: list[int] = []
    done = 0
    stack = [s for s in range(len(problem.steps) - 1, -1, -1) if not problem.predecessors[s]]
    while stack:
        s = stack.pop()
        if done >> s & 1:
            continue
        done |= 1 << s
        order.append(s)
        stack += [r for r in reversed(problem.successors[s]) if not problem.ancestors[r] & ~done]
    return tuple(order)


def memory_greedy_order(problem: Problem) -> tuple[int, ...]:
    """Return the order that always runs the ready step leaving the fewest bytes on chip.

    Ties go to the step with the smaller need while it runs, then to the natural order. Inputs are
    loaded just before the first step that reads them.
    """
    steps, sizes = problem.steps, [b.size_bytes for b in problem.buffers]
    readers_left = [len(r) for r in problem.readers]
    predecessors_left = [sum(not steps[p].load for p in before) for before in problem.predecessors]
    loaded: set[int] = set()
    ready = [s for s in range(len(steps)) if not predecessors_left[s] and not steps[s].load]
    runs: list[int] = []

    def net(s: int) -> tuple[int, int, int]:
        freed = sum(sizes[t] for t in steps[s].reads if readers_left[t] == 1)
        outputs = sum(sizes[t] for t in steps[s].writes if readers_left[t])
        fresh = sum(
            sizes[t]
            for p in problem.predecessors[s]
            if steps[p].load and p not in loaded
            for t in steps[p].writes
        )
        return outputs + fresh - freed, problem.growth_bytes[s] + fresh, s

    while ready:
        s = min(ready, key=net)
        ready.remove(s)
        loaded.update(p for p in problem.predecessors[s] if steps[p].load)
        runs.append(s)
        for t in steps[s].reads:
            readers_left[t] -= 1
        for r in problem.successors[s]:
            predecessors_left[r] -= 1
            if not predecessors_left[r]:
                ready.append(r)
    return with_loads(problem, runs)


def with_loads(problem: Problem, runs: Sequence[int]) -> tuple[int, ...]:
    """Return an order of steps with each load just before the first step that reads it."""
    steps = problem.steps
    order: list[int] = []
    loaded: set[int] = set()
    for s in runs:
        for p in problem.predecessors[s]:
            if steps[p].load and p not in loaded:
                loaded.add(p)
                order.append(p)
        order.append(s)
    order += [s for s, step in enumerate(steps) if step.load and s not in loaded]
    return tuple(order)


def orders(problem: Problem) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the natural, the depth-first and the memory-greedy order with their names."""
    yield "natural", tuple(range(len(problem.steps)))
    yield "depth-first", depth_first_order(problem)
    yield "memory-greedy", memory_greedy_order(problem)


def belady(problem: Problem, order: Sequence[int], capacity_bytes: int) -> Script | None:
    """Return a script that evicts the buffers whose next use is farthest away.

    Among buffers with equally distant uses the larger is evicted first. (Belady 1966; not optimal
    where sizes differ and stores cost.)

    Returns
    -------
    Script or None
        None if the working set of a step exceeds the capacity.
    """
    sizes = [b.size_bytes for b in problem.buffers]

    def farthest(
        candidates: set[int], excess: int, uses: Sequence[list[int]], stored: Sequence[bool]
    ) -> list[int]:
        del stored
        victims: list[int] = []
        for t in sorted(candidates, key=lambda t: (uses[t][-1], sizes[t]), reverse=True):
            if excess <= 0:
                break
            victims.append(t)
            excess -= sizes[t]
        return victims

    return script_with_evictions(problem, order, capacity_bytes, farthest)


def script_with_evictions(
    problem: Problem, order: Sequence[int], capacity_bytes: int, choose: EvictionRule
) -> Script | None:
    """Return the script of an order in which buffers are evicted whenever a step does not fit.

    Evictions that prove unnecessary are undone, the largest buffer first.

    Returns
    -------
    Script or None
        None if the working set of a step exceeds the capacity.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        return None
    steps, sizes = problem.steps, [b.size_bytes for b in problem.buffers]
    stored = [b.stored for b in problem.buffers]
    uses: list[list[int]] = [[] for _ in sizes]
    for k in range(len(order) - 1, -1, -1):
        for t in dict.fromkeys(steps[order[k]].reads):
            uses[t].append(k)
    resident: set[int] = set()
    on_chip = 0
    evictions: list[tuple[int, ...]] = []
    for s in order:
        step = steps[s]
        missing = sum(sizes[t] for t in step.reads if t not in resident)
        excess = on_chip + missing + problem.growth_bytes[s] - capacity_bytes
        victims: list[int] = []
        if excess > 0:
            victims = choose(resident.difference(step.reads), excess, uses, stored)
            spare = sum(sizes[t] for t in victims) - excess
            for t in sorted(victims, key=lambda t: -sizes[t]):
                if sizes[t] <= spare:
                    victims.remove(t)
                    spare -= sizes[t]
        evictions.append(tuple(victims))
        for t in victims:
            stored[t] = True
        resident.difference_update(victims)
        resident.update(step.reads, step.writes)
        for t in dict.fromkeys(step.reads):
            uses[t].pop()
        resident = {t for t in resident if uses[t]}
        on_chip = sum(sizes[t] for t in resident)
    return Script(tuple(order), tuple(evictions))


def greedy(problem: Problem, capacity_bytes: int) -> Certified[Script]:
    """Return the cheapest script among three orders with Belady's replacement."""
    best: Certified[Script] = nothing("greedy")
    for _, order in orders(problem):
        script = belady(problem, order, capacity_bytes)
        best = best.or_better(outcome_of(problem, script, capacity_bytes, "greedy"))
    return best
