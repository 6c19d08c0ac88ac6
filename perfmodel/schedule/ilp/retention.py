"""The cheapest evictions for a given order: an integer programme over the gaps between uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.greedy import belady
from perfmodel.schedule.highs.programme import Floats, MilpMatrix
from perfmodel.schedule.masks import bits
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, ScriptOutcome, replay
from perfmodel.schedule.solver import solve, write_lp


@dataclass(frozen=True, slots=True)
class _Gap:
    """A buffer between two uses: it may leave just after position `first` until `last`."""

    buffer: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Row:
    """Evicted bytes among `gaps` (a bit mask) must reach `demand`; `room` is left for the rest.

    This is so while step `step` runs.
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
) -> ScriptOutcome:
    """Return the script of an order with the fewest bytes spilled and reloaded.

    A variable says that a buffer is away between two consecutive uses; it costs a reload, and a
    store the first time unless a copy exists. Where the buffers alive at a step exceed what is
    left beside its working set, enough must be away: one row a step, rows that another implies
    dropped, parts that share nothing solved apart. (The retention half of COSMA, arXiv:2311.18246,
    written over gaps in place of time steps; Belady's rule is not optimal here, since sizes differ
    and a store is paid once.)

    Parameters
    ----------
    order
        Every step once.
    capacity_bytes
        What the memory holds.
    deadline
        When to stop with the best script so far.
    incumbent
        A known script of the same order; Belady's where there is none.

    Returns
    -------
    Outcome
        Of all orders it proves nothing but a cost of zero. Of this one, ``counts`` says
        ``order_bound_bytes`` and whether the script is the best (``order_optimal`` is 1).
        Without a script where a step does not fit by itself.
    """
    limit = deadline or Deadline()
    start = incumbent or belady(problem, order, capacity_bytes)
    if start is None:
        return ScriptOutcome(None, 0, 0, False, "retention")
    known = replay(problem, start, capacity_bytes).cost_bytes
    gaps, rows = _rows(problem, order, capacity_bytes)
    away: set[int] = set()
    bound, optimal, nodes, parts = 0, True, 0, _parts(problem, gaps, rows)
    for part in parts:
        before = _away(gaps, start, part)
        programme = _RetentionMilp(problem, gaps, part)
        solved = solve(programme.matrix, limit, start=programme.start(before), restarts=False)
        away |= programme.away(solved.values)
        bound += solved.whole_bound() * programme.unit
        nodes += solved.nodes
    script = _script(order, gaps, away)
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
    return ScriptOutcome(script, cost, 0, cost == 0, "retention", counts)


