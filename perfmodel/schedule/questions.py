"""Further questions to a schedule: steps that run again, more levels, its integer programmes."""

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
    s: Schedule, *, bytes_per_mac: float | None = None, time_limit_s: float | None = 10.0
) -> Recomputation:
    """Return the schedule in which steps may run again instead of being spilled.

    Parameters
    ----------
    bytes_per_mac
        What a multiply-accumulate done again costs, in bytes of traffic; by default its time on the
        device times the bandwidth of the outer memory; nothing where there is no device.

    Raises
    ------
    InputError
        There is no schedule to start from.
    """
    from perfmodel.schedule.recompute import recompute
    from perfmodel.workload.symbols import evaluate

    limit = _limit(s)
    problem = s.problem
    again = [0] * len(problem.steps)
    if bytes_per_mac is not None:
        assert s.job is not None
        values = s.job.workload.parameters
        macs = {op.name: float(evaluate(op.macs, values)) for _, op in s.scheduled.graph.walk()}
        for k, members in enumerate(s.scheduled.members):
            again[k] = round(bytes_per_mac * sum(macs[n] for n in members))
    elif s.job is not None and (clock := s.job.clock()) is not None:
        rate = clock.dma.read_bytes_per_s
        again = [round(step.seconds * rate) for step in clock.problem.steps]
    found = recompute(problem, limit, again, s.script, Deadline(time_limit_s))
    assert found is not None
    return found


def over_levels(s: Schedule, *, time_limit_s: float | None = 10.0) -> LevelPlan:
    """Return where buffers lie over all memories from the scheduled one to main memory.

    The order is that of the schedule. A byte across a boundary costs the energy that the memory
    behind it states for one, else the time that it takes there; in ratio to the last.

    Raises
    ------
    InputError
        No device, or only one memory before main memory.
    """
    from perfmodel.schedule.levels import RetentionLevel
    from perfmodel.schedule.levels import over_levels as run

    limit = _limit(s)
    machine = None if s.job is None else s.job.at.machine
    if machine is None:
        raise input_error("levels are those of a device", path="levels", expected="a device")
    names = [m.name for m in machine.hierarchy()]
    first = names.index(s.where.memory)
    last = names.index(machine.main_memory)
    if last - first < 2:
        between = ", ".join(names[: last + 1])
        raise input_error(
            f"nothing lies between {s.where.memory} and main memory",
            path="levels",
            expected=f"a memory further in: --memory, one of {between}",
        )
    facts = machine.facts
    levels: list[RetentionLevel] = []
    prices = _prices(facts, names[first + 1 : last + 1])
    for k, name in enumerate(names[first:last]):
        held = float(facts[f"memories.{name}.capacity"])
        held -= float(facts.get(f"memories.{name}.reserved", 0.0))
        size = limit if k == 0 else int(held)
        levels.append(RetentionLevel(name, size, prices[k] / prices[-1]))
    found = run(s.problem, levels, s.script.order, Deadline(time_limit_s))
    if found is None:
        raise input_error(
            "no placement over the levels was found in time",
            path="levels",
            expected="a longer time limit",
        )
    return found


def _prices(facts: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """Return what a byte to each memory costs: joules where all state them, else seconds."""
    energy = [float(facts.get(f"memories.{name}.energy_per_byte") or 0.0) for name in names]
    if all(energy):
        return energy
    return [1.0 / float(facts[f"memories.{name}.bandwidth"]) for name in names]


def write_lp(s: Schedule, path: str | Path, *, order: bool = False) -> None:
    """Write an integer programme of the schedule as an LP file, in the names of the graph.

    Parameters
    ----------
    path
        A file that ends in ``.lp``.
    order
        The programme of order and evictions; by default that of the evictions of its order alone.

    Raises
    ------
    InputError
        The path cannot be written, or there is nothing to decide.
    """
    from perfmodel.schedule.ilp import full_lp, retention_lp

    faults = output_faults(Path(path), (".lp",))
    if faults:
        raise InputError(faults)
    limit = _limit(s)
    try:
        if order:
            full_lp(s.problem, limit, path)
        else:
            retention_lp(s.problem, s.script.order, limit, path)
    except ValueError as error:
        raise input_error(str(error), path="lp") from None


def _limit(s: Schedule) -> int:
    if s.outcome.solution is None or s.capacity_bytes is None:
        raise input_error(
            "there is no schedule", path="capacity", expected="one in which every step fits"
        )
    return s.capacity_bytes
