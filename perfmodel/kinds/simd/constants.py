"""Constants of kernels on a core with vector units: register tiles and clocks."""

from __future__ import annotations

from typing import Annotated, ClassVar

from perfmodel.hardware.field_types import Portion
from perfmodel.hardware.kernel import Clocks, IdealValue, Kernel, Number, Share


class SimdKernel(Kernel):
    """Shape and clocks of kernels on one core."""

    KIND: ClassVar[str] = "simd"

    tile_rows: Annotated[Number | None, IdealValue(1.0)] = None
    """Pixels, or rows of the left matrix, in a kernel's register tile of sums."""
    tile_vectors: Annotated[Number | None, IdealValue(1.0)] = None
    """Vectors of output channels, or of columns, in that tile."""
    slice: Annotated[Number | None, IdealValue(128.0)] = None
    """Input channels, or elements of the summed dimension, per blocking step of the kernel."""
    tile_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks of a tile in addition to its multiplications, loads and stores."""
    call_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks to enter the kernel, once per row of the output or per panel."""
    edge_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks between multiply-accumulates of a single pixel, as at a padded edge: work on its
    neighbours hides part of the unit's latency."""
    plain_clocks: Clocks | None = None
    """Clocks of a multiply-accumulate on the slow path: channels that do not fill a block, or one
    row times an unpacked matrix."""
    conflict_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Share of the speed that remains where the rows of a tile map to one set of the cache."""
    hidden_share: Annotated[Portion | None, IdealValue(0.0)] = None
    """Share of the time to load cold weights that is hidden behind arithmetic."""
    broadcast_clocks: Clocks | None = None
    """Clocks per element of a product that broadcasts one activation over another (squeeze and
    excite), layout conversions around it included."""
