"""Constants of kernels on a core with vectors: their tiles of registers, clocks of a step."""

from __future__ import annotations

from perfmodel.hardware.kernel.ranges import Clocks, Number, Portion, Share
from perfmodel.hardware.quantity import Spec


class CoreConstants(Spec):
    """Shape and clocks of kernels on one core; `perfmodel.kinds.simd`."""

    tile_rows: Number | None = None
    """Pixels, or rows of the left matrix, of the tile of sums in a kernel's registers."""
    tile_vectors: Number | None = None
    """Vectors of output channels, or of columns, of that tile."""
    slice: Number | None = None
    """Input channels, or numbers of the summed dimension, that the kernel takes at once."""
    multiple: Number | None = None
    """Channels must be a multiple of it for the kernel's layout; others take a slow path."""
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
    copy_clocks: Clocks | None = None
    """Clocks of moving a number when an operand is packed or unfolded."""
    conflict_share: Share | None = None
    """Share of its speed that is left where the rows of a tile fall on one set of the cache."""
    hidden_share: Portion | None = None
    """Share of the time of cold weights that hides behind arithmetic."""
    rider_share: Share | None = None
    """Share of the vector units' peak of a function that rides on the kernel in a pass of its own
    (every one but those that are applied while sums are stored)."""
    broadcast_clocks: Clocks | None = None
    """Clocks of an element of a product that broadcasts one activation over another (squeeze and
    excite), conversions of layout around it among them."""
