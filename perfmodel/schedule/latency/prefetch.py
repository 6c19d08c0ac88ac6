"""Conversion of a script into a plan: transfers as early as space allows, in order of need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfmodel.schedule.latency.model import Dma, PlanActivity
from perfmodel.schedule.latency.simulate import Simulation, SimulationTables
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script


@dataclass(slots=True)
class _Fetch:
    """A read, the position of the step that needs it, and the space it occupies until then."""

    need: int
    move: PlanActivity
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
    tuple of Move or None
        None if outputs that wait for their store block every step.

    Notes
    -----
    Reads (inputs, streams, reloads) begin in the order in which steps need them, each as soon as
    the channel is free and the steps before its reader leave enough space. Stores of evicted
    buffers are ordered among the reads by the step that needs their space. Stores of outputs run
    whenever nothing is more urgent, or (the alternative rule) only when nothing else can proceed.
    """
    plan = timed(SimulationTables(problem, capacity_bytes, dma), script)
    return plan[1] if plan else None


def timed(facts: SimulationTables, script: Script) -> tuple[float, tuple[PlanActivity, ...]] | None:
    """Return the least makespan of a script by the rules of `prefetch`, and its plan."""
    best: tuple[float, tuple[PlanActivity, ...]] | None = None
    for lazy in (False, True) if facts.owed else (False,):
        plan = _PrefetchPlanner(facts, script, lazy).build()
        if plan is not None and (best is None or plan[0] < best[0]):
            best = plan
    return best


