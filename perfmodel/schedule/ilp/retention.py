"""Cheapest evictions for a given order: an integer programme over the gaps between uses.

The retention half of COSMA (arXiv:2311.18246), over gaps instead of time steps. ``out[g]`` is 1 if
the buffer of gap g, between two consecutive uses, is off chip in it; ``store[t]`` is 1 if buffer t
is stored, which is paid once. Minimise

``sum of size[g] out[g] + sum of size[t] store[t]``

subject to, for each step at which the live buffers do not fit,

``sum of size[g] out[g] >= demand`` over the gaps at that step (family ``fits``), and

``store[t] >= out[g]`` for each gap g of a buffer without a copy off chip (family ``store``).

Belady's rule is not optimal here, since sizes differ and a store is paid once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_matrix import Floats
from perfmodel.optimise.milp_model import LinearSum, MilpModel, total
from perfmodel.schedule.greedy import belady
from perfmodel.schedule.masks import bits, union
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay


@dataclass(frozen=True, slots=True)
class _Gap:
    """A buffer between two uses: off chip at most from just after `first` until `last`."""

    buffer: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _CoverConstraint:
    """Covering constraint: bytes evicted among `gaps` (a bit mask) must reach `demand`.

    It holds while step `step` runs; `room` is the space left for the other live buffers.
    """

    gaps: int
    demand: int
    room: int
    step: int


def retention(
    problem: Problem,
    order: Sequence[int],
    capacity_bytes: int,
    deadline: Deadline | None = None,
    *,
    incumbent: Script | None = None,
) -> Certified[Script]:
    """Return the script of an order with the fewest bytes spilled and reloaded.

    Implied constraints are dropped, and independent groups of them are solved separately.

    Parameters
    ----------
    order
        Every step exactly once.
    capacity_bytes
        Capacity of the memory.
    deadline
        Time at which to stop with the best script so far.
    incumbent
        A known script of the same order; Belady's by default.

    Returns
    -------
    Certified
        The bound over all orders is trivial (it proves only a cost of zero). For this order,
        ``work`` has ``order_bound_bytes`` and ``order_optimal`` (1 if the script is optimal).
        Without a script if a step does not fit at all.
    """
    limit = deadline or Deadline()
    start = incumbent or belady(problem, order, capacity_bytes)
    if start is None:
        return nothing("retention")
    known = replay(problem, start, capacity_bytes).cost_bytes
    gaps, rows = _cover_constraints(problem, order, capacity_bytes)
    off_chip: set[int] = set()
    bound, optimal, nodes, parts = 0, True, 0, _independent_groups(problem, gaps, rows)
    for part in parts:
        before = _gaps_off_chip(gaps, start, part)
        programme = _RetentionMilp(problem, gaps, part)
        solved = programme.model.solve(limit, start=programme.start(before), restarts=False)
        bound += solved.integral_bound() * programme.unit
        nodes += solved.work.get("nodes", 0)
        if solved.solution is not None:
            off_chip |= {g for g, x in programme.out.items() if x.at(solved.solution) > 0.5}
    script = _script(order, gaps, off_chip)
    try:
        cost = replay(problem, script, capacity_bytes).cost_bytes
    except ValueError:  # within the solver's tolerance, but not within the memory
        cost = known
    if cost >= known:
        script, cost = start, known
    bound = min(bound, cost)
    optimal = bound == cost
    counts = {
        "order_bound_bytes": bound,
        "order_optimal": int(optimal),
        "gaps": len(gaps),
        "rows": len(rows),
        "parts": len(parts),
        "nodes": nodes,
    }
    return Certified(script, cost, 0, "retention", counts)


def retention_lp(
    problem: Problem, order: Sequence[int], capacity_bytes: int, path: str | Path
) -> None:
    """Write the programme of `retention` as an LP file, with the names of steps and buffers.

    ``away_x_5_9``: x leaves before position 5 and is back before position 9. The objective is in
    units of the greatest common divisor of the sizes.

    Raises
    ------
    ValueError
        Everything fits, so that there is nothing to decide; or a step does not fit at all.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        raise ValueError("a step does not fit by itself")
    gaps, rows = _cover_constraints(problem, order, capacity_bytes)
    if not rows:
        raise ValueError("everything fits: there is nothing to decide")
    _RetentionMilp(problem, gaps, rows).model.write_lp(path)


def _cover_constraints(
    problem: Problem, order: Sequence[int], capacity_bytes: int
) -> tuple[list[_Gap], list[_CoverConstraint]]:
    """Return the gaps of an order, and one row per step at which the live buffers do not fit."""
    sizes = [b.size_bytes for b in problem.buffers]
    place = {s: k for k, s in enumerate(order)}
    gaps: list[_Gap] = []
    begins: list[list[int]] = [[] for _ in range(len(order) + 1)]
    ends: list[list[int]] = [[] for _ in range(len(order) + 1)]
    for t, readers in enumerate(problem.readers):
        if not sizes[t] or problem.maker[t] < 0:
            continue
        at = place[problem.maker[t]]
        for use in sorted(place[s] for s in readers):
            if use > at + 1:
                begins[at + 1].append(len(gaps))
                ends[use].append(len(gaps))
                gaps.append(_Gap(t, at, use))
            at = use
    rows: list[_CoverConstraint] = []
    alive = total = 0
    for k, s in enumerate(order):
        for g in ends[k]:
            alive ^= 1 << g
            total -= sizes[gaps[g].buffer]
        for g in begins[k]:
            alive ^= 1 << g
            total += sizes[gaps[g].buffer]
        room = capacity_bytes - problem.working_set_bytes[s]
        if total > room:
            row = _CoverConstraint(alive, total - room, room, s)
            while rows and _implies(row, rows[-1]):
                rows.pop()
            if not rows or not _implies(rows[-1], row):
                rows.append(row)
    return gaps, rows


