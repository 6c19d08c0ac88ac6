"""Schedule a workload: what the word ``schedule`` does."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.graphs import Weights, scheduled
from perfmodel.schedule.job import ScheduleJob
from perfmodel.schedule.portfolio import METHODS, Method
from perfmodel.schedule.result import OBJECTIVES, Schedule
from perfmodel.schedule.script import Script
from perfmodel.schedule.target import target
from perfmodel.units import is_number
from perfmodel.workload.workload import Workload

#: Names that objectives had.
_FORMER = {"energy_j": "offchip_energy_j"}


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
    tiles: bool = False,
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
        ``offchip_energy_j``, of transfers and of idle power beside them; ``peak``, the least memory
        that no spill needs.
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
    tiles
        Operators larger than the capacity run in tiles, whose operands lie off chip.
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
    faults = option_faults(
        method=method, objective=objective, weights=weights, alignment=alignment,
        time_limit_s=time_limit_s,
    )  # fmt: skip
    if faults:
        raise InputError(faults)
    at = target(
        workload, device, capacity=capacity, memory=memory, precision=precision, runtime=runtime,
        engine=engine, unfused=unfused,
    )  # fmt: skip
    made = scheduled(
        workload, at.precision, at.fusion, weights=weights, in_place=in_place,
        graph=workload.graph(at.semantics),
    )  # fmt: skip
    if at.capacity_bytes is None and objective != "peak":
        raise input_error(
            "no capacity is stated",
            path="capacity",
            expected="a size such as '256 KiB', or a device",
        )
    job = ScheduleJob(
        workload, at, made, objective, method, weights, addresses, alignment, tiles, time_limit_s,
        Deadline(time_limit_s),
    )  # fmt: skip
    try:
        return job.run(incumbent)
    except ValueError as error:
        if incumbent is None:
            raise
        raise input_error(f"does not fit: {error}", path="incumbent") from None


def option_faults(
    *, method: str = "exact", objective: str = "bytes", weights: str = "streamed",
    alignment: int = 1, time_limit_s: float | None = None, **_others: object,
) -> list[Fault]:  # fmt: skip
    """Return what is wrong with the options of `schedule`."""
    faults = [*_unknown("method", method, METHODS), *_unknown("objective", objective, OBJECTIVES)]
    faults += _unknown("weights", weights, ("streamed", "scratch", "resident"))
    if alignment < 1:
        faults.append(Fault(f"{alignment} is no alignment", path="alignment", expected="1 or more"))
    number: object = time_limit_s
    if number is not None and not _positive(number):
        faults.append(
            Fault(f"{number!r} is no time", path="time_limit_s", expected="seconds above 0")
        )
    return faults


def _positive(number: object) -> bool:
    return is_number(number) and number > 0


def _unknown(name: str, given: str, known: Sequence[str]) -> list[Fault]:
    if given in known:
        return []
    return [Fault(f"unknown {name} '{given}'", path=name, expected=f"one of {', '.join(known)}",
                  suggestion=_FORMER.get(given) or nearest(str(given), known))]  # fmt: skip
