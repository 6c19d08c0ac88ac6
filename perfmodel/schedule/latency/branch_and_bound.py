"""Least makespan of small problems: depth-first branch and bound over plans, with dominance.

A node is the state of the machine after a sequence of activities (`simulate.py`); its successors
are all activities that can begin next. Its lower bound is the largest of the remaining compute,
the remaining transfers of each channel, and the critical path through both (`_bound`). The
incumbent is optimal when every node is expanded, pruned by its bound, or dominated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import TypeAlias

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.latency.bounds import (
    hidden_reads_s,
    lower_bound,
    space_bound_reads_s,
    tail_s,
)
from perfmodel.schedule.latency.simulate import Simulation, SimulationTables
from perfmodel.schedule.latency.timeline import PlanActivity

#: Maximum number of states stored for each combination of activities done.
_MOST_PROFILES = 64


def least_makespan(
    tables: SimulationTables,
    beat_s: float = math.inf,
    deadline: Deadline | None = None,
    most_nodes: int = 200_000,
) -> Certified[tuple[PlanActivity, ...]]:
    """Search all plans: every order, every eviction, every sequence of transfers.

    The answer is a plan better than the incumbent, or none; its bound holds for both.

    Parameters
    ----------
    tables
        Simulation tables: problem, capacity and channels.
    beat_s
        Makespan of the incumbent.
    deadline, most_nodes
        Limits at which the search stops.

    Notes
    -----
    Without loss of generality: a buffer is dropped as soon as its store is in progress and its last
    use before has begun; no buffer is dropped twice without a use in between, nor an input before
    its first use if its reload takes as much time and space. Earlier space, data or channels never
    hurt, so that of two states with the same activities done, and the same buffers on chip and
    stored, one may dominate the other.
    """
    search = _LatencyBranchAndBound(tables, beat_s, deadline or Deadline(), most_nodes)
    answer = search.run((Simulation(tables), ()), lower_bound(tables))
    return replace(answer, method="exact", work={"states": search.nodes})


_Node: TypeAlias = tuple[Simulation, tuple[PlanActivity, ...]]


class _LatencyBranchAndBound(BestFirst[_Node, tuple[PlanActivity, ...]]):
    """Depth-first search over plans, the most promising successor first."""

    depth_first = True

    def __init__(
        self, tables: SimulationTables, beat_s: float, deadline: Deadline, most_nodes: int
    ) -> None:
        super().__init__(Incumbent(beat_s), deadline, most_nodes)
        self.tables = tables
        steps = tables.problem.steps
        self.all_steps = (1 << len(steps)) - 1
        self.runs_mask = sum(1 << s for s, step in enumerate(steps) if not step.load)
        self.tails: dict[int, float] = {}
        self.hidden = hidden_reads_s(tables)
        self.space_bound = space_bound_reads_s(tables)
        # After the start of a step: all compute that depends on it and the last store; after its
        # end: the stores of its descendants.
        self.after_s: list[float] = []
        self.out_s: list[float] = []
        for s, step in enumerate(steps):
            later = [d for d in range(len(steps)) if tables.problem.descendants[s] >> d & 1]
            mask = tables.problem.descendants[s] | 1 << s
            compute = tables.seconds[s] + sum(tables.seconds[d] for d in later)
            self.after_s.append(compute + tail_s(tables, mask))
            outputs = [t for d in later for t in steps[d].writes] + list(step.writes)
            self.out_s.append(
                sum(tables.store_s[t] for t in outputs if t in tables.required_stores)
            )
        self.seen: dict[tuple[object, ...], list[_Profile]] = {}

    def expand(self, node: _Node, bound: float) -> list[tuple[float, _Node]]:
        """Return the states after one more activity, the most promising last."""
        sim, activities = node
        if sim.finished:
            self.incumbent.offer(activities, sim.end_s)
            return []
        if self._dominated(sim):
            return []
        children: list[tuple[float, float, _Node]] = []
        for activity in self._choices(sim):
            start = sim.begin(activity)
            if start == math.inf:
                continue
            child = sim.copy()
            child.issue(activity)
            for drops in self._drops(child, activity):
                after = child
                if drops:
                    after = child.copy()
                    for drop in drops:
                        after.issue(drop)
                below = max(bound, self._bound(after))
                if below < self.incumbent.value:
                    children.append((below, start, (after, (*activities, activity, *drops))))
        children.sort(key=lambda child: child[:2])
        return [(below, child) for below, _, child in reversed(children)]

    def _choices(self, sim: Simulation) -> Iterator[PlanActivity]:
        """Yield the activities that may begin next, apart from drops."""
        tables = self.tables
        problem = tables.problem
        for s, step in enumerate(problem.steps):
            if sim.issued >> s & 1:
                continue
            if step.load:
                yield PlanActivity("load", s)
                continue
            taken_over = step.takes_over
            if tables.streams[s] and s not in sim.fetched:
                yield PlanActivity("stream", s)
            elif all(t in sim.ready for t in tables.reads[s]) and not (
                taken_over in tables.required_stores and taken_over not in sim.copied
            ):
                yield PlanActivity("run", s)
        for t in sim.copied:
            if t not in sim.ready and sim.left[t] and self._is_written(sim, t):
                yield PlanActivity("reload", t)
        for t in sim.ready:
            if t not in sim.copied and (t in tables.required_stores or sim.left[t]):
                yield PlanActivity("store", t)

    def _is_written(self, sim: Simulation, t: int) -> bool:
        """Return whether the step that writes a buffer has begun."""
        return bool(sim.issued >> self.tables.problem.maker[t] & 1)

    def _drops(self, sim: Simulation, activity: PlanActivity) -> Iterator[tuple[PlanActivity, ...]]:
        """Yield the drops that an activity makes possible, to be done just after it."""
        tables, i = self.tables, activity.index
        if activity.what == "run":
            step = tables.problem.steps[i]
            touched = (*tables.reads[i], *step.writes)
        elif activity.what == "load":
            # If a reload takes as many resources, the load might as well come at its time.
            step = tables.problem.steps[i]
            is_dearer = len(step.writes) > 1 or step.scratch_bytes or step.stream_bytes
            touched = step.writes if is_dearer else ()
        elif activity.what == "store":
            touched = (i,)
        else:
            touched = ()
        droppable = [
            PlanActivity("drop", t)
            for t in touched
            if t in sim.ready and t in sim.copied and sim.left[t] and tables.sizes[t]
        ]
        for count in range(len(droppable) + 1):
            yield from combinations(droppable, count)

    def _bound(self, sim: Simulation) -> float:
        """Return a lower bound on the end of all plans that continue from a state.

        The largest, in seconds, of the time at which the engine is free plus all compute left and
        the reads that it cannot hide, or the last stores; the time at which each channel is free
        plus all its transfers left; and for each step left, its earliest start plus the compute
        and stores that depend on it.
        """
        tables, now = self.tables, sim.now
        maker, steps = tables.problem.maker, tables.problem.steps
        left = self.all_steps & ~sim.issued
        runs = left & self.runs_mask
        if runs not in self.tails:
            self.tails[runs] = tail_s(tables, runs)
        engine = max(now, sim.engine)
        reading = max(now, sim.reading)
        compute = reads = hidden = space_bound = 0.0
        path = sim.end_s
        ends: dict[int, float] = {}
        remaining = left
        while remaining:
            low = remaining & -remaining
            s = low.bit_length() - 1
            remaining ^= low
            if s not in sim.fetched:
                space_bound += self.space_bound[s]
            if steps[s].load:
                reads += tables.fetch_s[s]
                ends[s] = reading + tables.fetch_s[s]
                continue
            compute += tables.seconds[s]
            hidden += self.hidden[s]
            start = engine
            if tables.streams[s]:
                at = sim.fetched.get(s)
                if at is None:
                    reads += tables.fetch_s[s]
                    at = reading + tables.fetch_s[s]
                start = max(start, at)
            for t in tables.reads[s]:
                at = sim.ready.get(t)
                if at is None:
                    at = ends.get(maker[t])
                    if at is None:
                        at = max(reading, sim.copied[t]) + tables.reload_s[t]
                if at > start:
                    start = at
            ends[s] = start + tables.seconds[s]
            path = max(path, start + self.after_s[s], ends[s] + self.out_s[s])
        for t in sim.copied:
            if t not in sim.ready and sim.left[t] and self._is_written(sim, t):
                reads += tables.reload_s[t]
                space_bound += tables.sizes[t] / tables.dma.read_bytes_per_s
        writes = sum(tables.store_s[t] for t in tables.required_stores if t not in sim.copied)
        # Reads that neither the running step nor later ones can hide.
        exposed = max(0.0, space_bound - hidden - max(0.0, engine - reading))
        path = max(path, engine + compute + max(exposed, self.tails[runs]))
        if tables.dma.channels == 1:
            return max(path, reading + reads + writes)
        return max(path, reading + reads, max(now, sim.writing) + writes)

    def _dominated(self, sim: Simulation) -> bool:
        """Return whether a known state dominates this one; remember this one if not."""
        resident = frozenset(sim.ready)
        stored = frozenset(sim.copied)
        streamed = frozenset(s for s in sim.fetched if not sim.issued >> s & 1)
        profile = _Profile(sim, sorted(resident), sorted(stored), sorted(streamed))
        profiles = self.seen.setdefault((sim.issued, resident, stored, streamed), [])
        if any(other.dominates(profile) for other in profiles):
            return True
        profiles[:] = [other for other in profiles if not profile.dominates(other)]
        if len(profiles) < _MOST_PROFILES:
            profiles.append(profile)
        return False


class _Profile:
    """What the future of a state depends on: times from its last start on, and free space."""

    __slots__ = ("free", "now", "space", "times")

    def __init__(
        self, sim: Simulation, resident: list[int], stored: list[int], streamed: list[int]
    ) -> None:
        now = self.now = sim.now
        self.times = [
            max(now, sim.engine),
            max(now, sim.reading),
            max(now, sim.writing),
            sim.end_s,
            *(max(now, sim.ready[t]) for t in resident),
            *(max(now, sim.used[t]) for t in resident),
            *(max(now, sim.copied[t]) for t in stored),
            *(max(now, sim.fetched[s]) for s in streamed),
        ]
        self.free = sim.free
        self.space = sim.releases

    def dominates(self, other: _Profile) -> bool:
        """Return whether every continuation of `other` is possible from this state, no later."""
        if self.now > other.now or any(a > b for a, b in zip(self.times, other.times, strict=True)):
            return False
        return all(
            self.free_at(when) >= other.free_at(when)
            for when in (other.now, *(when for when, _ in other.space))
        )

    def free_at(self, when: float) -> int:
        """Return the bytes free at a time if nothing more begins."""
        return self.free + sum(size for at, size in self.space if at <= when)
