"""Constants of kernels on a core with vectors: their tiles of registers, clocks of a step."""

from __future__ import annotations

from typing import ClassVar

from perfmodel.hardware.kernel import (
    Clocks,
    Kernel,
    Number,
    Portion,
    Share,
)


class SimdKernel(Kernel):
    """Shape and clocks of kernels on one core."""

    KIND: ClassVar[str] = "simd"

    tile_rows: Number | None = None
    """Pixels, or rows of the left matrix, of the tile of sums in a kernel's registers."""
    tile_vectors: Number | None = None
    """Vectors of output channels, or of columns, of that tile."""
    slice: Number | None = None
    """Input channels, or numbers of the summed dimension, that the kernel takes at once."""
    tile_clocks: Clocks | None = None
    """Clocks of a tile beside its multiplications, loads and stores."""
    call_clocks: Clocks | None = None
    """Clocks of entering the kernel, once a row of the output or a panel."""
    edge_clocks: Clocks | None = None
    """Clocks from one multiply-accumulate to the next of a single pixel, as at a padded edge: work
    on its neighbours hides part of the unit's latency."""
    plain_clocks: Clocks | None = None
    """Clocks of a multiply-accumulate on the slow path: of channels that fill no block, or of one
    row times a matrix that is not packed."""
    conflict_share: Share | None = None
    """Share of its speed that is left where the rows of a tile fall on one set of the cache."""
    hidden_share: Portion | None = None
    """Share of the time of cold weights that hides behind arithmetic."""
    broadcast_clocks: Clocks | None = None
    """Clocks of an element of a product that broadcasts one activation over another (squeeze and
    excite), conversions of layout around it among them."""
