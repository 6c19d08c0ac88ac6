"""Symmetry of the integer programme: interchangeable branches, chains of equal steps.

Branches between the same neighbours may be swapped without a change of cost, so that the programme
(`order_and_retention.py`) fixes one order of them and a solver need not enumerate the others.
"""

from __future__ import annotations

from perfmodel.schedule.problem import Problem


def interchangeable_chains(problem: Problem) -> list[list[tuple[int, ...]]]:
    """Return groups of private chains of steps that any schedule may swap.

    A private chain is a step, extended by its only successor as long as that one has no other
    predecessor. Two chains are alike if they read the same buffers, write buffers of the same
    sizes, and end at the same readers; swapping them step by step changes no cost, so that one
    order of their first steps is as good as any other.

    Returns
    -------
    list of list of tuple of int
        Steps of each chain; at least two chains per group, in natural order.
    """
    groups: dict[tuple[object, ...], list[tuple[int, ...]]] = {}
    inside: set[int] = set()
    for first in range(len(problem.steps)):
        if first in inside:
            continue
        chain = [first]
        while len(after := problem.successors[chain[-1]]) == 1:
            if problem.predecessors[after[0]] != (chain[-1],):
                break
            chain.append(after[0])
        inside.update(chain[1:])
        groups.setdefault(_signature(problem, chain), []).append(tuple(chain))
    return [group for group in groups.values() if len(group) > 1]


def _signature(problem: Problem, chain: list[int]) -> tuple[object, ...]:
    """Return the properties of a chain that affect a schedule, independent of its step numbers."""
    place = {t: (i, j) for i, s in enumerate(chain) for j, t in enumerate(problem.steps[s].writes)}
    parts: list[object] = []
    for i, s in enumerate(chain):
        step = problem.steps[s]
        outside = tuple(sorted(t for t in step.reads if t not in place))
        own = tuple(sorted(place[t] for t in step.reads if t in place))
        over = place.get(step.takes_over, step.takes_over)
        written: list[object] = []
        for t in step.writes:
            buffer = problem.buffers[t]
            readers = [r for r in problem.readers[t] if r not in chain]
            taken = any(problem.steps[r].takes_over == t for r in readers)
            written.append((buffer.size_bytes, buffer.stored, tuple(readers), taken))
        parts.append((i, outside, own, over, step.scratch_bytes, step.load, tuple(written)))
    return tuple(parts)
