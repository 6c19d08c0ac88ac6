"""Tiled execution of operators that are larger than the memory, so that small capacities suffice.

The tensors of a tiled operator lie off chip and cross the boundary as often as its best tile
requires: the least traffic of its loop nest within the capacity (`cost.traffic.staircase`), or once
if it has no loop nest (elementwise operators, pools, norms: one row at a time). The other operators
keep their buffers on chip as before. `streamed` rewrites the scheduling problem in this way and
`in_tiles` the scheduled graph; `ScheduleJob` calls them under ``tiles=True``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from perfmodel.cost.buffered_nests import EXTENTS
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.problem_from_graph import ScheduledGraph
from perfmodel.workload.fuse import aliases
from perfmodel.workload.lower import lower
from perfmodel.workload.nest import LoopNest
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.symbols import evaluate


@dataclass(frozen=True)
class StepTiling:
    """Tiled execution of one step.

    Attributes
    ----------
    scratch_bytes
        Bytes of its tiles on chip while it runs.
    buffer_bytes
        Bytes that cross the boundary, for each buffer that it touches.
    weight_bytes
        Bytes of reads of its weights in addition to the first.
    """

    scratch_bytes: int
    buffer_bytes: Mapping[int, int]
    weight_bytes: int


@dataclass(frozen=True)
class Streamed:
    """A problem in which every step fits.

    Attributes
    ----------
    problem
        Tiled steps hold only their tiles on chip; a buffer passed between two of them is replaced
        by one of zero bytes, which preserves their order.
    tilings
        Tiled execution by step of the original problem.
    step
        Original step of each step of the new problem; -1 for a load from off chip.
    extra_bytes
        Non-compulsory bytes that any schedule of the new problem adds to its own.
    buffer
        Original buffer of each buffer of the new problem.
    """

    problem: Problem
    tilings: Mapping[int, StepTiling]
    step: tuple[int, ...]
    extra_bytes: int
    buffer: tuple[int, ...]


def streamed(
    scheduled: ScheduledGraph,
    values: Mapping[str, Any],
    capacity_bytes: int,
    conventions: Conventions | None = None,
    *,
    partial_bytes: float = 4.0,
) -> Streamed | None:
    """Return the problem with every step that does not fit the memory tiled.

    Parameters
    ----------
    values
        Values of the workload's free dimensions.
    conventions
        Tiling conventions; double-buffered by default.
    partial_bytes
        Bytes of a partial sum of an output element.

    Returns
    -------
    Streamed or None
        None if even the smallest tile of a step does not fit.
    """
    problem = scheduled.problem
    large = [
        s
        for s, need in enumerate(problem.working_set_bytes)
        if need > capacity_bytes and not problem.steps[s].load
    ]
    if not large:
        steps, buffers = range(len(problem.steps)), range(len(problem.buffers))
        return Streamed(problem, {}, tuple(steps), 0, tuple(buffers))
    reader = _Tiler(scheduled, values, capacity_bytes, conventions or Conventions(), partial_bytes)
    tilings: dict[int, StepTiling] = {}
    for s in large:
        tiling = reader.tiling(s)
        if tiling is None:
            return None
        tilings[s] = tiling
    return _rewritten(problem, tilings)


class _Tiler:
    """Tiler of the steps that exceed the capacity, by the best tile of each loop nest."""

    def __init__(
        self,
        scheduled: ScheduledGraph,
        values: Mapping[str, Any],
        capacity: int,
        conventions: Conventions,
        partial: float,
    ) -> None:
        self.scheduled, self.values, self.capacity = scheduled, values, capacity
        self.conventions, self.partial = conventions, partial
        self.operators = {op.name: op for _, op in scheduled.graph.walk()}
        self.alias = aliases(scheduled.graph)
        self.index = {name: t for t, name in enumerate(scheduled.tensors)}
        table = lower(scheduled.graph).bind(values, nests=True)
        self.nests: Nests | None = table.nests
        self.rows: dict[str, list[int]] = {}
        # Intermediate tensors between the nests of one operator (attention scores).
        self.inner = {
            o.tensor
            for op in self.operators.values()
            for nest in op.nests
            for o in nest.operands
            if o.role != "output" and o.tensor not in op.reads
        }
        if self.nests is not None:
            for at, name in enumerate(self.nests.name):
                self.rows.setdefault(name, []).append(at)

    def tiling(self, s: int) -> StepTiling | None:
        """Return the tiling of a step, or None if its smallest tiles do not fit."""
        problem = self.scheduled.problem
        step = problem.steps[s]
        members = [self.operators[name] for name in self.scheduled.members[s]]
        touched = dict.fromkeys((*step.reads, *step.writes))
        sizes = {t: problem.buffers[t].size_bytes for t in touched}
        crossing = dict(sizes)
        passing = set(touched)
        room, weights, tile_bytes = self.capacity, 0, 0
        tiled: list[tuple[tuple[int, int, int], TileNest, Widths]] = []
        for op in members:
            for nest, at in zip(op.nests, self.rows.get(op.name, ()), strict=True):
                operands = self._operands(nest, step)
                passing.difference_update(operands)
                tiled.append((operands, *self._nest(at)))
        room -= sum(min(sizes[t], self._row_bytes(t)) for t in passing)
        for t in {t for operands, _, _ in tiled for t in operands}:
            crossing.pop(t, None)
        for (x, w, y), nest, widths in tiled:
            stairs = staircase(nest, widths, self.conventions)
            at = stairs.index(float(room))
            if at < 0:
                return None
            tile_bytes = max(tile_bytes, math.ceil(stairs.capacity_bytes[at]))
            parts, once = stairs.parts(float(room)), stairs.parts(float(stairs.capacity_bytes[-1]))
            # Padding counts as data of a tile but is never fetched.
            real = min(1.0, sizes[x] / once.input) if x in sizes and once.input else 1.0
            # The nest of a transposed convolution counts one phase of its output.
            phases = max(1.0, sizes[y] / once.output) if y in sizes and once.output else 1.0
            operand_bytes = ((x, parts.input * real), (w, parts.weight), (y, parts.output * phases))
            for t, traffic in operand_bytes:
                if t in sizes:
                    crossing[t] = crossing.get(t, 0) + math.ceil(traffic - 1e-6)
            if w not in sizes:
                weights += math.ceil(parts.weight - once.weight - 1e-6)
        scratch = tile_bytes + self.capacity - room
        return StepTiling(scratch, crossing, weights) if scratch <= self.capacity else None

    def _operands(self, nest: LoopNest, step: Step) -> tuple[int, int, int]:
        """Return the buffers of a nest's input, second factor and output; -1 for none."""
        factors = [o for o in nest.operands if o.role != "output"]
        if len(factors) == 2 and factors[0].role == "weight" and factors[1].role == "input":
            factors.reverse()
        output = next(o.tensor for o in nest.operands if o.role == "output")
        y = self._buffer(output)
        if y < 0 and output not in self.inner and step.writes:
            y = step.writes[0]  # fused operators turn it into the step's output
        return self._buffer(factors[0].tensor), self._buffer(factors[-1].tensor), y

    def _buffer(self, name: str) -> int:
        return self.index.get(self.alias.get(name, name), -1)

    def _row_bytes(self, t: int) -> int:
        """Return the bytes along the last axis of a buffer's tensor."""
        tensor = self.scheduled.graph.tensors[self.scheduled.tensors[t]]
        elements = float(evaluate(tensor.shape[-1], self.values)) if tensor.shape else 1.0
        return math.ceil(elements * float(self.scheduled.precision.bits(tensor.slot)) / 8)

    def _nest(self, at: int) -> tuple[TileNest, Widths]:
        nests = self.nests
        assert nests is not None
        extents = {
            name: max(1, round(float(getattr(nests, name)[at, 0]))) for name in ("groups", *EXTENTS)
        }
        stride, dilation = nests.stride[at].tolist(), nests.dilation[at].tolist()
        nest = TileNest.with_steps(stride, dilation, **extents)
        x, w, y = (
            float(self.scheduled.precision.bits(slot)) / 8 if access >= 0 else 0.0
            for slot, access in zip(nests.slots[at], nests.access[at].tolist(), strict=True)
        )
        return nest, Widths(x, w, y, self.partial if y else 0.0)


