"""Caches, with what the Execution-Cache-Memory model needs to know of them.

Equations, sources and errors: `perfmodel.cost.ecm` and ``docs/caches.md``. A cache that states
none of the fields below is the plain memory that it was before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.ecm import (
    CacheBoundary,
    EcmCore,
    Work,
    cycles_at_levels,
    cycles_by_size,
    layer_lines,
)
from perfmodel.errors import input_error
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.memory import Memory, register_memory
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.hardware.view import engine_view, memory_view, or_else
from perfmodel.workload.streaming import StreamingKernel, kernel_named

Size: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]
Count: TypeAlias = Annotated[Quantity, Of("count", positive=True)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks")]
Time: TypeAlias = Annotated[Quantity, Of("time")]
PerClock: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True)]
Share: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]
Norm: TypeAlias = Annotated[Quantity, Of("count", floor=1.0, ceiling=100.0)]


class Cache(Memory):
    """A cache; the first one also says what a core's load and store ports do.

    Fields of transfers (`line_in` ... `edge_sharpness`) are about the boundary between this cache
    and the memory beyond it.
    """

    line: Size | None = None
    """Bytes of a line."""
    vector: Size | None = None
    """Bytes of a load or store instruction of streaming loops."""
    loads_per_clock: Count | None = None
    """Load instructions per clock."""
    stores_per_clock: Count | None = None
    """Store instructions per clock, to one line."""
    accesses_per_clock: Count | None = None
    """Loads and stores a clock together; no limit where left out."""
    store_lines_per_clock: Count | None = None
    """Stores a clock that go to another line than the one before; no limit where left out."""
    load_bandwidth: PerClock | None = None
    """Bytes that all loads fetch a clock; no limit where left out."""
    access_bandwidth: PerClock | None = None
    """Bytes of loads and stores a clock together; no limit where left out."""
    startup: Share | None = None
    """Share of its time that a loop over data in the first cache adds at its start and end."""
    row_start: Clocks | None = None
    """Clocks of a nested loop for each row: start, remainder, end."""
    replay: Clocks | None = None
    """Clocks of a load instruction whose line is not in the first cache, beside the transfer."""
    overlap_exponent: Norm | None = None
    """Joins the times of core and levels by a p-norm: 1 adds them, a large one takes the largest.
    A fact of the core, stated with its first cache."""
    line_in: Clocks | None = None
    """Clocks of a line that comes in from beyond."""
    line_out: Clocks | None = None
    """Clocks of a line that is written back."""
    store_line: Clocks | None = None
    """Clocks from one store that changes the line to the next, where lines come from beyond."""
    line_in_time: Time | None = None
    """As `line_in`, where what lies beyond does not follow the core's clock (main memory)."""
    line_out_time: Time | None = None
    """As `line_out`, likewise."""
    store_line_time: Time | None = None
    """As `store_line`, likewise."""
    whole_line_allocate: Share | None = None
    """Share of the lines written whole by aligned vectors that are read before; 1 if left out."""
    edge_centre: Size | None = None
    """Working set of which half the lines miss; the capacity where left out."""
    edge_sharpness: Count | None = None
    """How steep the edge is; a steep 12 where left out."""


register_memory("cache", Cache)


class CacheHierarchy(NamedTuple):
    """A core with its caches, read off the facts of a machine.

    Attributes
    ----------
    core, edges
        As `perfmodel.cost.ecm.cycles_at_levels` takes them; edges from the first cache outwards.
    levels
        Names of the memories, nearest first, main memory last: one more than edges.
    clock
        Hertz.
    row_start
        Clocks of a nested loop for each row.
    """

    core: EcmCore
    edges: tuple[CacheBoundary, ...]
    levels: tuple[str, ...]
    clock: Value
    row_start: Value


