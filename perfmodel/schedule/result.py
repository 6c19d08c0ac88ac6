"""Result of `schedule`: metrics, placement over time, and the plan used by predictions.

Bytes and peak come from the replay of its script (`script.py`), latency and energy from its timing
(`timing.py`), the bound from the method that was used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perfmodel.deprecation import deprecated_attributes
from perfmodel.optimise.certified import Certified
from perfmodel.plan import Plan
from perfmodel.schedule import schedule_analyses, schedule_text
from perfmodel.schedule.addresses import AddressLayout
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.problem_from_graph import ScheduledGraph
from perfmodel.schedule.schedule_plan import MemoryNames, TiledSteps, to_plan
from perfmodel.schedule.script import Script, Trace, replay
from perfmodel.schedule.target import NO_ENERGY, predicted
from perfmodel.table import Result, ShownPicture, Table

if TYPE_CHECKING:
    from perfmodel.prediction import Prediction
    from perfmodel.schedule.infeasible import Infeasible, Unproved
    from perfmodel.schedule.schedule_job import ScheduleJob
    from perfmodel.schedule.spill_curve import SpillStaircase
    from perfmodel.schedule.tiling.streamed_tiles import Streamed
    from perfmodel.schedule.timing import Timing

#: Objectives of a schedule.
OBJECTIVES = ("bytes", "latency_s", "offchip_energy_j", "peak")


@dataclass(frozen=True, repr=False)
class Schedule(Result):
    """Order of a network's operators, with the tensors kept on chip, spilled and reloaded.

    Attributes
    ----------
    objective
        One of `OBJECTIVES`.
    method
        Requested method.
    capacity_bytes
        Capacity of the scheduled memory for activations; None where it is unbounded.
    outcome
        Bytes spilled and reloaded by this schedule, with their lower bound over all schedules.
    answer
        Value and lower bound of the objective, in its unit.
    layout
        Addresses; None if not requested.
    timing
        Latency with transfers overlapping arithmetic, if a device states times.
    infeasible
        Reason for the lack of a schedule, or None.
    tiled, untiled
        Tiled execution of operators, if any, and the problem before tiling.
    job
        The job that was solved, for `alternatives`.

    Its plots: ``timeline()``, ``memory()``, ``demand()``, ``compare(other)``.
    """

    noun = "schedule"

    scheduled: ScheduledGraph
    where: MemoryNames
    objective: str
    method: str
    capacity_bytes: int | None
    outcome: Certified[Script]
    answer: Certified[Any]
    layout: AddressLayout | None = None
    timing: Timing | None = None
    infeasible: Infeasible | None = None
    notes: tuple[str, ...] = ()
    weights: str = "streamed"
    tiled: Streamed | None = None
    untiled: ScheduledGraph | None = None
    job: ScheduleJob | None = field(default=None, compare=False)

    if not TYPE_CHECKING:
        __getattr__ = deprecated_attributes(energy_j="offchip_energy_j")

    @property
    def problem(self) -> Problem:
        """Steps and buffers of the schedule."""
        return self.scheduled.problem

    @property
    def lower_bound(self) -> float:
        """Lower bound on the objective over all schedules, in the unit of the objective."""
        return float(self.answer.bound)

    @property
    def proved(self) -> bool:
        """Whether this schedule reaches the lower bound."""
        return self.answer.proved

    @property
    def feasible(self) -> bool:
        """Whether there is a schedule, with an address for every block if requested."""
        return self.infeasible is None

    @property
    def decided(self) -> bool:
        """Whether feasibility is known: a schedule fits, or it is proved that none fits.

        A failure to pack the blocks of this schedule implies nothing about other schedules.
        """
        why = self.infeasible
        return why is None or (why.proved and self.outcome.solution is None)

    @cached_property
    def unproved(self) -> Unproved | None:
        """Reason why the bytes exceed their bound, and remedies that would close the gap.

        None if the schedule is proved optimal, absent, or has another objective.
        """
        if self.proved or self.outcome.solution is None or self.objective != "bytes":
            return None
        from perfmodel.schedule.infeasible import unproved

        assert self.capacity_bytes is not None
        return unproved(self.problem, self.capacity_bytes, self.outcome)

    @property
    def script(self) -> Script:
        """Order and evictions.

        Raises
        ------
        ValueError
            There is no schedule.
        """
        if self.outcome.solution is None:
            raise ValueError("there is no schedule: see `infeasible`")
        return self.outcome.solution

    @cached_property
    def trace(self) -> Trace:
        """Trace of the replayed script: bytes moved, and stays on chip."""
        return replay(self.problem, self.script, self.capacity_bytes)

    @property
    def spill_bytes(self) -> int:
        """Bytes stored because they did not fit on chip."""
        return self.trace.spill_bytes

    @property
    def reload_bytes(self) -> int:
        """Bytes reloaded after a spill."""
        return self.trace.reload_bytes

    @property
    def compulsory_bytes(self) -> int:
        """Bytes of network inputs and outputs, and of streamed weights and caches."""
        problem = self.problem if self.untiled is None else self.untiled.problem
        return problem.compulsory_bytes + sum(s.stream_bytes for s in problem.steps)

    @property
    def tile_bytes(self) -> int:
        """Bytes that tiled operators move in addition to the compulsory bytes."""
        return 0 if self.tiled is None else self.tiled.extra_bytes

    @property
    def offchip_bytes(self) -> int:
        """Total traffic: compulsory bytes, spills, reloads, and extra bytes of tiled operators."""
        return self.compulsory_bytes + self.trace.cost_bytes + self.tile_bytes

    @property
    def lower_bound_bytes(self) -> int:
        """Lower bound on the bytes that any schedule spills and reloads."""
        return int(self.outcome.bound)

    @property
    def peak_bytes(self) -> int:
        """Peak of the bytes on chip."""
        return self.trace.peak_bytes

    @property
    def working_set_bytes(self) -> int:
        """Least capacity for which there is a schedule."""
        return self.problem.largest_working_set_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return self.scheduled.weight_bytes

    @property
    def latency_s(self) -> float | None:
        """Latency in seconds with transfers overlapping arithmetic, if a device states times."""
        return None if self.timing is None else self.timing.latency_s

    @property
    def offchip_energy_j(self) -> float | None:
        """Energy in joules of off-chip transfers, plus idle power over their duration.

        Arithmetic and on-chip memories are excluded: `run_energy_j` has them. Without an energy of
        transfers, the power that the engine draws while it computes times the latency.
        """
        return None if self.timing is None else self.timing.offchip_energy_j

    @cached_property
    def prediction(self) -> Prediction | None:
        """Prediction of this plan on the device; None without a device or without a schedule."""
        if self.job is None or self.outcome.solution is None:
            return None
        return predicted(self.job.workload, self.job.at, self.plan)

    @property
    def run_energy_j(self) -> float | None:
        """Energy in joules of the run, by the sum of `predict` with this plan; None if unknown."""
        joule = float("nan") if self.prediction is None else self.prediction.energy_j
        return None if math.isnan(joule) else float(joule)

    @property
    def energy_model(self) -> str:
        """Model of `run_energy_j` with what it leaves out, or why there is none."""
        return NO_ENERGY if self.prediction is None else self.prediction.energy_model

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of the steps in order, including loads of network inputs."""
        return tuple(self.problem.steps[s].name for s in self.script.order)

    @cached_property
    def residency(self) -> Table:
        """One row per stay on chip: tensor, positions, bytes, address, spilled, reloaded."""
        at = {} if self.layout is None else self.layout.of_intervals()
        intervals = self.trace.intervals
        buffers = self.problem.buffers
        return Table(
            {
                "tensor": [buffers[s.buffer].name for s in intervals],
                "first": [s.first for s in intervals],
                "last": [s.last for s in intervals],
                "size_bytes": [buffers[s.buffer].size_bytes for s in intervals],
                "address": [at.get(i, -1) for i in range(len(intervals))],
                "spilled": [s.spilled for s in intervals],
                "reloaded": [s.reloaded for s in intervals],
            }
        )

    @cached_property
    def addresses(self) -> dict[str, tuple[int, ...]]:
        """Offsets in bytes of each tensor, one per stay; empty if nothing was packed."""
        if self.layout is None or not self.layout.packed:
            return {}
        at = self.layout.of_intervals()
        out: dict[str, tuple[int, ...]] = {}
        for i, stay in enumerate(self.trace.intervals):
            name = self.problem.buffers[stay.buffer].name
            out[name] = (*out.get(name, ()), at.get(i, 0))
        return out

    @cached_property
    def plan(self) -> Plan:
        """The execution plan, for ``predict(..., plan=...)``.

        With tiles it names the tiled operators, and what their tiles occupy and move.
        """
        tiles = None
        if self.tiled is not None and self.untiled is not None:
            tiles = TiledSteps(self.tiled, self.untiled)
        spans = None if self.timing is None else self.timing.spans
        at = None if self.layout is None else self.layout.of_intervals()
        return to_plan(
            self.scheduled,
            self.script,
            self.trace,
            self.capacity_bytes,
            self.where,
            method=self.method,
            addresses=at,
            times=spans,
            tiles=tiles,
        )

    def alternatives(self, time_limit_s: float = 5.0) -> Table:
        """Return the effect of fusion, tiles, patches and more capacity, one row per change.

        Parameters
        ----------
        time_limit_s
            Time limit per change.
        """
        from perfmodel.schedule.infeasible.alternatives import alternatives

        return alternatives(self, time_limit_s)

    def curve(self) -> SpillStaircase:
        """Return bytes against capacity with every step; see `perfmodel.schedule.spill_curve`."""
        from perfmodel.schedule.spill_curve import spill_curve

        return spill_curve(self)

    recomputed = schedule_analyses.recomputed
    over_levels = schedule_analyses.over_levels
    write_lp = schedule_analyses.write_lp

    @cached_property
    def table(self) -> Table:
        """One row per stay on chip, as `residency`; empty if there is no schedule."""
        return Table({}) if self.outcome.solution is None else self.residency

    @property
    def headline(self) -> str:
        """Name of the network, and the method."""
        return schedule_text.head_line(self)

    def glance(self) -> list[tuple[str, str]]:
        """Return capacity, bytes, latency and proof."""
        return schedule_text.glance(self)

    def explain(self) -> str:
        """Return why nothing fits, or binding constraints and the gap between value and bound."""
        return schedule_text.explanation(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all results as a dictionary for JSON."""
        return schedule_text.to_dict(self)

    def cautions(self) -> list[str]:
        """Return the notes as cautions."""
        return [f"note: {note}" for note in self.notes]

    def sections(self) -> list[str]:
        """Return why there is no schedule, and the available remedies."""
        return [] if self.infeasible is None else [self.infeasible.text()]

    def pictures(self) -> list[ShownPicture]:
        """Return plots of memory and timeline; of the demand of each step if nothing fits."""
        if self.outcome.solution is None:
            return [
                ShownPicture("demand", "What each step needs by itself, against what there is.")
            ]
        return [
            ShownPicture("memory", "What lies on chip: address upwards, steps to the right."),
            ShownPicture("timeline", "Steps and transfers over time."),
        ]
