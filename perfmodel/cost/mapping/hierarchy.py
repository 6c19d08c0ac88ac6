"""What a nest is mapped onto: an array of units, and the memories that each operand passes.

Every operand has a hierarchy of its own: it passes the memories that list it, inner to outer, and
skips the others. An instance of a memory feeds the units along the dimensions of the array that it
`serves`, and is repeated along the rest. The description follows ZigZag (Mei et al., IEEE
Transactions on Computers 70(8), 2021), whose access costs and port rules it can express.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
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
#: Dimensions whose index an operand does not have: a loop over one of them reuses the operand.
FREE: dict[Operand, frozenset[Dim]] = {
    "input": frozenset({"out_channels"}),
    "weight": frozenset({"batch", "out_rows", "out_columns"}),
    "output": frozenset({"in_channels", "kernel_rows", "kernel_columns"}),
}
DIRECTIONS: tuple[Direction, ...] = ("feed", "collect", "drain", "fill")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a memory, and the transfers that share it.

    Attributes
    ----------
    width_bits
        Bits a cycle; an access of the whole width costs the memory's energy.
    granule_bits
        Narrowest access; one of a part of the width, in whole granules, costs that part of the
        energy.
    uses
        Transfers over this port, as (operand, direction): ``feed`` reads towards the units,
        ``collect`` writes what comes from them, ``drain`` reads towards the outer memory, ``fill``
        writes what comes from it.
    """

    width_bits: float
    granule_bits: float
    uses: tuple[tuple[Operand, Direction], ...]


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """A level of memory.

    Attributes
    ----------
    name
        What it is called in results.
    capacity_bytes
        Bytes of one instance, shared by the operands it holds.
    read_j, write_j
        Joules of an access of the whole width of a port.
    ports
        Its ports; the operands that it holds are those of their uses.
    serves
        Dimensions of the array whose units one instance feeds; along the others it is repeated.
    double_buffered
        Whether a tile takes its room twice, unless the whole operand lies in it. Otherwise the free
        room is used for the next tile where there is enough.
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
        """The operands that it holds."""
        served = {operand for port in self.ports for operand, _ in port.uses}
        return tuple(operand for operand in OPERANDS if operand in served)

    def port_of(self, operand: Operand, direction: Direction) -> int | None:
        """Number of the port of a transfer; None where it has none."""
        for index, port in enumerate(self.ports):
            if (operand, direction) in port.uses:
                return index
        return None


@dataclass(frozen=True, slots=True)
class ArrayDimension:
    """A dimension of the array, and the loops that are unrolled along it.

    Attributes
    ----------
    name
        What memories call it in `MemoryLevel.serves`.
    units
        Units along it.
    loops
        Loops unrolled along it and how often at most; a nest whose extent is smaller fills less.
    systolic
        Whether results pass from unit to unit along it, a cycle each: the last leave later.
    """

    name: str
    units: int
    loops: tuple[tuple[Dim, int], ...] = ()
    systolic: bool = False


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """An array of units and its memories, inner to outer.

    Attributes
    ----------
    memories
        Inner to outer; the outermost of each operand holds it whole.
    spread
        The dimensions of the array.
    mac_j
        Joules of one multiply-accumulate.
    name
        What it is called in results.

    Raises
    ------
    InputError
        For an operand without a memory, a port or dimension that is missing or doubled, a number
        that is no size.
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
            unrolled = 1
            for loop, most in dim.loops:
                unrolled *= most
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
        numbers = {
            "capacity_bytes": memory.capacity_bytes,
            "read_j": memory.read_j,
            "write_j": memory.write_j,
        }
        for name, value in numbers.items():
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
        """Multipliers of the whole array."""
        count = 1
        for dim in self.spread:
            count *= dim.units
        return count


def _needed(operand: Operand) -> tuple[Direction, ...]:
    """Ports of an operand: those towards the units, then those towards the outer memory."""
    return ("feed", "collect", "drain", "fill") if operand == "output" else ("feed", "fill")
