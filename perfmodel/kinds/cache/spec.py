"""Spec of a cache, with the parameters of the Execution-Cache-Memory (ECM) model.

A cache that states none of the fields below is a plain memory. With them, loops over arrays and
stencils are costed in clocks per cache line of results (Stengel et al., ICS 2015; equations in
`perfmodel.cost.ecm.model` and ``docs/caches.md``). The fields are those terms of its equations that
a device fixes; `perfmodel.kinds.cache.hierarchy` translates them.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from perfmodel.hardware.field_types import Clocks, Portion, PositiveNumber, PositiveSize, Time
from perfmodel.hardware.memory import Memory, register_memory
from perfmodel.hardware.quantity import Of, Quantity

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
