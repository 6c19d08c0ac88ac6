"""Entry point of ``schedule``: validation of the parameters, then the schedule or curve.

A single capacity gives a `Schedule` (`schedule_job.py`), several give a `Curve` (`curve.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, overload

from perfmodel.call_record import records_call
from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault, input_error, not_among
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.schedule.curve import Curve, capacities, curve
from perfmodel.schedule.portfolio import METHODS, Method
from perfmodel.schedule.problem_from_graph import Weights, scheduling_problem
from perfmodel.schedule.result import OBJECTIVES, Schedule
from perfmodel.schedule.schedule_inputs import ScheduledQuestion
from perfmodel.schedule.schedule_job import ScheduleJob
from perfmodel.schedule.script import Script
from perfmodel.schedule.target import bytes_of
from perfmodel.settings import gathered
from perfmodel.units import is_number

#: Accepted values of the options that are words.
_WORDS: Final = {
    "method": METHODS,
    "objective": OBJECTIVES,
    "weights": ("streamed", "scratch", "resident"),
}
#: Deprecated names of objectives, with the current ones.
_DEPRECATED_OBJECTIVES = {"energy_j": "offchip_energy_j"}


@overload
def schedule(
    workload: WorkloadLike,
    device: DeviceLike | None = None,
    *,
    capacity: float | None = None,
    **options: Any,
) -> Schedule: ...


@overload
def schedule(
    workload: WorkloadLike, device: DeviceLike | None = None, *, capacity: str, **options: Any
) -> Schedule | Curve: ...


@overload
def schedule(
    workload: WorkloadLike,
    device: DeviceLike | None = None,
    *,
    capacity: Iterable[float] | list[Any] | tuple[Any, ...],
    **options: Any,
) -> Curve: ...


@records_call
@deprecated_parameters(unfused="not fuse")
@with_solver
def schedule(
    workload: WorkloadLike,
    device: DeviceLike | None = None,
    *,
    capacity: str | float | Iterable[str | float] | None = None,
    method: Method = "exact",
    objective: str = "bytes",
    memory: str | None = None,
    weights: Weights = "streamed",
    in_place: bool = True,
    tiles: bool = False,
    addresses: bool = True,
    alignment: int = 1,
    incumbent: Script | None = None,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    fuse: bool | None = None,
    solver: str = "highs",
    time_limit_s: float | None = 20.0,
) -> Schedule | Curve:
    """Find the order of a network's operators, the tensors to keep on chip, and their addresses.

    Parameters
    ----------
    workload
        As for `predict`. Every dimension must be a number. An operator graph may state only tensor
        sizes.
    device
        As for `predict`. It provides the capacity of its scratchpad, the fusion rules of its
        runtime, and times; it may be omitted if a capacity is stated.
    capacity
        Bytes for activations, or a size with its unit ("256 KiB"). A list ("64 KiB,96 KiB") or a
        range ("64 KiB..1 MiB", doubling) gives a curve. By default the capacity of the memory.
    method
        greedy, beam, ilp or exact: from the fastest to the one that proves optimality.
    objective
        bytes: bytes spilled and reloaded; latency_s: latency with transfers beside arithmetic;
        offchip_energy_j: energy of transfers and of idle power beside them; peak: the least memory
        that needs no spill.
    memory
        Memory of the device to schedule. By default its outermost scratchpad, else the last cache
        before main memory.
    weights
        streamed: weights bypass the memory; scratch: weights occupy it while their operator runs;
        resident: all weights stay in it, and activations use the remaining capacity.
    in_place
        Elementwise operators overwrite an input that no other operator reads.
    tiles
        Run operators larger than the capacity in tiles, with their operands off chip.
    addresses
        Also find an address for every tensor. If there is none, the schedule is made again with
        less capacity.
    alignment
        Addresses are multiples of this number of bytes.
    incumbent
        A script that is known to fit, from which the search starts.
    set, runtime, engine, fuse
        As for `predict`.
    precision
        As for `predict`. By default those stored in the model file, else the engine's first;
        without a device int8.
    solver
        Solver of integer programmes: highs, or any other that PuLP finds on this machine (cbc,
        gurobi, scip). A solver that is stopped by the time limit proves nothing.
    time_limit_s
        Seconds after which the best solution found so far is returned, with a bound. In Python,
        None means no limit.

    Returns
    -------
    Schedule or Curve
        What does not fit is a result too: ``s.infeasible`` says why and what would help.

    Raises
    ------
    InputError
        Every fault of the input at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> s = pm.schedule("mlperf_tiny_ic", capacity="64 KiB")
    >>> s.feasible, s.spill_bytes
    (True, 0)
    """
    return ScheduleQuestion(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class ScheduleQuestion(ScheduledQuestion):
    """Parameters of `schedule`."""

    capacity: str | float | Iterable[str | float] | None
    method: Method
    objective: str
    weights: Weights
    in_place: bool
    tiles: bool
    addresses: bool
    alignment: int
    incumbent: Script | None
    solver: str

    def answer(self) -> Schedule | Curve:
        """Return the result of `schedule`, with the same errors."""
        faults = gathered()
        sizes = faults.trying(_sizes, self.capacity)
        faults += self._option_faults()
        subject = faults.trying(self.resolved)
        faults.settle()
        assert subject is not None
        at = self.target(subject, sizes[0] if sizes else None)
        problem = scheduling_problem(
            subject.workload,
            at.precision,
            at.fusion,
            weights=self.weights,
            in_place=self.in_place,
            graph=subject.workload.graph(at.semantics),
        )
        if at.capacity_bytes is None and self.objective != "peak":
            raise input_error(
                "no capacity is stated",
                path="capacity",
                expected="a size such as '256 KiB', or a device",
            )
        job = ScheduleJob(
            subject.workload,
            at,
            problem,
            self.objective,
            self.method,
            self.weights,
            self.addresses,
            self.alignment,
            self.tiles,
            self.time_limit_s,
            Deadline(self.time_limit_s),
        )
        several = isinstance(self.capacity, Iterable) and not isinstance(self.capacity, str)
        if sizes is not None and (several or len(sizes) > 1):
            return curve(job, sizes)
        try:
            return job.run(self.incumbent)
        except ValueError as error:
            if self.incumbent is None:
                raise
            raise input_error(f"does not fit: {error}", path="incumbent") from None

    def _option_faults(self) -> list[Fault]:
        """Return the faults of options that are words or numbers."""
        faults = [
            replace(fault, suggestion=_DEPRECATED_OBJECTIVES.get(word, fault.suggestion))
            for name, words in _WORDS.items()
            for word in [getattr(self, name)]
            for fault in not_among(f"unknown {name} '{word}'", word, words, name)
        ]
        if self.alignment < 1:
            message = f"{self.alignment} is not a valid alignment"
            faults.append(Fault(message, path="alignment", expected="1 or more"))
        limit: object = self.time_limit_s
        if limit is not None and not (is_number(limit) and limit > 0):
            message = f"{limit!r} is not a valid time limit"
            faults.append(Fault(message, path="time_limit_s", expected="seconds above 0"))
        return faults


def _sizes(capacity: str | float | Iterable[str | float] | None) -> list[int] | None:
    """Return capacities in bytes, ascending; None if no capacity is stated."""
    if capacity is None:
        return None
    if isinstance(capacity, str):
        return capacities(capacity)
    if not isinstance(capacity, Iterable):
        return [bytes_of(capacity)]
    sizes = sorted({bytes_of(size) for size in capacity})
    if not sizes:
        raise input_error("has no values", path="capacity", expected="one size or more")
    return sizes
