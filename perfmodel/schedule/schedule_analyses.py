"""Follow-up analyses of a schedule, as methods of `Schedule`: recomputation, levels, LP files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.atomic import output_faults
from perfmodel.errors import InputError, input_error
from perfmodel.optimise.deadline import Deadline

if TYPE_CHECKING:
    from perfmodel.schedule.levels import LevelPlan
    from perfmodel.schedule.recompute import Recomputation
    from perfmodel.schedule.result import Schedule


def recomputed(
    schedule: Schedule, *, bytes_per_mac: float | None = None, time_limit_s: float | None = 10.0
) -> Recomputation:
    """Return the schedule in which steps may be recomputed instead of their outputs spilled.

    Parameters
    ----------
    bytes_per_mac
        Cost of a recomputed multiply-accumulate in bytes of traffic; by default its time on the
        device times the bandwidth of the outer memory, or 0 without a device.

    Raises
    ------
    InputError
        There is no schedule to start from.
    """
    from perfmodel.schedule.recompute import recompute
    from perfmodel.workload.symbols import evaluate

    limit = _limit(schedule)
    problem = schedule.problem
    rerun_bytes = [0] * len(problem.steps)
    if bytes_per_mac is not None:
        assert schedule.job is not None
        values = schedule.job.workload.parameters
        macs = {
            op.name: float(evaluate(op.macs, values)) for _, op in schedule.scheduled.graph.walk()
        }
        for k, members in enumerate(schedule.scheduled.members):
            rerun_bytes[k] = round(bytes_per_mac * sum(macs[n] for n in members))
    elif schedule.job is not None and (clock := schedule.job.clock()) is not None:
        rate = clock.dma.read_bytes_per_s
        rerun_bytes = [round(step.seconds * rate) for step in clock.problem.steps]
    answer = recompute(problem, limit, rerun_bytes, schedule.script, Deadline(time_limit_s))
    assert answer is not None
    return answer


def over_levels(schedule: Schedule, *, time_limit_s: float | None = 10.0) -> LevelPlan:
    """Return the placement of buffers over all memories from the scheduled one to main memory.

    The order is that of the schedule. The cost of a byte across a boundary is the energy per byte
    of the memory behind it, or its transfer time where no energy is stated, relative to the last
    boundary.

    Raises
    ------
    InputError
        There is no device, or only one memory before main memory.
    """
    from perfmodel.schedule.levels import RetentionLevel
    from perfmodel.schedule.levels import over_levels as plan_over_levels

    limit = _limit(schedule)
    machine = None if schedule.job is None else schedule.job.at.machine
    if machine is None:
        raise input_error("levels are those of a device", path="levels", expected="a device")
    names = [m.name for m in machine.hierarchy()]
    first = names.index(schedule.where.memory)
    last = names.index(machine.main_memory)
    if last - first < 2:
        between = ", ".join(names[: last + 1])
        raise input_error(
            f"nothing lies between {schedule.where.memory} and main memory",
            path="levels",
            expected=f"a memory further in: --memory, one of {between}",
        )
    facts = machine.facts
    levels: list[RetentionLevel] = []
    costs = _cost_per_byte(facts, names[first + 1 : last + 1])
    for k, name in enumerate(names[first:last]):
        room = float(facts[f"memories.{name}.capacity"])
        room -= float(facts.get(f"memories.{name}.reserved", 0.0))
        size = limit if k == 0 else int(room)
        levels.append(RetentionLevel(name, size, costs[k] / costs[-1]))
    plan = plan_over_levels(schedule.problem, levels, schedule.script.order, Deadline(time_limit_s))
    if plan is None:
        raise input_error(
            "no placement over the levels was found in time",
            path="levels",
            expected="a longer time limit",
        )
    return plan


def _cost_per_byte(facts: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """Return the cost of a byte to each memory: joules if all memories state them, else seconds."""
    energy = [float(facts.get(f"memories.{name}.energy_per_byte") or 0.0) for name in names]
    if all(energy):
        return energy
    return [1.0 / float(facts[f"memories.{name}.bandwidth"]) for name in names]


def write_lp(schedule: Schedule, path: str | Path, *, order: bool = False) -> None:
    """Write an integer programme of the schedule as an LP file, with the names of the graph.

    Parameters
    ----------
    path
        A file that ends in ``.lp``.
    order
        Write the programme of order and evictions instead of evictions for the given order only.

    Raises
    ------
    InputError
        The path cannot be written, or there is nothing to decide.
    """
    from perfmodel.schedule.ilp import full_lp, retention_lp

    faults = output_faults(Path(path), (".lp",))
    if faults:
        raise InputError(faults)
    limit = _limit(schedule)
    try:
        if order:
            full_lp(schedule.problem, limit, path)
        else:
            retention_lp(schedule.problem, schedule.script.order, limit, path)
    except ValueError as error:
        raise input_error(str(error), path="lp") from None


def _limit(schedule: Schedule) -> int:
    """Return the capacity of a schedule, or raise an error if there is no schedule."""
    if schedule.outcome.solution is None or schedule.capacity_bytes is None:
        raise input_error(
            "there is no schedule", path="capacity", expected="one in which every step fits"
        )
    return schedule.capacity_bytes
