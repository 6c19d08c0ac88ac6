"""Addresses of the memory blocks of a script: packing into a capacity, or the shortfall.

The packing itself, two-dimensional in bytes and positions of the order, is `allocate/`.
"""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate import Allocation, Lifetime, allocate
from perfmodel.schedule.memory_blocks import MemoryBlock, memory_blocks
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, Trace

#: Time limit of one packing in seconds, where no other limit applies.
_LONGEST_PACKING_S = 20.0


@dataclass(frozen=True, repr=False)
class AddressLayout(Allocation):
    """Addresses of the memory blocks of a schedule, as `Allocation`.

    The name of each buffer is the number of its block.
    """

    blocks: tuple[MemoryBlock, ...]

    def of_intervals(self) -> dict[int, int]:
        """Return the offset in bytes of each packed stay, keyed by index into `Trace.intervals`."""
        if not self.packed:
            return {}
        return {
            i: self.offsets[str(b)] for b, block in enumerate(self.blocks) for i in block.intervals
        }


def pack_blocks(
    problem: Problem,
    script: Script,
    trace: Trace,
    capacity_bytes: int,
    deadline: Deadline,
    *,
    alignment: int = 1,
) -> AddressLayout:
    """Pack the memory blocks of a script into the capacity.

    Parameters
    ----------
    alignment
        Offsets are multiples of this number of bytes.
    """
    blocks = tuple(memory_blocks(problem, script, trace))
    lives = [Lifetime(str(i), b.first, b.last + 1, b.size_bytes) for i, b in enumerate(blocks)]
    limit = min(deadline.left(), _LONGEST_PACKING_S)
    allocation = allocate(lives, capacity_bytes, time_limit_s=limit, alignment=alignment)
    return AddressLayout(
        allocation.buffers, allocation.packing, capacity_bytes, allocation.proof, blocks
    )
