"""Schedule a workload: what the word ``schedule`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.schedule.addresses import Layout, layout
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.graphs import Scheduled, Weights, scheduled
from perfmodel.schedule.portfolio import METHODS, Method, fewest_bytes
from perfmodel.schedule.result import OBJECTIVES, Schedule
from perfmodel.schedule.script import Outcome, Script, replay
from perfmodel.schedule.target import Target, target
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.schedule.infeasible import Infeasible
    from perfmodel.schedule.peak import Peak

__all__ = ["schedule"]

#: Times that a schedule is made for a smaller capacity because its blocks could not be packed.
_ATTEMPTS = 6


def schedule(
    workload: Workload,
    device: Device | Machine | None = None,
    *,
    capacity: str | float | None = None,
    method: Method = "exact",
    objective: str = "bytes",
    memory: str | None = None,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    engine: str | None = None,
    weights: Weights = "streamed",
    unfused: bool = False,
    in_place: bool = True,
    addresses: bool = True,
    alignment: int = 1,
    time_limit_s: float | None = 20.0,
    incumbent: Script | None = None,
) -> Schedule:
    """Find the order of a network's operators, what stays on chip, and where each tensor lies.

    Parameters
    ----------
    workload
        A network, or an operator graph with sizes alone; every dimension a number.
    device
        Gives the capacity of its scratchpad, the fusion of its runtime, and times. May be left out.
    capacity
        Bytes for activations, or a text with a unit; by default what the memory holds.
    method
        ``greedy``, ``beam``, ``ilp`` or ``exact`` (`perfmodel.schedule.portfolio.fewest_bytes`).
    objective
        ``bytes`` spilled and reloaded; ``latency_s`` with transfers beside arithmetic;
        ``energy_j``; ``peak``, the least memory that no spill needs.
    memory
        Memory of the device to schedule; by default its outermost scratchpad, else the last cache
        before main memory.
    precision, runtime, engine
        As for `perfmodel.predict`; without a device the file's own precision, else int8.
    weights
        ``streamed`` past the memory, in it as ``scratch`` while their operator runs, or
        ``resident``: all of them stay, and activations have what is left.
    unfused
        Every operator a step of its own.
    in_place
        Elementwise outputs take over the place of an input that nothing else reads.
    addresses
        Also find an address for everything; where none fits, the schedule is made again with less.
    alignment
        Addresses are multiples of it.
    time_limit_s
        Seconds after which the best so far is returned, with a bound; None for no limit.
    incumbent
        A script that is known to fit.

    Returns
    -------
    Schedule
        Where nothing fits, its `infeasible` says why and what would help.

    Raises
    ------
    InputError
        Unknown names, no capacity, arrays as dimensions.
    """
    faults = [*_unknown("method", method, METHODS), *_unknown("objective", objective, OBJECTIVES)]
    faults += _unknown("weights", weights, ("streamed", "scratch", "resident"))
    if alignment < 1:
        faults.append(Fault(f"{alignment} is no alignment", path="alignment", expected="1 or more"))
    if time_limit_s is not None and not time_limit_s > 0:
        faults.append(Fault(f"{time_limit_s} is no time", path="time_limit_s", expected="above 0"))
    if faults:
        raise InputError(faults)
    at = target(
        workload, device, capacity=capacity, memory=memory, precision=precision, runtime=runtime,
        engine=engine,
    )  # fmt: skip
    made = scheduled(
        workload, at.precision, at.fusion, weights=weights, unfused=unfused, in_place=in_place
    )
    limit = at.capacity_bytes
    if limit is None and objective != "peak":
        raise InputError(Fault("no capacity is stated", path="capacity",
                               expected="a size such as '256 KiB', or a device"))  # fmt: skip
    deadline = Deadline(time_limit_s)
    job = _Job(workload, at, made, objective, method, weights, deadline, addresses, alignment)
    if limit is not None and weights == "resident":
        limit -= made.weight_bytes
    return job.run(limit, incumbent)


def _unknown(name: str, given: str, known: Sequence[str]) -> list[Fault]:
    if given in known:
        return []
    return [Fault(f"unknown {name} '{given}'", path=name, expected=f"one of {', '.join(known)}",
                  suggestion=nearest(given, known))]  # fmt: skip


class _Job:
    """One call."""

    def __init__(
        self, workload: Workload, at: Target, made: Scheduled, objective: str, method: Method,
        weights: Weights, deadline: Deadline, addresses: bool, alignment: int,
    ) -> None:  # fmt: skip
        self.workload, self.at, self.made = workload, at, made
        self.objective, self.method, self.weights = objective, method, weights
        self.deadline, self.addresses, self.alignment = deadline, addresses, alignment

    def run(self, capacity: int | None, incumbent: Script | None) -> Schedule:
        """Return the schedule for a capacity of activations."""
        if capacity is not None and self.made.problem.largest_working_set_bytes > capacity:
            return self._impossible(capacity)
        if self.objective == "peak":
            return self._least_peak(capacity)
        assert capacity is not None
        outcome = fewest_bytes(self.made.problem, capacity, self.method, self.deadline, incumbent)
        outcome, packed = self._packed(outcome, capacity)
        return self._result(capacity, outcome, packed)

    def _result(self, capacity: int | None, outcome: Outcome, packed: Layout | None) -> Schedule:
        """Return the schedule; timed where the device gives times."""
        why: Infeasible | None = None
        if packed is not None and not packed.packed and outcome.script is not None:
            from perfmodel.schedule.infeasible import unpacked

            assert capacity is not None
            why = unpacked(
                self.made.problem, outcome.script, packed, capacity, alignment=self.alignment,
                deadline=Deadline(min(2.0, max(0.5, self.deadline.left()))),
            )  # fmt: skip
        return Schedule(
            self.made, self.at.where, self.objective, self.method, capacity, outcome,
            float(outcome.bound_bytes), outcome.proved, packed, infeasible=why,
            weights=self.weights,
        )  # fmt: skip

    def _packed(self, outcome: Outcome, capacity: int) -> tuple[Outcome, Layout | None]:
        """Return the outcome with addresses, made again for less where its blocks do not pack."""
        if not self.addresses or outcome.script is None:
            return outcome, None
        found = self._layout(outcome.script, capacity)
        less = capacity
        first = outcome
        least = self.made.problem.largest_working_set_bytes
        for _ in range(_ATTEMPTS):
            if found.packed or less <= least or self.deadline.passed():
                break
            less = max(least, less - found.gap_bytes)
            again = fewest_bytes(self.made.problem, less, self.method, self.deadline)
            if again.script is None:
                break
            tried = self._layout(again.script, capacity)
            if tried.packed:
                # Fragmentation costs bytes: the bound is still that of the whole capacity.
                proved = first.proved and again.cost_bytes == first.cost_bytes
                return replace(again, bound_bytes=first.bound_bytes, proved=proved), tried
            found = tried if tried.gap_bytes < found.gap_bytes else found
        return outcome, found

    def _layout(self, script: Script, capacity: int) -> Layout:
        problem = self.made.problem
        trace = replay(problem, script, capacity)
        left = max(1.0, self.deadline.left())
        allowed = Deadline(min(left, 5.0))
        return layout(problem, script, trace, capacity, allowed, alignment=self.alignment)

    def _least_peak(self, capacity: int | None) -> Schedule:
        from perfmodel.schedule.peak import minimum_peak

        found = minimum_peak(self.made.problem, self.deadline)
        script = Script(tuple(found.order), ((),) * len(found.order))
        outcome = Outcome(script, 0, 0, True, self.method, found.counts)
        if capacity is not None and found.peak_bytes > capacity:
            return self._impossible(capacity, found)
        # Where blocks do not pack into the peak itself, the height they need is what counts.
        packed = self._layout(script, capacity or found.peak_bytes) if self.addresses else None
        if packed is not None and not packed.packed and capacity is None:
            packed = self._layout(script, packed.height_bytes)
        made = self._result(capacity, outcome, packed)
        return replace(made, lower_bound=float(found.bound_bytes), proved=found.proved)

    def _impossible(self, capacity: int, peak: Peak | None = None) -> Schedule:
        """Return the schedule that says why there is none."""
        from perfmodel.schedule.infeasible import over_peak, over_working_set

        problem, pointwise = self.made.problem, self.made.pointwise
        if peak is None:
            why = over_working_set(problem, capacity, pointwise=pointwise)
        else:
            why = over_peak(
                problem, capacity, peak.peak_bytes, peak.order, proved=peak.proved,
                pointwise=pointwise,
            )  # fmt: skip
        demand = why.demand
        nothing = Outcome(None, 0, 0, False, self.method)
        return Schedule(
            self.made, self.at.where, self.objective, self.method, capacity, nothing,
            demand, False, infeasible=why, weights=self.weights,
        )  # fmt: skip
