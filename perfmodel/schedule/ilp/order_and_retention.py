"""Order, retention and spills in one integer programme: optimality proofs on small graphs.

The programme is COSMA's (arXiv:2311.18246, section 4), with cumulative order variables. Time has
one slot per step. Variables, all 0 or 1:

- ``d[s, k]``: step s has run by slot k, for slots between the earliest that its ancestors allow
  (ASAP) and the latest that its descendants allow (ALAP);
- ``r[t, k]``: buffer t is on chip in slot k; ``l[t, k]``: it is reloaded before slot k;
- ``y[t]``: it is ever stored.

The objective is ``sum of size[t] (y[t] + sum over k of l[t, k])``. Constraints, by family:

=========  =========================================================================================
ran        ``sum over s of d[s, k] = k + 1``
for_good   ``d[s, k] <= d[s, k + 1]``
after      ``d[s, k] <= d[p, k - 1]`` for each predecessor p of s
stays      ``r[t, k] <= r[t, k - 1] + l[t, k] + [maker runs in k - 1]``
read       ``r[t, k] >= [a reader of t runs in k]``
wanted     ``l[t, k] <= sum over readers of [it runs in k]``
written    ``l[t, k] <= [maker has run by k - 2]``
stored     ``l[t, k] <= y[t]``
memory     ``sum of size[t] r[t, k] + sum of growth[s] [s runs in k] <= capacity``
=========  =========================================================================================

The relaxation of such programmes is weak on branchy graphs, so that only small graphs are proved.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_matrix import Floats
from perfmodel.optimise.milp_model import LinearSum, MilpModel, total
from perfmodel.schedule.ilp.interchangeable_chains import interchangeable_chains
from perfmodel.schedule.ilp.retention import retention
from perfmodel.schedule.masks import mask_of
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, outcome_of


def full(
    problem: Problem,
    capacity_bytes: int,
    deadline: Deadline | None = None,
    incumbent: Script | None = None,
) -> Certified[Script]:
    """Return the schedule with the fewest bytes spilled and reloaded, with its proof or a bound.

    Loads of inputs have no slots: loading just before the first reader is never worse.
    Interchangeable branches keep their natural order.

    Parameters
    ----------
    deadline
        Time at which to stop; the outcome then has the best script so far and a bound.
    incumbent
        A known script, which the programme starts from.

    Returns
    -------
    Certified
        Without a script if a step does not fit at all, or none was found in time.
    """
    limit = deadline or Deadline()
    if problem.largest_working_set_bytes > capacity_bytes:
        return nothing("full")
    best = outcome_of(problem, incumbent, capacity_bytes, "full")
    if best.proved:
        return best
    programme = FullScheduleMilp(problem, capacity_bytes)
    start = None
    if incumbent is not None:
        start = programme.start(incumbent.order, capacity_bytes, limit)
    solved = programme.model.solve(limit, start=start)
    bound = solved.integral_bound(programme.free) * programme.unit
    if solved.solution is not None:
        order = programme.order(solved.solution)
        if problem.is_order(order):
            # Optimal evictions for this order; also repairs constraints violated within the
            # tolerance.
            best = best.or_better(retention(problem, order, capacity_bytes, limit))
    size = {"columns": programme.model.size, "rows": len(programme.model.rows)}
    counts = {**solved.work, **size}
    return Certified(best.solution, best.value, bound, "full", counts)


def full_lp(problem: Problem, capacity_bytes: int, path: str | Path) -> None:
    """Write the programme of `full` as an LP file, with the names of steps and buffers.

    ``done_s_by_3``: s has run by slot 3; ``here_x_in_3``, ``reload_x_in_3``, ``store_x``. The
    objective is in units of the greatest common divisor of the sizes, and includes the first loads
    of inputs, which are compulsory.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        raise ValueError("a step does not fit by itself")
    FullScheduleMilp(problem, capacity_bytes).model.write_lp(path)


def full_size(problem: Problem) -> int:
    """Return the approximate number of columns of the programme of `full`."""
    slots = _Slots(problem)
    width = [late - early for early, late in zip(slots.asap, slots.alap, strict=True)]
    residencies = 0
    for t, readers in enumerate(problem.readers):
        if readers:
            first = slots.first(problem.maker[t])
            residencies += 2 * (max(slots.alap[slots.index[r]] for r in readers) - first + 1)
    return sum(width) + residencies


class _Slots:
    """Steps that occupy a slot, and their feasible slots.

    Attributes
    ----------
    steps
        Steps with a slot, in natural order; ``index`` is the inverse.
    asap, alap
        First and last feasible slot of each.
    """

    def __init__(self, problem: Problem) -> None:
        self.loads = problem.input_loads
        self.steps = [s for s in range(len(problem.steps)) if s not in self.loads]
        self.index = {s: i for i, s in enumerate(self.steps)}
        slotted = mask_of(self.steps)
        n = len(self.steps)
        self.asap = [(problem.ancestors[s] & slotted).bit_count() for s in self.steps]
        self.alap = [n - 1 - (problem.descendants[s] & slotted).bit_count() for s in self.steps]

    def first(self, maker: int) -> int:
        """Return the first slot in which the outputs of a step can be on chip."""
        return 0 if maker in self.loads else self.asap[self.index[maker]] + 1


