"""Clock cycles per cache line of results from core and data transfer times (ECM model).

The Execution-Cache-Memory model: Treibig and Hager, PPAM 2009; Stengel, Treibig, Hager and Wellein,
"Quantifying performance bottlenecks of stencil computations using the execution-cache-memory
model", ICS 2015 (arXiv:1410.5010); machine models for other vendors and the overlap hypotheses:
Hofmann, Alappat, Hager, Fey and Wellein, "Bridging the architecture gap", Supercomputing Frontiers
and Innovations 7(2), 2020 (arXiv:1907.00048).

The published models assume either no overlap of the levels (Intel: cycles add) or full overlap
(AMD: the maximum). Here one exponent per microarchitecture interpolates between both::

    T = (t_core ** p + t_12 ** p + t_23 ** p + ...) ** (1 / p)

``p = 1`` is the sum, a large ``p`` approaches the maximum. Three terms extend the published model:
serialisation of stores to different lines (`CacheBoundary.store_line`), replay of load instructions
that miss the first cache (`EcmCore.replay`), and write-allocate reads that may be avoided for fully
written lines (`CacheBoundary.allocate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.ecm.layers import miss_share
from perfmodel.cost.ecm.ports import Work, core_cycles, store_switches


class EcmCore(NamedTuple):
    """Core with its first-level cache; scalars or arrays that broadcast.

    Attributes
    ----------
    line, vector
        Bytes of a cache line, and of a load or store instruction.
    loads_per_clock, stores_per_clock, accesses_per_clock
        Instructions per cycle: loads, stores to the same line, loads and stores together.
    store_lines_per_clock
        Stores per cycle that access another line than the previous store.
    load_bandwidth, access_bandwidth
        Bytes per cycle of loads, and of loads and stores together.
    startup
        Relative overhead of loop prologue and epilogue.
    replay
        Additional cycles per load instruction that misses the first-level cache, besides the
        transfer.
    overlap
        Exponent ``p`` of the overlap rule.
    """

    line: Value = 64.0
    vector: Value = 64.0
    loads_per_clock: Value = 2.0
    stores_per_clock: Value = 1.0
    accesses_per_clock: Value = np.inf
    store_lines_per_clock: Value = np.inf
    load_bandwidth: Value = np.inf
    access_bandwidth: Value = np.inf
    startup: Value = 0.0
    replay: Value = 0.0
    overlap: Value = 1.0


class CacheBoundary(NamedTuple):
    """Boundary between a cache and the next memory level.

    Attributes
    ----------
    line_in, line_out
        Cycles per line loaded, and per line written back.
    store_line
        Cycles between consecutive stores to different lines, if lines come from the next level.
    allocate
        Share of fully written lines that are read first (write-allocate).
    centre, sharpness
        Working set size at which half of the lines miss, bytes, and steepness; see `miss_share`.
    """

    line_in: Value
    line_out: Value = 0.0
    store_line: Value = 0.0
    allocate: Value = 1.0
    centre: Value = 0.0
    sharpness: Value = 12.0


def transfer_cycles(
    work: Work, boundary: CacheBoundary, vectors_per_line: Value, reads: Value = None
) -> Value:
    """Return the transfer cycles across a boundary per line of results.

    ``max(line_in (reads + updates + allocated writes) + line_out stores, store_line switches)``,
    where switches are the stores that change the line (`store_switches`).

    Parameters
    ----------
    vectors_per_line
        Store instructions per line.
    reads
        Lines of read-only streams; ``work.reads`` if layer conditions hold.
    """
    reads = work.reads if reads is None else reads
    allocated = 1.0 - work.full_lines * (1.0 - boundary.allocate)
    lines_in = reads + work.updates + work.writes * allocated
    busy = boundary.line_in * lines_in + boundary.line_out * work.stores
    waits = boundary.store_line * store_switches(work.stores, vectors_per_line)
    return namespace(busy, waits, 0.0).maximum(busy, waits)


def level_parts(
    work: Work,
    core: EcmCore,
    boundaries: Sequence[CacheBoundary],
    reads: Sequence[Value] | None = None,
) -> list[Value]:
    """Return the separate cycles per line of the core, of replayed loads, and of each boundary.

    Parameters
    ----------
    boundaries
        Boundaries from the first-level cache outwards.
    reads
        Lines of read-only streams across each boundary; ``work.reads`` by default.
    """
    vectors_per_line = core.line / core.vector
    parts: list[Value] = [
        core_cycles(work, core),
        core.replay * (work.reads + work.updates) * vectors_per_line,
    ]
    for i, boundary in enumerate(boundaries):
        lines = None if reads is None else reads[i]
        # Beyond the first boundary complete lines are written back, whatever the order of stores.
        parts.append(transfer_cycles(work, boundary, vectors_per_line if i == 0 else 1.0, lines))
    return parts


def cycles_at_levels(
    work: Work,
    core: EcmCore,
    boundaries: Sequence[CacheBoundary],
    reads: Sequence[Value] | None = None,
) -> list[Value]:
    """Return the cycles per line with all data in the first-level cache, ..., in main memory.

    Level n takes ``(t_core^p + t_replay^p + t_12^p + ... + t_(n-1)n^p)^(1/p)`` cycles.

    Parameters
    ----------
    boundaries, reads
        The same as for `level_parts`.

    Returns
    -------
    list
        One entry more than `boundaries`, non-decreasing.
    """
    parts = level_parts(work, core, boundaries, reads)
    outer_levels = [_p_norm(parts[: i + 3], core.overlap) for i in range(len(boundaries))]
    return [parts[0], *outer_levels]


def cycles_by_size(
    at_levels: Sequence[Value], size: Value, boundaries: Sequence[CacheBoundary]
) -> Value:
    """Return the cycles per line of a repeatedly swept working set.

    ``T_1 + sum over levels n of miss_share_n (T_(n+1) - T_n)``, with T from `cycles_at_levels`.

    Parameters
    ----------
    at_levels
        Result of `cycles_at_levels`.
    size
        Bytes of the working set; a list if they differ by cache level (cores that share only the
        last-level cache).
    """
    sizes = cast("list[Value]", size) if isinstance(size, list) else [size] * len(boundaries)
    total = at_levels[0]
    for inner, outer, boundary, swept in zip(
        at_levels, at_levels[1:], boundaries, sizes, strict=False
    ):
        total = total + miss_share(swept, boundary.centre, boundary.sharpness) * (outer - inner)
    return total


def _p_norm(parts: Sequence[Value], exponent: Value) -> Value:
    """Return the p-norm of non-negative parts, the first of which is positive."""
    xp = namespace(*parts, exponent, 0.0)
    largest = parts[0]
    for part in parts[1:]:
        largest = xp.maximum(largest, part)
    total = sum(((part / largest) ** exponent for part in parts), 0.0)
    return largest * total ** (1.0 / exponent)