def retention_lp(
    problem: Problem, order: Sequence[int], capacity_bytes: int, path: str | Path
) -> None:
    """Write the programme of `retention` as an LP file, in the names of steps and buffers.

    ``away_x_5_9``: x leaves before position 5 and is back before position 9. The objective is in
    units of the greatest common divisor of the sizes.

    Raises
    ------
    ValueError
        Everything fits, so that there is nothing to decide; or a step does not fit by itself.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        raise ValueError("a step does not fit by itself")
    gaps, rows = _rows(problem, order, capacity_bytes)
    if not rows:
        raise ValueError("everything fits: there is nothing to decide")
    programme = _RetentionMilp(problem, gaps, rows)
    write_lp(programme.matrix, path, programme.columns, programme.rows)


def _rows(
    problem: Problem, order: Sequence[int], capacity_bytes: int
) -> tuple[list[_Gap], list[_Row]]:
    """Return the gaps of an order, and the steps at which not all can be kept."""
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
    rows: list[_Row] = []
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
            row = _Row(alive, total - room, room, s)
            while rows and _implies(row, rows[-1]):
                rows.pop()
            if not rows or not _implies(rows[-1], row):
                rows.append(row)
    return gaps, rows


def _implies(one: _Row, other: _Row) -> bool:
    """Tell whether keeping one row keeps the other."""
    fewer = one.gaps & ~other.gaps == 0 and one.demand >= other.demand
    return fewer or (other.gaps & ~one.gaps == 0 and one.room <= other.room)


def _parts(problem: Problem, gaps: list[_Gap], rows: list[_Row]) -> list[list[_Row]]:
    """Return the rows in groups that share no gap and no buffer whose store is paid once."""
    mates: dict[int, int] = {}
    for g, gap in enumerate(gaps):
        if not problem.buffers[gap.buffer].stored:
            mates[gap.buffer] = mates.get(gap.buffer, 0) | 1 << g
    used = 0
    for row in rows:
        used |= row.gaps
    links = [mask & used for mask in mates.values() if (mask & used).bit_count() > 1]
    groups: list[tuple[int, list[_Row]]] = []
    for mask, members in [(row.gaps, [row]) for row in rows] + [(m, []) for m in links]:
        apart: list[tuple[int, list[_Row]]] = []
        for other, theirs in groups:
            if other & mask:
                mask, members = mask | other, theirs + members
            else:
                apart.append((other, theirs))
        groups = [*apart, (mask, members)]
    return [members for _, members in groups]


class _RetentionMilp:
    """The arrays of some rows, and the way there and back.

    Attributes
    ----------
    gaps
        Gap of each of the first columns; the others are the stores.
    stores
        Columns of the gaps of each buffer that is stored once, whichever of them it is away for.
    unit
        Bytes of one unit of the objective.
    """

    def __init__(self, problem: Problem, gaps: list[_Gap], rows: list[_Row]) -> None:
        used = 0
        for row in rows:
            used |= row.gaps
        self.gaps = list(bits(used))
        column = {g: j for j, g in enumerate(self.gaps)}
        sizes = [problem.buffers[gaps[g].buffer].size_bytes for g in self.gaps]
        self.unit = math.gcd(*sizes)
        sizes = [size // self.unit for size in sizes]
        of_buffer: dict[int, list[int]] = {}
        for j, g in enumerate(self.gaps):
            of_buffer.setdefault(gaps[g].buffer, []).append(j)
        cost = list(sizes)
        entries: list[tuple[int, int, int]] = []
        least: list[int] = []
        for i, row in enumerate(rows):
            demand = -(-row.demand // self.unit)
            mine = map(column.__getitem__, bits(row.gaps))
            # More than the demand helps no further, and says less in the relaxation.
            entries += [(i, j, min(sizes[j], demand)) for j in mine]
            least.append(demand)
        self.columns = [
            f"away_{problem.buffers[gaps[g].buffer].name}_{gaps[g].first + 1}_{gaps[g].last}"
            for g in self.gaps
        ]
        self.rows = [f"fits_{problem.steps[row.step].name}_{row.step}" for row in rows]
        self.stores: list[list[int]] = []
        for t, mine in of_buffer.items():
            if problem.buffers[t].stored:
                continue
            if len(mine) == 1:
                cost[mine[0]] *= 2
                continue
            name = f"store_{problem.buffers[t].name}_{t}"
            for j in mine:
                entries += [(len(least), len(cost), 1), (len(least), j, -1)]
                self.rows.append(f"{name}_{len(least)}")
                least.append(0)
            self.columns.append(name)
            cost.append(sizes[mine[0]])
            self.stores.append(mine)
        table = np.array(entries, dtype=np.int64).reshape(-1, 3)
        self.matrix = MilpMatrix.of(
            cost,
            (table[:, 0], table[:, 1], table[:, 2]),
            least,
            np.full(len(least), np.inf),
            upper=1.0,
            integer=True,
        )

    def start(self, away: set[int]) -> list[float]:
        """Return the columns where some gaps are spent away."""
        values = [float(g in away) for g in self.gaps]
        return values + [max(values[j] for j in mine) for mine in self.stores]

    def away(self, values: Floats) -> set[int]:
        """Return the gaps that are spent away in a solution."""
        return {g for g, x in zip(self.gaps, values, strict=False) if x > 0.5}


def _away(gaps: list[_Gap], script: Script, rows: list[_Row]) -> set[int]:
    """Return the gaps of some rows in which a script has the buffer away."""
    used = 0
    for row in rows:
        used |= row.gaps
    evicted: dict[int, list[int]] = {}
    for k, out in enumerate(script.evictions):
        for t in out:
            evicted.setdefault(t, []).append(k)
    return {
        g
        for g in bits(used)
        if any(gaps[g].first < k <= gaps[g].last for k in evicted.get(gaps[g].buffer, ()))
    }


def _script(order: Sequence[int], gaps: list[_Gap], away: set[int]) -> Script:
    evictions: list[list[int]] = [[] for _ in order]
    for g in sorted(away):
        evictions[gaps[g].first + 1].append(gaps[g].buffer)
    return Script(tuple(order), tuple(map(tuple, evictions)))
