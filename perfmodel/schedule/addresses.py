"""Addresses for a script: its blocks packed into the capacity, or how much more that needs."""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.blocks import MemoryBlock, blocks
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, Trace

#: Seconds after which a packing is given up where nothing else limits it.
_LONGEST = 20.0


@dataclass(frozen=True)
class AddressLayout:
    """Where blocks lie.

    Attributes
    ----------
    offsets
        Offset in bytes of each block; empty where they were not packed.
    height_bytes
        Bytes that the packing takes; of the best one found, where it does not fit.
    gap_bytes
        Bytes that the capacity falls short of it.
    proved
        It was proved that no packing fits.
    """

    blocks: tuple[MemoryBlock, ...]
    offsets: tuple[int, ...]
    height_bytes: int
    gap_bytes: int
    proved: bool

    @property
    def packed(self) -> bool:
        """Whether every block has an address."""
        return len(self.offsets) == len(self.blocks)

    def of_intervals(self) -> dict[int, int]:
        """Return stay on chip (index into `Trace.intervals`) -> offset in bytes."""
        pairs = zip(self.blocks, self.offsets, strict=False)
        return {i: offset for block, offset in pairs for i in block.intervals}


def layout(
    problem: Problem,
    script: Script,
    trace: Trace,
    capacity_bytes: int,
    deadline: Deadline,
    *,
    alignment: int = 1,
) -> AddressLayout:
    """Pack what a script holds on chip.

    Parameters
    ----------
    alignment
        Offsets are multiples of it.
    """
    from perfmodel.schedule.allocate import Lifetime, allocate

    made = tuple(blocks(problem, script, trace))
    lives = [Lifetime(str(i), b.first, b.last + 1, b.size_bytes) for i, b in enumerate(made)]
    limit = min(deadline.left(), _LONGEST)
    found = allocate(lives, capacity_bytes, time_limit_s=limit, alignment=alignment)
    if found.status != "packed":
        gap = max(1, found.height_bytes - capacity_bytes)
        return AddressLayout(made, (), found.height_bytes, gap, found.status == "infeasible")
    offsets = tuple(found.offsets[str(i)] for i in range(len(made)))
    return AddressLayout(made, offsets, found.height_bytes, 0, False)