def _rewritten(problem: Problem, tilings: Mapping[int, StepTiling]) -> Streamed:
    """Return the problem in which the tiled steps hold only their tiles.

    A buffer that a tiled step reads is stored when it is written; a buffer that a tiled step writes
    is loaded completely for the steps that are not tiled.
    """
    buffers: list[Buffer] = []
    source: list[int] = []
    steps: list[Step] = []
    origin: list[int] = []
    extra = sum(tiling.weight_bytes for tiling in tilings.values())
    place: dict[int, int] = {}  # new index of a buffer for steps that are not tiled
    token: dict[int, int] = {}  # zero-byte buffer that signals its completion

    def add(buffer: Buffer, t: int) -> int:
        """Append a buffer in place of an original one, and return its index."""
        buffers.append(buffer)
        source.append(t)
        return len(buffers) - 1

    for s, step in enumerate(problem.steps):
        tiling = tilings.get(s)
        reads: list[int] = []
        writes: list[int] = []
        for t in step.reads:
            if tiling is not None:
                extra += tiling.buffer_bytes[t]
                reads.append(token[t])
                continue
            if t not in place:
                place[t] = add(replace(problem.buffers[t], stored=True), t)
                steps.append(Step(f"load {problem.buffers[t].name}", (token[t],), (place[t],)))
                origin.append(-1)
                extra += problem.buffers[t].size_bytes
            reads.append(place[t])
        for t in step.writes:
            buffer = problem.buffers[t]
            passes = any(r in tilings for r in problem.readers[t])
            if tiling is not None:
                crossing = tiling.buffer_bytes[t]
                extra += crossing - (buffer.size_bytes if buffer.stored else 0)
                token[t] = add(Buffer(f"{buffer.name} made", 0, stored=True), t)
                writes.append(token[t])
                continue
            only_tiled = problem.readers[t] and all(r in tilings for r in problem.readers[t])
            if not (step.load and only_tiled):
                place[t] = add(replace(buffer, stored=buffer.stored or passes), t)
                writes.append(place[t])
            if passes:
                token[t] = add(Buffer(f"{buffer.name} made", 0, stored=True), t)
                writes.append(token[t])
                extra += 0 if buffer.stored else buffer.size_bytes
                if step.load:  # the first read of an input is compulsory
                    extra -= buffer.size_bytes if t not in place else 0
        over = place.get(step.takes_over, -1) if tiling is None else -1
        scratch = step.scratch_bytes if tiling is None else tiling.scratch_bytes
        touched = {"reads": tuple(dict.fromkeys(reads)), "writes": tuple(writes)}
        steps.append(replace(step, **touched, takes_over=over, scratch_bytes=scratch))
        origin.append(s)
    rewritten = Problem(f"{problem.name}, tiled", tuple(steps), tuple(buffers))
    return Streamed(rewritten, dict(tilings), tuple(origin), extra, tuple(source))


def in_tiles(scheduled: ScheduledGraph, streamed: Streamed) -> ScheduledGraph:
    """Return the scheduled graph with the tiled problem; tile traffic counts as streamed."""
    problem = scheduled.problem
    steps = list(streamed.problem.steps)
    for k, s in enumerate(streamed.step):
        tiling = streamed.tilings.get(s)
        if tiling is not None:
            crossing = sum(tiling.buffer_bytes.values()) + tiling.weight_bytes
            steps[k] = replace(steps[k], stream_bytes=problem.steps[s].stream_bytes + crossing)
    members = tuple(scheduled.members[s] if s >= 0 else () for s in streamed.step)
    names = tuple(scheduled.tensors[t] for t in streamed.buffer)
    tiled = replace(streamed.problem, steps=tuple(steps))
    return replace(scheduled, problem=tiled, members=members, tensors=names)
