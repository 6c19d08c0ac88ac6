"""Order, retention and spills in one integer programme: a certificate on small graphs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.highs.programme import Floats, MilpMatrix
from perfmodel.schedule.ilp.retention import retention
from perfmodel.schedule.ilp.symmetry import interchangeable
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, ScriptOutcome, replay
from perfmodel.schedule.solver import solve, write_lp


def full(
    problem: Problem,
    capacity_bytes: int,
    deadline: Deadline | None = None,
    incumbent: Script | None = None,
) -> ScriptOutcome:
    """Return the schedule with the fewest bytes spilled and reloaded, with its proof or a bound.

    Time has a slot for each step. ``d[s, k]`` says that step s has run by slot k, between the slot
    before which its ancestors and the one after which its descendants leave no room (ASAP, ALAP);
    ``r[t, k]`` that buffer t lies on chip in slot k, ``l[t, k]`` that it is reloaded before it,
    ``y[t]`` that it is ever stored. The memory holds what is resident and what the step of the slot
    adds. (COSMA, arXiv:2311.18246, section 4, with cumulative order variables; bounds of such
    programmes are weak on branchy graphs, hence small graphs.) Loads of inputs have no slots: to
    load just before the first reader is never worse. Branches that can be swapped keep their order.

    Parameters
    ----------
    deadline
        When to stop; the outcome then has the best script so far and a bound.
    incumbent
        A known script, which the programme starts from.

    Returns
    -------
    Outcome
        Without a script where a step does not fit by itself, or where none was found in time.
    """
    limit = deadline or Deadline()
    if problem.largest_working_set_bytes > capacity_bytes:
        return ScriptOutcome(None, 0, 0, False, "full")
    known = None if incumbent is None else replay(problem, incumbent, capacity_bytes).cost_bytes
    if known == 0:
        return ScriptOutcome(incumbent, 0, 0, True, "full")
    programme = FullScheduleMilp(problem, capacity_bytes)
    start = None
    if incumbent is not None:
        start = programme.start(incumbent.order, capacity_bytes, limit)
    found = solve(programme.matrix, limit, start=start)
    unit = programme.unit
    bound = found.whole_bound(programme.free) * unit
    script, cost = incumbent, known
    if found.found:
        order = programme.order(found.values)
        if problem.is_order(order):
            # The evictions of the very order; also mends what only just broke a row.
            again = retention(problem, order, capacity_bytes, limit)
            if again.script is not None and (cost is None or again.cost_bytes < cost):
                script, cost = again.script, again.cost_bytes
    counts = {"nodes": found.nodes, "columns": len(programme.matrix.cost)}
    counts["rows"] = len(programme.matrix.row_lower)
    if script is None or cost is None:
        return ScriptOutcome(None, 0, bound, False, "full", counts)
    bound = min(bound, cost)
    return ScriptOutcome(script, cost, bound, bound == cost, "full", counts)


def full_lp(problem: Problem, capacity_bytes: int, path: str | Path) -> None:
    """Write the programme of `full` as an LP file, in the names of steps and buffers.

    ``done_s_by_3``: s has run by slot 3; ``here_x_in_3``, ``reload_x_in_3``, ``store_x``. The
    objective is in units of the greatest common divisor of the sizes, and has the first loads of
    inputs in it, which are compulsory.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        raise ValueError("a step does not fit by itself")
    programme = FullScheduleMilp(problem, capacity_bytes)
    write_lp(programme.matrix, path, programme.names)


def full_size(problem: Problem) -> int:
    """Return about how many columns the programme of `full` has."""
    slots = _Slots(problem)
    width = [late - early for early, late in zip(slots.asap, slots.alap, strict=True)]
    stays = 0
    for t, readers in enumerate(problem.readers):
        if readers:
            first = slots.first(problem.maker[t])
            stays += 2 * (max(slots.alap[slots.index[r]] for r in readers) - first + 1)
    return sum(width) + stays


class _Slots:
    """Steps that take a slot, and the slots they may take.

    Attributes
    ----------
    steps
        Those steps, in natural order; ``index`` is the inverse.
    asap, alap
        First and last slot of each.
    """

    def __init__(self, problem: Problem) -> None:
        buffers = problem.buffers
        self.loads = {
            s
            for s, step in enumerate(problem.steps)
            if not step.reads
            and len(step.writes) == 1
            and not step.scratch_bytes
            and buffers[step.writes[0]].stored
        }
        self.steps = [s for s in range(len(problem.steps)) if s not in self.loads]
        self.index = {s: i for i, s in enumerate(self.steps)}
        taking = sum(1 << s for s in self.steps)
        n = len(self.steps)
        self.asap = [(problem.ancestors[s] & taking).bit_count() for s in self.steps]
        self.alap = [n - 1 - (problem.descendants[s] & taking).bit_count() for s in self.steps]

    def first(self, maker: int) -> int:
        """Return the first slot in which what a step writes can lie on chip."""
        return 0 if maker in self.loads else self.asap[self.index[maker]] + 1


