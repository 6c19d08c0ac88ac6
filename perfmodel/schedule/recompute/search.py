"""Uniform-cost search over all schedules with repetitions: the proof on small graphs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.masks import bits, mask_of, union
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.recompute.repeated import Recomputation, again_growth, replay_again

_State = tuple[int, int, int]
_Move = tuple[int, tuple[int, ...]]

_START: _State = (0, 0, 0)


class RecomputationSearch(BestFirst[_State, _State]):
    """Uniform-cost search over (steps done, buffers resident, buffers with a copy)."""

    def __init__(
        self,
        problem: Problem,
        capacity: int,
        again_bytes: Sequence[int],
        best: Recomputation,
        deadline: Deadline,
    ) -> None:
        super().__init__(Incumbent(best.cost_bytes), deadline)
        self.problem, self.capacity, self.again, self.best = problem, capacity, again_bytes, best
        self.sizes = [b.size_bytes for b in problem.buffers]
        self.all = (1 << len(problem.steps)) - 1
        self.stored = mask_of(t for t, b in enumerate(problem.buffers) if b.stored)
        # All transitive readers of a buffer: while one of them is not done, the buffer may be
        # needed.
        self.below = [
            mask_of(readers) | union(problem.descendants[s] for s in readers)
            for readers in problem.readers
        ]
        #: For each state reached, its least cost, and the state and move that led to it.
        self.costs: dict[_State, int] = {_START: 0}
        self.parents: dict[_State, tuple[_State, _Move]] = {}

    def best_schedule(self) -> Recomputation:
        """Return the best schedule, with its lower bound."""
        answer = self.run(_START)
        best = self.best if answer.solution is None else self._read(answer.solution)
        return replace(best, bound_bytes=int(answer.bound))

    def settled(self, node: _State) -> bool:
        """Return whether every step is done."""
        return node[0] == self.all and self.incumbent.offer(node, self.costs[node])

    def expand(self, node: _State, bound: float) -> Iterator[tuple[float, _State]]:
        """Yield the successor states that are new, or cheaper than before."""
        cost = self.costs[node]
        if bound > cost:
            return
        for spent, after, move in self._moves(node):
            total = cost + spent
            if total < self.costs.get(after, self.best.cost_bytes):
                self.costs[after] = total
                self.parents[after] = (node, move)
                yield total, after

    def _moves(self, state: _State) -> Iterator[tuple[int, _State, _Move]]:
        done, resident, copies = state
        problem = self.problem
        have = copies | self.stored
        for s, step in enumerate(problem.steps):
            first = not done >> s & 1
            if first and problem.ancestors[s] & ~done:
                continue
            if not first:
                lacking = problem.writes_mask[s] & ~resident
                useful = any(lacking >> t & 1 and self.below[t] & ~done for t in step.writes)
                if step.load or not useful:
                    continue
            missing = problem.reads_mask[s] & ~resident
            if missing & ~have:
                continue
            growth = again_growth(problem, s, resident)
            if growth is None:
                continue
            spent = sum(self.sizes[t] for t in bits(missing)) + (0 if first else self.again[s])
            there = resident | missing
            over = sum(self.sizes[t] for t in bits(there)) + growth - self.capacity
            others = list(bits(resident & ~problem.reads_mask[s] & ~problem.writes_mask[s]))
            for out in _minimal(others, self.sizes, over):
                yield from self._after(state, s, there, out, spent)

    def _after(
        self, state: _State, s: int, there: int, out: tuple[int, ...], spent: int
    ) -> Iterator[tuple[int, _State, _Move]]:
        """Yield the successors for each choice of which evicted buffers are stored or dropped."""
        done, _, copies = state
        problem, step = self.problem, self.problem.steps[s]
        have = copies | self.stored
        done |= 1 << s
        left = there & ~mask_of(out)
        if step.takes_over >= 0:
            left &= ~(1 << step.takes_over)
        left |= problem.writes_mask[s]
        left = mask_of(t for t in bits(left) if self.below[t] & ~done)
        new = [t for t in out if not have >> t & 1 and self.below[t] & ~done]
        for n in range(len(new) + 1):
            for copied in itertools.combinations(new, n):
                after = copies | mask_of(copied)
                after = mask_of(t for t in bits(after) if self.below[t] & ~done)
                price = spent + sum(self.sizes[t] for t in copied)
                yield price, (done, left, after), (s, out)

    def _read(self, state: _State) -> Recomputation:
        moves: list[_Move] = []
        while state != _START:
            state, move = self.parents[state]
            moves.append(move)
        moves.reverse()
        order = [s for s, _ in moves]
        evictions = _there(self.problem, order, [out for _, out in moves])
        return replay_again(self.problem, order, evictions, self.capacity, self.again)


def _there(
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
    return problem.steps[s].reads + problem.steps[s].writes


def _minimal(items: list[int], sizes: list[int], over: int) -> Iterator[tuple[int, ...]]:
    """Yield the minimal sets of items that free at least `over` bytes."""
    if over <= 0:
        yield ()
        return
    for n in range(1, len(items) + 1):
        for subset in itertools.combinations(items, n):
            total = sum(sizes[t] for t in subset)
            if total >= over and total - min(sizes[t] for t in subset) < over:
                yield subset
