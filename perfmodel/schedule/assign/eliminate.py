"""The best engine of every operator when one thing happens at a time: variable elimination.

The seconds of a run are a sum of terms, one per operator (its cost) and one per tensor (what it
takes to send it to the engines of its readers), each over a few variables with as many values as
there are engines. Bertele and Brioschi, "Nonserial Dynamic Programming", 1972: minimise over one
variable after another, each time replacing the terms that hold it by one over its neighbours.
Exact; on a chain it is Viterbi's algorithm; the largest term grows with the width of the graph, not
its length.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Most entries of a term: beyond it the graph is too wide, and `sequential` gives up.
LARGEST = 1 << 20

#: Readers of a tensor up to which its term is over maker and readers themselves.
_DIRECT = 2


@dataclass(slots=True)
class _CostNetwork:
    """Terms by number, variables with their sizes, and which terms hold which variable."""

    sizes: list[int]
    terms: dict[int, tuple[tuple[int, ...], Floats]] = field(
        default_factory=dict[int, tuple[tuple[int, ...], Floats]]
    )
    holding: list[set[int]] = field(default_factory=list[set[int]])
    added: int = 0

    def add(self, scope: tuple[int, ...], values: Floats) -> None:
        """Add a term; its axes are sorted by variable."""
        order = np.argsort(scope)
        self.terms[self.added] = (tuple(scope[int(k)] for k in order), values.transpose(order))
        for v in scope:
            self.holding[v].add(self.added)
        self.added += 1

    def variable(self, size: int) -> int:
        """Add a variable and return its number."""
        self.sizes.append(size)
        self.holding.append(set())
        return len(self.sizes) - 1

    def neighbours(self, v: int) -> set[int]:
        """Variables that share a term with one, itself included."""
        return {u for k in self.holding[v] for u in self.terms[k][0]} | {v}

    def entries(self, variables: set[int]) -> int:
        """Entries of a term over some variables."""
        total = 1
        for v in variables:
            total *= self.sizes[v]
        return total


def sequential(
    problem: AssignmentProblem, largest: int = LARGEST, deadline: Deadline | None = None
) -> Index | None:
    """Return the assignment with the least `sequential_s`, or None where the graph is too wide.

    Where every assignment takes for ever (an operator has no engine, or what is made cannot reach
    where it is read), so does the one returned.

    Parameters
    ----------
    largest
        Most entries of a term.
    deadline
        When to give up.
    """
    if problem.width == 1:
        return np.zeros(problem.count, dtype=np.intp)
    network = _network(problem, largest)
    if network is None:
        return None
    steps: list[tuple[int, tuple[int, ...], Index]] = []
    left = set(range(len(network.sizes)))
    weights = {v: network.entries(network.neighbours(v)) for v in left}
    # Smallest next term first; keys are brought up to date when they are looked at.
    heap = [(weights[v], v) for v in left]
    heapq.heapify(heap)
    while heap:
        weight, v = heapq.heappop(heap)
        if v not in left or weight != weights[v]:
            continue
        if weight > largest or (deadline is not None and deadline.passed()):
            return None
        around = network.neighbours(v)
        steps.append(_eliminate(network, v, around))
        left.discard(v)
        for u in around - {v}:
            weights[u] = network.entries(network.neighbours(u))
            heapq.heappush(heap, (weights[u], u))
    values = np.zeros(len(network.sizes), dtype=np.intp)
    for v, scope, choice in reversed(steps):
        values[v] = choice[tuple(values[list(scope)])] if scope else choice[()]
    engine: Index = values[: problem.count]
    return engine


def _eliminate(
    network: _CostNetwork, v: int, around: set[int]
) -> tuple[int, tuple[int, ...], Index]:
    """Minimise over a variable; return it, the variables its choice depends on, and the choice."""
    scope = tuple(sorted(around))
    total: Floats = np.zeros([network.sizes[u] for u in scope])
    for k in sorted(network.holding[v]):
        held, values = network.terms.pop(k)
        shape = [network.sizes[u] if u in held else 1 for u in scope]
        total = total + values.reshape(shape)
        for u in held:
            if u != v:
                network.holding[u].discard(k)
    network.holding[v] = set()
    axis = scope.index(v)
    rest = scope[:axis] + scope[axis + 1 :]
    choice: Index = np.argmin(total, axis=axis)
    least: Floats = np.min(total, axis=axis)
    if rest:
        network.add(rest, least)
    return v, rest, choice


def _network(problem: AssignmentProblem, largest: int) -> _CostNetwork | None:
    m = problem.width
    network = _CostNetwork([m] * problem.count, holding=[set() for _ in range(problem.count)])
    for i in range(problem.count):
        network.add((i,), problem.costs[i])
    for t, readers in enumerate(problem.readers):
        maker = int(problem.maker[t])
        if len(readers) <= _DIRECT:
            if m ** (len(readers) + 1) > largest:
                return None
            network.add((maker, *readers), _direct(problem.delays[t], len(readers)))
        elif (m << m) * m * (m << m) > largest:
            return None
        else:
            _chained(network, problem.delays[t], maker, readers)
    return network


def _direct(delays: Floats, readers: int) -> Floats:
    """Seconds over (maker, readers ...): each engine that reads is sent the tensor once."""
    m = len(delays)
    total: Floats = np.zeros((m,) * (readers + 1))
    for k in range(readers):
        shape = [m if axis in (0, k + 1) else 1 for axis in range(readers + 1)]
        once: Floats = delays.reshape(shape)
        for earlier in range(k):
            same = np.eye(m).reshape(
                [m if axis in (earlier + 1, k + 1) else 1 for axis in range(readers + 1)]
            )
            once = np.where(same > 0, 0.0, once)
        total = total + once
    return total


def _chained(network: _CostNetwork, delays: Floats, maker: int, readers: tuple[int, ...]) -> None:
    """Add a tensor with many readers: between them goes the set of engines that have it.

    A state is (maker's engine, engines that have the tensor): each reader adds its own.
    """
    m = len(delays)
    states = m << m
    held = network.variable(states)
    first: Floats = np.full((m, states), np.inf)
    for e in range(m):
        first[e, e << m | 1 << e] = 0.0
    network.add((maker, held), first)
    for r in readers[:-1]:
        then = network.variable(states)
        step: Floats = np.full((states, m, states), np.inf)
        for e in range(m):
            for has in range(1 << m):
                for f in range(m):
                    sent = 0.0 if has >> f & 1 else delays[e, f]
                    step[e << m | has, f, e << m | has | 1 << f] = sent
        network.add((held, r, then), step)
        held = then
    final: Floats = np.zeros((states, m))
    for e in range(m):
        for has in range(1 << m):
            for f in range(m):
                final[e << m | has, f] = 0.0 if has >> f & 1 else delays[e, f]
    network.add((held, readers[-1]), final)
