"""Retention over several memory levels: scratchpad, second level, off chip, in a fixed order.

Copies are clean, since a buffer is written once: dropping one is free, moving one across a boundary
costs its bytes times what a byte across that boundary costs (time or energy). Which levels hold
which buffer while each step runs is a mixed-integer programme in the manner of a flow over time;
with one level it is the retention of a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.former import former_names
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.problem import Problem

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Level="RetentionLevel")


@dataclass(frozen=True, slots=True)
class RetentionLevel:
    """A memory level; the one below the last is off chip and holds everything.

    Attributes
    ----------
    cost_per_byte
        Of a byte across the boundary between this level and the next, either way.
    """

    name: str
    capacity_bytes: int
    cost_per_byte: float = 1.0


@dataclass(frozen=True, slots=True)
class BoundaryCrossing:
    """A buffer across one boundary, just before a step.

    Attributes
    ----------
    boundary
        0 is the one below the scratchpad.
    down
        Away from the scratchpad.
    """

    buffer: int
    boundary: int
    down: bool


@dataclass(frozen=True)
class LevelPlan:
    """What lies where while each step runs, and what moves before it.

    Attributes
    ----------
    moves
        Before each step of the order; downward ones first.
    held
        For each step of the order and each level, the buffers that it holds while the step runs
        (of the scratchpad: without what the step writes).
    crossing_bytes
        Across each boundary.
    cost, bound
        Weighted bytes; no plan for this order costs less than the bound.
    """

    order: tuple[int, ...]
    levels: tuple[RetentionLevel, ...]
    moves: tuple[tuple[BoundaryCrossing, ...], ...]
    held: tuple[tuple[frozenset[int], ...], ...]
    crossing_bytes: tuple[int, ...]
    cost: float
    bound: float
    proved: bool


def over_levels(
    problem: Problem, levels: Sequence[RetentionLevel], order: Sequence[int] | None = None,
    deadline: Deadline | None = None,
) -> LevelPlan | None:  # fmt: skip
    """Return the cheapest retention over levels for an order.

    Before each step the moves down come first, those across lower boundaries before those across
    higher ones, then drops, then the moves up; a move may pass through a level without stopping.
    What moves up from a level stays there while the step runs.

    Parameters
    ----------
    levels
        From the scratchpad down.
    order
        By default that of the schedule with the fewest bytes out of the scratchpad.

    Returns
    -------
    LevelPlan or None
        None where a step does not fit the scratchpad, or nothing was found in time.

    Raises
    ------
    ValueError
        No level, or an order that is none.
    """
    if not levels:
        raise ValueError("there is no level to hold anything")
    deadline = deadline or Deadline()
    if order is None:
        order = _best_order(problem, levels[0].capacity_bytes, deadline.within(deadline.left() / 2))
    if not problem.is_order(order):
        raise ValueError("the order does not run every step once, each after what it reads")
    if problem.largest_working_set_bytes > levels[0].capacity_bytes:
        return None
    return _MultilevelRetentionMilp(problem, tuple(order), tuple(levels)).solve(deadline)


def _best_order(problem: Problem, capacity_bytes: int, deadline: Deadline) -> tuple[int, ...]:
    from perfmodel.schedule.portfolio import fewest_bytes

    script = fewest_bytes(problem, capacity_bytes, deadline=deadline).script
    return tuple(range(len(problem.steps))) if script is None else script.order


class _MultilevelRetentionMilp:
    """The programme's columns: presence ``x[level, b, k]`` and crossings ``[boundary, b, k]``."""

    def __init__(
        self, problem: Problem, order: tuple[int, ...], levels: tuple[RetentionLevel, ...]
    ) -> None:
        self.problem, self.order, self.levels = problem, order, levels
        self.sizes = [b.size_bytes for b in problem.buffers]
        at = {s: k for k, s in enumerate(order)}
        self.born = [at[m] if m >= 0 else -1 for m in problem.maker]
        self.uses = [sorted(at[s] for s in readers) for readers in problem.readers]
        self.columns: dict[tuple[str, int, int, int], int] = {}
        self.cost: list[float] = []
        self.lower: list[float] = []
        self.rows: list[tuple[list[tuple[int, float]], float]] = []

    def column(self, what: str, level: int, b: int, k: int, cost: float, low: float) -> int:
        at = self.columns[what, level, b, k] = len(self.cost)
        self.cost.append(cost)
        self.lower.append(low)
        return at

    def at_most(self, terms: Sequence[tuple[int | None, float]], right: float = 0.0) -> None:
        """Add a row; a term without a column is left out."""
        self.rows.append(([(c, f) for c, f in terms if c is not None], right))

    def build(self) -> None:
        """Make columns and rows."""
        n = len(self.levels)
        for b, uses in enumerate(self.uses):
            if not uses or self.born[b] < 0:
                continue
            kept = self.problem.buffers[b].stored
            for k in range(self.born[b] + 1, uses[-1] + 1):
                self._step(b, k, k == self.born[b] + 1, kept, set(uses), n)
        for k, s in enumerate(self.order):
            room = self.levels[0].capacity_bytes - self.problem.growth_bytes[s]
            self.capacity(0, k, room)
            for level in range(1, n):
                self.capacity(level, k, self.levels[level].capacity_bytes)

    def _step(self, b: int, k: int, first: bool, kept: bool, uses: set[int], n: int) -> None:
        size = float(self.sizes[b])
        get = self.columns.get

        def before(level: int) -> int | None:
            return None if first else get(("x", level, b, k - 1))

        x = [
            self.column("x", level, b, k, 0.0, 1.0 if level == 0 and k in uses else 0.0)
            for level in range(n)
        ]
        store = None if kept else self.column("s", n, b, k, 0.0, 0.0)
        down = [
            self.column("down", i, b, k, size * self.levels[i].cost_per_byte, 0.0)
            for i in range(n if not kept else n - 1)
        ]
        up = [
            self.column("up", i, b, k, size * self.levels[i].cost_per_byte, 0.0) for i in range(n)
        ]
        was_here = 1.0 if first else 0.0  # in the scratchpad, where its step wrote it
        self.at_most([(x[0], 1.0), (before(0), -1.0), (up[0], -1.0)], was_here)
        for i in range(1, n):
            self.at_most([(x[i], 1.0), (before(i), -1.0), (down[i - 1], -1.0), (up[i], -1.0)])
        if store is not None:
            stored = None if first else get(("s", n, b, k - 1))
            self.at_most([(store, 1.0), (stored, -1.0), (down[n - 1], -1.0)])
            self.at_most([(up[n - 1], 1.0), (store, -1.0)])
        for i, column in enumerate(down):
            passed = down[i - 1] if i else None
            self.at_most(
                [(column, 1.0), (before(i), -1.0), (passed, -1.0)], was_here if i == 0 else 0.0
            )
        for i in range(n - 1):
            self.at_most([(up[i], 1.0), (x[i + 1], -1.0), (up[i + 1], -1.0)])

    def capacity(self, level: int, k: int, room: int) -> None:
        """Require what a level holds while a step runs to fit."""
        terms = [
            (c, float(self.sizes[b]))
            for b in range(len(self.sizes))
            if (c := self.columns.get(("x", level, b, k))) is not None
        ]
        if sum(f for _, f in terms) > room:
            self.rows.append((terms, float(room)))

    def solve(self, deadline: Deadline) -> LevelPlan | None:
        """Solve it and read the plan."""
        from perfmodel.schedule.solver import MilpMatrix, Status, solve

        self.build()
        row = [i for i, (terms, _) in enumerate(self.rows) for _ in terms]
        column = [c for terms, _ in self.rows for c, _ in terms]
        value = [f for terms, _ in self.rows for _, f in terms]
        matrix = MilpMatrix.of(
            self.cost, (row, column, value), [-np.inf] * len(self.rows),
            [right for _, right in self.rows], lower=self.lower or 0.0, upper=1.0, integer=True,
        )  # fmt: skip
        found = solve(matrix, deadline, start=self.start(deadline))
        if not found.found:
            return None
        on = {key for key, c in self.columns.items() if found.values[c] > 0.5}
        return self.plan(on, found.bound, found.status is Status.OPTIMAL)

    def start(self, deadline: Deadline) -> list[float] | None:
        """Return a known solution: what one level evicts goes off chip and comes back from there.

        A quarter of the time is for the best evictions of that level.
        """
        from perfmodel.schedule.ilp import retention

        room, quarter = self.levels[0].capacity_bytes, deadline.within(deadline.left() / 4)
        script = retention(self.problem, self.order, room, quarter).script
        if script is None:
            return None
        n = len(self.levels)
        values = [0.0] * len(self.cost)
        away: dict[int, int] = {}
        stored = {t for t, b in enumerate(self.problem.buffers) if b.stored}
        leaves = {(t, k) for k, out in enumerate(script.evictions) for t in out}
        for b, uses in enumerate(self.uses):
            if not uses or self.born[b] < 0:
                continue
            for k in range(self.born[b] + 1, uses[-1] + 1):
                if (b, k) in leaves:
                    away[b] = k
                    if b not in stored:
                        stored.add(b)
                        for i in range(n):
                            values[self.columns["down", i, b, k]] = 1.0
                if b in away and k in uses:
                    del away[b]
                    for i in range(n):
                        values[self.columns["up", i, b, k]] = 1.0
                values[self.columns["x", 0, b, k]] = 0.0 if b in away else 1.0
                if b in stored and ("s", n, b, k) in self.columns:
                    values[self.columns["s", n, b, k]] = 1.0
        return values

    def plan(self, on: set[tuple[str, int, int, int]], bound: float, proved: bool) -> LevelPlan:
        """Read a plan from the columns that are 1."""
        n = len(self.levels)
        moves: list[list[BoundaryCrossing]] = [[] for _ in self.order]
        held: list[list[set[int]]] = [[set() for _ in range(n)] for _ in self.order]
        crossing = [0] * n
        for what, level, b, k in sorted(on, key=lambda c: (c[3], c[0] != "down", -c[1], c[2])):
            if what == "x":
                held[k][level].add(b)
            elif what in ("down", "up"):
                moves[k].append(BoundaryCrossing(b, level, what == "down"))
                crossing[level] += self.sizes[b]
        cost = sum(
            size * level.cost_per_byte for size, level in zip(crossing, self.levels, strict=True)
        )
        return LevelPlan(
            self.order, self.levels, tuple(map(tuple, moves)),
            tuple(tuple(frozenset(s) for s in each) for each in held), tuple(crossing), cost,
            min(bound, cost), proved,
        )  # fmt: skip
