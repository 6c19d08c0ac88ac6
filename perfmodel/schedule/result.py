"""A schedule: its numbers, what lies where and when, and the plan that predictions read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.optimise.certified import Certified
from perfmodel.plan import Plan
from perfmodel.schedule.addresses import AddressLayout
from perfmodel.schedule.graphs import Scheduled
from perfmodel.schedule.plans import Where, to_plan
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, Trace, replay
from perfmodel.table import Result, ShownPicture, Table

if TYPE_CHECKING:
    from perfmodel.schedule.infeasible import Infeasible, Unproved
    from perfmodel.schedule.job import ScheduleJob
    from perfmodel.schedule.levels import LevelPlan
    from perfmodel.schedule.recompute import Recomputation
    from perfmodel.schedule.staircase import SpillStaircase
    from perfmodel.schedule.tiling.streamed import Streamed
    from perfmodel.schedule.timing import Timing

#: What a schedule may minimise.
OBJECTIVES = ("bytes", "latency_s", "offchip_energy_j", "peak")

#: Numbers of a schedule: attributes, and keys of its JSON.
METRICS = (
    "spill_bytes",
    "reload_bytes",
    "compulsory_bytes",
    "tile_bytes",
    "offchip_bytes",
    "lower_bound_bytes",
    "capacity_bytes",
    "peak_bytes",
    "working_set_bytes",
    "weight_bytes",
)


@dataclass(frozen=True, repr=False)
class Schedule(Result):
    """The order of a network's operators, what stays on chip, and what is spilled and reloaded.

    Attributes
    ----------
    objective
        One of `OBJECTIVES`.
    method
        Method that was asked for.
    capacity_bytes
        What the scheduled memory holds for activations; None where nothing bounds it.
    outcome
        Bytes spilled and reloaded by this schedule, and what no schedule goes below.
    answer
        The same of the objective, in its unit.
    layout
        Addresses; None where none were asked for.
    timing
        Latency with transfers beside arithmetic, where a device gives times.
    infeasible
        Why there is no schedule, or None.
    tiled, untiled
        Where operators run in tiles: how, and the problem before.
    job
        What was asked, for `alternatives`.

    Its plots: ``timeline()``, ``memory()``, ``demand()``, ``compare(other)``.
    """

    noun = "schedule"

    scheduled: Scheduled
    where: Where
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
    untiled: Scheduled | None = None
    job: ScheduleJob | None = field(default=None, compare=False)

    @property
    def problem(self) -> Problem:
        """Steps and buffers."""
        return self.scheduled.problem

    @property
    def lower_bound(self) -> float:
        """In the unit of the objective: no schedule is better."""
        return float(self.answer.bound)

    @property
    def proved(self) -> bool:
        """Whether this one is as good."""
        return self.answer.proved

    @property
    def feasible(self) -> bool:
        """Whether there is a schedule, with an address for everything where they were asked for."""
        return self.infeasible is None

    @property
    def decided(self) -> bool:
        """Whether it is known if anything fits: something does, or nothing is proved to.

        That the blocks of this schedule have no addresses does not tell of those of others.
        """
        why = self.infeasible
        return why is None or (why.proved and self.outcome.solution is None)

    @cached_property
    def unproved(self) -> Unproved | None:
        """What is open between the bytes of this schedule and their bound, and what would close it.

        None where it is proved, where there is no schedule, and for other objectives.
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
            There is none.
        """
        if self.outcome.solution is None:
            raise ValueError("there is no schedule: see `infeasible`")
        return self.outcome.solution

    @cached_property
    def trace(self) -> Trace:
        """What happens when the script runs."""
        return replay(self.problem, self.script, self.capacity_bytes)

    @property
    def spill_bytes(self) -> int:
        """Bytes stored because they did not fit."""
        return self.trace.spill_bytes

    @property
    def reload_bytes(self) -> int:
        """Bytes fetched back."""
        return self.trace.reload_bytes

    @property
    def compulsory_bytes(self) -> int:
        """Bytes of network inputs and outputs, and of weights and caches that stream past."""
        problem = self.problem if self.untiled is None else self.untiled.problem
        return problem.compulsory_bytes + sum(s.stream_bytes for s in problem.steps)

    @property
    def tile_bytes(self) -> int:
        """Bytes that operators in tiles move beyond the compulsory."""
        return 0 if self.tiled is None else self.tiled.extra_bytes

    @property
    def offchip_bytes(self) -> int:
        """Compulsory bytes, spills, reloads, and what operators in tiles move beside."""
        return self.compulsory_bytes + self.trace.cost_bytes + self.tile_bytes

    @property
    def lower_bound_bytes(self) -> int:
        """No schedule spills and reloads fewer bytes."""
        return int(self.outcome.bound)

    @property
    def peak_bytes(self) -> int:
        """Most bytes on chip."""
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
        """Seconds with transfers beside arithmetic, where a device gives times."""
        return None if self.timing is None else self.timing.latency_s

    @property
    def offchip_energy_j(self) -> float | None:
        """Joules of transfers off chip, and of idle power as long as they and arithmetic last.

        What arithmetic and the memories on chip take is not in it: `predict` with this plan has
        the energy of everything. Where a device states no energy of transfers, its busy power as
        long as it lasts.
        """
        return None if self.timing is None else self.timing.offchip_energy_j

    @property
    def energy_j(self) -> float | None:
        """The former name of `offchip_energy_j`."""
        import warnings

        said = "a schedule's energy_j is offchip_energy_j: no energy of arithmetic is in it"
        warnings.warn(said, DeprecationWarning, stacklevel=2)
        return self.offchip_energy_j

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of the steps in order; loads of network inputs among them."""
        return tuple(self.problem.steps[s].name for s in self.script.order)

    @cached_property
    def residency(self) -> Table:
        """Stays on chip, one row each: tensor, positions, bytes, address, spilled, reloaded."""
        at = {} if self.layout is None else self.layout.of_intervals()
        stays = self.trace.intervals
        buffers = self.problem.buffers
        return Table(
            {
                "tensor": [buffers[s.buffer].name for s in stays],
                "first": [s.first for s in stays],
                "last": [s.last for s in stays],
                "size_bytes": [buffers[s.buffer].size_bytes for s in stays],
                "address": [at.get(i, -1) for i in range(len(stays))],
                "spilled": [s.spilled for s in stays],
                "reloaded": [s.reloaded for s in stays],
            }
        )

    @cached_property
    def addresses(self) -> dict[str, tuple[int, ...]]:
        """Tensor -> its offset in bytes at each of its stays; empty where nothing was packed."""
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
        """The plan, for ``predict(..., plan=...)``.

        With tiles it has the order, and names the operators in tiles; `predict` refuses it.
        """
        if self.tiled is not None and self.untiled is not None:
            ran = [self.tiled.step[s] for s in self.script.order]
            loads = [s for s, step in enumerate(self.untiled.problem.steps) if step.load]
            order = (*loads, *(s for s in ran if s >= 0 and s not in loads))
            script = Script(order, ((),) * len(order))
            trace = replay(self.untiled.problem, script)
            whole = to_plan(self.untiled, script, trace, None, self.where, method=self.method)
            tiled = [n for s in sorted(self.tiled.tilings) for n in self.untiled.members[s]]
            return whole.model_copy(update={"residency": (), "moves": (), "tiled": tuple(tiled)})
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
        )

    def alternatives(self, time_limit_s: float = 5.0) -> Table:
        """Return what fusion, tiles, patches or more capacity would do; one row each.

        Parameters
        ----------
        time_limit_s
            For each of them.
        """
        from perfmodel.schedule.infeasible.alternatives import alternatives

        return alternatives(self, time_limit_s)

    def curve(self) -> SpillStaircase:
        """Return bytes against capacity, every step; see `perfmodel.schedule.staircase`."""
        from perfmodel.schedule.staircase import staircase

        return staircase(self)

    def recomputed(
        self, *, bytes_per_mac: float | None = None, time_limit_s: float | None = 10.0
    ) -> Recomputation:
        """Return the schedule in which steps may run again; see `perfmodel.schedule.questions`."""
        from perfmodel.schedule.questions import recomputed

        return recomputed(self, bytes_per_mac=bytes_per_mac, time_limit_s=time_limit_s)

    def over_levels(self, *, time_limit_s: float | None = 10.0) -> LevelPlan:
        """Return retention over all memories up to main; see `perfmodel.schedule.questions`."""
        from perfmodel.schedule.questions import over_levels

        return over_levels(self, time_limit_s=time_limit_s)

    def write_lp(self, path: str | Path, *, order: bool = False) -> None:
        """Write its integer programme as an LP file; see `perfmodel.schedule.questions`."""
        from perfmodel.schedule.questions import write_lp

        write_lp(self, path, order=order)

    @cached_property
    def table(self) -> Table:
        """One row for each stay on chip, as `residency`; none where there is no schedule."""
        return Table({}) if self.outcome.solution is None else self.residency

    @property
    def headline(self) -> str:
        """What was scheduled, and how."""
        from perfmodel.schedule.text import head_line

        return head_line(self)

    def glance(self) -> list[tuple[str, str]]:
        """Return capacity, bytes, latency and proof."""
        from perfmodel.schedule.text import glance

        return glance(self)

    def cautions(self) -> list[str]:
        """Return the notes."""
        return [f"note: {note}" for note in self.notes]

    def sections(self) -> list[str]:
        """Return why there is no schedule, and what would help."""
        return [] if self.infeasible is None else [self.infeasible.text()]

    def pictures(self) -> list[ShownPicture]:
        """Return its memory and its timeline; what each step needs where nothing fits."""
        if self.outcome.solution is None:
            return [
                ShownPicture("demand", "What each step needs by itself, against what there is.")
            ]
        return [
            ShownPicture("memory", "What lies on chip: address upwards, steps to the right."),
            ShownPicture("timeline", "Steps and transfers over time."),
        ]

    def explain(self) -> str:
        """Return why nothing fits, or what binds and what is open between value and bound."""
        from perfmodel.schedule.text import explanation

        return explanation(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        from perfmodel.schedule.text import to_dict

        return to_dict(self)
