"""Least makespan of small problems: branch and bound over plans, with dominance."""

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
    crowded_reads_s,
    hidden_reads_s,
    lower_bound,
    tail_s,
)
from perfmodel.schedule.latency.model import PlanActivity
from perfmodel.schedule.latency.simulate import Simulation, SimulationTables

# Maximum number of states stored for each combination of activities done.
PROFILES = 64


def exact(
    facts: SimulationTables,
    beat_s: float = math.inf,
    deadline: Deadline | None = None,
    most_nodes: int = 200_000,
) -> Certified[tuple[PlanActivity, ...]]:
    """Search all plans: every order, every eviction, every sequence of transfers.

    The answer is a plan better than the incumbent, or none; its bound holds for both.

    Parameters
    ----------
    facts
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
    search = _LatencyBranchAndBound(facts, beat_s, deadline or Deadline(), most_nodes)
    answer = search.run((Simulation(facts), ()), lower_bound(facts))
    return replace(answer, method="exact", work={"states": search.nodes})


_Node: TypeAlias = tuple[Simulation, tuple[PlanActivity, ...]]


class _LatencyBranchAndBound(BestFirst[_Node, tuple[PlanActivity, ...]]):
    """Depth-first search over plans, the most promising successor first."""

    depth_first = True

    def __init__(
        self, facts: SimulationTables, beat_s: float, deadline: Deadline, most_nodes: int
    ) -> None:
        super().__init__(Incumbent(beat_s), deadline, most_nodes)
        self.facts = facts
        steps = facts.problem.steps
        self.everything = (1 << len(steps)) - 1
        self.runs_mask = sum(1 << s for s, step in enumerate(steps) if not step.load)
        self.tails: dict[int, float] = {}
        self.hidden = hidden_reads_s(facts)
        self.crowded = crowded_reads_s(facts)
        # After the start of a step: all compute that depends on it and the last store; after its
        # end: the stores of its descendants.
        self.after_s: list[float] = []
        self.out_s: list[float] = []
        for s, step in enumerate(steps):
            later = [d for d in range(len(steps)) if facts.problem.descendants[s] >> d & 1]
            mask = facts.problem.descendants[s] | 1 << s
            compute = facts.seconds[s] + sum(facts.seconds[d] for d in later)
            self.after_s.append(compute + tail_s(facts, mask))
            outputs = [t for d in later for t in steps[d].writes] + list(step.writes)
            self.out_s.append(sum(facts.store_s[t] for t in outputs if t in facts.owed))
        self.seen: dict[tuple[object, ...], list[_Profile]] = {}

    def expand(self, node: _Node, bound: float) -> list[tuple[float, _Node]]:
        """Return the states after one more activity, the most promising last."""
        sim, moves = node
        if sim.finished:
            self.incumbent.offer(moves, sim.end_s)
            return []
        if self._dominated(sim):
            return []
        children: list[tuple[float, float, _Node]] = []
        for move in self._choices(sim):
            start = sim.begin(move)
            if start == math.inf:
                continue
            child = sim.copy()
            child.issue(move)
            for drops in self._drops(child, move):
                after = child
                if drops:
                    after = child.copy()
                    for drop in drops:
                        after.issue(drop)
                below = max(bound, self._bound(after))
                if below < self.incumbent.value:
                    children.append((below, start, (after, (*moves, move, *drops))))
        children.sort(key=lambda child: child[:2])
        return [(below, child) for below, _, child in reversed(children)]

    def _choices(self, sim: Simulation) -> Iterator[PlanActivity]:
        facts = self.facts
        problem = facts.problem
        for s, step in enumerate(problem.steps):
            if sim.issued >> s & 1:
                continue
            if step.load:
                yield PlanActivity("load", s)
                continue
            over = step.takes_over
            if facts.streams[s] and s not in sim.fetched:
                yield PlanActivity("stream", s)
            elif all(t in sim.ready for t in facts.reads[s]) and not (
                over in facts.owed and over not in sim.copied
            ):
                yield PlanActivity("run", s)
        for t in sim.copied:
            if t not in sim.ready and sim.left[t] and self._made(sim, t):
                yield PlanActivity("reload", t)
        for t in sim.ready:
            if t not in sim.copied and (t in facts.owed or sim.left[t]):
                yield PlanActivity("store", t)

    def _made(self, sim: Simulation, t: int) -> bool:
        return bool(sim.issued >> self.facts.problem.maker[t] & 1)

    def _drops(self, sim: Simulation, move: PlanActivity) -> Iterator[tuple[PlanActivity, ...]]:
        """Yield the drops that an activity makes possible, to be done just after it."""
        facts, i = self.facts, move.index
        if move.what == "run":
            step = facts.problem.steps[i]
            touched = (*facts.reads[i], *step.writes)
        elif move.what == "load":
            # If a reload takes as many resources, the load might as well come at its time.
            step = facts.problem.steps[i]
            dearer = len(step.writes) > 1 or step.scratch_bytes or step.stream_bytes
            touched = step.writes if dearer else ()
        elif move.what == "store":
            touched = (i,)
        else:
            touched = ()
        able = [
            PlanActivity("drop", t)
            for t in touched
            if t in sim.ready and t in sim.copied and sim.left[t] and facts.sizes[t]
        ]
        for count in range(len(able) + 1):
            yield from combinations(able, count)

    def _bound(self, sim: Simulation) -> float:
        """Return a lower bound on the end of all plans that continue from a state."""
        facts, now = self.facts, sim.now
        maker, steps = facts.problem.maker, facts.problem.steps
        left = self.everything & ~sim.issued
        runs = left & self.runs_mask
        if runs not in self.tails:
            self.tails[runs] = tail_s(facts, runs)
        engine = max(now, sim.engine)
        reading = max(now, sim.reading)
        compute = reads = hidden = crowded = 0.0
        path = sim.end_s
        ends: dict[int, float] = {}
        remaining = left
        while remaining:
            low = remaining & -remaining
            s = low.bit_length() - 1
            remaining ^= low
            if s not in sim.fetched:
                crowded += self.crowded[s]
            if steps[s].load:
                reads += facts.fetch_s[s]
                ends[s] = reading + facts.fetch_s[s]
                continue
            compute += facts.seconds[s]
            hidden += self.hidden[s]
            start = engine
            if facts.streams[s]:
                at = sim.fetched.get(s)
                if at is None:
                    reads += facts.fetch_s[s]
                    at = reading + facts.fetch_s[s]
                start = max(start, at)
            for t in facts.reads[s]:
                at = sim.ready.get(t)
                if at is None:
                    at = ends.get(maker[t])
                    if at is None:
                        at = max(reading, sim.copied[t]) + facts.reload_s[t]
                if at > start:
                    start = at
            ends[s] = start + facts.seconds[s]
            path = max(path, start + self.after_s[s], ends[s] + self.out_s[s])
        for t in sim.copied:
            if t not in sim.ready and sim.left[t] and self._made(sim, t):
                reads += facts.reload_s[t]
                crowded += facts.sizes[t] / facts.dma.read_bytes_per_s
        writes = sum(facts.store_s[t] for t in facts.owed if t not in sim.copied)
        # Reads that neither the running step nor later ones can hide.
        shown = max(0.0, crowded - hidden - max(0.0, engine - reading))
        path = max(path, engine + compute + max(shown, self.tails[runs]))
        if facts.dma.channels == 1:
            return max(path, reading + reads + writes)
        return max(path, reading + reads, max(now, sim.writing) + writes)

    def _dominated(self, sim: Simulation) -> bool:
        resident = frozenset(sim.ready)
        stored = frozenset(sim.copied)
        streamed = frozenset(s for s in sim.fetched if not sim.issued >> s & 1)
        profile = _Profile(sim, sorted(resident), sorted(stored), sorted(streamed))
        profiles = self.seen.setdefault((sim.issued, resident, stored, streamed), [])
        if any(other.beats(profile) for other in profiles):
            return True
        profiles[:] = [other for other in profiles if not profile.beats(other)]
        if len(profiles) < PROFILES:
            profiles.append(profile)
        return False


class _Profile:
    """State as relevant to its future: times, not before the last start, and free space."""

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

    def beats(self, other: _Profile) -> bool:
        """Return whether every continuation of `other` is possible from this state, no later."""
        if self.now > other.now or any(a > b for a, b in zip(self.times, other.times, strict=True)):
            return False
        return all(
            self.room(when) >= other.room(when)
            for when in (other.now, *(when for when, _ in other.space))
        )

    def room(self, when: float) -> int:
        """Return the bytes free at a time if nothing more begins."""
        return self.free + sum(size for at, size in self.space if at <= when)
