"""Constants of a runtime whose CPU kernels look products up with shuffle instructions.

T-MAC (Wei et al., EuroSys 2025, arXiv 2407.00088): the sums of g activations for all combinations
of g one-bit weights are a table in a vector register. One shuffle instruction (TBL on Arm, PSHUFB
on x86) looks up s outputs, each indexed by g bits of a weight matrix. With c vector instructions
per shuffle, a multiply-accumulate by a weight of b bits takes ::

    instructions = b c / (g s)          `instructions_per_mac` in the module `counts`

and a core's units issue `vector_issue` of them per clock. A runtime states the constants under
``kernels: gemm:``; `perfmodel.kinds.kernel_effects.issue_rate` turns them into a rate of products.
"""

from __future__ import annotations

from typing import ClassVar

from perfmodel.hardware.kernel import (
    Cost,
    Kernel,
    Number,
)


class LookupKernel(Kernel):
    """Constants of a kernel that looks up products by integer and ternary weights on a CPU.

    They apply where the runtime states no `Runtime.instructions_per_mac` for the weights' format.
    """

    KIND: ClassVar[str] = "lookup_table"

    lookup_group: Number | None = None
    """One-bit weights that index one table: g."""
    lookup_outputs: Number | None = None
    """Outputs that one shuffle looks up, the number of bytes of a vector register: s."""
    lookup_instructions: Cost | None = None
    """Vector instructions per shuffle: c. Shifts, masks, additions and scales are included; an
    instruction that fills several issue slots (`vector_issue` per clock) counts as several."""
