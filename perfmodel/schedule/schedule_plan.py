"""Conversion of a script into the execution plan of a graph.

A script knows steps and buffers; the plan states for every operator where it runs and for every
tensor in which memory it lies from which step to which, with its reloads and spills.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perfmodel.plan import Capacity, Move, Placement, Plan, Residency, TiledKernel, TiledTensor
from perfmodel.schedule.problem import Step
from perfmodel.schedule.problem_from_graph import ScheduledGraph
from perfmodel.schedule.script import ResidencyInterval, Script, Trace

if TYPE_CHECKING:
    from perfmodel.schedule.tiling.streamed_tiles import Streamed


@dataclass(frozen=True, slots=True)
class TiledSteps:
    """Steps of a schedule that run in tiles, with the problem before tiling."""

    tiled: Streamed
    untiled: ScheduledGraph

    @property
    def operators(self) -> tuple[str, ...]:
        """Operators of these steps."""
        return tuple(n for s in sorted(self.tiled.tilings) for n in self.untiled.members[s])

    def kernels(self, outer: str) -> Iterator[TiledKernel]:
        """Yield what the tiles of each step occupy and move."""
        for s, tiling in sorted(self.tiled.tilings.items()):
            yield TiledKernel(
                operator=self.untiled.members[s][0],
                memory=outer,
                scratch_bytes=tiling.scratch_bytes,
                weight_bytes=tiling.weight_bytes,
                tensors=tuple(
                    TiledTensor(tensor=self.untiled.tensors[t], size_bytes=size)
                    for t, size in tiling.buffer_bytes.items()
                ),
            )

    def moves(
        self, script: Script, where: MemoryNames, begins: Sequence[int], maker: Mapping[str, int]
    ) -> Iterator[Move]:
        """Yield the loads of what tiled steps wrote, and the stores of what they read."""
        memory, outer = where.memory, where.outer
        problem, tilings = self.untiled.problem, self.tiled.tilings
        for k, new in enumerate(script.order):
            at = self.tiled.step[new]
            if at < 0:
                (t,) = (self.tiled.buffer[b] for b in self.tiled.problem.steps[new].writes)
                yield self._move(where, "reload", t, begins[k], outer, memory)
            elif at not in tilings:
                for t in problem.steps[at].writes:
                    is_stored = problem.buffers[t].stored
                    if not is_stored and any(r in tilings for r in problem.readers[t]):
                        step = maker[self.untiled.tensors[t]] + 1
                        yield self._move(where, "spill", t, step, memory, outer)

    def _move(
        self,
        where: MemoryNames,
        kind: Literal["reload", "spill"],
        t: int,
        step: int,
        source: str,
        target: str,
    ) -> Move:
        return Move(
            tensor=self.untiled.tensors[t],
            kind=kind,
            step=step,
            source=source,
            target=target,
            size_bytes=self.untiled.problem.buffers[t].size_bytes,
            device=where.device,
        )


@dataclass(frozen=True, slots=True)
class MemoryNames:
    """Names of the scheduled memory, the memory outside it, the device and its engine."""

    memory: str = "scratchpad"
    outer: str = "offchip"
    device: str = ""
    engine: str = ""


def to_plan(
    scheduled: ScheduledGraph,
    script: Script,
    trace: Trace,
    capacity_bytes: int | None,
    where: MemoryNames,
    *,
    method: str = "",
    addresses: Mapping[int, int] | None = None,
    times: Mapping[int, tuple[float, float]] | None = None,
    tiles: TiledSteps | None = None,
) -> Plan:
    """Return the plan of a script.

    Parameters
    ----------
    addresses
        Offset in bytes of each stay, keyed by index into ``trace.intervals``.
    times
        Start and end of each step in seconds, keyed by position in the order.
    tiles
        Steps that run in tiles.
    """
    order, begins = _order(scheduled, script, where, times or {})
    maker = _makers(scheduled, order)
    memory, device = where.memory, where.device
    residency: list[Residency] = []
    moves: list[Move] = []
    for i, stay in enumerate(trace.intervals):
        first, last = _span(scheduled, script, stay, begins, maker)
        name = scheduled.tensors[stay.buffer]
        size = scheduled.problem.buffers[stay.buffer].size_bytes
        is_order_only = tiles is not None and not size
        if last < first or is_order_only:
            continue
        residency.append(
            Residency(
                tensor=name,
                memory=memory,
                device=device,
                first=first,
                last=last,
                size_bytes=size,
                address=(addresses or {}).get(i),
                takes_over=_taken_over(scheduled, script, stay),
            )
        )
        moves += _moves(where, stay, name, size, first, last)
    if tiles is not None:
        moves += tiles.moves(script, where, begins, maker)
    residency += _resident_weights(scheduled, where, len(order) - 1)
    limits: tuple[Capacity, ...] = ()
    if capacity_bytes is not None:
        capacity_bytes += sum(size for _, size in scheduled.weights)
        limits = (Capacity(memory=memory, size_bytes=capacity_bytes, device=device),)
    return Plan(
        graph=scheduled.graph.content_hash(),
        precision=str(scheduled.precision),
        method=method,
        order=tuple(order),
        capacities=limits,
        residency=tuple(residency),
        moves=tuple(sorted(moves, key=lambda move: move.step)),
        tiled=() if tiles is None else tiles.operators,
        tiles=() if tiles is None else tuple(tiles.kernels(where.outer)),
    )


def _resident_weights(
    scheduled: ScheduledGraph, where: MemoryNames, last: int
) -> Iterator[Residency]:
    """Yield the weights that stay in the memory for all steps."""
    for name, size in scheduled.weights:
        yield Residency(
            tensor=name,
            memory=where.memory,
            device=where.device,
            first=0,
            last=last,
            size_bytes=size,
        )


def _makers(scheduled: ScheduledGraph, order: Sequence[Placement]) -> dict[str, int]:
    """Return the plan step that writes each tensor."""
    step = {placement.operator: i for i, placement in enumerate(order)}
    return {
        name: step[op.name]
        for _, op in scheduled.graph.walk()
        for name in op.writes
        if op.name in step
    }


def _writer(scheduled: ScheduledGraph, script: Script, stay: ResidencyInterval) -> Step | None:
    """Return the step that writes the buffer at the start of its stay; None if it is loaded."""
    at = script.order[stay.first]
    step = scheduled.problem.steps[at]
    runs = scheduled.members[at] and not step.load
    return step if stay.buffer in step.writes and runs else None


def _span(
    scheduled: ScheduledGraph,
    script: Script,
    stay: ResidencyInterval,
    begins: Sequence[int],
    maker: Mapping[str, int],
) -> tuple[int, int]:
    """Return the first and last step of the plan in which a buffer is on chip."""
    first = begins[stay.first]
    if _writer(scheduled, script, stay) is not None:
        first = maker[scheduled.tensors[stay.buffer]]
    # Up to the last operator at that position, or the one before it if the position is a load.
    last = begins[stay.last + 1] - 1
    ending = scheduled.problem.steps[script.order[stay.last]]
    if ending.takes_over == stay.buffer:
        last = min(last, maker[scheduled.tensors[ending.writes[0]]])
    return first, last


def _taken_over(scheduled: ScheduledGraph, script: Script, stay: ResidencyInterval) -> str:
    """Return the tensor whose place a buffer takes over at the start of its stay, or ''."""
    step = _writer(scheduled, script, stay)
    over = step is not None and step.takes_over >= 0 and step.writes[0] == stay.buffer
    return scheduled.tensors[step.takes_over] if step is not None and over else ""


def _moves(
    where: MemoryNames, stay: ResidencyInterval, name: str, size: int, first: int, last: int
) -> Iterator[Move]:
    """Yield the reload before a stay and the spill after it."""
    kinds: tuple[tuple[Literal["reload", "spill"], bool, int, str, str], ...] = (
        ("reload", stay.reloaded, first, where.outer, where.memory),
        ("spill", stay.spilled, last + 1, where.memory, where.outer),
    )
    for kind, happens, step, source, target in kinds:
        if happens:
            yield Move(
                tensor=name,
                kind=kind,
                step=step,
                source=source,
                target=target,
                size_bytes=size,
                device=where.device,
            )


def _order(
    scheduled: ScheduledGraph,
    script: Script,
    where: MemoryNames,
    times: Mapping[int, tuple[float, float]],
) -> tuple[list[Placement], list[int]]:
    """Return the placements of all operators, and the index at which each position starts."""
    problem = scheduled.problem
    views: dict[str, list[str]] = {}
    for name, source in scheduled.views:
        views.setdefault(source, []).append(name)

    def place(name: str) -> Placement:
        return Placement(operator=name, device=where.device, engine=where.engine)

    buffers = set(scheduled.tensors)
    writes = {op.name: op.writes for _, op in scheduled.graph.walk()}
    # Tensors internal to a kernel have aliases that are internal too.
    inner = {t for m in scheduled.members for n in m for t in writes[n] if t not in buffers}
    # Tensors written by no step, such as weights, exist from the start, as do their aliases.
    order = [
        place(n)
        for source, names in views.items()
        if source not in buffers and source not in inner
        for n in names
    ]
    begins: list[int] = []
    for k, s in enumerate(script.order):
        begins.append(len(order))
        members = scheduled.members[s]
        kernel = problem.steps[s].name if len(members) > 1 else ""
        start, end = times.get(k, (None, None))
        for i, name in enumerate(members):
            # The first operator of a kernel carries its time; the others take none.
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
            # A tensor in tiles that is loaded later has two buffers, but its views run once.
            order += [place(n) for n in views.pop(scheduled.tensors[t], ())]
    begins.append(len(order))
    return order, begins
