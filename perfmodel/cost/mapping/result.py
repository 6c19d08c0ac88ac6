"""Mapping of a nest with its accesses, energy and cycles, and its text form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil

import numpy as np

from perfmodel.cost.mapping.counts import accesses
from perfmodel.cost.mapping.hierarchy import DIMS, OPERANDS, Dim, Hierarchy, Operand
from perfmodel.cost.mapping.latency import Cycles, cycles
from perfmodel.cost.mapping.orders import Cut, Ints, Orders, cut
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.table import Table
from perfmodel.units import show


@dataclass(frozen=True, slots=True)
class OperandAccesses:
    """Accesses of one operand at one memory, of all its instances over the whole nest.

    Attributes
    ----------
    operand, memory
        Names of the operand and the memory.
    inside
        Number of loops, from the innermost, inside this memory.
    held_bytes
        Bytes of the operand in one instance.
    feed, drain
        Reads towards the units, and towards the outer memory, in units of the port width.
    collect, fill
        Writes from the units, and from the outer memory.
    energy_j
        Energy of these accesses, joules.
    """

    operand: Operand
    memory: str
    inside: int
    held_bytes: float
    feed: float
    collect: float
    drain: float
    fill: float
    energy_j: float


@dataclass(frozen=True, slots=True)
class Mapping:
    """Nest mapped onto a hierarchy.

    Attributes
    ----------
    nest, hierarchy
        Mapped nest, and the hierarchy it is mapped onto.
    loops
        Temporal loops as (dimension, iterations), inner to outer.
    accesses
        One entry per operand and memory, outputs first, inner to outer.
    mac_energy_j
        Energy of the arithmetic, joules.
    ideal_cycles
        Cycles at full utilization of all units.
    compute_cycles
        Temporal iterations.
    stall_cycles
        Cycles in which the units wait for transfers.
    onload_cycles, offload_cycles
        Cycles before the first iteration, and after the last one.
    drain_cycles
        Cycles until the last results leave a systolic array.
    proved
        Whether the mapping is proved to have the least energy over all orders of the prime factors
        and all cuts.
    """

    nest: TileNest
    hierarchy: Hierarchy
    loops: tuple[tuple[Dim, int], ...]
    accesses: tuple[OperandAccesses, ...]
    mac_energy_j: float
    ideal_cycles: int
    compute_cycles: float
    stall_cycles: float
    onload_cycles: float
    offload_cycles: float
    drain_cycles: float
    proved: bool

    @property
    def memory_energy_j(self) -> float:
        """Energy of all accesses, joules."""
        return sum(access.energy_j for access in self.accesses)

    @property
    def energy_j(self) -> float:
        """Energy of arithmetic and accesses, joules."""
        return self.mac_energy_j + self.memory_energy_j

    @property
    def latency_cycles(self) -> float:
        """Cycles from the first load to the last store."""
        return (
            self.compute_cycles
            + self.stall_cycles
            + self.onload_cycles
            + self.offload_cycles
            + self.drain_cycles
        )

    @property
    def spatial_utilization(self) -> float:
        """Share of busy units, without stalls."""
        return self.ideal_cycles / self.compute_cycles

    @property
    def table(self) -> Table:
        """Table with one row per operand and memory, as in `accesses`."""
        names = [field.name for field in fields(OperandAccesses)]
        return Table({name: [getattr(row, name) for row in self.accesses] for name in names})

    def at(self, operand: Operand, memory: str) -> OperandAccesses:
        """Return the accesses of an operand at a memory.

        Raises
        ------
        KeyError
            If the operand does not pass through the memory.
        """
        for access in self.accesses:
            if (access.operand, access.memory) == (operand, memory):
                return access
        raise KeyError(f"{operand} does not pass {memory}")

    def __str__(self) -> str:
        """Return the loops, outer to inner, with each memory named above the loops inside it."""
        depth = len(self.loops)
        lines: list[str] = []
        for place in range(depth, -1, -1):
            indent = "  " * (depth - place)
            for memory in reversed(self.hierarchy.memories):
                here = [a for a in self.accesses if a.memory == memory.name and a.inside == place]
                if here:
                    lines.append(f"{indent}{memory.name}: {', '.join(a.operand for a in here)}")
            if place:
                dim, times = self.loops[place - 1]
                lines.append(f"{indent}for {dim} in {times}")
        lines.append(
            f"{show(self.energy_j, 'energy')} ({show(self.mac_energy_j, 'energy')} of arithmetic), "
            f"{self.latency_cycles:,.0f} cycles ({self.stall_cycles:,.0f} of them stalls)"
        )
        return "\n".join(lines)


def mapping_of(
    orders: Orders, cuts: dict[Operand, Ints], at: int, *, proved: bool, spent: Cycles | None = None
) -> Mapping:
    """Return one of many mappings with its accesses, energy and cycles.

    Parameters
    ----------
    orders, cuts
        Loop orders, and for each operand the cut of every memory but the outermost, shape
        (memories - 1, orders).
    at
        Index of the mapping.
    proved
        Value of `Mapping.proved`.
    spent
        Cycles of all mappings, if already computed.
    """
    one = Orders(orders.problem, orders.dims[at : at + 1], orders.factors[at : at + 1])
    cuts = {operand: own[:, at : at + 1] for operand, own in cuts.items()}
    problem = one.problem
    hierarchy = problem.hierarchy
    boundaries_of = cut(one, cuts)
    numbers: dict[tuple[Operand, int], dict[str, float]] = {}
    for operand, boundaries in boundaries_of.items():
        for boundary in boundaries:
            for (memory, direction), count in accesses(problem, boundary.passing).items():
                numbers.setdefault((operand, memory), {})[direction] = float(count[0])
    rows: list[OperandAccesses] = []
    for operand in OPERANDS:
        for place, level in enumerate(hierarchy.levels[operand]):
            memory, count = hierarchy.memories[level], numbers[operand, level]
            inside, bits = _contents(one, cuts[operand], boundaries_of[operand], operand, place)
            reads = count.get("feed", 0.0) + count.get("drain", 0.0)
            writes = count.get("collect", 0.0) + count.get("fill", 0.0)
            rows.append(
                OperandAccesses(
                    operand=operand,
                    memory=memory.name,
                    inside=inside,
                    held_bytes=bits / 8,
                    feed=count.get("feed", 0.0),
                    collect=count.get("collect", 0.0),
                    drain=count.get("drain", 0.0),
                    fill=count.get("fill", 0.0),
                    energy_j=reads * memory.read_j + writes * memory.write_j,
                )
            )
    if spent is None:
        spent, at = cycles(one, cuts, boundaries_of), 0
    return Mapping(
        nest=problem.nest,
        hierarchy=hierarchy,
        loops=tuple(
            (DIMS[int(one.dims[0, place])], int(one.factors[0, place]))
            for place in range(one.dims.shape[1])
        ),
        accesses=tuple(rows),
        mac_energy_j=hierarchy.mac_j * problem.nest.macs,
        ideal_cycles=ceil(problem.nest.macs / hierarchy.units),
        compute_cycles=float(spent.compute[at]),
        stall_cycles=float(spent.stall[at]),
        onload_cycles=float(spent.onload[at]),
        offload_cycles=float(spent.offload[at]),
        drain_cycles=float(spent.drain[at]),
        proved=proved,
    )


def _contents(
    one: Orders, cuts: Ints, boundaries: Sequence[Cut], operand: Operand, place: int
) -> tuple[int, float]:
    """Return the number of loops inside a memory of an operand, and the bits held there."""
    problem = one.problem
    if place + 1 < len(boundaries):
        settled = one.settled(operand, cuts[place])
        inside, tile = int(settled[0]), one.tile(settled)[:, 0]
        wide = bool(boundaries[place].passing.partial[0])
    else:
        inside, tile = len(one.dims[0]), np.asarray(problem.temporal, dtype=np.float64)
        # Sums are partial in the outermost memory only if it is the only one.
        wide = place == 0 and bool(boundaries[0].passing.partial[0])
    elements = problem.elements(operand, tile * problem.inside[operand][place])
    return inside, float(elements * problem.bits(operand, partial=wide))