def _implies(one: _CoverConstraint, other: _CoverConstraint) -> bool:
    """Return whether satisfying one row implies the other."""
    has_fewer_gaps = one.gaps & ~other.gaps == 0 and one.demand >= other.demand
    return has_fewer_gaps or (other.gaps & ~one.gaps == 0 and one.room <= other.room)


def _independent_groups(
    problem: Problem, gaps: list[_Gap], rows: list[_CoverConstraint]
) -> list[list[_CoverConstraint]]:
    """Return the rows in groups that share no gap and no buffer whose store is paid once."""
    gaps_of_buffer: dict[int, int] = {}
    for g, gap in enumerate(gaps):
        if not problem.buffers[gap.buffer].stored:
            gaps_of_buffer[gap.buffer] = gaps_of_buffer.get(gap.buffer, 0) | 1 << g
    used = union(row.gaps for row in rows)
    links = [mask & used for mask in gaps_of_buffer.values() if (mask & used).bit_count() > 1]
    groups: list[tuple[int, list[_CoverConstraint]]] = []
    for mask, members in [(row.gaps, [row]) for row in rows] + [(m, []) for m in links]:
        separate: list[tuple[int, list[_CoverConstraint]]] = []
        for other, others in groups:
            if other & mask:
                mask, members = mask | other, others + members
            else:
                separate.append((other, others))
        groups = [*separate, (mask, members)]
    return [members for _, members in groups]


class _RetentionMilp:
    """The programme of a group of rows, with the conversions from and to scripts.

    Attributes
    ----------
    out
        Gap -> variable equal to 1 if its buffer is off chip.
    stores
        For each buffer that is stored at most once, whichever gaps it is off chip for: the variable
        of the store, and those gaps.
    unit
        Bytes per unit of the objective.
    """

    def __init__(self, problem: Problem, gaps: list[_Gap], rows: list[_CoverConstraint]) -> None:
        used = list(bits(union(row.gaps for row in rows)))
        sizes = {g: problem.buffers[gaps[g].buffer].size_bytes for g in used}
        self.unit = math.gcd(*sizes.values())
        of_buffer: dict[int, list[int]] = {}
        for g in used:
            of_buffer.setdefault(gaps[g].buffer, []).append(g)
        self.model = MilpModel(problem.name)
        self.out: dict[int, LinearSum] = {}
        for g, gap in ((g, gaps[g]) for g in used):
            buffer = problem.buffers[gap.buffer]
            sizes[g] //= self.unit
            is_stored = not buffer.stored and len(of_buffer[gap.buffer]) == 1
            name = f"away_{buffer.name}_{gap.first + 1}_{gap.last}"
            self.out[g] = self.model.variable(name, cost=sizes[g] * (1 + is_stored))
        self._require_space(problem, rows, sizes)
        self.stores: list[tuple[LinearSum, list[int]]] = []
        for t, group in of_buffer.items():
            if len(group) > 1 and not problem.buffers[t].stored:
                self._require_store(f"store_{problem.buffers[t].name}_{t}", group, sizes[group[0]])

    def _require_space(
        self, problem: Problem, rows: list[_CoverConstraint], sizes: dict[int, int]
    ) -> None:
        """Require enough bytes off chip while a step runs: ``sum of size[g] out[g] >= demand``.

        Sizes are truncated to the demand, which strengthens the relaxation without loss.
        """
        for row in rows:
            demand = -(-row.demand // self.unit)
            evicted = total(min(sizes[g], demand) * self.out[g] for g in bits(row.gaps))
            self.model.require(f"fits_{problem.steps[row.step].name}", evicted, low=demand)

    def _require_store(self, name: str, group: list[int], cost: int) -> None:
        """Require a store if a buffer is off chip in any of its gaps: ``store >= out[g]``."""
        store = self.model.variable(name, cost=cost)
        for g in group:
            self.model.require(name, store - self.out[g], low=0.0)
        self.stores.append((store, group))

    def start(self, off_chip: set[int]) -> Floats:
        """Return the variables with the buffers of the given gaps off chip."""
        stores = [store for store, group in self.stores if off_chip.intersection(group)]
        return self.model.point([*stores, *(self.out[g] for g in off_chip)])


def _gaps_off_chip(gaps: list[_Gap], script: Script, rows: list[_CoverConstraint]) -> set[int]:
    """Return the gaps of some rows during which a script has the buffer off chip."""
    evicted: dict[int, list[int]] = {}
    for k, out in enumerate(script.evictions):
        for t in out:
            evicted.setdefault(t, []).append(k)
    return {
        g
        for g in bits(union(row.gaps for row in rows))
        if any(gaps[g].first < k <= gaps[g].last for k in evicted.get(gaps[g].buffer, ()))
    }


def _script(order: Sequence[int], gaps: list[_Gap], off_chip: set[int]) -> Script:
    """Return the script in which the buffers of some gaps are off chip."""
    evictions: list[list[int]] = [[] for _ in order]
    for g in sorted(off_chip):
        evictions[gaps[g].first + 1].append(gaps[g].buffer)
    return Script(tuple(order), tuple(map(tuple, evictions)))
