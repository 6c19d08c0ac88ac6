"""Clocks of a loop whose data lies in the first cache: what the load and store ports take.

The unit of work is one cache line of results (8 doubles in 64 bytes). Port counts are those of the
microarchitecture's manual; what they do to streaming kernels follows Treibig and Hager,
"Introducing a performance model for bandwidth-limited loop kernels", PPAM 2009 (arXiv:0905.0792).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from perfmodel.arrays import Value, namespace

if TYPE_CHECKING:
    from perfmodel.cost.ecm.model import EcmCore


class Work(NamedTuple):
    """What a loop does for one line of results; numbers or arrays that broadcast.

    Attributes
    ----------
    loads
        Lines that load instructions fetch from the first cache, neighbours of a stencil each by
        itself.
    split
        Those of them whose vectors straddle a line where a vector is as long as one (a stencil's
        shifted neighbours).
    reads, writes, updates
        Streams that are only read, only written, and read and written in place: lines per line of
        results that come from (and go to) the levels beyond, where every layer condition holds.
    whole
        1 where written lines are written whole by aligned vectors, 0 where vectors straddle them.
    """

    loads: Value
    split: Value
    reads: Value
    writes: Value
    updates: Value
    whole: Value = 1.0

    @property
    def stores(self) -> Value:
        """Lines stored."""
        return self.writes + self.updates


def store_switches(stores: Value, pieces: Value) -> Value:
    """Return how often consecutive stores go to another line, for a line of results.

    One stream of stores fills a line before it goes on; several take turns, so that each store
    instruction goes to another line than the one before.

    Parameters
    ----------
    stores
        Streams of stores.
    pieces
        Store instructions per line.
    """
    xp = namespace(stores, pieces, 0.0)
    return xp.where(xp.asarray(stores) > 1.0, stores * pieces, stores * 1.0)


def core_cycles(work: Work, core: EcmCore) -> Value:
    """Return clocks a line with all data in the first cache.

    A load that straddles a line takes two accesses; with vectors shorter than a line only
    ``vector / line`` of them do.
    """
    pieces = core.line / core.vector
    loads = (work.loads + work.split / pieces) * pieces
    stores = work.stores * pieces
    xp = namespace(loads, stores, core.loads_per_clock, core.load_bandwidth)
    busiest = xp.maximum(loads / core.loads_per_clock, stores / core.stores_per_clock)
    busiest = xp.maximum(busiest, (loads + stores) / core.accesses_per_clock)
    switches = store_switches(work.stores, pieces)
    busiest = xp.maximum(busiest, switches / core.store_lines_per_clock)
    busiest = xp.maximum(busiest, loads * core.vector / core.load_bandwidth)
    busiest = xp.maximum(busiest, (loads + stores) * core.vector / core.access_bandwidth)
    return busiest * (1.0 + core.startup)
