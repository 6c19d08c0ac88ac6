"""Spec of caches, with the parameters of the Execution-Cache-Memory (ECM) model.

Equations, sources and errors: `perfmodel.cost.ecm` and ``docs/caches.md``. A cache that states none
of the fields below is a plain memory.
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
from perfmodel.hardware.field_types import Clocks, Portion, PositiveNumber, PositiveSize, Time
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.memory import Memory, register_memory
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.hardware.view import engine_view, memory_view, or_else
from perfmodel.workload.streaming import StreamingKernel, kernel_named

PerClock: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True)]


class Cache(Memory):
    """A cache; the first level also describes the load and store ports of the core.

    Fields of transfers (`line_in` ... `edge_sharpness`) describe the boundary between this cache
    and the next memory outwards.
    """

    line: PositiveSize | None = None
    """Bytes of a cache line."""
    vector: PositiveSize | None = None
    """Bytes per load or store instruction of streaming loops."""
    loads_per_clock: PositiveNumber | None = None
    """Load instructions per clock."""
    stores_per_clock: PositiveNumber | None = None
    """Store instructions per clock, to one line."""
    accesses_per_clock: PositiveNumber | None = None
    """Loads and stores per clock together; unlimited if left out."""
    store_lines_per_clock: PositiveNumber | None = None
    """Stores per clock to a line other than the previous one's; unlimited if left out."""
    load_bandwidth: PerClock | None = None
    """Bytes that all loads fetch per clock; unlimited if left out."""
    access_bandwidth: PerClock | None = None
    """Bytes of loads and stores per clock together; unlimited if left out."""
    startup: Portion | None = None
    """Startup and wind-down of a loop over data in the first cache, as a share of its time."""
    row_start: Clocks | None = None
    """Clocks of a nested loop per row: start, remainder, end."""
    replay: Clocks | None = None
    """Clocks of a load instruction that misses the first cache, in addition to the transfer."""
    overlap_exponent: Annotated[Quantity, Of("count", floor=1.0, ceiling=100.0)] | None = None
    """Exponent of the p-norm that combines the times of core and levels: 1 adds them, a large one
    keeps the maximum. A fact of the core, stated with its first cache."""
    line_in: Clocks | None = None
    """Clocks per line transferred in from the next level."""
    line_out: Clocks | None = None
    """Clocks per line written back."""
    store_line: Clocks | None = None
    """Clocks between stores to different lines, where lines come from the next level."""
    line_in_time: Time | None = None
    """As `line_in`, in time: the next level does not follow the core's clock (main memory)."""
    line_out_time: Time | None = None
    """As `line_out`, in time."""
    store_line_time: Time | None = None
    """As `store_line`, in time."""
    whole_line_allocate: Portion | None = None
    """Share of lines fully overwritten by aligned vectors that are still read first
    (write-allocate); unity if left out."""
    edge_centre: PositiveSize | None = None
    """Working set at which half the lines miss; the capacity if left out."""
    edge_sharpness: PositiveNumber | None = None
    """Steepness of the transition from hits to misses; 12 (steep) if left out."""


register_memory("cache", Cache)


class CacheHierarchy(NamedTuple):
    """A core with its caches, read from the facts of a machine.

    Attributes
    ----------
    core, edges
        As in `perfmodel.cost.ecm.cycles_at_levels`; edges from the first cache outwards.
    levels
        Names of the memories, nearest first, main memory last: one more than `edges`.
    clock
        Hertz.
    row_start
        Clocks of a nested loop per row.
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
    """Return the work of a kernel per line of results, with layer conditions met."""
    return Work(
        float(kernel.loads),
        float(kernel.split),
        float(kernel.reads),
        float(kernel.writes),
        float(kernel.updates),
        0.0 if kernel.radius else 1.0,
    )


def grid_reads(
    kernel: StreamingKernel, caches: CacheHierarchy, row: Value, plane: Value
) -> list[Value]:
    """Return lines of read-only streams that cross each cache boundary, by layer conditions.

    Parameters
    ----------
    row, plane
        Bytes of a row and a plane of a stencil's grid; unused for other kernels.
    """
    if not kernel.radius:
        return [float(kernel.reads)] * len(caches.edges)
    return [
        layer_lines(
            kernel.radius, row, plane, edge.centre, edge.sharpness, dimensions=kernel.dimensions
        )
        for edge in caches.edges
    ]


def cycles_per_line(
    kernel: str,
    machine: Machine | Device,
    size: Value,
    *,
    row: Value = 0.0,
    plane: Value = 0.0,
) -> Value:
    """Return clocks of a streaming kernel per line of results.

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
    loop = kernel_named(kernel)
    resolved = machine.machine() if isinstance(machine, Device) else machine
    engine = resolved.engine
    levels = tuple(m.name for m in resolved.device.hierarchy(engine))
    caches = hierarchy(resolved.facts, engine, levels)
    if caches is None:
        raise input_error(
            f"the first cache of {resolved.device.name} states no load ports",
            path=f"memories.{levels[0]}.loads_per_clock",
        )
    reads = grid_reads(loop, caches, row, plane) if loop.radius else None
    at = cycles_at_levels(work_of(loop), caches.core, caches.edges, reads)
    clocks = cycles_by_size(at, size, caches.edges)
    if loop.radius:
        clocks = clocks + caches.row_start * caches.core.line / row
    return clocks
