"""Core cycles of a loop with all data in the first-level cache, from load and store ports.

The unit of work is one cache line of results (8 doubles in 64 bytes). Port counts are from the
microarchitecture's manual; their effect on streaming kernels follows Treibig and Hager,
"Introducing a performance model for bandwidth-limited loop kernels", PPAM 2009 (arXiv:0905.0792).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from perfmodel.arrays import Value, namespace

if TYPE_CHECKING:
    from perfmodel.cost.ecm.model import EcmCore


class Work(NamedTuple):
    """Memory accesses of a loop per line of results; scalars or arrays that broadcast.

    Attributes
    ----------
    loads
        Lines loaded from the first-level cache; every neighbour of a stencil counts separately.
    split
        Part of `loads` whose vectors straddle a line if a vector is as long as a line (shifted
        neighbours of a stencil).
    reads, writes, updates
        Lines of read-only streams, of write-only streams, and of streams updated in place, that are
        exchanged with outer levels if all layer conditions hold.
    full_lines
        1 if lines are fully written by aligned vectors, 0 if vectors straddle lines.
    """

    loads: Value
    split: Value
    reads: Value
    writes: Value
    updates: Value
    full_lines: Value = 1.0

    @property
    def stores(self) -> Value:
        """Lines stored per line of results."""
        return self.writes + self.updates


def store_switches(stores: Value, vectors_per_line: Value) -> Value:
    """Return the number of line changes between consecutive stores per line of results.

    One store stream fills a line before it proceeds to the next; several streams alternate, so that
    every store instruction changes the line.

    Parameters
    ----------
    stores
        Number of store streams.
    vectors_per_line
        Store instructions per line.
    """
    xp = namespace(stores, vectors_per_line, 0.0)
    return xp.where(xp.asarray(stores) > 1.0, stores * vectors_per_line, stores * 1.0)


def core_cycles(work: Work, core: EcmCore) -> Value:
    """Return the core cycles per line of results with all data in the first-level cache.

    The busiest port binds. With l loads and s stores per line, the cycles are ``1 + startup`` times
    the largest of ``l / loads_per_clock``, ``s / stores_per_clock``, ``(l + s) /
    accesses_per_clock``, the changes of the stored line over ``store_lines_per_clock``, and the
    bytes of loads, and of all accesses, over their bandwidths. A load that straddles a line
    requires two accesses; with vectors shorter than a line, only a share ``vector / line`` of the
    shifted loads straddles.
    """
    vectors_per_line = core.line / core.vector
    loads = (work.loads + work.split / vectors_per_line) * vectors_per_line
    stores = work.stores * vectors_per_line
    xp = namespace(loads, stores, core.loads_per_clock, core.load_bandwidth)
    busiest = loads / core.loads_per_clock
    for cycles in (
        stores / core.stores_per_clock,
        (loads + stores) / core.accesses_per_clock,
        store_switches(work.stores, vectors_per_line) / core.store_lines_per_clock,
        loads * core.vector / core.load_bandwidth,
        (loads + stores) * core.vector / core.access_bandwidth,
    ):
        busiest = xp.maximum(busiest, cycles)
    return busiest * (1.0 + core.startup)
