"""How the clocks of the core and of the transfers between memories make those of a line.

The Execution-Cache-Memory model: Treibig and Hager, PPAM 2009; Stengel, Treibig, Hager and Wellein,
"Quantifying performance bottlenecks of stencil computations using the execution-cache-memory
model", ICS 2015 (arXiv:1410.5010); machine models for other vendors and the overlap hypotheses:
Hofmann, Alappat, Hager, Fey and Wellein, "Bridging the architecture gap", Supercomputing Frontiers
and Innovations 7(2), 2020 (arXiv:1907.00048).

There the overlap of the levels is either none (Intel: clocks add) or full (AMD: the largest
counts). Here one exponent of the microarchitecture stands for the rule::

    T = (t_core ** p + t_12 ** p + t_23 ** p + ...) ** (1 / p)

``p = 1`` adds, a large ``p`` takes the largest. Three terms are no part of the published model:
stores that change the line wait for one another (`CacheBoundary.store_line`), load instructions
that miss the first cache are issued again (`EcmCore.replay`), and lines that are written whole may
need no read (`CacheBoundary.allocate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.ecm.layers import miss_share
from perfmodel.cost.ecm.ports import Work, core_cycles, store_switches


class EcmCore(NamedTuple):
    """A core and its first cache; numbers or arrays that broadcast.

    Attributes
    ----------
    line, vector
        Bytes of a cache line and of a load or store instruction.
    loads_per_clock, stores_per_clock, accesses_per_clock
        Instructions a clock: loads, stores to one line, both together.
    store_lines_per_clock
        Stores a clock that go to another line than the store before.
    load_bandwidth, access_bandwidth
        Bytes a clock of loads, of loads and stores together.
    startup
        Share that the start and the end of loops add.
    replay
        Clocks of a load instruction whose line is not in the first cache, beside the transfer.
    overlap
        Exponent ``p`` that joins the levels.
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
    """The boundary between a cache and the memory beyond it.

    Attributes
    ----------
    line_in, line_out
        Clocks of a line that comes in, of one that is written back.
    store_line
        Clocks from one store that changes the line to the next, where lines come from beyond.
    allocate
        Share of the lines written whole that are read before.
    centre, sharpness
        Bytes of a working set of which half the lines miss, and how steep the edge is.
    """

    line_in: Value
    line_out: Value = 0.0
    store_line: Value = 0.0
    allocate: Value = 1.0
    centre: Value = 0.0
    sharpness: Value = 12.0


def transfer_cycles(work: Work, edge: CacheBoundary, pieces: Value, reads: Value = None) -> Value:
    """Return clocks of the transfers across a boundary for one line of results.

    Parameters
    ----------
    pieces
        Store instructions per line.
    reads
        Lines of streams that are only read; ``work.reads`` where layer conditions hold.
    """
    reads = work.reads if reads is None else reads
    allocated = 1.0 - work.whole * (1.0 - edge.allocate)
    lines_in = reads + work.updates + work.writes * allocated
    busy = edge.line_in * lines_in + edge.line_out * work.stores
    waits = edge.store_line * store_switches(work.stores, pieces)
    return namespace(busy, waits, 0.0).maximum(busy, waits)


def level_parts(
    work: Work, core: EcmCore, edges: Sequence[CacheBoundary], reads: Sequence[Value] | None = None
) -> list[Value]:
    """Return clocks a line of the core, of loads issued again, and of each boundary, by itself.

    Parameters
    ----------
    edges
        Boundaries from the first cache outwards.
    reads
        Lines of streams that are only read across each boundary; ``work.reads`` where left out.
    """
    pieces = core.line / core.vector
    parts: list[Value] = [
        core_cycles(work, core),
        core.replay * (work.reads + work.updates) * pieces,
    ]
    for i, edge in enumerate(edges):
        lines = None if reads is None else reads[i]
        # Beyond the first boundary whole lines go out, however stores took turns.
        parts.append(transfer_cycles(work, edge, pieces if i == 0 else 1.0, lines))
    return parts


def cycles_at_levels(
    work: Work, core: EcmCore, edges: Sequence[CacheBoundary], reads: Sequence[Value] | None = None
) -> list[Value]:
    """Return clocks a line with the data in the first cache, in the second, ..., in main memory.

    Parameters
    ----------
    edges, reads
        As `level_parts` takes them.

    Returns
    -------
    list
        One more than `edges`; never falling.
    """
    parts = level_parts(work, core, edges, reads)
    beyond = [_joined(parts[: i + 3], core.overlap) for i in range(len(edges))]
    return [parts[0], *beyond]


def cycles_by_size(
    at_levels: Sequence[Value], size: Value, edges: Sequence[CacheBoundary]
) -> Value:
    """Return clocks a line of a working set that is swept again and again.

    Parameters
    ----------
    at_levels
        As `cycles_at_levels` returns them.
    size
        Bytes of the working set; a list where what each cache holds of it differs (cores that
        share the last cache alone).
    """
    sizes = cast("list[Value]", size) if isinstance(size, list) else [size] * len(edges)
    total = at_levels[0]
    for inner, outer, edge, held in zip(at_levels, at_levels[1:], edges, sizes, strict=False):
        total = total + miss_share(held, edge.centre, edge.sharpness) * (outer - inner)
    return total


def _joined(parts: Sequence[Value], exponent: Value) -> Value:
    """Return the p-norm of non-negative parts of which the first is positive."""
    xp = namespace(*parts, exponent, 0.0)
    largest = parts[0]
    for part in parts[1:]:
        largest = xp.maximum(largest, part)
    total = sum(((part / largest) ** exponent for part in parts), 0.0)
    return largest * total ** (1.0 / exponent)
