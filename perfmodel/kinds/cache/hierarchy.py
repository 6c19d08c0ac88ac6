"""Clocks of streaming loops on a machine's caches, by the Execution-Cache-Memory (ECM) model.

Translates the facts of a machine (`perfmodel.kinds.cache.spec`) into the parameters of
`perfmodel.cost.ecm`, which has the equations (Stengel et al., ICS 2015). In clocks per cache line
of results, for caches 1, 2, ... from the core outwards and main memory as the last level::

    T_n = (t_core^p + t_replay^p + t_12^p + ... + t_(n-1)n^p)^(1/p)      data in level n
    T   = T_1 + sum over n of m_n (T_(n+1) - T_n)                      `size` bytes of data
    m_n = 1 / (1 + (edge_centre_n / size)^edge_sharpness_n)            share that misses cache n

with ``t_(n-1)n`` the clocks to transfer lines across the boundary between two levels, and p the
core's `overlap_exponent`. Rows of class ``stream`` (`perfmodel.kinds.streams`) use `hierarchy`;
`cycles_per_line` is for scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
from perfmodel.hardware.fact_views import engine_view, memory_view, or_else
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.cache.spec import Cache
from perfmodel.workload.streaming import StreamingKernel, kernel_named


class CacheHierarchy(NamedTuple):
    """A core with its caches, read from the facts of a machine.

    Attributes
    ----------
    core
        Parameters of the core and its first cache.
    boundaries
        Boundaries between consecutive levels, from the first cache outwards.
    levels
        Names of the memories, nearest first, main memory last: one more than `boundaries`.
    clock
        Clock of the core in hertz.
    row_start
        Clocks of a nested loop per row.
    """

    core: EcmCore
    boundaries: tuple[CacheBoundary, ...]
    levels: tuple[str, ...]
    clock: Value
    row_start: Value


def hierarchy(
    facts: Mapping[str, Value], engine: str, levels: Sequence[str]
) -> CacheHierarchy | None:
    """Return the hierarchy of an engine, or None where its first cache states no ports.

    Clocks of transfers that a device states in seconds, as for main memory, are
    ``seconds * clock``.

    Parameters
    ----------
    facts
        Facts of the machine, by path.
    engine
        Name of the engine.
    levels
        Memories that feed the engine, nearest first, main memory last.
    """
    clock = engine_view(Engine, facts, engine).clock
    caches = [memory_view(Cache, facts, level) for level in levels]
    first = caches[0]
    if clock is None or len(levels) < 2 or first.loads_per_clock is None:
        return None

    def clocks(stated: Value, seconds: Value) -> Value:
        return or_else(stated, 0.0) if seconds is None else seconds * clock

    line = or_else(first.line, 64.0)
    core = EcmCore(
        line=line,
        vector=or_else(first.vector, line),
        loads_per_clock=first.loads_per_clock,
        stores_per_clock=or_else(first.stores_per_clock, 1.0),
        accesses_per_clock=or_else(first.accesses_per_clock, np.inf),
        store_lines_per_clock=or_else(first.store_lines_per_clock, np.inf),
        load_bandwidth=or_else(first.load_bandwidth, np.inf),
        access_bandwidth=or_else(first.access_bandwidth, np.inf),
        startup=or_else(first.startup, 0.0),
        replay=or_else(first.replay, 0.0),
        overlap=or_else(first.overlap_exponent, 1.0),
    )
    boundaries = tuple(
        CacheBoundary(
            line_in=clocks(cache.line_in, cache.line_in_time),
            line_out=clocks(cache.line_out, cache.line_out_time),
            store_line=clocks(cache.store_line, cache.store_line_time),
            allocate=or_else(cache.whole_line_allocate, 1.0),
            centre=or_else(cache.edge_centre, cache.capacity),
            sharpness=or_else(cache.edge_sharpness, 12.0),
        )
        for cache in caches[:-1]
    )
    return CacheHierarchy(core, boundaries, tuple(levels), clock, or_else(first.row_start, 0.0))


def work_of(kernel: StreamingKernel) -> Work:
    """Return the work of a kernel per line of results, with layer conditions met."""
    return Work(
        loads=float(kernel.loads),
        split=float(kernel.split),
        reads=float(kernel.reads),
        writes=float(kernel.writes),
        updates=float(kernel.updates),
        full_lines=0.0 if kernel.radius else 1.0,
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
        return [float(kernel.reads)] * len(caches.boundaries)
    return [
        layer_lines(
            kernel.radius,
            row,
            plane,
            boundary.centre,
            boundary.sharpness,
            dimensions=kernel.dimensions,
        )
        for boundary in caches.boundaries
    ]


def cycles_per_line(
    kernel: str,
    machine: Machine | Device,
    size: Value,
    *,
    row: Value = 0.0,
    plane: Value = 0.0,
) -> Value:
    """Return clocks of a streaming kernel per cache line of results, T of the module's equations.

    Parameters
    ----------
    kernel
        Name of a kernel; see `perfmodel.workload.streaming.KERNELS`.
    machine
        Machine or device with caches that state their ports and transfers.
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
        The kernel does not exist, or the machine's first cache states no load ports.

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
    at_levels = cycles_at_levels(work_of(loop), caches.core, caches.boundaries, reads)
    clocks = cycles_by_size(at_levels, size, caches.boundaries)
    if loop.radius:
        clocks = clocks + caches.row_start * caches.core.line / row
    return clocks
