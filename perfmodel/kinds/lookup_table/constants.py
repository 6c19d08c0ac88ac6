"""Constants of products by table look-up on a core's shuffles."""

from __future__ import annotations

from typing import ClassVar

from perfmodel.hardware.kernel import (
    Cost,
    Kernel,
    Number,
)


class LookupKernel(Kernel):
    """Constants of look-ups on a CPU; see `perfmodel.kinds.lookup_table.counts`.

    They apply to integer and ternary weights, in place of `Runtime.instructions_per_mac`.
    """

    KIND: ClassVar[str] = "lookup_table"

    lookup_group: Number | None = None
    """One-bit weights that index one table."""
    lookup_outputs: Number | None = None
    """Outputs that one shuffle looks up: bytes of the vector register."""
    lookup_instructions: Cost | None = None
    """Vector instructions per shuffle, including shifts, masks, additions and scales, in slots of
    the engine's `vector_issue`."""