class FullScheduleMilp:
    """The arrays, and the way there and back."""

    def __init__(self, problem: Problem, capacity_bytes: int) -> None:
        self.problem = problem
        self.slots = _Slots(problem)
        sizes = [b.size_bytes for b in problem.buffers]
        self.unit = math.gcd(*(s for s in sizes if s)) if any(sizes) else 1
        self._sizes = [size // self.unit for size in sizes]
        # In whole units of memory, so that no tolerance of the solver reaches the next one.
        self._grain = math.gcd(self.unit, *(s for s in problem.growth_bytes if s))
        self._capacity = capacity_bytes // self._grain
        self.names: list[str] = []
        self._cost: list[float] = []
        self._entries: list[tuple[int, int, float]] = []
        self._low: list[float] = []
        self._high: list[float] = []
        self._columns()
        self._rows()
        table = np.array(self._entries, dtype=np.float64).reshape(-1, 3)
        self.matrix = MilpMatrix.of(
            np.array(self._cost, dtype=np.float64),
            (table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2]),
            np.array(self._low, dtype=np.float64),
            np.array(self._high, dtype=np.float64),
            upper=1.0,
            integer=True,
        )

    def _new(self, name: str, cost: float = 0.0) -> int:
        self.names.append(name)
        self._cost.append(cost)
        return len(self._cost) - 1

    def _columns(self) -> None:
        slots, problem = self.slots, self.problem
        self._done: list[dict[int, int]] = [
            {k: self._new(f"done_{problem.steps[s].name}_{s}_by_{k}") for k in range(early, late)}
            for s, early, late in zip(slots.steps, slots.asap, slots.alap, strict=True)
        ]
        self._here: list[dict[int, int]] = []
        self._reload: list[dict[int, int]] = []
        self._store: list[int] = []
        for t, readers in enumerate(problem.readers):
            name = f"{problem.buffers[t].name}_{t}"
            here: dict[int, int] = {}
            reload: dict[int, int] = {}
            store = -1
            if readers:
                first = slots.first(problem.maker[t])
                uses = [slots.index[r] for r in readers]
                last = max(slots.alap[i] for i in uses)
                here = {k: self._new(f"here_{name}_in_{k}") for k in range(first, last + 1)}
                # A buffer just written is there; one that came with a load costs nothing at first.
                soonest = min(slots.asap[i] for i in uses)
                once = problem.maker[t] in slots.loads
                reload = {
                    k: self._new(f"reload_{name}_in_{k}", self._sizes[t])
                    for k in range(max(first + (not once), soonest), last + 1)
                }
                if not problem.buffers[t].stored and reload:
                    store = self._new(f"store_{name}", self._sizes[t])
            self._here.append(here)
            self._reload.append(reload)
            self._store.append(store)

    def _row(self, terms: list[tuple[int, float]], low: float, high: float = math.inf) -> None:
        i = len(self._low)
        merged: dict[int, float] = {}
        for j, x in terms:
            merged[j] = merged.get(j, 0.0) + x
        self._entries += [(i, j, x) for j, x in merged.items() if x]
        self._low.append(low)
        self._high.append(high)

    def _by(self, i: int, k: int, factor: float = 1.0) -> tuple[list[tuple[int, float]], float]:
        """Return the terms and the constant of ``factor * d[i, k]``."""
        if k < self.slots.asap[i]:
            return [], 0.0
        if k >= self.slots.alap[i]:
            return [], factor
        return [(self._done[i][k], factor)], 0.0

    def _at(self, i: int, k: int, factor: float = 1.0) -> tuple[list[tuple[int, float]], float]:
        """Return the same of ``factor`` where step i runs in slot k."""
        one, a = self._by(i, k, factor)
        two, b = self._by(i, k - 1, -factor)
        return one + two, a + b

    def _rows(self) -> None:
        slots, problem = self.slots, self.problem
        n = len(slots.steps)
        for k in range(n):
            # Slot by slot, one more step has run.
            terms: list[tuple[int, float]] = []
            rest = 0.0
            for i in range(n):
                more, constant = self._by(i, k)
                terms += more
                rest += constant
            self._row(terms, k + 1 - rest, k + 1 - rest)
        for i, s in enumerate(slots.steps):
            for k in range(slots.asap[i], slots.alap[i] - 1):
                self._row([(self._done[i][k + 1], 1.0), (self._done[i][k], -1.0)], 0.0)
            for p in problem.predecessors[s]:
                if p not in slots.loads:
                    self._precede(slots.index[p], i, 1)
        for group in interchangeable(problem):
            members = [slots.index[chain[0]] for chain in group if chain[0] in slots.index]
            for one, two in itertools.pairwise(members):
                self._precede(one, two, 0)
        for t in range(len(problem.buffers)):
            self._buffer(t)
        for k in range(n):
            self._memory(k)

    def _precede(self, one: int, two: int, slots: int) -> None:
        """Step one runs at least so many slots before step two."""
        for k in range(self.slots.asap[two], self.slots.alap[two] + 1):
            a, x = self._by(one, k - slots)
            b, y = self._by(two, k, -1.0)
            if a or b:
                self._row(a + b, -x - y)

    def _buffer(self, t: int) -> None:
        problem, slots = self.problem, self.slots
        here, reload, store = self._here[t], self._reload[t], self._store[t]
        maker = problem.maker[t]
        loaded = maker in slots.loads
        readers = [slots.index[r] for r in problem.readers[t]]
        for k, column in here.items():
            # It lies there because it did before, was just written, or is reloaded.
            terms = [(column, -1.0)]
            rest = 0.0
            if k - 1 in here:
                terms.append((here[k - 1], 1.0))
            if k in reload:
                terms.append((reload[k], 1.0))
            if not loaded:
                more, rest = self._at(slots.index[maker], k - 1)
                terms += more
            self._row(terms, -rest)
            for i in readers:
                more, rest = self._at(i, k, -1.0)
                if more or rest:
                    self._row([(column, 1.0), *more], -rest)
        if loaded and reload:
            # The first time is compulsory (taken off again in `free`).
            self._row([(column, 1.0) for column in reload.values()], 1.0)
        for k, column in reload.items():
            # Only for a step that reads it, and only after it was written.
            terms, rest = [(column, -1.0)], 0.0
            for i in readers:
                more, constant = self._at(i, k)
                terms += more
                rest += constant
            self._row(terms, -rest)
            if not loaded:
                more, rest = self._by(slots.index[maker], k - 2)
                self._row([(column, -1.0), *more], -rest)
            if store >= 0:
                self._row([(store, 1.0), (column, -1.0)], 0.0)

    def _memory(self, k: int) -> None:
        terms: list[tuple[int, float]] = []
        rest = 0.0
        for i, s in enumerate(self.slots.steps):
            grown = float(self.problem.growth_bytes[s] // self._grain)
            if grown and self.slots.asap[i] <= k <= self.slots.alap[i]:
                more, constant = self._at(i, k, grown)
                terms += more
                rest += constant
        terms += [
            (here[k], float(self._sizes[t] * (self.unit // self._grain)))
            for t, here in enumerate(self._here)
            if k in here and self._sizes[t]
        ]
        self._row(terms, -math.inf, self._capacity - rest)

    @property
    def free(self) -> int:
        """Units that first loads of inputs cost in the objective although they are compulsory."""
        read = [t for t, readers in enumerate(self.problem.readers) if readers]
        return sum(self._sizes[t] for t in read if self.problem.maker[t] in self.slots.loads)

    def order(self, values: Floats) -> tuple[int, ...]:
        """Return the order of a solution, each load just before its first reader."""
        runs = [
            late - sum(values[j] > 0.5 for j in done.values())
            for late, done in zip(self.slots.alap, self._done, strict=True)
        ]
        return self._with_loads([s for _, s in sorted(zip(runs, self.slots.steps, strict=True))])

    def _with_loads(self, steps: Sequence[int]) -> tuple[int, ...]:
        loads = self.slots.loads
        order = [s for s in sorted(loads) if not self.problem.successors[s]]
        seen = set(order)
        for s in steps:
            fresh = [p for p in self.problem.predecessors[s] if p in loads and p not in seen]
            seen.update(fresh)
            order += [*fresh, s]
        return tuple(order)

    def start(self, order: Sequence[int], capacity_bytes: int, deadline: Deadline) -> Floats | None:
        """Return the columns of an order with its best evictions, alike branches in their order."""
        to: dict[int, int] = {}
        place = {s: k for k, s in enumerate(order)}
        for group in interchangeable(self.problem):
            for old, new in zip(sorted(group, key=lambda c: place[c[0]]), group, strict=True):
                to |= zip(old, new, strict=True)
        loads = self.slots.loads
        steps = [to.get(s, s) for s in order if to.get(s, s) not in loads]
        script = retention(self.problem, self._with_loads(steps), capacity_bytes, deadline).script
        if script is None:
            return None
        values: Floats = np.zeros(len(self.matrix.cost))
        for k, s in enumerate(steps):
            i = self.slots.index[s]
            values[[j for q, j in self._done[i].items() if q >= k]] = 1.0
        left = [len(readers) for readers in self.problem.readers]
        slot = 0
        resident: set[int] = set()
        for s, out in zip(script.order, script.evictions, strict=True):
            resident.difference_update(out)
            if s in loads:
                continue
            step = self.problem.steps[s]
            for t in step.reads:
                if t not in resident:
                    values[self._reload[t][slot]] = 1.0
                    if self._store[t] >= 0:
                        values[self._store[t]] = 1.0
                resident.add(t)
            values[[self._here[t][slot] for t in resident]] = 1.0
            for t in step.reads:
                left[t] -= 1
            resident.update(step.writes)
            resident = {t for t in resident if left[t]}
            slot += 1
        return values if self.matrix.keeps(values) else None
