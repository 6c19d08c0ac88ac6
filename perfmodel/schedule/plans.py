"""From a script to the plan of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.plan import Capacity, Move, Placement, Plan, Residency
from perfmodel.schedule.graphs import Scheduled
from perfmodel.schedule.script import Script, Trace


@dataclass(frozen=True, slots=True)
class Where:
    """Names of what a plan is for: device, engine, the memory that is scheduled, the outer one."""

    memory: str = "scratchpad"
    outer: str = "offchip"
    device: str = ""
    engine: str = ""


def to_plan(
    scheduled: Scheduled, script: Script, trace: Trace, capacity_bytes: int | None, where: Where,
    *, method: str = "", addresses: Mapping[int, int] | None = None,
    times: Mapping[int, tuple[float, float]] | None = None,
) -> Plan:  # fmt: skip
    """Return the plan of a script.

    Parameters
    ----------
    addresses
        Stay (index into ``trace.intervals``) -> offset in bytes.
    times
        Position in the order -> start and end of the step, in seconds.
    """
    order, begins = _order(scheduled, script, where, times or {})
    position = {p.operator: i for i, p in enumerate(order)}
    maker = {
        name: position[op.name]
        for _, op in scheduled.graph.walk()
        for name in op.writes
        if op.name in position
    }
    residency: list[Residency] = []
    moves: list[Move] = []
    for i, stay in enumerate(trace.intervals):
        name = scheduled.tensors[stay.buffer]
        step = scheduled.problem.steps[script.order[stay.first]]
        fresh = stay.buffer in step.writes and not step.load
        first = maker[name] if fresh else begins[stay.first]
        # Up to the last operator that runs at that position, or before it where it is a load.
        last = begins[stay.last + 1] - 1
        ending = scheduled.problem.steps[script.order[stay.last]]
        if ending.takes_over == stay.buffer:
            last = min(last, maker[scheduled.tensors[ending.writes[0]]])
        if last < first:
            continue
        size = scheduled.problem.buffers[stay.buffer].size_bytes
        over = fresh and step.takes_over >= 0 and step.writes[0] == stay.buffer
        residency.append(
            Residency(
                tensor=name, memory=where.memory, device=where.device, first=first, last=last,
                size_bytes=size, address=(addresses or {}).get(i),
                takes_over=scheduled.tensors[step.takes_over] if over else "",
            )
        )  # fmt: skip
        if stay.reloaded:
            moves.append(
                Move(
                    tensor=name, kind="reload", step=first, source=where.outer,
                    target=where.memory, size_bytes=size, device=where.device,
                )
            )  # fmt: skip
        if stay.spilled:
            moves.append(
                Move(
                    tensor=name, kind="spill", step=last + 1, source=where.memory,
                    target=where.outer, size_bytes=size, device=where.device,
                )
            )  # fmt: skip
    residency += [
        Residency(
            tensor=name, memory=where.memory, device=where.device, first=0, last=len(order) - 1,
            size_bytes=size, address=None,
        )
        for name, size in scheduled.weights
    ]  # fmt: skip
    limits: tuple[Capacity, ...] = ()
    if capacity_bytes is not None:
        capacity_bytes += sum(size for _, size in scheduled.weights)
        limits = (Capacity(memory=where.memory, size_bytes=capacity_bytes, device=where.device),)
    return Plan(
        graph=scheduled.graph.content_hash(), precision=str(scheduled.precision), method=method,
        order=tuple(order), capacities=limits, residency=tuple(residency),
        moves=tuple(sorted(moves, key=lambda m: m.step)),
    )  # fmt: skip


def _order(
    scheduled: Scheduled, script: Script, where: Where, times: Mapping[int, tuple[float, float]]
) -> tuple[list[Placement], list[int]]:
    """Return every operator, and where each position of the order begins (and the last ends)."""
    problem = scheduled.problem
    views: dict[str, list[str]] = {}
    for name, source in scheduled.views:
        views.setdefault(source, []).append(name)

    def place(name: str) -> Placement:
        return Placement(
            operator=name, device=where.device, engine=where.engine, start_s=None, end_s=None
        )

    held = set(scheduled.tensors)
    writes = {op.name: op.writes for _, op in scheduled.graph.walk()}
    # What stays inside a kernel has its other names there too.
    inner = {t for m in scheduled.members for n in m for t in writes[n] if t not in held}
    # What no step makes, such as weights, is there from the beginning: so are its other names.
    order = [
        place(n)
        for source, names in views.items()
        if source not in held and source not in inner
        for n in names
    ]
    begins: list[int] = []
    for k, s in enumerate(script.order):
        begins.append(len(order))
        members = scheduled.members[s]
        kernel = problem.steps[s].name if len(members) > 1 else ""
        start, end = times.get(k, (None, None))
        for i, name in enumerate(members):
            # The kernel's time stands at its first operator; the others ride on it.
            begin = start if i == 0 else end
            order.append(
                place(name).model_copy(update={"kernel": kernel, "start_s": begin, "end_s": end})
            )
            order += [
                place(n).model_copy(update={"kernel": kernel})
                for t in writes[name]
                if t in inner
                for n in views.get(t, ())
            ]
        for t in problem.steps[s].writes:
            order += [place(n) for n in views.get(scheduled.tensors[t], ())]
    begins.append(len(order))
    return order, begins
