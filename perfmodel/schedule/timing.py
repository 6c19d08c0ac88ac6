"""Schedules in seconds and joules, where a device says what its steps and transfers take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.graphs import Scheduled
from perfmodel.schedule.latency import (
    Dma,
    ScheduleEnergyModel,
    Timeline,
    energy,
    latency,
    prefetch,
    simulate,
)
from perfmodel.schedule.latency.face import TimedPlan
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script
from perfmodel.schedule.target import Target, Times


@dataclass(frozen=True)
class Beside:
    """A schedule of another objective beside this one, timed by the same rules.

    Attributes
    ----------
    noncompulsory_bytes
        What it spills and reloads.
    """

    objective: str
    latency_s: float
    offchip_energy_j: float | None
    noncompulsory_bytes: int


@dataclass(frozen=True)
class Timing:
    """When everything in a schedule happens, transfers beside arithmetic.

    Attributes
    ----------
    latency_s
        From the first transfer to the end of the last step or store.
    offchip_energy_j
        Of transfers, and of static or busy power as long as it lasts; None where the device states
        neither.
    beside
        The schedule of fewest bytes, where the objective is another.
    """

    timeline: Timeline
    offchip_energy_j: float | None
    spans: dict[int, tuple[float, float]]
    beside: Beside | None = None
    per_run_s: float = 0.0

    @property
    def latency_s(self) -> float:
        """Seconds of a run: from the first transfer to the end, and what the runtime adds."""
        return self.timeline.makespan_s + self.per_run_s

    def to_dict(self) -> dict[str, Any]:
        """Return the timeline and what stands beside it, ready for JSON."""
        out = {
            **self.timeline.to_json(),
            "exposed_s": self.timeline.exposed_s,
            "offchip_energy_j": self.offchip_energy_j,
        }
        if self.beside is not None:
            out["fewest_bytes"] = {
                "latency_s": self.beside.latency_s,
                "offchip_energy_j": self.beside.offchip_energy_j,
                "noncompulsory_bytes": self.beside.noncompulsory_bytes,
            }
        return out


@dataclass(frozen=True)
class Clock:
    """What a problem's steps and transfers take.

    Attributes
    ----------
    problem
        With seconds.
    per_run_s
        What the runtime takes for every run.
    power
        None where the device states no energy of transfers and no power.
    """

    problem: Problem
    dma: Dma
    power: ScheduleEnergyModel | None
    per_run_s: float = 0.0

    def of(self, script: Script, capacity_bytes: int) -> Timing | None:
        """Return when everything of a script happens; None where its stores block it."""
        moves = prefetch(self.problem, script, capacity_bytes, self.dma)
        if moves is None:
            return None
        timeline = simulate(self.problem, moves, capacity_bytes, self.dma)
        spans = _spans(timeline, script)
        return Timing(timeline, self._joules(timeline), spans, per_run_s=self.per_run_s)

    def fastest(
        self, bytes_: Certified[Script], capacity_bytes: int, deadline: Deadline
    ) -> Certified[TimedPlan]:
        """Return the fastest schedule reached, that of fewest bytes among the candidates."""
        known = () if bytes_.solution is None else (bytes_.solution,)
        best = latency(
            self.problem,
            capacity_bytes,
            self.dma,
            deadline,
            scripts=known,
            bound_bytes=bytes_.bound,
        )
        extra = self.per_run_s
        return replace(best, value=best.value + extra, bound=best.bound + extra)

    def frugal(
        self, bytes_: Certified[Script], capacity_bytes: int, deadline: Deadline
    ) -> Certified[TimedPlan]:
        """Return the schedule of least energy reached."""
        assert self.power is not None
        known = () if bytes_.solution is None else (bytes_.solution,)
        best = energy(
            self.problem,
            capacity_bytes,
            self.dma,
            self.power,
            deadline,
            scripts=known,
            bound_bytes=bytes_.bound,
        )
        extra = self.power.static_w * self.per_run_s
        return replace(best, value=best.value + extra, bound=best.bound + extra)

    def ties(
        self, best: Certified[TimedPlan], bytes_: Certified[Script], other: Timing | None
    ) -> Certified[TimedPlan]:
        """Return the schedule of fewest bytes instead where it is as fast and as frugal.

        Parameters
        ----------
        other
            When everything of that schedule happens.
        """
        assert best.solution is not None
        if bytes_.solution is None or other is None:
            return best
        timeline = best.solution.timeline
        mine, its = self._joules(timeline), other.offchip_energy_j
        slower = other.timeline.makespan_s > timeline.makespan_s * (1 + 1e-9)
        if slower or (mine is not None and its is not None and its > mine * (1 + 1e-9)):
            return best
        return replace(best, solution=TimedPlan(bytes_.solution, (), other.timeline))

    def timing(
        self, best: Certified[TimedPlan], bytes_: Certified[Script], other: Timing | None
    ) -> Timing:
        """Return the timing of the best, with the schedule of fewest bytes beside it."""
        assert best.solution is not None
        beside = None
        if other is not None:
            beside = Beside("bytes", other.latency_s, other.offchip_energy_j, int(bytes_.value))
        timeline = best.solution.timeline
        spans = _spans(timeline, best.solution.script)
        return Timing(timeline, self._joules(timeline), spans, beside, self.per_run_s)

    def _joules(self, timeline: Timeline) -> float | None:
        if self.power is None:
            return None
        read = sum(r.bytes for r in timeline.rows if r.what in {"load", "stream", "reload"})
        written = sum(r.bytes for r in timeline.rows if r.what == "store")
        return (
            self.power.fixed_j
            + self.power.read_j_per_byte * read
            + self.power.write_j_per_byte * written
            + self.power.static_w * (timeline.makespan_s + self.per_run_s)
        )


def clock(scheduled: Scheduled, at: Target, times: Times) -> Clock:
    """Return what the steps of a problem take on a machine.

    Seconds are those of the machine's kind of hardware while nothing crosses to the outer memory;
    reads and writes share one channel of that memory's bandwidth. Energy: the outer memory's
    energy per byte and idle power, where the device states the first; else its busy power.
    """
    by_step = [
        times.seconds.get(members[0].partition("@")[0], 0.0) if members else 0.0
        for members in scheduled.members
    ]
    dma = Dma(times.bandwidth_bytes_per_s, times.bandwidth_bytes_per_s, times.latency_s)
    problem = scheduled.problem.with_seconds(by_step)
    return Clock(problem, dma, _power(at), times.per_run_s)


def _power(at: Target) -> ScheduleEnergyModel | None:
    assert at.machine is not None
    facts = at.machine.facts
    each = facts.get(f"memories.{at.where.outer}.energy_per_byte")
    if each is not None:
        return ScheduleEnergyModel(float(each), float(each), float(facts.get("power.idle") or 0.0))
    busy = facts.get("power.busy")
    return None if busy is None else ScheduleEnergyModel(0.0, 0.0, float(busy))


def _spans(timeline: Timeline, script: Script) -> dict[int, tuple[float, float]]:
    """Return position in the order -> when its step runs."""
    runs = {r.index: (r.start_s, r.end_s) for r in timeline.rows if r.what == "run"}
    return {k: runs[s] for k, s in enumerate(script.order) if s in runs}