class FullScheduleMilp:
    """The programme of `full`, with the conversions from and to scripts.

    Attributes
    ----------
    unit
        Bytes per unit of the objective.
    """

    def __init__(self, problem: Problem, capacity_bytes: int) -> None:
        self.problem = problem
        self.slots = _Slots(problem)
        sizes = [b.size_bytes for b in problem.buffers]
        self.unit = math.gcd(*(s for s in sizes if s)) if any(sizes) else 1
        self._sizes = [size // self.unit for size in sizes]
        # In whole units of memory, so that the solver's tolerance is smaller than one unit.
        self._grain = math.gcd(self.unit, *(s for s in problem.growth_bytes if s))
        self.model = MilpModel(problem.name)
        self._variables()
        self._require_order()
        for t in range(len(problem.buffers)):
            self._require_cause_of_residency(t)
            self._require_use_of_reloads(t)
        self._require_memory(capacity_bytes // self._grain)

    def _variables(self) -> None:
        """Declare all variables, with the costs of reloads and stores."""
        slots, problem, variable = self.slots, self.problem, self.model.variable
        self._done = [
            {k: variable(f"done_{problem.steps[s].name}_{s}_by_{k}") for k in range(early, late)}
            for s, early, late in zip(slots.steps, slots.asap, slots.alap, strict=True)
        ]
        self._resident: list[dict[int, LinearSum]] = []
        self._reload: list[dict[int, LinearSum]] = []
        self._store: dict[int, LinearSum] = {}
        for t, readers in enumerate(problem.readers):
            name, cost = f"{problem.buffers[t].name}_{t}", self._sizes[t]
            uses = [slots.index[r] for r in readers]
            first = slots.first(problem.maker[t]) if uses else 0
            last = max((slots.alap[i] for i in uses), default=-1)
            # A buffer just written is resident; the first reload of a loaded input is free.
            is_loaded = problem.maker[t] in slots.loads
            earliest = max(first + (not is_loaded), min((slots.asap[i] for i in uses), default=0))
            self._resident.append(
                {k: variable(f"here_{name}_in_{k}") for k in range(first, last + 1)}
            )
            self._reload.append(
                {k: variable(f"reload_{name}_in_{k}", cost=cost) for k in range(earliest, last + 1)}
            )
            if not problem.buffers[t].stored and self._reload[t]:
                self._store[t] = variable(f"store_{name}", cost=cost)

    def _has_run(self, i: int, k: int) -> LinearSum:
        """Return an expression equal to 1 if step i has run by slot k."""
        if self.slots.asap[i] <= k < self.slots.alap[i]:
            return self._done[i][k]
        return LinearSum({}, float(k >= self.slots.alap[i]))

    def _runs_in(self, i: int, k: int) -> LinearSum:
        """Return an expression equal to 1 if step i runs in slot k."""
        return self._has_run(i, k) - self._has_run(i, k - 1)

    def _require_order(self) -> None:
        """Require one more executed step after each slot, permanently and after its predecessors.

        ``sum over s of d[s, k] = k + 1``, ``d[s, k] <= d[s, k + 1]``, and ``d[s, k] <= d[p, k -
        1]`` for each predecessor p of s; for interchangeable branches
        ``d[second, k] <= d[first, k]``.
        """
        slots, problem, require = self.slots, self.problem, self.model.require
        steps = range(len(slots.steps))
        for k in steps:
            require("ran", total(self._has_run(i, k) for i in steps), low=k + 1, high=k + 1)
        for i, s in enumerate(slots.steps):
            for k in range(slots.asap[i], slots.alap[i] - 1):
                require("for_good", self._has_run(i, k + 1) - self._has_run(i, k), low=0.0)
            for p in problem.predecessors[s]:
                if p not in slots.loads:
                    self._precede(slots.index[p], i, 1)
        for group in interchangeable_chains(problem):
            members = [slots.index[chain[0]] for chain in group if chain[0] in slots.index]
            for first, second in itertools.pairwise(members):
                self._precede(first, second, 0)

    def _precede(self, first: int, second: int, slots: int) -> None:
        """Require ``d[second, k] <= d[first, k - slots]`` in every slot k of the second step."""
        for k in range(self.slots.asap[second], self.slots.alap[second] + 1):
            self.model.require(
                "after", self._has_run(first, k - slots) - self._has_run(second, k), low=0.0
            )

    def _readers(self, t: int) -> list[int]:
        """Return the indices of the steps with a slot that read a buffer."""
        return [self.slots.index[r] for r in self.problem.readers[t]]

    def _written(self, t: int, k: int, of: Callable[[int, int], LinearSum]) -> LinearSum:
        """Return whether the maker of a buffer has run; 0 for a load, which has no slot."""
        maker = self.problem.maker[t]
        return LinearSum({}) if maker in self.slots.loads else of(self.slots.index[maker], k)

    def _require_cause_of_residency(self, t: int) -> None:
        """Require a cause for residency (retention, write or reload), and residency when read.

        ``r[t, k] <= r[t, k - 1] + l[t, k] + [maker runs in k - 1]``, ``r[t, k] >= [i runs in k]``.
        """
        resident, reload, none = self._resident[t], self._reload[t], LinearSum({})
        for k, present in resident.items():
            written = self._written(t, k - 1, self._runs_in)
            before = resident.get(k - 1, none) + reload.get(k, none) + written
            self.model.require("stays", before - present, low=0.0)
            for i in self._readers(t):
                self.model.require("read", present - self._runs_in(i, k), low=0.0)

    def _require_use_of_reloads(self, t: int) -> None:
        """Require that a reload serves a reader of that slot, follows the write, and has a store.

        ``l[t, k] <= sum of [i runs in k]``, ``l[t, k] <= [maker has run by k - 2]``, ``l[t, k] <=
        y[t]``; for inputs one reload is compulsory: ``sum over k of l[t, k] >= 1``.
        """
        require, reloads = self.model.require, self._reload[t]
        loaded = self.problem.maker[t] in self.slots.loads
        if loaded and reloads:
            # Subtracted again in `free`.
            require("loaded", total(reloads.values()), low=1.0)
        for k, reload in reloads.items():
            require(
                "wanted", total(self._runs_in(i, k) for i in self._readers(t)) - reload, low=0.0
            )
            if not loaded:
                require("written", self._written(t, k - 2, self._has_run) - reload, low=0.0)
            if t in self._store:
                require("stored", self._store[t] - reload, low=0.0)

    def _require_memory(self, capacity: int) -> None:
        """Require that the resident buffers and the growth of the slot's step fit together.

        ``sum of size[t] r[t, k] + sum of growth[s] [s runs in k] <= capacity`` in every slot k.
        """
        growth = [self.problem.growth_bytes[s] // self._grain for s in self.slots.steps]
        scale = self.unit // self._grain
        for k in range(len(growth)):
            grown = [g * self._runs_in(i, k) for i, g in enumerate(growth) if g]
            resident = [
                self._sizes[t] * scale * slots[k]
                for t, slots in enumerate(self._resident)
                if k in slots
            ]
            self.model.require("memory", total([*grown, *resident]), high=capacity)

    @property
    def free(self) -> int:
        """Cost in the objective of the first loads of inputs, which are compulsory, in units."""
        read = [t for t, readers in enumerate(self.problem.readers) if readers]
        return sum(self._sizes[t] for t in read if self.problem.maker[t] in self.slots.loads)

    def order(self, values: Floats) -> tuple[int, ...]:
        """Return the order of a solution, each load just before its first reader."""
        runs = [
            late - sum(x.at(values) > 0.5 for x in done.values())
            for late, done in zip(self.slots.alap, self._done, strict=True)
        ]
        return self._with_loads([s for _, s in sorted(zip(runs, self.slots.steps, strict=True))])

    def _with_loads(self, steps: Sequence[int]) -> tuple[int, ...]:
        """Return an order of all steps, each load just before its first reader."""
        loads = self.slots.loads
        order = [s for s in sorted(loads) if not self.problem.successors[s]]
        seen = set(order)
        for s in steps:
            new_loads = [p for p in self.problem.predecessors[s] if p in loads and p not in seen]
            seen.update(new_loads)
            order += [*new_loads, s]
        return tuple(order)

    def start(self, order: Sequence[int], capacity_bytes: int, deadline: Deadline) -> Floats | None:
        """Return the variables of an order with its best evictions, branches in natural order.

        None if no script of that order is known.
        """
        renamed: dict[int, int] = {}
        place = {s: k for k, s in enumerate(order)}
        for group in interchangeable_chains(self.problem):
            for old, new in zip(sorted(group, key=lambda c: place[c[0]]), group, strict=True):
                renamed |= zip(old, new, strict=True)
        loads = self.slots.loads
        steps = [renamed.get(s, s) for s in order if renamed.get(s, s) not in loads]
        script = retention(self.problem, self._with_loads(steps), capacity_bytes, deadline).solution
        if script is None:
            return None
        ones: list[LinearSum] = []
        for k, s in enumerate(steps):
            ones += [x for q, x in self._done[self.slots.index[s]].items() if q >= k]
        readers_left = [len(readers) for readers in self.problem.readers]
        slot = 0
        resident: set[int] = set()
        for s, out in zip(script.order, script.evictions, strict=True):
            resident.difference_update(out)
            if s in loads:
                continue
            step = self.problem.steps[s]
            for t in set(step.reads) - resident:
                ones.append(self._reload[t][slot])
                if t in self._store:
                    ones.append(self._store[t])
            resident.update(step.reads)
            ones += [self._resident[t][slot] for t in resident]
            for t in step.reads:
                readers_left[t] -= 1
            resident.update(step.writes)
            resident = {t for t in resident if readers_left[t]}
            slot += 1
        return self.model.point(ones)
