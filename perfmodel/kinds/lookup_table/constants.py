"""Constants of products by table look-up on a core's shuffles."""

from __future__ import annotations

from typing import ClassVar

from perfmodel.hardware.kernel import (
    Cost,
    Kernel,
    Number,
)


class LookupKernel(Kernel):
    """What a look-up serves and takes; `perfmodel.kinds.lookup_table.counts`.

    They hold for integer and ternary weights, in place of `Runtime.instructions_per_mac`.
    """

    KIND: ClassVar[str] = "lookup_table"

    lookup_group: Number | None = None
    """Weights of one bit that index one table."""
    lookup_outputs: Number | None = None
    """Outputs that one shuffle looks up: bytes of the vector register."""
    lookup_instructions: Cost | None = None
    """Vector instructions of one shuffle and all that goes with it (shifts, masks, additions,
    scales), in slots of the engine's `vector_issue`."""