def hierarchy(
    facts: Mapping[str, Value], engine: str, levels: Sequence[str]
) -> CacheHierarchy | None:
    """Return the hierarchy of an engine, or None where its first cache states no ports.

    Parameters
    ----------
    levels
        Memories that feed the engine, nearest first, main memory last.
    """
    clock = engine_view(Engine, facts, engine).clock
    caches = [memory_view(Cache, facts, level) for level in levels]
    first = caches[0]
    if clock is None or len(levels) < 2 or first.loads_per_clock is None:
        return None

    def clocks(stated: Value, timed: Value) -> Value:
        return or_else(stated, 0.0) if timed is None else timed * clock

    line = or_else(first.line, 64.0)
    core = EcmCore(
        line,
        or_else(first.vector, line),
        first.loads_per_clock,
        or_else(first.stores_per_clock, 1.0),
        or_else(first.accesses_per_clock, np.inf),
        or_else(first.store_lines_per_clock, np.inf),
        or_else(first.load_bandwidth, np.inf),
        or_else(first.access_bandwidth, np.inf),
        or_else(first.startup, 0.0),
        or_else(first.replay, 0.0),
        or_else(first.overlap_exponent, 1.0),
    )
    edges = tuple(
        CacheBoundary(
            clocks(cache.line_in, cache.line_in_time),
            clocks(cache.line_out, cache.line_out_time),
            clocks(cache.store_line, cache.store_line_time),
            or_else(cache.whole_line_allocate, 1.0),
            or_else(cache.edge_centre, cache.capacity),
            or_else(cache.edge_sharpness, 12.0),
        )
        for cache in caches[:-1]
    )
    return CacheHierarchy(core, edges, tuple(levels), clock, or_else(first.row_start, 0.0))


def work_of(kernel: StreamingKernel) -> Work:
    """Return what a kernel does for a line of results, layer conditions met."""
    return Work(
        float(kernel.loads),
        float(kernel.split),
        float(kernel.reads),
        float(kernel.writes),
        float(kernel.updates),
        0.0 if kernel.radius else 1.0,
    )


def grid_reads(
    kernel: StreamingKernel, found: CacheHierarchy, row: Value, plane: Value
) -> list[Value]:
    """Return lines of streams that are only read across each edge, by layer conditions.

    Parameters
    ----------
    row, plane
        Bytes of a row and a plane of a stencil's grid; of no meaning for other kernels.
    """
    if not kernel.radius:
        return [float(kernel.reads)] * len(found.edges)
    return [
        layer_lines(
            kernel.radius, row, plane, edge.centre, edge.sharpness, dimensions=kernel.dimensions
        )
        for edge in found.edges
    ]


def cycles_per_line(
    kernel: str,
    machine: Machine | Device,
    size: Value,
    *,
    row: Value = 0.0,
    plane: Value = 0.0,
) -> Value:
    """Return clocks of a streaming kernel for one line of results.

    Parameters
    ----------
    kernel
        Name, see `perfmodel.workload.streaming.KERNELS`.
    machine
        With caches that state their ports and transfers.
    size
        Bytes of all arrays together; a number or an array.
    row, plane
        Bytes of a row and of a plane, for stencils.

    Returns
    -------
    clocks, of the inputs' broadcast shape

    Raises
    ------
    InputError
        No such kernel, or a machine whose first cache states no ports.

    Examples
    --------
    >>> import perfmodel as pm
    >>> from perfmodel.kinds.cache import cycles_per_line
    >>> round(float(cycles_per_line("copy", pm.hardware("xeon_gold_6148_core"), 16 * 1024)), 2)
    1.12
    """
    chosen = kernel_named(kernel)
    made = machine.machine() if isinstance(machine, Device) else machine
    engine = made.engine
    levels = tuple(m.name for m in made.device.hierarchy(engine))
    found = hierarchy(made.facts, engine, levels)
    if found is None:
        raise input_error(
            f"the first cache of {made.device.name} states no load ports",
            path=f"memories.{levels[0]}.loads_per_clock",
        )
    reads = grid_reads(chosen, found, row, plane) if chosen.radius else None
    at = cycles_at_levels(work_of(chosen), found.core, found.edges, reads)
    clocks = cycles_by_size(at, size, found.edges)
    if chosen.radius:
        clocks = clocks + found.row_start * found.core.line / row
    return clocks
