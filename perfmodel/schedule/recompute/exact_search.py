"""Uniform-cost search over all schedules with reruns: the proof on small graphs.

Dijkstra's algorithm (best-first branch and bound with a bound of 0 on the remaining cost) over the
states (steps done, buffers resident, buffers with a copy off chip), each a bit mask. A transition
runs one step, for the first time or again, after a minimal set of evictions; it costs the bytes of
reloads and stores and the rerun. The first state in which every step is done is optimal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.masks import bits, mask_of, union
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.recompute.recomputation import (
    Recomputation,
    replay_with_reruns,
    rerun_growth,
)

#: Masks of the steps done, the resident buffers, and the buffers with a copy off chip.
_State: TypeAlias = tuple[int, int, int]
#: A step, and the buffers evicted before it.
_Transition: TypeAlias = tuple[int, tuple[int, ...]]

_START: _State = (0, 0, 0)


class RecomputationSearch(BestFirst[_State, _State]):
    """Uniform-cost search over (steps done, buffers resident, buffers with a copy)."""

    def __init__(
        self,
        problem: Problem,
        capacity: int,
        rerun_bytes: Sequence[int],
        best: Recomputation,
        deadline: Deadline,
    ) -> None:
        super().__init__(Incumbent(best.cost_bytes), deadline)
        self.problem, self.capacity, self.best = problem, capacity, best
        self.rerun_bytes = rerun_bytes
        self.sizes = [b.size_bytes for b in problem.buffers]
        self.all_steps = (1 << len(problem.steps)) - 1
        self.stored = mask_of(t for t, b in enumerate(problem.buffers) if b.stored)
        # All transitive readers of a buffer: while one of them is not done, the buffer may be
        # needed.
        self.below = [
            mask_of(readers) | union(problem.descendants[s] for s in readers)
            for readers in problem.readers
        ]
        #: For each state reached, its least cost, and the state and transition that led to it.
        self.costs: dict[_State, int] = {_START: 0}
        self.parents: dict[_State, tuple[_State, _Transition]] = {}

    def best_schedule(self) -> Recomputation:
        """Return the best schedule, with its lower bound."""
        answer = self.run(_START)
        best = self.best if answer.solution is None else self._recomputation(answer.solution)
        return replace(best, bound_bytes=int(answer.bound))

    def settled(self, node: _State) -> bool:
        """Return whether every step is done."""
        done, _, _ = node
        return done == self.all_steps and self.incumbent.offer(node, self.costs[node])

    def expand(self, node: _State, bound: float) -> Iterator[tuple[float, _State]]:
        """Yield the successor states that are new, or cheaper than before."""
        cost = self.costs[node]
        if bound > cost:
            return
        for spent, after, transition in self._transitions(node):
            total = cost + spent
            if total < self.costs.get(after, self.best.cost_bytes):
                self.costs[after] = total
                self.parents[after] = (node, transition)
                yield total, after

    def _transitions(self, state: _State) -> Iterator[tuple[int, _State, _Transition]]:
        """Yield cost, successor and transition of every step that can run next."""
        done, resident, copies = state
        problem = self.problem
        available = copies | self.stored
        for s, step in enumerate(problem.steps):
            is_first = not done >> s & 1
            if is_first and problem.ancestors[s] & ~done:
                continue
            if not is_first:
                lacking = problem.writes_mask[s] & ~resident
                is_useful = any(lacking >> t & 1 and self.below[t] & ~done for t in step.writes)
                if step.load or not is_useful:
                    continue
            missing = problem.reads_mask[s] & ~resident
            if missing & ~available:
                continue
            growth = rerun_growth(problem, s, resident)
            if growth is None:
                continue
            spent = sum(self.sizes[t] for t in bits(missing))
            spent += 0 if is_first else self.rerun_bytes[s]
            present = resident | missing
            excess = sum(self.sizes[t] for t in bits(present)) + growth - self.capacity
            others = list(bits(resident & ~problem.reads_mask[s] & ~problem.writes_mask[s]))
            for out in _minimal_sets(others, self.sizes, excess):
                yield from self._successors(state, s, present, out, spent)

    def _successors(
        self, state: _State, s: int, present: int, out: tuple[int, ...], spent: int
    ) -> Iterator[tuple[int, _State, _Transition]]:
        """Yield the successors for each choice of which evicted buffers are stored or dropped."""
        done, _, copies = state
        problem, step = self.problem, self.problem.steps[s]
        available = copies | self.stored
        done |= 1 << s
        resident = present & ~mask_of(out)
        if step.takes_over >= 0:
            resident &= ~(1 << step.takes_over)
        resident |= problem.writes_mask[s]
        resident = mask_of(t for t in bits(resident) if self.below[t] & ~done)
        new = [t for t in out if not available >> t & 1 and self.below[t] & ~done]
        for n in range(len(new) + 1):
            for copied in itertools.combinations(new, n):
                after = copies | mask_of(copied)
                after = mask_of(t for t in bits(after) if self.below[t] & ~done)
                price = spent + sum(self.sizes[t] for t in copied)
                yield price, (done, resident, after), (s, out)

    def _recomputation(self, state: _State) -> Recomputation:
        """Return the schedule that leads to a final state."""
        transitions: list[_Transition] = []
        while state != _START:
            state, transition = self.parents[state]
            transitions.append(transition)
        transitions.reverse()
        order = [s for s, _ in transitions]
        evictions = _without_freed(self.problem, order, [out for _, out in transitions])
        return replay_with_reruns(self.problem, order, evictions, self.capacity, self.rerun_bytes)


def _without_freed(
    problem: Problem, order: Sequence[int], evictions: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Return the evictions without buffers that have been freed by then."""
    result: list[tuple[int, ...]] = []
    for k, out in enumerate(evictions):
        # The next step that touches the buffer reads it.
        touching = {
            t: next(
                (t in problem.steps[s].reads for s in order[k:] if t in _touched(problem, s)), False
            )
            for t in out
        }
        result.append(tuple(t for t, read in touching.items() if read))
    return result


def _touched(problem: Problem, s: int) -> tuple[int, ...]:
    """Return the buffers that a step reads or writes."""
    return problem.steps[s].reads + problem.steps[s].writes


def _minimal_sets(items: list[int], sizes: list[int], excess: int) -> Iterator[tuple[int, ...]]:
    """Yield the minimal sets of items that free at least `excess` bytes."""
    if excess <= 0:
        yield ()
        return
    for n in range(1, len(items) + 1):
        for subset in itertools.combinations(items, n):
            total = sum(sizes[t] for t in subset)
            if total >= excess and total - min(sizes[t] for t in subset) < excess:
                yield subset
