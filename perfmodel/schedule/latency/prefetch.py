"""Conversion of a script into a plan: transfers as early as space allows, in order of need.

A script states the order of the steps and the evictions; a plan also states when each transfer
begins. Reads are prefetched greedily, in the order in which steps need them; of the two rules for
the stores of outputs, eager and lazy, the faster one counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfmodel.schedule.latency.simulate import Simulation, SimulationTables
from perfmodel.schedule.latency.timeline import Dma, PlanActivity
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script


@dataclass(slots=True)
class _Fetch:
    """A read, the position of the step that needs it, and the bytes it occupies until then."""

    need: int
    activity: PlanActivity
    size: int


def prefetch(
    problem: Problem, script: Script, capacity_bytes: int, dma: Dma
) -> tuple[PlanActivity, ...] | None:
    """Return the plan of a script with the least makespan among a few rules.

    Parameters
    ----------
    problem
        Steps with ``seconds`` and ``stream_bytes``.
    script
        Order and evictions; the times of transfers are decided here.

    Returns
    -------
    tuple of PlanActivity or None
        None if outputs that wait for their store block every step.

    Notes
    -----
    Reads (inputs, streams, reloads) begin in the order in which steps need them, each as soon as
    the channel is free and the steps before its reader leave enough space. Stores of evicted
    buffers are ordered among the reads by the step that needs their space. Stores of outputs run
    whenever nothing is more urgent, or (the alternative rule) only when nothing else can proceed.
    """
    plan = least_timed_plan(SimulationTables(problem, capacity_bytes, dma), script)
    return plan[1] if plan else None


def least_timed_plan(
    tables: SimulationTables, script: Script
) -> tuple[float, tuple[PlanActivity, ...]] | None:
    """Return the least makespan of a script by the rules of `prefetch`, and its plan."""
    best: tuple[float, tuple[PlanActivity, ...]] | None = None
    for is_lazy in (False, True) if tables.required_stores else (False,):
        plan = _PrefetchPlanner(tables, script, is_lazy).build()
        if plan is not None and (best is None or plan[0] < best[0]):
            best = plan
    return best


class _PrefetchPlanner:
    """Planner of the transfers of a script, with eager or lazy stores of outputs.

    Attributes
    ----------
    runs
        Steps that compute, in order; a position is an index into it.
    next
        Position of the next step to run.
    occupied
        Bytes on chip while the step at each position runs, as far as planned.
    fetches, fetched
        Reads in the order of need, and the number of those that have begun.
    stores
        Buffer -> position of the step that needs its space.
    drops
        Buffer -> positions of the last use before each eviction.
    """

    def __init__(self, tables: SimulationTables, script: Script, has_lazy_stores: bool) -> None:
        self.tables = tables
        self.has_lazy_stores = has_lazy_stores
        steps = tables.problem.steps
        self.runs = [s for s in script.order if not steps[s].load]
        self.count = len(self.runs)
        # Evictions before a load are moved to the next step that runs.
        evicted: list[set[int]] = [set() for _ in range(self.count + 1)]
        at = 0
        for s, out in zip(script.order, script.evictions, strict=True):
            evicted[at].update(out)
            at += not steps[s].load
        self.sim = Simulation(tables)
        self.activities: list[PlanActivity] = []
        self.next = 0
        self.occupied = [0] * self.count
        self.fetches: list[_Fetch] = []
        self.stores: dict[int, int] = {}
        self.drops: dict[int, list[int]] = {}
        self._plan_stays(evicted)
        self.fetches.sort(key=lambda f: f.need)
        self.fetched = 0

    def _plan_stays(self, evicted: list[set[int]]) -> None:
        """Plan when each buffer is on chip, and the reads, stores and drops in between."""
        tables, steps = self.tables, self.tables.problem.steps
        uses: list[list[int]] = [[] for _ in tables.sizes]
        for k, s in enumerate(self.runs):
            for t in tables.reads[s]:
                uses[t].append(k)
            written = sum(tables.sizes[t] for t in steps[s].writes)
            self.occupied[k] += tables.problem.growth_bytes[s] - written
            if tables.streams[s]:
                self.fetches.append(_Fetch(k, PlanActivity("stream", s), steps[s].scratch_bytes))
        outs: dict[int, list[int]] = {}
        for k, buffers in enumerate(evicted):
            for t in buffers:
                outs.setdefault(t, []).append(k)
        available = {t: k for k, s in enumerate(self.runs) for t in steps[s].writes}
        for s, step in enumerate(steps):
            if step.load:
                needs = [uses[t][0] for t in step.writes if uses[t]]
                first = min(needs, default=self.count)
                self.fetches.append(_Fetch(first, PlanActivity("load", s), tables.growth[s]))
                available.update(dict.fromkeys(step.writes, first))
        for t, begin in available.items():
            if t in tables.required_stores:
                self.stores[t] = self.count
            start = begin
            last = begin
            cuts = [k for k in outs.get(t, ()) if any(u >= k for u in uses[t])]
            for use in uses[t]:
                cut = [k for k in cuts if last < k <= use]
                if cut and (last > begin or use > begin):
                    self._stay(t, start, last)
                    if t not in tables.stored_before:
                        self.stores[t] = min(self.stores.get(t, self.count), cut[0])
                    self.drops.setdefault(t, []).append(last)
                    self.fetches.append(_Fetch(use, PlanActivity("reload", t), tables.sizes[t]))
                    start = use
                last = use
            self._stay(t, start, last)

    def _stay(self, t: int, first: int, last: int) -> None:
        """Count a buffer as on chip from one position to another."""
        for k in range(first, min(last + 1, self.count)):
            self.occupied[k] += self.tables.sizes[t]

    def build(self) -> tuple[float, tuple[PlanActivity, ...]] | None:
        """Return the makespan and the plan; None if stores deadlock."""
        sim = self.sim
        while self.next < self.count or self.fetched < len(self.fetches) or self.stores:
            best: tuple[float, int, int, PlanActivity] | None = None
            if self.next < self.count and self._may_run():
                activity = PlanActivity("run", self.runs[self.next])
                best = (sim.begin(activity), -1, 0, activity)
            if self.fetched < len(self.fetches):
                fetch = self.fetches[self.fetched]
                if self._fits(fetch):
                    option = (sim.begin(fetch.activity), fetch.need, 1, fetch.activity)
                    best = option if best is None or option[:3] < best[:3] else best
            for t, need in self.stores.items():
                if t in sim.ready:
                    activity = PlanActivity("store", t)
                    option = (sim.begin(activity), need, 0, activity)
                    if self.has_lazy_stores and need == self.count and best and best[0] < math.inf:
                        continue
                    best = option if best is None or option[:3] < best[:3] else best
            if best is None or best[0] == math.inf:
                return None
            self._issue(best[3])
        return sim.end_s, tuple(self.activities)

    def _may_run(self) -> bool:
        """Return whether the data of the next step has arrived or is in transit."""
        tables, sim, s = self.tables, self.sim, self.runs[self.next]
        taken_over = tables.problem.steps[s].takes_over
        return (
            all(t in sim.ready for t in tables.reads[s])
            and (not tables.streams[s] or s in sim.fetched)
            and not (taken_over in tables.required_stores and taken_over not in sim.copied)
        )

    def _fits(self, fetch: _Fetch) -> bool:
        """Return whether the next read fits, with space left for the steps before its reader."""
        activity, t = fetch.activity, fetch.activity.index
        if activity.what == "reload" and (t in self.sim.ready or t not in self.sim.copied):
            return False
        room = self.tables.capacity_bytes - fetch.size
        return all(self.occupied[k] <= room for k in range(self.next, min(fetch.need, self.count)))

    def _issue(self, activity: PlanActivity) -> None:
        """Begin an activity, and update the plan of what follows."""
        self.sim.issue(activity)
        self.activities.append(activity)
        if activity.what == "run":
            for t in self.tables.reads[activity.index]:
                self._cancel_eviction(t)
            self.next += 1
            self._drop_due(self.tables.reads[activity.index])
            self._drop_due(self.tables.problem.steps[activity.index].writes)
        elif activity.what == "store":
            del self.stores[activity.index]
            self._drop_due((activity.index,))
        else:
            fetch = self.fetches[self.fetched]
            self.fetched += 1
            for k in range(self.next, min(fetch.need, self.count)):
                self.occupied[k] += fetch.size

    def _cancel_eviction(self, t: int) -> None:
        """Cancel an eviction whose store had not begun when the buffer was read again."""
        due = self.drops.get(t)
        if not due or due[0] >= self.next:
            return
        due.pop(0)
        late = [
            k
            for k, fetch in enumerate(self.fetches)
            if k >= self.fetched
            and fetch.activity == PlanActivity("reload", t)
            and fetch.need == self.next
        ]
        for k in late:
            del self.fetches[k]
        if t in self.stores and not due:
            if t in self.tables.required_stores:
                self.stores[t] = self.count
            else:
                del self.stores[t]

    def _drop_due(self, buffers: tuple[int, ...]) -> None:
        """Drop the buffers whose eviction is due and whose copy exists or is in transit."""
        for t in buffers:
            due = self.drops.get(t)
            if due and due[0] < self.next and t in self.sim.copied and t in self.sim.ready:
                due.pop(0)
                activity = PlanActivity("drop", t)
                self.sim.issue(activity)
                self.activities.append(activity)
