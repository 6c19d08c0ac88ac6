"""Silicon area and leakage: of an accelerator array, and of the blocks that a spec states.

Areas at 45 nm (Sze et al. 2017 for arithmetic, CACTI for memory) are scaled to other nodes by the
table of Stillmaker and Baas 2017. `array_area` has the cells alone; a `SiliconBlock` has what its
cells take when they are placed (`perfmodel.hardware.technology.blocks`). Pads, control and what a
spec does not state are excluded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from perfmodel.arrays import Value
from perfmodel.hardware.technology import mac_area, sram_area
from perfmodel.hardware.technology.blocks import (
    converter_area,
    placement,
    register_area,
)
from perfmodel.hardware.technology.leakage import REFERENCE, Transistors, leakage_factor
from perfmodel.hardware.technology.nodes import area_scale


class ArrayArea(NamedTuple):
    """Area of an array of multiply-accumulate units with its memory, square metres.

    Attributes
    ----------
    arithmetic
        Area of all multiply-accumulate units.
    registers
        Area of the local memories of all units.
    buffer
        Area of the shared on-chip buffer.
    """

    arithmetic: Value
    registers: Value
    buffer: Value

    @property
    def total(self) -> Value:
        """Total area, square metres."""
        return self.arithmetic + self.registers + self.buffer


def array_area(
    compute_format: str,
    units: Value,
    node_nm: Value,
    *,
    register_bytes: Value = 0.0,
    buffer_bytes: Value = 0.0,
    banks: Value = 1,
    accumulator: str | None = None,
) -> ArrayArea:
    """Return the area of an array of multiply-accumulate units.

    ``units (A_mac + A_sram(register bytes)) + banks A_sram(buffer bytes / banks)``, square metres.

    Parameters
    ----------
    compute_format, accumulator
        Number formats of operands and accumulator; see `mac_area`.
    units
        Number of multiply-accumulate units.
    node_nm
        Technology node, nanometres.
    register_bytes
        Bytes of local memory per unit; 0 for none.
    buffer_bytes, banks
        Bytes of the shared buffer, and its number of banks.

    Returns
    -------
    ArrayArea
    """
    return ArrayArea(
        units * mac_area(compute_format, node_nm, accumulator=accumulator),
        units * sram_area(register_bytes, node_nm),
        banks * sram_area(buffer_bytes / banks, node_nm),
    )


class SiliconBlock(NamedTuple):
    """A block of a chip, whatever its node.

    Attributes
    ----------
    logic_m2
        Area of its arithmetic and registers at 45 nm, square metres.
    memory_bytes, banks
        Bytes of SRAM that it stores, and the memories over which they are spread.
    memory_kind
        What is placed with these memories: ``memory``, or ``cache`` with its controller.
    stated_m2
        Area that a spec states, at the chip's own node.
    estimated_m2
        Area at the chip's node that no spec states: of wires and interfaces.
    converters, converter_bits
        Analogue-to-digital converters, and bits of a conversion.
    """

    logic_m2: Value = 0.0
    memory_bytes: Value = 0.0
    banks: Value = 1.0
    memory_kind: str = "memory"
    stated_m2: Value = 0.0
    estimated_m2: Value = 0.0
    converters: Value = 0.0
    converter_bits: Value = 8.0


def elements(
    count: Value,
    compute_format: str,
    register_bits: Value,
    accumulator: str | None = None,
    *,
    read_ports: int = 0,
) -> SiliconBlock:
    """Return multiply-accumulate units with their registers, or register files, as a block."""
    registers = register_bits * register_area(read_ports=read_ports)
    unit = mac_area(compute_format, accumulator=accumulator) + registers
    return SiliconBlock(logic_m2=count * unit)


class SiliconBlocks(NamedTuple):
    """Area and leakage of the blocks that a spec states.

    Attributes
    ----------
    blocks
        Name -> block.
    node_nm
        Silicon node, nanometres.
    transistors
        What leaks.
    """

    blocks: Mapping[str, SiliconBlock]
    node_nm: Value
    transistors: Transistors = REFERENCE

    @property
    def has_only_areas(self) -> bool:
        """Whether the blocks have areas, but no logic and no memory that leakage follows from."""
        sizes = (
            size for each in self.blocks.values() for size in (each.logic_m2, each.memory_bytes)
        )
        return all(isinstance(size, float) and size == 0.0 for size in sizes)

    def areas(self, level: float = 0.0) -> dict[str, Value]:
        """Return block -> square metres.

        ``A = placed(logic) A45 scale(node) + placed(memory) banks A_sram(bytes / banks, node)``

        Parameters
        ----------
        level
            Share of published blocks: above 0 the upper end of the interval that holds it, below 0
            the lower end.
        """
        node = self.node_nm
        logic = _end("logic", level)
        spread = logic / placement("logic").ratio
        return {
            name: block.stated_m2
            + spread
            * (block.estimated_m2 + block.converters * converter_area(block.converter_bits, node))
            + logic * block.logic_m2 * area_scale(45.0, node)
            + _end(block.memory_kind, level)
            * (block.banks * sram_area(block.memory_bytes / block.banks, node))
            for name, block in self.blocks.items()
        }

    def leakage_w(self, level: float = 0.0) -> dict[str, Value]:
        """Return block -> watts of leakage; stated areas have none.

        The ends of an interval have the factor that published powers of retained memories give.
        """
        factor = leakage_factor(abs(level)) ** (1.0 if level > 0.0 else -1.0) if level else 1.0
        return {
            name: factor
            * self.transistors.leakage_w(
                block.logic_m2, block.memory_bytes, block.banks, self.node_nm
            )
            for name, block in self.blocks.items()
        }


def _end(kind: str, level: float) -> float:
    """Return the ratio of a placed block to its cells, or the end of its interval."""
    placed = placement(kind)
    factor = placed.factor(abs(level)) if level else 1.0
    return placed.ratio * (factor if level > 0.0 else 1.0 / factor)
