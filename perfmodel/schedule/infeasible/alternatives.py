"""The table of alternatives to a schedule: other fusion, tiles, patches, or twice the capacity.

For each change the fewest non-compulsory bytes are scheduled again, and timed where the device
allows it. `Schedule.alternatives` returns the table.
"""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, TypeAlias

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.portfolio import fewest_bytes
from perfmodel.schedule.problem_from_graph import scheduling_problem

if TYPE_CHECKING:
    from perfmodel.schedule.result import Schedule
    from perfmodel.schedule.schedule_job import ScheduleJob
    from perfmodel.table import Table

#: Bytes, latency and extra work of a change.
_Numbers: TypeAlias = tuple[float, float, float]
#: Values for a change that does not fit or is not modelled.
_NOT_MODELLED: _Numbers = (nan, nan, nan)


def alternatives(s: Schedule, time_limit_s: float = 5.0) -> Table:
    """Return one row per change: non-compulsory bytes, latency, extra multiply-accumulates.

    Each change is scheduled separately, for fewest bytes. ``tiles``: operators that need more than
    half of the capacity run in tiles of that size. ``patches``: the best patch plan for fewest
    bytes off chip (`perfmodel.schedule.tiling.patch_plan_search`), whose latency is not modelled.

    Returns
    -------
    Table
        ``noncompulsory_bytes`` in addition to weights, inputs and outputs; NaN if a change does not
        fit or is not modelled.
    """
    from perfmodel.table import Table

    assert s.job is not None
    assert s.capacity_bytes is not None
    job, capacity = s.job, s.capacity_bytes
    latency = nan if s.latency_s is None else s.latency_s
    fits = s.feasible or s.outcome.solution is not None
    unchanged = _NOT_MODELLED
    if fits:
        unchanged = (float(s.offchip_bytes - s.compulsory_bytes), latency, 0.0)
    fused = any(len(m) > 1 for m in job.scheduled.members)
    name = "every operator by itself" if fused else "operators fused"
    rows = {"as it is": unchanged}
    other = _lowered_again(job, fused=not fused, in_place=True)
    rows[name] = _scheduled_numbers(other, capacity, time_limit_s)
    if any(step.takes_over >= 0 for step in job.scheduled.problem.steps):
        other = _lowered_again(job, fused=fused, in_place=False)
        rows["no output in place"] = _scheduled_numbers(other, capacity, time_limit_s)
    rows["twice the capacity"] = _scheduled_numbers(job, 2 * capacity, time_limit_s)
    rows["tiles"] = _tiles(job, capacity, time_limit_s)
    rows["patches"] = _patches(job, capacity)
    columns = map(list, zip(*rows.values(), strict=True))
    names = ("noncompulsory_bytes", "latency_s", "extra_macs")
    return Table({"change": list(rows), **dict(zip(names, columns, strict=True))})


def _lowered_again(job: ScheduleJob, *, fused: bool, in_place: bool) -> ScheduleJob:
    """Return the job with the network lowered with other options."""
    fusion = job.at.fusion._replace(elementwise=fused)
    problem = scheduling_problem(
        job.workload,
        job.at.precision,
        fusion,
        weights=job.weights,
        in_place=in_place,
        graph=job.workload.graph(job.at.semantics),
    )
    return replace(job, at=replace(job.at, fusion=fusion), scheduled=problem)


def _scheduled_numbers(job: ScheduleJob, capacity: int, seconds: float) -> _Numbers:
    """Return bytes, latency and extra work of a changed job."""
    fewest = fewest_bytes(job.scheduled.problem, capacity, job.method, Deadline(seconds))
    if fewest.solution is None:
        return _NOT_MODELLED
    clock = job.clock()
    timing = None if clock is None else clock.time_script(fewest.solution, capacity)
    return fewest.value, nan if timing is None else timing.latency_s, 0.0


def _tiles(job: ScheduleJob, capacity: int, seconds: float) -> _Numbers:
    from perfmodel.schedule.tiling.streamed_tiles import in_tiles, streamed

    if job.scheduled.graph.schedulable_only:
        return _NOT_MODELLED
    tiles = streamed(job.scheduled, job.workload.parameters, capacity // 2)
    if tiles is None:
        return _NOT_MODELLED
    spilled, latency, _ = _scheduled_numbers(
        replace(job, scheduled=in_tiles(job.scheduled, tiles)), capacity, seconds
    )
    return spilled + tiles.extra_bytes, latency, 0.0


def _patches(job: ScheduleJob, capacity: int) -> _Numbers:
    from perfmodel.schedule.tiling.feature_maps import network
    from perfmodel.schedule.tiling.patch_plan_search import patch_plan

    if job.scheduled.graph.schedulable_only:
        return _NOT_MODELLED
    net = network(job.workload, job.at.precision)
    if len(net.maps[0].extents) < 2:
        return _NOT_MODELLED
    plan = patch_plan(net, "offchip", capacity_bytes=capacity, count_weights=True)
    if plan is None:
        return _NOT_MODELLED
    return float(plan.offchip_bytes - plan.compulsory_bytes), nan, float(plan.extra_macs)
