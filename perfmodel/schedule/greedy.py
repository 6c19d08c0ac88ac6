"""Fast schedules: three orders, each with Belady's replacement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, outcome_of


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
    left = [len(r) for r in problem.readers]
    waiting = [sum(not steps[p].load for p in before) for before in problem.predecessors]
    loaded: set[int] = set()
    ready = [s for s in range(len(steps)) if not waiting[s] and not steps[s].load]
    order: list[int] = []

    def net(s: int) -> tuple[int, int, int]:
        freed = sum(sizes[t] for t in steps[s].reads if left[t] == 1)
        outputs = sum(sizes[t] for t in steps[s].writes if left[t])
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
        for p in problem.predecessors[s]:
            if steps[p].load and p not in loaded:
                loaded.add(p)
                order.append(p)
        order.append(s)
        for t in steps[s].reads:
            left[t] -= 1
        for r in problem.successors[s]:
            waiting[r] -= 1
            if not waiting[r]:
                ready.append(r)
    order += [s for s in range(len(steps)) if steps[s].load and s not in loaded]
    return tuple(order)


def orders(problem: Problem) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the natural, the depth-first and the memory-greedy order with their names."""
    yield "natural", tuple(range(len(problem.steps)))
    yield "depth-first", depth_first_order(problem)
    yield "memory-greedy", memory_greedy_order(problem)


def belady(problem: Problem, order: Sequence[int], capacity_bytes: int) -> Script | None:
    """Return a script that evicts the buffers whose next use is farthest away.

    Among buffers with equally distant uses the larger is evicted first. Evictions that prove
    unnecessary are undone. (Belady 1966; not optimal where sizes differ and stores cost.)

    Returns
    -------
    Script or None
        None if the working set of a step exceeds the capacity.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        return None
    steps, sizes = problem.steps, [b.size_bytes for b in problem.buffers]
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
        over = on_chip + missing + problem.growth_bytes[s] - capacity_bytes
        out: list[int] = []
        if over > 0:
            others = sorted(
                resident.difference(step.reads), key=lambda t: (uses[t][-1], sizes[t]), reverse=True
            )
            freed = 0
            for t in others:
                if freed >= over:
                    break
                out.append(t)
                freed += sizes[t]
            for t in sorted(out, key=lambda t: -sizes[t]):
                if freed - sizes[t] >= over:
                    out.remove(t)
                    freed -= sizes[t]
        evictions.append(tuple(out))
        resident.difference_update(out)
        resident.update(step.reads)
        for t in dict.fromkeys(step.reads):
            uses[t].pop()
        resident.update(step.writes)
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
