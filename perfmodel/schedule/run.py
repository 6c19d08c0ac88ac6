"""Entry point of ``schedule``: validation of the parameters, then the schedule or curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, overload

from perfmodel.asked import remembered
from perfmodel.errors import Fault, input_error, not_among
from perfmodel.formats import Precision
from perfmodel.former import former_parameters
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.schedule.curve import Curve, capacities, curve
from perfmodel.schedule.graphs import Weights, scheduled
from perfmodel.schedule.job import ScheduleJob
from perfmodel.schedule.portfolio import METHODS, Method
from perfmodel.schedule.result import OBJECTIVES, Schedule
from perfmodel.schedule.script import Script
from perfmodel.schedule.subject import ScheduledQuestion
from perfmodel.schedule.target import bytes_of
from perfmodel.settings import gathered
from perfmodel.units import is_number

#: Accepted values of the options that are words.
_WORDS: Final = {
    "method": METHODS,
    "objective": OBJECTIVES,
    "weights": ("streamed", "scratch", "resident"),
}
#: Former names of objectives.
_FORMER = {"energy_j": "offchip_energy_j"}


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


@remembered
@former_parameters(unfused="not fuse")
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
    """Find the order of a network's operators, what stays on chip, and where each tensor lies.

    Parameters
    ----------
    workload
        As for `predict`. Every dimension is a number. An operator graph may state sizes alone.
    device
        As for `predict`. It gives the capacity of its scratchpad, the fusion of its runtime, and
        times, and may be left out where a capacity is stated.
    capacity
        Bytes for activations, or a size with its unit ("256 KiB"). A list ("64 KiB,96 KiB") or a
        range ("64 KiB..1 MiB", doubling) gives a curve. By default what the memory holds.
    method
        greedy, beam, ilp or exact: from the fastest to the one that proves.
    objective
        bytes spilled and reloaded; latency_s with transfers beside arithmetic; offchip_energy_j of
        transfers and of idle power beside them; or peak, the least memory that needs no spill.
    memory
        Memory of the device to schedule. By default its outermost scratchpad, else the last cache
        before main memory.
    weights
        streamed past the memory; scratch, in it while their operator runs; or resident: all of
        them stay, and activations have what is left.
    in_place
        Elementwise outputs take over the place of an input that nothing else reads.
    tiles
        Operators larger than the capacity run in tiles, with their operands off chip.
    addresses
        Find an address for everything as well. Where there is none, the schedule is made again
        with less capacity.
    alignment
        Addresses are multiples of it.
    incumbent
        A script that is known to fit, from which the search starts.
    set, runtime, engine, fuse
        As for `predict`.
    precision
        As for `predict`. By default the file's own, else the engine's first; without a device int8.
    solver
        Solver of integer programmes: highs, or any that PuLP finds here (cbc, gurobi, scip). One
        that is stopped proves nothing by itself.
    time_limit_s
        Seconds after which the best so far is returned, with a bound. In Python None is no limit.

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
        problem = scheduled(
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
        faults = [
            replace(fault, suggestion=_FORMER.get(word, fault.suggestion))
            for name, words in _WORDS.items()
            for word in [getattr(self, name)]
            for fault in not_among(f"unknown {name} '{word}'", word, words, name)
        ]
        if self.alignment < 1:
            message = f"{self.alignment} is no alignment"
            faults.append(Fault(message, path="alignment", expected="1 or more"))
        limit: object = self.time_limit_s
        if limit is not None and not (is_number(limit) and limit > 0):
            message = f"{limit!r} is no time"
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
