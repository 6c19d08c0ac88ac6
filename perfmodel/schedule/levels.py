"""Retention over several memory levels: scratchpad, second level, off chip, in a fixed order.

Copies are clean, since a buffer is written once: dropping one is free, moving one across a boundary
costs its bytes times what a byte across that boundary costs (time or energy). Which levels hold
which buffer while each step runs is a mixed-integer programme in the manner of a flow over time;
with one level it is the retention of a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.matrix import TOLERANCE, Floats, Solved
from perfmodel.optimise.programme import LinearSum, MilpModel, total
from perfmodel.schedule.problem import Problem
from perfmodel.table import CertifiedResult, Table
from perfmodel.units import binary

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


@dataclass(frozen=True, repr=False, kw_only=True)
class LevelPlan(CertifiedResult[tuple[tuple[BoundaryCrossing, ...], ...]]):
    """What moves before each step of an order, downward moves first, as `Certified`.

    Its value is weighted bytes; no plan for this order costs less than the bound.

    Attributes
    ----------
    held
        For each step of the order and each level, the buffers that it holds while the step runs
        (of the scratchpad: without what the step writes).
    crossing_bytes
        Across each boundary.
    """

    noun = "levels"
    attributes = ("order", "levels", "crossing_bytes", "cost", "bound", "proved")

    order: tuple[int, ...]
    levels: tuple[RetentionLevel, ...]
    held: tuple[tuple[frozenset[int], ...], ...]
    crossing_bytes: tuple[int, ...]

    @property
    def moves(self) -> tuple[tuple[BoundaryCrossing, ...], ...]:
        """What crosses a boundary before each step of the order."""
        return self.solution or ()

    @property
    def cost(self) -> float:
        """Bytes across each boundary, weighted."""
        return self.value

    @property
    def headline(self) -> str:
        """Over which memories, and how sure it is that nothing costs less."""
        names = " and ".join(level.name for level in self.levels)
        proof = "proved cheapest" if self.proved else f"at least {self.bound:.6g}"
        return f"retention over {names}: cost {self.cost:.6g}, {proof}"

    def glance(self) -> list[tuple[str, str]]:
        """Return the bytes across the boundary below each level."""
        return [
            (f"below {level.name}", binary(crossing))
            for level, crossing in zip(self.levels, self.crossing_bytes, strict=True)
        ]

    @cached_property
    def table(self) -> Table:
        """One row for each buffer that crosses a boundary: before which step, and which way."""
        rows = [(step, each) for step, every in enumerate(self.moves) for each in every]
        return Table(
            {
                "step": [step for step, _ in rows],
                "buffer": [each.buffer for _, each in rows],
                "below": [self.levels[each.boundary].name for _, each in rows],
                "down": [each.down for _, each in rows],
            }
        )


def over_levels(
    problem: Problem,
    levels: Sequence[RetentionLevel],
    order: Sequence[int] | None = None,
    deadline: Deadline | None = None,
) -> LevelPlan | None:
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
        None where a step does not fit the scratchpad, or nothing was reached in time.

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

    script = fewest_bytes(problem, capacity_bytes, deadline=deadline).solution
    return tuple(range(len(problem.steps))) if script is None else script.order


class _MultilevelRetentionMilp:
    """The programme over levels, boundaries and positions k of the order.

    ``x[level, b, k]`` says that a level holds buffer b while the step at k runs, ``down`` and
    ``up[boundary, b, k]`` that b crosses before it, ``s[b, k]`` that a copy lies off chip by then.
    """

    def __init__(
        self, problem: Problem, order: tuple[int, ...], levels: tuple[RetentionLevel, ...]
    ) -> None:
        self.problem, self.order, self.levels = problem, order, levels
        self.sizes = [b.size_bytes for b in problem.buffers]
        at = {s: k for k, s in enumerate(order)}
        self.uses = [sorted(at[s] for s in readers) for readers in problem.readers]
        #: Buffer -> positions from just after the step that makes it to its last use.
        self.lives = {
            b: range(at[maker] + 1, uses[-1] + 1)
            for b, (maker, uses) in enumerate(zip(problem.maker, self.uses, strict=True))
            if uses and maker >= 0
        }
        self.model = MilpModel(problem.name)
        self.columns: dict[tuple[str, int, int, int], LinearSum] = {}
        for b, life in self.lives.items():
            for k in life:
                self._variables(b, k)
                self._crossings(b, k)
        for k, s in enumerate(order):
            self._capacity(0, k, levels[0].capacity_bytes - problem.growth_bytes[s])
            for level in range(1, len(levels)):
                self._capacity(level, k, levels[level].capacity_bytes)

    def _get(self, what: str, level: int, b: int, k: int) -> LinearSum:
        """Return a variable; 0 where there is none, 1 in the scratchpad where b was just made."""
        before = k < self.lives[b].start and what == "x" and level == 0
        return self.columns.get((what, level, b, k), LinearSum({}, float(before)))

    def _variables(self, b: int, k: int) -> None:
        n, size = len(self.levels), self.sizes[b]

        def new(what: str, level: int, cost: float = 0.0, low: float = 0.0) -> None:
            name = f"{what}_{level}_{self.problem.buffers[b].name}_{b}_{k}"
            self.columns[what, level, b, k] = self.model.variable(name, cost=cost, low=low)

        stored = self.problem.buffers[b].stored
        for level in range(n):
            new("x", level, low=float(level == 0 and k in self.uses[b]))
        if not stored:
            new("s", n)
        for what, boundaries in (("down", n - stored), ("up", n)):
            for i in range(boundaries):
                new(what, i, size * self.levels[i].cost_per_byte)

    def _crossings(self, b: int, k: int) -> None:
        """What a level holds was there before or has just come; what comes was where it comes from.

        ``x[i, k] <= x[i, k - 1] + down[i - 1, k] + up[i, k]``, ``s[k] <= s[k - 1] + down[n - 1,
        k]``, ``down[i, k] <= x[i, k - 1] + down[i - 1, k]``, ``up[i, k] <= x[i + 1, k] + up[i + 1,
        k]`` and ``up[n - 1, k] <= s[k]``.
        """
        n = len(self.levels)

        def get(what: str, level: int, back: int = 0) -> LinearSum:
            return self._get(what, level, b, k - back)

        def at_most(left: LinearSum, right: LinearSum) -> None:
            self.model.require("crossing", left - right, high=0.0)

        for i in range(n):
            at_most(get("x", i), get("x", i, 1) + get("down", i - 1) + get("up", i))
        if ("s", n, b, k) in self.columns:
            at_most(get("s", n), get("s", n, 1) + get("down", n - 1))
            at_most(get("up", n - 1), get("s", n))
        for i in range(n):
            if ("down", i, b, k) in self.columns:
                at_most(get("down", i), get("x", i, 1) + get("down", i - 1))
        for i in range(n - 1):
            at_most(get("up", i), get("x", i + 1) + get("up", i + 1))

    def _capacity(self, level: int, k: int, room: int) -> None:
        """A level holds what fits: ``sum over b of size[b] x[level, b, k] <= room``."""
        there = [
            self.sizes[b] * self._get("x", level, b, k)
            for b, life in self.lives.items()
            if k in life
        ]
        if sum(self.sizes[b] for b, life in self.lives.items() if k in life) > room:
            self.model.require("capacity", total(there), high=room)

    def solve(self, deadline: Deadline) -> LevelPlan | None:
        """Solve it and read the plan."""
        solved = self.model.solve(deadline, start=self.start(deadline))
        values = solved.solution
        if values is None:
            return None
        on = {key for key, x in self.columns.items() if x.at(values) > 0.5}
        return self.plan(on, solved)

    def start(self, deadline: Deadline) -> Floats | None:
        """Return a known solution: what one level evicts goes off chip and comes back from there.

        A quarter of the time is for the best evictions of that level.
        """
        from perfmodel.schedule.ilp import retention

        room, quarter = self.levels[0].capacity_bytes, deadline.within(deadline.left() / 4)
        script = retention(self.problem, self.order, room, quarter).solution
        if script is None:
            return None
        n = len(self.levels)
        ones: list[LinearSum] = []
        leaves = {(t, k) for k, out in enumerate(script.evictions) for t in out}
        for b, life in self.lives.items():
            stored, off = self.problem.buffers[b].stored, False
            for k in life:
                if (b, k) in leaves:
                    if not stored:
                        ones += [self._get("down", i, b, k) for i in range(n)]
                    stored = off = True
                if off and k in self.uses[b]:
                    off = False
                    ones += [self._get("up", i, b, k) for i in range(n)]
                if not off:
                    ones.append(self._get("x", 0, b, k))
                if stored:
                    ones.append(self._get("s", n, b, k))
        return self.model.point(ones)

    def plan(self, on: set[tuple[str, int, int, int]], solved: Solved) -> LevelPlan:
        """Read a plan from the variables that are 1."""
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
            tuple(map(tuple, moves)),
            cost,
            min(cost, solved.bound),
            tolerance=TOLERANCE,
            order=self.order,
            levels=self.levels,
            crossing_bytes=tuple(crossing),
            held=tuple(tuple(frozenset(s) for s in each) for each in held),
        )
