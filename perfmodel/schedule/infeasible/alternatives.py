"""What fusion, tiles, patches or more capacity would do to a schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.graphs import scheduled
from perfmodel.schedule.portfolio import fewest_bytes

if TYPE_CHECKING:
    from perfmodel.schedule.job import ScheduleJob
    from perfmodel.schedule.result import Schedule
    from perfmodel.table import Table

_NAN = float("nan")


def alternatives(s: Schedule, time_limit_s: float = 5.0) -> Table:
    """Return one row a change: bytes spilled and reloaded, bytes off chip, latency, extra work.

    Each is scheduled for itself, for fewest bytes. ``tiles``: operators that need more than half of
    the capacity run in tiles of that size. ``patches``: the best plan of patches for fewest bytes
    off chip (`perfmodel.schedule.tiling.choose`), whose latency is not modelled.

    Returns
    -------
    Table
        ``noncompulsory_bytes`` beyond weights, inputs and outputs; NaN where a change does not fit
        or is not modelled.
    """
    from perfmodel.table import Table

    assert s.job is not None
    assert s.capacity_bytes is not None
    job, capacity = s.job, s.capacity_bytes
    fitting = s.feasible or s.outcome.solution is not None
    rows: list[tuple[str, float, float, float]] = [
        ("as it is", float(s.offchip_bytes - s.compulsory_bytes), _or_nan(s.latency_s), 0.0)
        if fitting
        else ("as it is", _NAN, _NAN, _NAN)
    ]
    fused = any(len(m) > 1 for m in job.made.members)
    in_place = any(step.takes_over >= 0 for step in job.made.problem.steps)
    name = "every operator by itself" if fused else "operators fused"
    others = {name: _read(job, fused=not fused, in_place=True)}
    if in_place:
        others["no output in place"] = _read(job, fused=fused, in_place=False)
    for label, other in others.items():
        rows.append((label, *_row(other, capacity, time_limit_s)))
    rows.append(("twice the capacity", *_row(job, 2 * capacity, time_limit_s)))
    rows.append(("tiles", *_tiles(job, capacity, time_limit_s)))
    rows.append(("patches", *_patches(job, capacity)))
    return Table(
        {
            "change": [r[0] for r in rows],
            "noncompulsory_bytes": [r[1] for r in rows],
            "latency_s": [r[2] for r in rows],
            "extra_macs": [r[3] for r in rows],
        }
    )


def _or_nan(value: float | None) -> float:
    return _NAN if value is None else value


def _read(job: ScheduleJob, *, fused: bool, in_place: bool) -> ScheduleJob:
    """Return the job of the network read in another way."""
    fusion = job.at.fusion._replace(elementwise=fused)
    made = scheduled(
        job.workload,
        job.at.precision,
        fusion,
        weights=job.weights,
        in_place=in_place,
        graph=job.workload.graph(job.at.semantics),
    )
    return replace(job, at=replace(job.at, fusion=fusion), made=made)


def _row(job: ScheduleJob, capacity: int, seconds: float) -> tuple[float, float, float]:
    """Return bytes, latency and extra work of a changed job."""
    found = fewest_bytes(job.made.problem, capacity, job.method, Deadline(seconds))
    if found.solution is None:
        return _NAN, _NAN, _NAN
    clock = job.clock()
    timing = None if clock is None else clock.of(found.solution, capacity)
    return found.value, _NAN if timing is None else timing.latency_s, 0.0


def _tiles(job: ScheduleJob, capacity: int, seconds: float) -> tuple[float, float, float]:
    from perfmodel.schedule.tiling.streamed import in_tiles, streamed

    if job.made.graph.schedulable_only:
        return _NAN, _NAN, _NAN
    found = streamed(job.made, job.workload.parameters, capacity // 2)
    if found is None:
        return _NAN, _NAN, _NAN
    moved, latency, _ = _row(replace(job, made=in_tiles(job.made, found)), capacity, seconds)
    return moved + found.extra_bytes, latency, 0.0


def _patches(job: ScheduleJob, capacity: int) -> tuple[float, float, float]:
    from perfmodel.schedule.tiling.choose import patch_plan
    from perfmodel.schedule.tiling.layers import network

    if job.made.graph.schedulable_only:
        return _NAN, _NAN, _NAN
    net = network(job.workload, job.at.precision)
    if len(net.maps[0].extents) < 2:
        return _NAN, _NAN, _NAN
    found = patch_plan(net, "offchip", capacity_bytes=capacity, count_weights=True)
    if found is None:
        return _NAN, _NAN, _NAN
    return float(found.offchip_bytes - found.compulsory_bytes), _NAN, float(found.extra_macs)