class _PrefetchPlanner:
    """Planner of the transfers of a script, with eager or lazy stores of outputs."""

    def __init__(self, facts: SimulationTables, script: Script, lazy_stores: bool) -> None:
        self.facts = facts
        self.lazy_stores = lazy_stores
        steps = facts.problem.steps
        self.runs = [s for s in script.order if not steps[s].load]
        self.count = len(self.runs)
        # Evictions before a load are moved to the next step that runs.
        evicted: list[set[int]] = [set() for _ in range(self.count + 1)]
        at = 0
        for s, out in zip(script.order, script.evictions, strict=True):
            evicted[at].update(out)
            at += not steps[s].load
        self.sim = Simulation(facts)
        self.moves: list[PlanActivity] = []
        self.next = 0
        self.occupied = [0] * self.count
        self.fetches: list[_Fetch] = []
        self.stores: dict[int, int] = {}  # buffer -> position of the step needing its space
        self.drops: dict[int, list[int]] = {}  # buffer -> positions of the last use before
        self._plan_stays(evicted)
        self.fetches.sort(key=lambda f: f.need)
        self.fetched = 0

    def _plan_stays(self, evicted: list[set[int]]) -> None:
        facts, steps = self.facts, self.facts.problem.steps
        uses: list[list[int]] = [[] for _ in facts.sizes]
        for k, s in enumerate(self.runs):
            for t in facts.reads[s]:
                uses[t].append(k)
            written = sum(facts.sizes[t] for t in steps[s].writes)
            self.occupied[k] += facts.problem.growth_bytes[s] - written
            if facts.streams[s]:
                self.fetches.append(_Fetch(k, PlanActivity("stream", s), steps[s].scratch_bytes))
        outs: dict[int, list[int]] = {}
        for k, some in enumerate(evicted):
            for t in some:
                outs.setdefault(t, []).append(k)
        available = {t: k for k, s in enumerate(self.runs) for t in steps[s].writes}
        for s, step in enumerate(steps):
            if step.load:
                needs = [uses[t][0] for t in step.writes if uses[t]]
                first = min(needs, default=self.count)
                self.fetches.append(_Fetch(first, PlanActivity("load", s), facts.growth[s]))
                available.update(dict.fromkeys(step.writes, first))
        for t, begin in available.items():
            if t in facts.owed:
                self.stores[t] = self.count
            start = begin
            last = begin
            cuts = [k for k in outs.get(t, ()) if any(u >= k for u in uses[t])]
            for use in uses[t]:
                cut = [k for k in cuts if last < k <= use]
                if cut and (last > begin or use > begin):
                    self._stay(t, start, last)
                    if t not in facts.stored_before:
                        self.stores[t] = min(self.stores.get(t, self.count), cut[0])
                    self.drops.setdefault(t, []).append(last)
                    self.fetches.append(_Fetch(use, PlanActivity("reload", t), facts.sizes[t]))
                    start = use
                last = use
            self._stay(t, start, last)

    def _stay(self, t: int, first: int, last: int) -> None:
        for k in range(first, min(last + 1, self.count)):
            self.occupied[k] += self.facts.sizes[t]

    def build(self) -> tuple[float, tuple[PlanActivity, ...]] | None:
        """Return the makespan and the plan; None if stores deadlock."""
        sim = self.sim
        while self.next < self.count or self.fetched < len(self.fetches) or self.stores:
            best: tuple[float, int, int, PlanActivity] | None = None
            if self.next < self.count and self._may_run():
                move = PlanActivity("run", self.runs[self.next])
                best = (sim.begin(move), -1, 0, move)
            if self.fetched < len(self.fetches):
                fetch = self.fetches[self.fetched]
                if self._fits(fetch):
                    option = (sim.begin(fetch.move), fetch.need, 1, fetch.move)
                    best = option if best is None or option[:3] < best[:3] else best
            for t, need in self.stores.items():
                if t in sim.ready:
                    move = PlanActivity("store", t)
                    option = (sim.begin(move), need, 0, move)
                    if self.lazy_stores and need == self.count and best and best[0] < math.inf:
                        continue
                    best = option if best is None or option[:3] < best[:3] else best
            if best is None or best[0] == math.inf:
                return None
            self._issue(best[3])
        return sim.end_s, tuple(self.moves)

    def _may_run(self) -> bool:
        facts, sim, s = self.facts, self.sim, self.runs[self.next]
        over = facts.problem.steps[s].takes_over
        return (
            all(t in sim.ready for t in facts.reads[s])
            and (not facts.streams[s] or s in sim.fetched)
            and not (over in facts.owed and over not in sim.copied)
        )

    def _fits(self, fetch: _Fetch) -> bool:
        """Return whether the next read fits, with space left for the steps before its reader."""
        move, t = fetch.move, fetch.move.index
        if move.what == "reload" and (t in self.sim.ready or t not in self.sim.copied):
            return False
        room = self.facts.capacity_bytes - fetch.size
        return all(self.occupied[k] <= room for k in range(self.next, min(fetch.need, self.count)))

    def _issue(self, move: PlanActivity) -> None:
        self.sim.issue(move)
        self.moves.append(move)
        if move.what == "run":
            for t in self.facts.reads[move.index]:
                self._keep(t)
            self.next += 1
            self._drop(self.facts.reads[move.index])
            self._drop(self.facts.problem.steps[move.index].writes)
        elif move.what == "store":
            del self.stores[move.index]
            self._drop((move.index,))
        else:
            fetch = self.fetches[self.fetched]
            self.fetched += 1
            for k in range(self.next, min(fetch.need, self.count)):
                self.occupied[k] += fetch.size

    def _keep(self, t: int) -> None:
        """Cancel an eviction whose store had not begun when the buffer was read again."""
        due = self.drops.get(t)
        if not due or due[0] >= self.next:
            return
        due.pop(0)
        late = [
            k
            for k, fetch in enumerate(self.fetches)
            if k >= self.fetched
            and fetch.move == PlanActivity("reload", t)
            and fetch.need == self.next
        ]
        for k in late:
            del self.fetches[k]
        if t in self.stores and not due:
            if t in self.facts.owed:
                self.stores[t] = self.count
            else:
                del self.stores[t]

    def _drop(self, buffers: tuple[int, ...]) -> None:
        for t in buffers:
            due = self.drops.get(t)
            if due and due[0] < self.next and t in self.sim.copied and t in self.sim.ready:
                due.pop(0)
                move = PlanActivity("drop", t)
                self.sim.issue(move)
                self.moves.append(move)
