"""Latency and energy of schedules, where a device states times of its steps and transfers.

A `Clock` has the seconds of each step and of each byte to the outer memory; it times scripts
(`latency/prefetch.py`) and finds schedules of least latency or energy (`latency/least_latency.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.latency import (
    Dma,
    ScheduleEnergyModel,
    Timeline,
    energy,
    latency,
    prefetch,
    simulate,
)
from perfmodel.schedule.latency.least_latency import TimedPlan
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.problem_from_graph import ScheduledGraph
from perfmodel.schedule.script import Script
from perfmodel.schedule.target import Target, Times


@dataclass(frozen=True)
class ComparedSchedule:
    """A schedule for another objective, timed by the same rules, for comparison.

    Attributes
    ----------
    noncompulsory_bytes
        Bytes that it spills and reloads.
    """

    objective: str
    latency_s: float
    offchip_energy_j: float | None
    noncompulsory_bytes: int


@dataclass(frozen=True)
class Timing:
    """Timeline of a schedule, with transfers overlapping arithmetic.

    Attributes
    ----------
    latency_s
        Time from the first transfer to the end of the last step or store, plus `per_run_s`.
    offchip_energy_j
        Energy of transfers plus static power, or busy power, times the duration; None if the device
        states neither.
    beside
        The schedule of fewest bytes, if the objective is another.
    """

    timeline: Timeline
    offchip_energy_j: float | None
    spans: dict[int, tuple[float, float]]
    beside: ComparedSchedule | None = None
    per_run_s: float = 0.0

    @property
    def latency_s(self) -> float:
        """Seconds of a run: from the first transfer to the end, plus the runtime's overhead."""
        return self.timeline.makespan_s + self.per_run_s

    def to_dict(self) -> dict[str, Any]:
        """Return the timeline and the schedule for comparison as a dictionary for JSON."""
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
    """Times of a problem's steps and transfers.

    Attributes
    ----------
    problem
        The problem with the seconds of each step.
    per_run_s
        Overhead of the runtime per run.
    power
        Energy model; None if the device states neither an energy of transfers nor a power.
    """

    problem: Problem
    dma: Dma
    power: ScheduleEnergyModel | None
    per_run_s: float = 0.0

    def time_script(self, script: Script, capacity_bytes: int) -> Timing | None:
        """Return the timing of a script; None if its stores deadlock."""
        activities = prefetch(self.problem, script, capacity_bytes, self.dma)
        if activities is None:
            return None
        timeline = simulate(self.problem, activities, capacity_bytes, self.dma)
        spans = _spans(timeline, script)
        return Timing(timeline, self._joules(timeline), spans, per_run_s=self.per_run_s)

    def least_schedule(
        self, objective: str, fewest: Certified[Script], capacity_bytes: int, deadline: Deadline
    ) -> Certified[TimedPlan]:
        """Return the schedule of least latency (``latency_s``) or least energy that was found.

        Parameters
        ----------
        fewest
            The schedule of fewest bytes, which is one of the candidates.
        """
        problem, dma, bound = self.problem, self.dma, fewest.bound
        known = () if fewest.solution is None else (fewest.solution,)
        extra = self.per_run_s
        if objective == "latency_s":
            best = latency(problem, capacity_bytes, dma, deadline, scripts=known, bound_bytes=bound)
        else:
            assert self.power is not None
            extra *= self.power.static_w
            best = energy(
                problem, capacity_bytes, dma, self.power, deadline, scripts=known, bound_bytes=bound
            )
        return replace(best, value=best.value + extra, bound=best.bound + extra)

    def prefer_fewest_bytes(
        self, best: Certified[TimedPlan], fewest: Certified[Script], other: Timing | None
    ) -> Certified[TimedPlan]:
        """Return the schedule of fewest bytes instead if it is as fast and uses no more energy.

        Parameters
        ----------
        other
            Timing of that schedule.
        """
        assert best.solution is not None
        if fewest.solution is None or other is None:
            return best
        timeline = best.solution.timeline
        ours_j, other_j = self._joules(timeline), other.offchip_energy_j
        slower = other.timeline.makespan_s > timeline.makespan_s * (1 + 1e-9)
        if slower or (ours_j is not None and other_j is not None and other_j > ours_j * (1 + 1e-9)):
            return best
        return replace(best, solution=TimedPlan(fewest.solution, (), other.timeline))

    def timing(
        self, best: Certified[TimedPlan], fewest: Certified[Script], other: Timing | None
    ) -> Timing:
        """Return the timing of the best schedule, with that of fewest bytes for comparison."""
        assert best.solution is not None
        beside = None
        if other is not None:
            beside = ComparedSchedule(
                "bytes", other.latency_s, other.offchip_energy_j, int(fewest.value)
            )
        timeline = best.solution.timeline
        spans = _spans(timeline, best.solution.script)
        return Timing(timeline, self._joules(timeline), spans, beside, self.per_run_s)

    def _joules(self, timeline: Timeline) -> float | None:
        """Return the energy of a timeline in joules; None without an energy model."""
        if self.power is None:
            return None
        read = sum(r.bytes for r in timeline.rows if r.what in {"load", "stream", "reload"})
        written = sum(r.bytes for r in timeline.rows if r.what == "store")
        return self.power.joules(timeline.makespan_s + self.per_run_s, read, written)


def clock(scheduled: ScheduledGraph, at: Target, times: Times) -> Clock:
    """Return the times of the steps and transfers of a problem on a machine.

    Seconds are those predicted for the machine's hardware kind without transfers to the outer
    memory; reads and writes share one channel with that memory's bandwidth. Energy: the outer
    memory's energy per byte with its way to the engine, and idle power and that of a running
    engine; without an energy per byte the power that the engine draws while it computes.
    """
    by_step = [
        times.seconds.get(members[0].partition("@")[0], 0.0) if members else 0.0
        for members in scheduled.members
    ]
    dma = Dma(times.bandwidth_bytes_per_s, times.bandwidth_bytes_per_s, times.latency_s)
    problem = scheduled.problem.with_seconds(by_step)
    return Clock(problem, dma, _power(at), times.per_run_s)


def _power(at: Target) -> ScheduleEnergyModel | None:
    """Return the energy model of a device; None if it states neither energy nor power."""
    assert at.machine is not None
    facts = at.machine.facts
    head = f"engines.{at.machine.engine}."
    each = facts.get(f"memories.{at.where.outer}.energy_per_byte")
    if each is not None:
        each += facts.get(f"{head}transport_energy", 0.0)
        static = facts.get("power.idle", 0.0) + facts.get(f"{head}running_power", 0.0)
        return ScheduleEnergyModel(float(each), float(each), float(static))
    busy = facts.get(f"{head}busy_power")
    return None if busy is None else ScheduleEnergyModel(0.0, 0.0, float(busy))


def _spans(timeline: Timeline, script: Script) -> dict[int, tuple[float, float]]:
    """Return start and end of each step in seconds, keyed by position in the order."""
    runs = {r.index: (r.start_s, r.end_s) for r in timeline.rows if r.what == "run"}
    return {k: runs[s] for k, s in enumerate(script.order) if s in runs}
