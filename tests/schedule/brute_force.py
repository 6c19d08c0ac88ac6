"""The fewest bytes spilled and reloaded, by trying every order and every eviction.

A shortest path over (executed, resident, stored): one move evicts one buffer or runs one step.
Nothing is left out, nothing merged, no load put off but to the step that needs it.
"""

from __future__ import annotations

from heapq import heappop, heappush

from perfmodel.schedule.problem import Problem


def fewest_bytes(problem: Problem, capacity: int) -> int | None:
    """The cost of the cheapest schedule; None where a step does not fit."""
    sizes = [b.size_bytes for b in problem.buffers]
    free = frozenset(t for t, b in enumerate(problem.buffers) if b.stored)
    everything = frozenset(range(len(problem.steps)))
    before = [{problem.maker[t] for t in step.reads} for step in problem.steps]
    start = (frozenset[int](), frozenset[int](), free)
    best = {start: 0}
    heap = [(0, 0, start)]
    ticket = 0
    while heap:
        cost, _, state = heappop(heap)
        if best[state] < cost:
            continue
        done, resident, copied = state
        if done == everything:
            return cost
        moves: list[tuple[int, tuple[frozenset[int], frozenset[int], frozenset[int]]]] = []
        for t in resident:
            store = 0 if t in copied else sizes[t]
            moves.append((cost + store, (done, resident - {t}, copied | {t})))
        for s in everything - done:
            step = problem.steps[s]
            if not before[s] <= done:
                continue
            absent = set(step.reads) - resident
            if not absent <= copied:
                continue
            there = resident | absent
            need = sum(sizes[t] for t in there) + step.scratch_bytes
            need += sum(sizes[t] for t in step.writes)
            if step.takes_over >= 0:
                need -= min(sizes[step.takes_over], sizes[step.writes[0]])
            if need > capacity:
                continue
            after = done | {s}
            left = frozenset(
                t for t in there | set(step.writes) if not after.issuperset(problem.readers[t])
            )
            moves.append((cost + sum(sizes[t] for t in absent), (after, left, copied)))
        for paid, new in moves:
            if paid < best.get(new, paid + 1):
                best[new] = paid
                ticket += 1
                heappush(heap, (paid, ticket, new))
    return None
