"""Result of a mapping search: accesses, energy and cycles of a mapping with a lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from perfmodel.cost.mapping.access_counts import accesses
from perfmodel.cost.mapping.hierarchy import DIMS, DIRECTIONS, OPERANDS, Dim, Hierarchy, Operand
from perfmodel.cost.mapping.latency import Cycles, cycles
from perfmodel.cost.mapping.loop_orders import Ints, LoopOrders, MappedBoundary, mapped_boundaries
from perfmodel.cost.mapping.problem import Floats
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.optimise.certified import Certified
from perfmodel.table import Table
from perfmodel.units import show

Objective: TypeAlias = Literal["energy", "latency", "edp"]

#: Temporal loops as (dimension, iterations), inner to outer.
TemporalLoops: TypeAlias = tuple[tuple[Dim, int], ...]
F = TypeVar("F", float, Floats)


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


@dataclass(frozen=True, kw_only=True)
class Mapping(Certified[TemporalLoops]):
    """Nest mapped onto a hierarchy, as `Certified`.

    The solution consists of the temporal loops. The value is the objective of the search, and the
    bound holds for all orders of the prime factors and all cuts: joules for ``energy``, cycles for
    ``latency``, their product for ``edp``. The method is ``branch and bound``, ``loma``, or
    ``evaluation`` of a mapping that was not searched.

    Attributes
    ----------
    nest, hierarchy
        Mapped nest, and the hierarchy it is mapped onto.
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
    """

    nest: TileNest
    hierarchy: Hierarchy
    accesses: tuple[OperandAccesses, ...]
    mac_energy_j: float
    ideal_cycles: int
    compute_cycles: float
    stall_cycles: float
    onload_cycles: float
    offload_cycles: float
    drain_cycles: float

    @property
    def loops(self) -> TemporalLoops:
        """Temporal loops as (dimension, iterations), inner to outer."""
        return self.solution or ()

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


def objective_value(objective: Objective, joules: F, latency: F) -> F:
    """Return the value to minimise: energy, cycles, or the energy-delay product."""
    return {"energy": joules, "latency": latency, "edp": latency * joules}[objective]


def mapping_of(
    orders: LoopOrders,
    cuts: dict[Operand, Ints],
    at: int,
    *,
    method: str,
    objective: Objective = "energy",
    least_access_j: float = 0.0,
    spent: Cycles | None = None,
) -> Mapping:
    """Return one of many mappings with its accesses, energy and cycles.

    Parameters
    ----------
    orders, cuts
        Loop orders, and for each operand the cut of every memory but the outermost, shape
        (memories - 1, orders).
    at
        Index of the mapping.
    method, objective
        Method that found the mapping, and the quantity that it minimised.
    least_access_j
        Lower bound on the energy of the accesses of all mappings, joules.
    spent
        Cycles of all mappings, if already computed.

    Notes
    -----
    ``energy >= macs * mac_j + least_access_j``

    ``latency >= ceil(macs / units)``
        every unit busy in every cycle

    The bound on the energy-delay product is the product of both.
    """
    selected = slice(at, at + 1)
    one = orders.pick(selected)
    cuts = {operand: own[:, selected] for operand, own in cuts.items()}
    problem = one.problem
    hierarchy = problem.hierarchy
    boundaries_of = mapped_boundaries(one, cuts)
    rows = _operand_accesses(one, cuts, boundaries_of)
    if spent is None:
        spent, at = cycles(one, cuts, boundaries_of), 0
    mac_j = hierarchy.mac_j * problem.nest.macs
    ideal_cycles = ceil(problem.nest.macs / hierarchy.units)
    energy_j = mac_j + sum(row.energy_j for row in rows)
    return Mapping(
        solution=_loops(one),
        value=objective_value(objective, energy_j, float(spent.total[at])),
        bound=objective_value(objective, mac_j + least_access_j, float(ideal_cycles)),
        method=method,
        # The search adds the same joules in another order.
        tolerance=1e-9,
        nest=problem.nest,
        hierarchy=hierarchy,
        accesses=tuple(rows),
        mac_energy_j=mac_j,
        ideal_cycles=ideal_cycles,
        compute_cycles=float(spent.compute[at]),
        stall_cycles=float(spent.stall[at]),
        onload_cycles=float(spent.onload[at]),
        offload_cycles=float(spent.offload[at]),
        drain_cycles=float(spent.drain[at]),
    )


def _loops(one: LoopOrders) -> tuple[tuple[Dim, int], ...]:
    """Return the dimension and the iterations of each loop of a single order."""
    return tuple(
        (DIMS[int(dim)], int(factor))
        for dim, factor in zip(one.dims[0], one.factors[0], strict=True)
    )


def _operand_accesses(
    one: LoopOrders, cuts: dict[Operand, Ints], boundaries_of: dict[Operand, list[MappedBoundary]]
) -> list[OperandAccesses]:
    """Return the accesses of every operand at every memory it passes, under a single mapping."""
    problem, hierarchy = one.problem, one.problem.hierarchy
    numbers: dict[tuple[Operand, int], dict[str, float]] = {}
    for operand, boundaries in boundaries_of.items():
        for boundary in boundaries:
            for (memory, direction), count in accesses(problem, boundary.transfers).items():
                numbers.setdefault((operand, memory), {})[direction] = float(count[0])
    rows: list[OperandAccesses] = []
    for operand in OPERANDS:
        for place, level in enumerate(hierarchy.levels[operand]):
            memory = hierarchy.memories[level]
            count = {name: numbers[operand, level].get(name, 0.0) for name in DIRECTIONS}
            inside, bits = _contents(one, cuts[operand], boundaries_of[operand], operand, place)
            reads = count["feed"] + count["drain"]
            writes = count["collect"] + count["fill"]
            rows.append(
                OperandAccesses(
                    operand=operand,
                    memory=memory.name,
                    inside=inside,
                    held_bytes=bits / 8,
                    **count,
                    energy_j=reads * memory.read_j + writes * memory.write_j,
                )
            )
    return rows


def _contents(
    one: LoopOrders, cuts: Ints, boundaries: Sequence[MappedBoundary], operand: Operand, place: int
) -> tuple[int, float]:
    """Return the number of loops inside a memory of an operand, and the bits held there."""
    problem = one.problem
    if place + 1 < len(boundaries):
        extended_cut = one.extended_cut(operand, cuts[place])
        inside, tile = int(extended_cut[0]), one.tile(extended_cut)[:, 0]
        is_partial = bool(boundaries[place].transfers.partial[0])
    else:
        inside, tile = len(one.dims[0]), np.asarray(problem.temporal, dtype=np.float64)
        # Sums are partial in the outermost memory only if it is the only one.
        is_partial = place == 0 and bool(boundaries[0].transfers.partial[0])
    elements = problem.elements(operand, tile * problem.inside[operand][place])
    return inside, float(elements * problem.bits(operand, partial=is_partial))
