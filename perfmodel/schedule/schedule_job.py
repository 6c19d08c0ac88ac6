"""One validated call of `schedule`: from the problem to the schedule.

`ScheduleJob.run` chooses the method by the objective: fewest bytes (`portfolio.py`), least peak
(`peak/`), least latency or energy (`timing.py`). It then packs addresses (`addresses.py`), and
explains a network that does not fit (`infeasible/`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from perfmodel.errors import input_error
from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.addresses import AddressLayout, pack_blocks
from perfmodel.schedule.portfolio import Method, fewest_bytes
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.problem_from_graph import ScheduledGraph, Weights
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.script import Script, outcome_of, replay
from perfmodel.schedule.target import Target, kernel_times
from perfmodel.units import sizes
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.schedule.infeasible import Infeasible, Lever
    from perfmodel.schedule.timing import Clock

#: Share of the time spent on the fewest bytes, where the objective is another.
_BYTES_SHARE = 0.5

#: Attempts at a schedule for a smaller capacity after its blocks could not be packed, seconds for
#: one packing, and the share of the remaining time that a packing or another schedule may use.
_ATTEMPTS, _PACKING_S, _ATTEMPT_SHARE = 6, 5.0, 0.5

#: Share of the time for the schedule itself, where addresses and explanations follow.
_SEARCH_SHARE = 0.8

#: Seconds for the levers of an infeasible schedule.
_ADVICE_S = 0.3

#: Largest number of steps for which patches are tried as a remedy for a memory that is too small.
_MOST_STEPS_PATCHED = 400


@dataclass(frozen=True)
class ScheduleJob:
    """A scheduling job; fields as the parameters of `perfmodel.schedule.run.schedule`."""

    workload: Workload
    at: Target
    scheduled: ScheduledGraph
    objective: str
    method: Method
    weights: Weights
    addresses: bool
    alignment: int
    tiles: bool
    time_limit_s: float | None
    deadline: Deadline

    @property
    def problem(self) -> Problem:
        """Steps and buffers of the job."""
        return self.scheduled.problem

    def at_capacity(self, size_bytes: int) -> ScheduleJob:
        """Return the same job for another capacity, with the full time limit."""
        at, deadline = self.at.with_capacity(size_bytes), Deadline(self.time_limit_s)
        return replace(self, at=at, deadline=deadline)

    def run(self, incumbent: Script | None = None) -> Schedule:
        """Return the schedule for the objective of the job.

        Raises
        ------
        InputError
            The device does not state the facts that the objective requires.
        """
        capacity = self.at.capacity_bytes
        if capacity is not None and self.weights == "resident":
            capacity -= self.scheduled.weight_bytes
            if capacity <= 0:
                return self._weights_too_large(capacity)
        timed = self.objective in {"latency_s", "offchip_energy_j"}
        clock = self._needed_clock() if timed else None
        if capacity is not None and self.problem.largest_working_set_bytes > capacity:
            # Tensors of operators in tiles lie behind the memory.
            in_tiles = self.tiles and not self.at.cannot_spill
            return self._in_tiles(capacity) if in_tiles else self._explain_infeasible(capacity)
        if self.objective == "peak":
            return self._least_peak(capacity)
        assert capacity is not None
        if self.at.cannot_spill:
            return self._without_spills(capacity)
        if clock is not None:
            deadline = self.deadline.share(_BYTES_SHARE)
            fewest = fewest_bytes(self.problem, capacity, self.method, deadline, incumbent)
            return self._fastest(capacity, fewest, clock)
        return self._fewest_bytes(capacity, incumbent)

    def _fewest_bytes(self, capacity: int, incumbent: Script | None = None) -> Schedule:
        """Return the schedule of fewest bytes, timed where the device allows it."""
        allowed = self.deadline.share(_SEARCH_SHARE) if self.addresses else self.deadline
        outcome = fewest_bytes(self.problem, capacity, self.method, allowed, incumbent)
        outcome, packed = self._with_addresses(outcome, capacity)
        schedule = self._untimed(capacity, outcome, packed)
        clock = None if outcome.solution is None else self.clock()
        timing = None if clock is None else clock.time_script(schedule.script, capacity)
        return replace(schedule, timing=timing)

    def _without_spills(self, capacity: int) -> Schedule:
        """Return the order of least peak, for a memory with no writable memory behind it."""
        schedule = self._least_peak(capacity)
        if schedule.infeasible is not None:
            addition = f"; nothing behind {self.at.where.memory} can be written"
            levers = [v for v in schedule.infeasible.levers if not v.statement.startswith("spill")]
            statement = schedule.infeasible.statement + addition
            why = replace(schedule.infeasible, statement=statement, levers=tuple(levers))
            return replace(schedule, infeasible=why)
        return replace(schedule, answer=schedule.outcome)

    def _weights_too_large(self, capacity: int) -> Schedule:
        """Return the infeasible schedule if resident weights leave no room for activations."""
        from perfmodel.schedule.infeasible import DemandTerm, Infeasible, Lever

        weights = self.scheduled.weight_bytes
        total = capacity + weights
        need = weights + self.problem.largest_working_set_bytes
        needed, available = sizes(weights, total)
        statement = f"resident weights alone need {needed}, of {available}"
        terms = (
            DemandTerm("weights", float(weights)),
            DemandTerm("largest working set", float(need - weights)),
        )
        levers = (
            Lever("streamed weights", float(weights), need - weights <= total),
            Lever.more_memory(need - total),
        )
        why = Infeasible.of(statement, need, total, terms, levers)
        return self._infeasible(total, why)

    def _infeasible(self, capacity: int, why: Infeasible, bound: float = 0.0) -> Schedule:
        """Return an infeasible schedule with its explanation."""
        return self._schedule(
            capacity, nothing(self.method), nothing(self.method, bound), None, why
        )

    def _schedule(
        self,
        capacity: int | None,
        outcome: Certified[Script],
        answer: Certified[Any],
        packed: AddressLayout | None,
        why: Infeasible | None,
    ) -> Schedule:
        """Return a schedule with the settings of this job."""
        return Schedule(
            self.scheduled,
            self.at.where,
            self.objective,
            self.method,
            capacity,
            outcome,
            answer,
            packed,
            infeasible=why,
            notes=self.at.notes,
            weights=self.weights,
            job=self,
        )

    def clock(self) -> Clock | None:
        """Return the times of steps and transfers; None if no device states them."""
        seconds = (
            None if self.scheduled.graph.schedulable_only else kernel_times(self.workload, self.at)
        )
        if seconds is None:
            return None
        from perfmodel.schedule.timing import clock

        return clock(self.scheduled, self.at, seconds)

    def _needed_clock(self) -> Clock:
        """Return the times of steps and transfers, for an objective that requires them."""
        clock = self.clock()
        if clock is None:
            message = "needs a device with the bandwidth of the memory behind the scheduled one"
            raise input_error(message, path="objective", expected="such a device, or bytes")
        if self.objective == "offchip_energy_j" and clock.power is None:
            at = self.at.where
            message = f"{at.device} states no energy of transfers and no power"
            expected = f"memories.{at.outer}.energy_per_byte or engines.*.busy_power"
            raise input_error(message, path="objective", expected=expected)
        return clock

    def _untimed(
        self, capacity: int | None, outcome: Certified[Script], packed: AddressLayout | None
    ) -> Schedule:
        """Return the schedule without timing."""
        why: Infeasible | None = None
        if packed is not None and not packed.packed and outcome.solution is not None:
            from perfmodel.schedule.infeasible import unpacked

            assert capacity is not None
            why = unpacked(
                self.problem,
                outcome.solution,
                packed,
                capacity,
                alignment=self.alignment,
                deadline=self.deadline.within(2.0),
            )
        return self._schedule(capacity, outcome, outcome, packed, why)

    def _with_addresses(
        self, outcome: Certified[Script], capacity: int
    ) -> tuple[Certified[Script], AddressLayout | None]:
        """Return the outcome with addresses, solved again for less capacity if packing fails."""
        if not self.addresses or outcome.solution is None:
            return outcome, None
        best = self._pack(outcome.solution, capacity)
        smaller, least = capacity, self.problem.largest_working_set_bytes
        for _ in range(_ATTEMPTS):
            if best.packed or smaller <= least or self.deadline.passed():
                break
            smaller = max(least, smaller - best.gap_bytes)
            retry = fewest_bytes(
                self.problem, smaller, self.method, self.deadline.share(_ATTEMPT_SHARE)
            )
            if retry.solution is None:
                break
            trial = self._pack(retry.solution, capacity)
            if trial.packed:
                # Fragmentation costs bytes: the bound remains that of the full capacity.
                return replace(retry, bound=outcome.bound), trial
            best = trial if trial.gap_bytes < best.gap_bytes else best
        return outcome, best

    def _pack(self, script: Script, capacity: int) -> AddressLayout:
        """Return the addresses of the blocks of a script."""
        trace = replay(self.problem, script, capacity)
        allowed = self.deadline.share(_ATTEMPT_SHARE).within(_PACKING_S)
        return pack_blocks(self.problem, script, trace, capacity, allowed, alignment=self.alignment)

    def _fastest(self, capacity: int, fewest: Certified[Script], clock: Clock) -> Schedule:
        """Return the best schedule for time or energy, with that of fewest bytes for comparison."""
        fewest_timing = (
            None if fewest.solution is None else clock.time_script(fewest.solution, capacity)
        )
        least = clock.least_schedule(
            self.objective, fewest, capacity, self.deadline.share(_SEARCH_SHARE)
        )
        best = clock.prefer_fewest_bytes(least, fewest, fewest_timing)
        assert best.solution is not None
        script, bound = best.solution.script, fewest.bound
        outcome = outcome_of(self.problem, script, capacity, self.method, bound, fewest.work)
        packed = self._pack(script, capacity) if self.addresses else None
        if packed is not None and not packed.packed:
            # The schedule of fewest bytes may pack where the fastest one does not.
            retry, other = self._with_addresses(fewest, capacity)
            if other is not None and other.packed and retry.solution is not None:
                timing = clock.time_script(retry.solution, capacity)
                schedule = self._untimed(capacity, retry, other)
                return replace(schedule, timing=timing, answer=nothing(self.method, best.bound))
        schedule = self._untimed(capacity, outcome, packed)
        timing = clock.timing(best, fewest, fewest_timing)
        return replace(schedule, timing=timing, answer=best)

    def _least_peak(self, capacity: int | None) -> Schedule:
        """Return the order of least peak, without evictions."""
        from perfmodel.schedule.peak import minimum_peak

        least = minimum_peak(self.problem, self.deadline.share(_SEARCH_SHARE))
        assert least.solution is not None
        script = Script(least.solution, ((),) * len(least.solution))
        outcome = Certified(script, 0, 0, self.method, least.work)
        if capacity is not None and least.value > capacity:
            return self._explain_infeasible(capacity, least)
        # Where blocks do not pack into the peak itself, the height of the packing is what counts.
        packed = self._pack(script, capacity or int(least.value)) if self.addresses else None
        if packed is not None and not packed.packed and capacity is None:
            packed = self._pack(script, packed.height_bytes)
        schedule = self._untimed(capacity, outcome, packed)
        return replace(schedule, answer=least)

    def _in_tiles(self, capacity: int) -> Schedule:
        """Return the schedule in which operators larger than the memory run in tiles."""
        from perfmodel.schedule.tiling.streamed_tiles import in_tiles, streamed

        if self.objective != "bytes":
            message = f"'{self.objective}' does not support operators in tiles"
            raise input_error(message, path="objective", expected="bytes")
        tiles = streamed(self.scheduled, self.workload.parameters, capacity)
        if tiles is None:
            return self._explain_infeasible(capacity)
        job = replace(self, scheduled=in_tiles(self.scheduled, tiles))
        return replace(job._fewest_bytes(capacity), tiled=tiles, untiled=self.scheduled, job=self)

    def _explain_infeasible(
        self, capacity: int, peak: Certified[tuple[int, ...]] | None = None
    ) -> Schedule:
        """Return an infeasible schedule with the proved or best known reason."""
        from perfmodel.schedule.infeasible import over_peak, over_working_set

        problem, pointwise = self.problem, self.scheduled.pointwise
        deadline = self.deadline.within(_ADVICE_S)
        if peak is None:
            why = over_working_set(problem, capacity, pointwise=pointwise, deadline=deadline)
            levers = (*why.levers, *self._patch_lever(why.demand, capacity, deadline))
            why = replace(why, levers=tuple(sorted(levers, key=lambda lever: not lever.enough)))
        else:
            why = over_peak(problem, capacity, peak, pointwise=pointwise, deadline=deadline)
        return self._infeasible(capacity, why, why.demand if self.objective == "peak" else 0.0)

    def _patch_lever(self, demand: float, capacity: int, deadline: Deadline) -> tuple[Lever, ...]:
        """Return the effect of running in patches as a lever, if the best patch plan fits."""
        is_large = len(self.problem.steps) > _MOST_STEPS_PATCHED
        if self.scheduled.graph.schedulable_only or is_large or deadline.passed():
            return ()
        from perfmodel.schedule.infeasible import Lever
        from perfmodel.schedule.tiling.feature_maps import network
        from perfmodel.schedule.tiling.patch_plan_search import patch_plan

        net = network(self.workload, self.at.precision)
        if len(net.maps[0].extents) != 2:
            return ()
        # Only a few options here: `perfmodel patches` searches all of them.
        plan = patch_plan(
            net,
            "macs",
            capacity_bytes=capacity,
            most_patched=1,
            modes=("recompute", "cached"),
            grids=((2, 2), (4, 4), (8, 8)),
            time_limit_s=deadline.left(),
        )
        if plan is None or all(stage.patches.count == 1 for stage in plan.stages):
            return ()
        macs = sum(stage.least_macs for stage in plan.stages)
        more = f", {100.0 * plan.extra_macs / macs:.1f} % more multiply-accumulates" if macs else ""
        return (Lever(f"run in patches{more}", demand - plan.peak_bytes, True),)
