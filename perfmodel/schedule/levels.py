"""Retention over several memory levels (scratchpad, second level, off chip) in a fixed order.

Copies are clean, since a buffer is written once: dropping one is free, and moving one across a
boundary costs its bytes times the cost per byte of that boundary (time or energy). The levels that
hold each buffer while each step runs follow from a mixed-integer programme similar to a flow over
time. With 0-1 variables ``x[i, b, k]`` (level i holds buffer b while the step at position k runs),
``down`` and ``up[i, b, k]`` (b crosses boundary i before it) and ``s[b, k]`` (a copy of b is off
chip by then), minimise ``sum of size[b] cost[i] (down[i, b, k] + up[i, b, k])`` subject to

- ``crossing``: a copy persists or arrives, and arrives only from a level that has one
  (`_MultilevelRetentionMilp._crossings`);
- ``capacity``: ``sum over b of size[b] x[i, b, k] <= capacity[i]``.

With one level this is the programme of `ilp/retention.py`. The plan is proved when the solver
closes the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_attributes, deprecated_names
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_matrix import TOLERANCE, Floats, Solved
from perfmodel.optimise.milp_model import LinearSum, MilpModel, total
from perfmodel.schedule.problem import Problem
from perfmodel.table import CertifiedResult, Table
from perfmodel.units import binary

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Level="RetentionLevel")


@dataclass(frozen=True, slots=True)
class RetentionLevel:
    """A memory level; the memory below the last level is off chip and holds everything.

    Attributes
    ----------
    cost_per_byte
        Cost of a byte that crosses the boundary to the next level, in either direction.
    """

    name: str
    capacity_bytes: int
    cost_per_byte: float = 1.0


@dataclass(frozen=True, slots=True)
class BoundaryCrossing:
    """Move of a buffer across one boundary, just before a step.

    Attributes
    ----------
    boundary
        Index of the boundary; 0 is directly below the scratchpad.
    down
        True for a move away from the scratchpad.
    """

    buffer: int
    boundary: int
    down: bool


@dataclass(frozen=True, repr=False, kw_only=True)
class LevelPlan(CertifiedResult[tuple[tuple[BoundaryCrossing, ...], ...]]):
    """Moves before each step of an order, downward moves first, as `Certified`.

    The value is the weighted bytes; no plan for this order costs less than the bound.

    Attributes
    ----------
    contents
        Buffers that each level holds while each step runs, by step and level (for the scratchpad
        without the outputs of the step).
    crossing_bytes
        Bytes across each boundary.
    """

    noun = "levels"
    attributes = ("order", "levels", "crossing_bytes", "cost", "bound", "proved")

    order: tuple[int, ...]
    levels: tuple[RetentionLevel, ...]
    contents: tuple[tuple[frozenset[int], ...], ...]
    crossing_bytes: tuple[int, ...]

    if not TYPE_CHECKING:
        __getattr__ = deprecated_attributes(held="contents")

    @property
    def moves(self) -> tuple[tuple[BoundaryCrossing, ...], ...]:
        """Moves across boundaries before each step of the order."""
        return self.solution or ()

    @property
    def cost(self) -> float:
        """Bytes across each boundary, weighted by its cost per byte."""
        return self.value

    @property
    def headline(self) -> str:
        """Memories of the plan, its cost, and its proof or lower bound."""
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
        """One row per boundary crossing: step, buffer and direction."""
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
    """Return the cheapest retention over memory levels for a fixed order.

    Before each step downward moves come first, those across lower boundaries before those across
    higher ones, then drops, then upward moves; a move may pass through a level without stopping.
    A buffer that moves up from a level keeps its copy there while the step runs.

    Parameters
    ----------
    levels
        Levels from the scratchpad down.
    order
        Order of the steps; by default that of the schedule with the fewest bytes spilled and
        reloaded.

    Returns
    -------
    LevelPlan or None
        None if a step does not fit the scratchpad, or no plan was found in time.

    Raises
    ------
    ValueError
        There is no level, or the order is invalid.
    """
    if not levels:
        raise ValueError("at least one level is required")
    deadline = deadline or Deadline()
    if order is None:
        order = _best_order(problem, levels[0].capacity_bytes, deadline.share(0.5))
    problem.check_order(order)
    if problem.largest_working_set_bytes > levels[0].capacity_bytes:
        return None
    return _MultilevelRetentionMilp(problem, tuple(order), tuple(levels)).solve(deadline)


def _best_order(problem: Problem, capacity_bytes: int, deadline: Deadline) -> tuple[int, ...]:
    """Return the order of the schedule with the fewest bytes for a single level."""
    from perfmodel.schedule.portfolio import fewest_bytes

    script = fewest_bytes(problem, capacity_bytes, deadline=deadline).solution
    return tuple(range(len(problem.steps))) if script is None else script.order


class _MultilevelRetentionMilp:
    """The mixed-integer programme over levels, boundaries and positions of the order."""

    def __init__(
        self, problem: Problem, order: tuple[int, ...], levels: tuple[RetentionLevel, ...]
    ) -> None:
        self.problem, self.order, self.levels = problem, order, levels
        self.sizes = [b.size_bytes for b in problem.buffers]
        at = {s: k for k, s in enumerate(order)}
        self.uses = [sorted(at[s] for s in readers) for readers in problem.readers]
        #: Live range of each buffer: positions from just after its maker to its last use.
        self.lives = {
            b: range(at[maker] + 1, uses[-1] + 1)
            for b, (maker, uses) in enumerate(zip(problem.maker, self.uses, strict=True))
            if uses and maker >= 0
        }
        self.model = MilpModel(problem.name)
        self.columns: dict[tuple[str, int, int, int], LinearSum] = {}
        for b, life in self.lives.items():
            for k in life:
                self._add_variables(b, k)
                self._crossings(b, k)
        for k, s in enumerate(order):
            self._capacity(0, k, levels[0].capacity_bytes - problem.growth_bytes[s])
            for level in range(1, len(levels)):
                self._capacity(level, k, levels[level].capacity_bytes)

    def _variable(self, kind: str, level: int, b: int, k: int) -> LinearSum:
        """Return a variable; 0 if absent, 1 in the scratchpad just after b is written."""
        is_just_written = k < self.lives[b].start and kind == "x" and level == 0
        return self.columns.get((kind, level, b, k), LinearSum({}, float(is_just_written)))

    def _add_variables(self, b: int, k: int) -> None:
        """Add the variables of a buffer at a position of the order."""
        n, size = len(self.levels), self.sizes[b]

        def new(kind: str, level: int, cost: float = 0.0, low: float = 0.0) -> None:
            name = f"{kind}_{level}_{self.problem.buffers[b].name}_{b}_{k}"
            self.columns[kind, level, b, k] = self.model.variable(name, cost=cost, low=low)

        stored = self.problem.buffers[b].stored
        for level in range(n):
            new("x", level, low=float(level == 0 and k in self.uses[b]))
        if not stored:
            new("s", n)
        for kind, boundaries in (("down", n - stored), ("up", n)):
            for i in range(boundaries):
                new(kind, i, size * self.levels[i].cost_per_byte)

    def _crossings(self, b: int, k: int) -> None:
        """Require that copies persist or arrive, and arrive only from a level that has one.

        ``x[i, k] <= x[i, k - 1] + down[i - 1, k] + up[i, k]``, ``s[k] <= s[k - 1] + down[n - 1,
        k]``, ``down[i, k] <= x[i, k - 1] + down[i - 1, k]``, ``up[i, k] <= x[i + 1, k] + up[i + 1,
        k]`` and ``up[n - 1, k] <= s[k]``.
        """
        n = len(self.levels)

        def get(kind: str, level: int, back: int = 0) -> LinearSum:
            return self._variable(kind, level, b, k - back)

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
        """Require that buffers fit: ``sum over b of size[b] x[level, b, k] <= room``."""
        resident = [
            self.sizes[b] * self._variable("x", level, b, k)
            for b, life in self.lives.items()
            if k in life
        ]
        if sum(self.sizes[b] for b, life in self.lives.items() if k in life) > room:
            self.model.require("capacity", total(resident), high=room)

    def solve(self, deadline: Deadline) -> LevelPlan | None:
        """Solve the programme and return its plan."""
        solved = self.model.solve(deadline, start=self.starting_values(deadline))
        values = solved.solution
        if values is None:
            return None
        on = {key for key, x in self.columns.items() if x.at(values) > 0.5}
        return self.plan(on, solved)

    def starting_values(self, deadline: Deadline) -> Floats | None:
        """Return a known solution: evictions of a single level go off chip and return from there.

        A quarter of the time is spent on the best evictions of that level.
        """
        from perfmodel.schedule.ilp import retention

        room, quarter = self.levels[0].capacity_bytes, deadline.share(0.25)
        script = retention(self.problem, self.order, room, quarter).solution
        if script is None:
            return None
        n = len(self.levels)
        ones: list[LinearSum] = []
        evicted = {(t, k) for k, out in enumerate(script.evictions) for t in out}
        for b, life in self.lives.items():
            is_stored, is_off_chip = self.problem.buffers[b].stored, False
            for k in life:
                if (b, k) in evicted:
                    if not is_stored:
                        ones += [self._variable("down", i, b, k) for i in range(n)]
                    is_stored = is_off_chip = True
                if is_off_chip and k in self.uses[b]:
                    is_off_chip = False
                    ones += [self._variable("up", i, b, k) for i in range(n)]
                if not is_off_chip:
                    ones.append(self._variable("x", 0, b, k))
                if is_stored:
                    ones.append(self._variable("s", n, b, k))
        return self.model.point(ones)

    def plan(self, on: set[tuple[str, int, int, int]], solved: Solved) -> LevelPlan:
        """Return the plan given by the variables equal to 1."""
        n = len(self.levels)
        moves: list[list[BoundaryCrossing]] = [[] for _ in self.order]
        residents: list[list[set[int]]] = [[set() for _ in range(n)] for _ in self.order]
        crossing = [0] * n
        for kind, level, b, k in sorted(on, key=lambda c: (c[3], c[0] != "down", -c[1], c[2])):
            if kind == "x":
                residents[k][level].add(b)
            elif kind in ("down", "up"):
                moves[k].append(BoundaryCrossing(b, level, kind == "down"))
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
            contents=tuple(tuple(frozenset(s) for s in each) for each in residents),
        )
