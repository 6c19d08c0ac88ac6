"""Accelerator description for mappings: array of units and memory hierarchy of each operand.

Every operand has a separate hierarchy: it passes through the memories that list it, inner to outer,
and bypasses the others. An instance of a memory feeds the units along the array dimensions that it
`serves`, and is replicated along the others. The description follows ZigZag (Mei et al., IEEE
Transactions on Computers 70(8), 2021), whose access costs and port rules it can express.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Literal, TypeAlias, get_args

from perfmodel.errors import Fault, InputError

Operand: TypeAlias = Literal["input", "weight", "output"]
Direction: TypeAlias = Literal["feed", "collect", "drain", "fill"]
Dim: TypeAlias = Literal[
    "groups",
    "batch",
    "out_channels",
    "in_channels",
    "out_rows",
    "out_columns",
    "kernel_rows",
    "kernel_columns",
]

OPERANDS: tuple[Operand, ...] = ("output", "weight", "input")
DIMS: tuple[Dim, ...] = get_args(Dim)
#: Dimensions that an operand is invariant in: a loop over one of them reuses the operand.
INVARIANT_DIMS: dict[Operand, frozenset[Dim]] = {
    "input": frozenset({"out_channels"}),
    "weight": frozenset({"batch", "out_rows", "out_columns"}),
    "output": frozenset({"in_channels", "kernel_rows", "kernel_columns"}),
}
DIRECTIONS: tuple[Direction, ...] = ("feed", "collect", "drain", "fill")


@dataclass(frozen=True, slots=True)
class Port:
    """Memory port with the transfers that share it.

    Attributes
    ----------
    width_bits
        Bits per cycle; an access of the full width costs the memory's access energy.
    granule_bits
        Narrowest access; an access to part of the width, rounded up to granules, costs that part
        of the energy.
    uses
        Transfers over this port, as (operand, direction): ``feed`` reads towards the units,
        ``collect`` writes results from the units, ``drain`` reads towards the outer memory,
        ``fill`` writes data from the outer memory.
    """

    width_bits: float
    granule_bits: float
    uses: tuple[tuple[Operand, Direction], ...]


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """Memory level.

    Attributes
    ----------
    name
        Name in results.
    capacity_bytes
        Capacity of one instance in bytes, shared by the operands it holds.
    read_j, write_j
        Energy of a read and of a write of the full port width, joules.
    ports
        Ports of the memory; it holds the operands that these transfer.
    serves
        Array dimensions along which one instance feeds all units; it is replicated along the
        others.
    double_buffered
        Whether every tile occupies twice its size, unless it is the whole operand. If not, free
        capacity is used for the next tile where sufficient.
    """

    name: str
    capacity_bytes: float
    read_j: float
    write_j: float
    ports: tuple[Port, ...]
    serves: tuple[str, ...] = ()
    double_buffered: bool = False

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Operands held by this memory."""
        served = {operand for port in self.ports for operand, _ in port.uses}
        return tuple(operand for operand in OPERANDS if operand in served)

    def port_of(self, operand: Operand, direction: Direction) -> int | None:
        """Return the index of the port of a transfer; ``None`` if there is none."""
        for index, port in enumerate(self.ports):
            if (operand, direction) in port.uses:
                return index
        return None


@dataclass(frozen=True, slots=True)
class ArrayDimension:
    """Dimension of the array of units, with the loops unrolled along it.

    Attributes
    ----------
    name
        Name of the dimension, as used in `MemoryLevel.serves`.
    units
        Number of units along the dimension.
    loops
        Loops unrolled along it with their maximum factors; smaller extents use fewer units.
    systolic
        Whether results pass from unit to unit along it, one cycle each, which delays the last ones.
    """

    name: str
    units: int
    loops: tuple[tuple[Dim, int], ...] = ()
    systolic: bool = False


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Array of units with its memories.

    Attributes
    ----------
    memories
        Memories, inner to outer; the outermost one of each operand holds it completely.
    spread
        Dimensions of the array.
    mac_j
        Energy of one multiply-accumulate operation, joules.
    name
        Name in results.

    Raises
    ------
    InputError
        For an operand without a memory, a missing or duplicate port or dimension, or an invalid
        size.
    """

    memories: tuple[MemoryLevel, ...]
    spread: tuple[ArrayDimension, ...]
    mac_j: float
    name: str = "accelerator"
    levels: dict[Operand, tuple[int, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        levels: dict[Operand, tuple[int, ...]] = {
            operand: tuple(i for i, m in enumerate(self.memories) if operand in m.operands)
            for operand in OPERANDS
        }
        object.__setattr__(self, "levels", levels)
        faults = self._faults()
        if faults:
            raise InputError(faults)

    def _faults(self) -> list[Fault | str]:
        faults: list[Fault | str] = []
        names = [memory.name for memory in self.memories]
        spread = [dim.name for dim in self.spread]
        for kind, every in (("memory", names), ("dimension", spread)):
            faults += [
                f"{kind} {n}: named twice" for n in sorted({n for n in every if every.count(n) > 1})
            ]
        for dim in self.spread:
            if dim.units < 1:
                faults.append(f"dimension {dim.name}: units is {dim.units}, at least 1 is needed")
            unrolled = prod(most for _, most in dim.loops)
            for loop, most in dim.loops:
                if loop not in DIMS or most < 1:
                    faults.append(f"dimension {dim.name}: no loop ({loop!r}, {most})")
            if unrolled > dim.units:
                faults.append(f"dimension {dim.name}: {unrolled} loops on {dim.units} units")
        for memory in self.memories:
            faults += self._memory_faults(memory, spread)
        for operand, levels in self.levels.items():
            if not levels:
                faults.append(f"{operand}: no memory holds it")
            needed = _needed(operand)
            for place, level in enumerate(levels):
                memory = self.memories[level]
                for direction in needed[: 4 if place < len(levels) - 1 else len(needed) // 2]:
                    if memory.port_of(operand, direction) is None:
                        faults.append(f"memory {memory.name}: no port to {direction} {operand}")
        if not (isfinite(self.mac_j) and self.mac_j >= 0):
            faults.append(f"mac_j is {self.mac_j}, a number of joules is needed")
        return faults

    def _memory_faults(self, memory: MemoryLevel, spread: list[str]) -> list[Fault | str]:
        faults: list[Fault | str] = []
        for name in ("capacity_bytes", "read_j", "write_j"):
            value = getattr(memory, name)
            if not value >= 0:
                faults.append(f"memory {memory.name}: {name} is {value}, at least 0 is needed")
        faults += [
            f"memory {memory.name}: serves {dim}, which the array has not ({', '.join(spread)})"
            for dim in memory.serves
            if dim not in spread
        ]
        for port in memory.ports:
            if not 0 < port.granule_bits <= port.width_bits:
                faults.append(
                    f"memory {memory.name}: a port of {port.width_bits} bits with accesses of "
                    f"{port.granule_bits} bits"
                )
        every = [use for port in memory.ports for use in port.uses]
        faults += [
            f"memory {memory.name}: two ports {direction} {operand}"
            for operand, direction in sorted({use for use in every if every.count(use) > 1})
        ]
        return faults

    @property
    def units(self) -> int:
        """Number of units of the whole array."""
        return prod(dim.units for dim in self.spread)


def _needed(operand: Operand) -> tuple[Direction, ...]:
    """Return the directions an operand requires, towards the units and the outer memory."""
    return ("feed", "collect", "drain", "fill") if operand == "output" else ("feed", "fill")
