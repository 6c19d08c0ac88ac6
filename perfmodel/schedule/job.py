"""One call of `schedule`: what is asked is known to be sound, and is worked through here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perfmodel.errors import input_error
from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.addresses import AddressLayout, layout
from perfmodel.schedule.graphs import Scheduled, Weights
from perfmodel.schedule.portfolio import Method, fewest_bytes
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.script import Script, outcome_of, replay
from perfmodel.schedule.target import Target, times
from perfmodel.units import binary, sizes
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.schedule.infeasible import Infeasible, Lever
    from perfmodel.schedule.timing import Clock

#: Share of the time that the fewest bytes are sought for, where the objective is another.
_BYTES = 0.5

#: Times that a schedule is made for a smaller capacity because its blocks could not be packed,
#: seconds for one packing, and the share of the time left that it or another schedule may take.
_ATTEMPTS, _PACKING, _PART = 6, 5.0, 0.5

#: Share of the time that is for the schedule itself, where addresses and reasons come after it.
_SEARCH = 0.8

#: Steps up to which patches are tried as a way out of a memory that is too small.
_PATCHED = 400


@dataclass(frozen=True)
class ScheduleJob:
    """What is asked; fields as the parameters of `perfmodel.schedule.run.schedule`."""

    workload: Workload
    at: Target
    made: Scheduled
    objective: str
    method: Method
    weights: Weights
    addresses: bool
    alignment: int
    tiles: bool
    time_limit_s: float | None
    deadline: Deadline

    def at_capacity(self, size_bytes: int) -> ScheduleJob:
        """Return the same for another capacity, with its whole time before it."""
        at, deadline = self.at.with_capacity(size_bytes), Deadline(self.time_limit_s)
        return replace(self, at=at, deadline=deadline)

    def _share(self, part: float) -> Deadline:
        """Return the end of a part of the time that is left."""
        return self.deadline.within(part * self.deadline.left())

    def run(self, incumbent: Script | None = None) -> Schedule:
        """Return the schedule.

        Raises
        ------
        InputError
            The device states too little for the objective.
        """
        capacity = self.at.capacity_bytes
        if capacity is not None and self.weights == "resident":
            capacity -= self.made.weight_bytes
            if capacity <= 0:
                return self._weights_alone(capacity)
        timed = self.objective in {"latency_s", "offchip_energy_j"}
        clock = self._needed_clock() if timed else None
        if capacity is not None and self.made.problem.largest_working_set_bytes > capacity:
            return self._tiled(capacity) if self.tiles else self._impossible(capacity)
        if self.objective == "peak":
            return self._least_peak(capacity)
        assert capacity is not None
        if self.at.keeps_all:
            return self._without_spills(capacity)
        if clock is not None:
            deadline = self._share(_BYTES)
            fewest = fewest_bytes(self.made.problem, capacity, self.method, deadline, incumbent)
            return self._timed(capacity, fewest, clock)
        return self._fewest(capacity, incumbent)

    def _fewest(self, capacity: int, incumbent: Script | None = None) -> Schedule:
        """Return the schedule of fewest bytes, timed where the device allows."""
        allowed = self._share(_SEARCH) if self.addresses else self.deadline
        outcome = fewest_bytes(self.made.problem, capacity, self.method, allowed, incumbent)
        outcome, packed = self._packed(outcome, capacity)
        made = self._result(capacity, outcome, packed)
        clock = None if outcome.solution is None else self.clock()
        return made if clock is None else replace(made, timing=clock.of(made.script, capacity))

    def _without_spills(self, capacity: int) -> Schedule:
        """Return the order of least peak: behind this memory nothing can be written."""
        made = self._least_peak(capacity)
        if made.infeasible is not None:
            said = f"; nothing behind {self.at.where.memory} can be written"
            levers = [v for v in made.infeasible.levers if not v.statement.startswith("spill")]
            statement = made.infeasible.statement + said
            why = replace(made.infeasible, statement=statement, levers=tuple(levers))
            return replace(made, infeasible=why)
        return replace(made, answer=made.outcome)

    def _weights_alone(self, capacity: int) -> Schedule:
        """Return the schedule that says that resident weights leave no room at all."""
        from perfmodel.schedule.infeasible import DemandTerm, Infeasible, Lever

        weights = self.made.weight_bytes
        whole = capacity + weights
        need = weights + self.made.problem.largest_working_set_bytes
        needed, there = sizes(weights, whole)
        said = f"resident weights alone need {needed}, of {there}"
        terms = (
            DemandTerm("weights", float(weights)),
            DemandTerm("largest working set", float(need - weights)),
        )
        levers = (
            Lever("streamed weights", float(weights), need - weights <= whole),
            Lever(f"{binary(need - whole)} more", float(need - whole), True),
        )
        why = Infeasible.of(said, need, whole, terms, levers)
        return self._none(whole, why)

    def _none(self, capacity: int, why: Infeasible, bound: float = 0.0) -> Schedule:
        """Return the schedule that says why there is none."""
        return Schedule(
            self.made,
            self.at.where,
            self.objective,
            self.method,
            capacity,
            nothing(self.method),
            nothing(self.method, bound),
            infeasible=why,
            weights=self.weights,
            notes=self.at.notes,
            job=self,
        )

    def clock(self) -> Clock | None:
        """Return what steps and transfers take; None where no device says."""
        found = None if self.made.graph.schedulable_only else times(self.workload, self.at)
        if found is None:
            return None
        from perfmodel.schedule.timing import clock

        return clock(self.made, self.at, found)

    def _needed_clock(self) -> Clock:
        """Return what steps and transfers take, for an objective that is made of them."""
        made = self.clock()
        if made is None:
            said = "needs a device with the bandwidth of the memory behind the scheduled one"
            raise input_error(said, path="objective", expected="such a device, or bytes")
        if self.objective == "offchip_energy_j" and made.power is None:
            at = self.at.where
            said = f"{at.device} states no energy of transfers and no power"
            expected = f"memories.{at.outer}.energy_per_byte or power.busy"
            raise input_error(said, path="objective", expected=expected)
        return made

    def _result(
        self, capacity: int | None, outcome: Certified[Script], packed: AddressLayout | None
    ) -> Schedule:
        """Return the schedule, not timed yet."""
        why: Infeasible | None = None
        if packed is not None and not packed.packed and outcome.solution is not None:
            from perfmodel.schedule.infeasible import unpacked

            assert capacity is not None
            why = unpacked(
                self.made.problem,
                outcome.solution,
                packed,
                capacity,
                alignment=self.alignment,
                deadline=self.deadline.within(2.0),
            )
        return Schedule(
            self.made,
            self.at.where,
            self.objective,
            self.method,
            capacity,
            outcome,
            outcome,
            packed,
            infeasible=why,
            notes=self.at.notes,
            weights=self.weights,
            job=self,
        )

    def _packed(
        self, outcome: Certified[Script], capacity: int
    ) -> tuple[Certified[Script], AddressLayout | None]:
        """Return the outcome with addresses, made again for less where its blocks do not pack."""
        if not self.addresses or outcome.solution is None:
            return outcome, None
        found = self._layout(outcome.solution, capacity)
        less, least = capacity, self.made.problem.largest_working_set_bytes
        for _ in range(_ATTEMPTS):
            if found.packed or less <= least or self.deadline.passed():
                break
            less = max(least, less - found.gap_bytes)
            again = fewest_bytes(self.made.problem, less, self.method, self._share(_PART))
            if again.solution is None:
                break
            tried = self._layout(again.solution, capacity)
            if tried.packed:
                # Fragmentation costs bytes: the bound is still that of the whole capacity.
                return replace(again, bound=outcome.bound), tried
            found = tried if tried.gap_bytes < found.gap_bytes else found
        return outcome, found

    def _layout(self, script: Script, capacity: int) -> AddressLayout:
        trace = replay(self.made.problem, script, capacity)
        allowed = self._share(_PART).within(_PACKING)
        return layout(self.made.problem, script, trace, capacity, allowed, alignment=self.alignment)

    def _timed(self, capacity: int, fewest: Certified[Script], clock: Clock) -> Schedule:
        """Return the fastest or most frugal schedule found, that of fewest bytes beside it."""
        look = clock.fastest if self.objective == "latency_s" else clock.frugal
        beside = None if fewest.solution is None else clock.of(fewest.solution, capacity)
        found = clock.ties(look(fewest, capacity, self._share(_SEARCH)), fewest, beside)
        assert found.solution is not None
        script, bound = found.solution.script, fewest.bound
        outcome = outcome_of(self.made.problem, script, capacity, self.method, bound, fewest.work)
        packed = self._layout(script, capacity) if self.addresses else None
        if packed is not None and not packed.packed:
            # Fewer bytes may leave the gaps that fewer seconds do not.
            again, other = self._packed(fewest, capacity)
            if other is not None and other.packed and again.solution is not None:
                timing = clock.of(again.solution, capacity)
                made = self._result(capacity, again, other)
                return replace(made, timing=timing, answer=nothing(self.method, found.bound))
        made = self._result(capacity, outcome, packed)
        timing = clock.timing(found, fewest, beside)
        return replace(made, timing=timing, answer=found)

    def _least_peak(self, capacity: int | None) -> Schedule:
        from perfmodel.schedule.peak import minimum_peak

        found = minimum_peak(self.made.problem, self._share(_SEARCH))
        assert found.solution is not None
        script = Script(found.solution, ((),) * len(found.solution))
        outcome = Certified(script, 0, 0, self.method, found.work)
        if capacity is not None and found.value > capacity:
            return self._impossible(capacity, found)
        # Where blocks do not pack into the peak itself, the height they need is what counts.
        packed = self._layout(script, capacity or int(found.value)) if self.addresses else None
        if packed is not None and not packed.packed and capacity is None:
            packed = self._layout(script, packed.height_bytes)
        made = self._result(capacity, outcome, packed)
        return replace(made, answer=found)

    def _tiled(self, capacity: int) -> Schedule:
        """Return the schedule in which operators larger than the memory run in tiles."""
        from perfmodel.schedule.tiling.streamed import in_tiles, streamed

        if self.objective != "bytes":
            said = f"'{self.objective}' is not of operators in tiles"
            raise input_error(said, path="objective", expected="bytes")
        found = streamed(self.made, self.workload.parameters, capacity)
        if found is None:
            return self._impossible(capacity)
        job = replace(self, made=in_tiles(self.made, found))
        return replace(job._fewest(capacity), tiled=found, untiled=self.made, job=self)

    def _impossible(
        self, capacity: int, peak: Certified[tuple[int, ...]] | None = None
    ) -> Schedule:
        """Return the schedule that says why there is none."""
        from perfmodel.schedule.infeasible import over_peak, over_working_set

        problem, pointwise = self.made.problem, self.made.pointwise
        if peak is None:
            why = over_working_set(problem, capacity, pointwise=pointwise)
            levers = (*why.levers, *self._in_patches(why.demand, capacity))
            why = replace(why, levers=tuple(sorted(levers, key=lambda lever: not lever.enough)))
        else:
            assert peak.solution is not None
            why = over_peak(
                problem,
                capacity,
                int(peak.value),
                peak.solution,
                proved=peak.proved,
                pointwise=pointwise,
                deadline=self.deadline,
            )
        return self._none(capacity, why, why.demand if self.objective == "peak" else 0.0)

    def _in_patches(self, demand: float, capacity: int) -> tuple[Lever, ...]:
        """Return what patches would do, where the best plan of them fits."""
        from perfmodel.schedule.infeasible import Lever
        from perfmodel.schedule.tiling.choose import patch_plan
        from perfmodel.schedule.tiling.layers import network

        large = len(self.made.problem.steps) > _PATCHED
        if self.made.graph.schedulable_only or large or self.deadline.passed():
            return ()
        net = network(self.workload, self.at.precision)
        if len(net.maps[0].extents) != 2:
            return ()
        # A few choices: `perfmodel patches` looks through all of them.
        found = patch_plan(
            net,
            "macs",
            capacity_bytes=capacity,
            most_patched=1,
            modes=("recompute", "cached"),
            grids=((2, 2), (4, 4), (8, 8)),
            time_limit_s=self.deadline.left(),
        )
        if found is None or all(stage.patches.count == 1 for stage in found.stages):
            return ()
        macs = sum(stage.least_macs for stage in found.stages)
        more = (
            f", {100.0 * found.extra_macs / macs:.1f} % more multiply-accumulates" if macs else ""
        )
        return (Lever(f"run in patches{more}", demand - found.peak_bytes, True),)
