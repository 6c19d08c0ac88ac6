"""Least energy against the capacity of one memory: a staircase, looked up for any capacities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.best import problem_of
from perfmodel.cost.mapping.chain import cheapest_chain, lattice
from perfmodel.cost.mapping.hierarchy import DIMS, Hierarchy
from perfmodel.cost.mapping.problem import Accounting, Floats, MappingProblem
from perfmodel.cost.mapping.result import Mapping, mapping_of
from perfmodel.cost.mapping.search import factors_of, orders_of_chain
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import input_error, nearest

#: Staircases that are remembered.
REMEMBERED = 256


@dataclass(frozen=True, eq=False)
class CapacityStaircase:
    """Least energy of a nest against the capacity of one memory, the others as they are.

    Attributes
    ----------
    memory
        Whose capacity it is.
    capacity_bytes
        Capacities at which the energy falls, ascending; shape (steps,).
    energy_j
        Least energy from each of them on, falling; shape (steps,).
    mappings
        A mapping that has it, for each.
    """

    memory: str
    capacity_bytes: Floats
    energy_j: Floats
    mappings: tuple[Mapping, ...]

    def __call__(self, capacity_bytes: npt.ArrayLike) -> Floats:
        """Least energy at some capacities, of their shape; infinite where nothing fits."""
        wanted = np.asarray(capacity_bytes, dtype=np.float64)
        at = np.searchsorted(self.capacity_bytes, wanted * (1 + 1e-12), side="right")
        return np.concatenate([[inf], self.energy_j])[at]


def capacity_staircase(
    nest: TileNest,
    hierarchy: Hierarchy,
    memory: str,
    *,
    widths: Widths | None = None,
    in_rows: int | None = None,
    in_columns: int | None = None,
    loops: int | None = None,
    accounting: Accounting = "exact",
) -> CapacityStaircase:
    """Least energy of a nest for every capacity of a memory.

    A mapping found for some capacity is the best for all smaller ones down to what it needs; the
    next is searched just below that, and so on until nothing fits. Exact, as `best_mapping` is, but
    for steps of less than a share of 1e-10. The joules per access stay those of the hierarchy.

    Parameters
    ----------
    memory
        Name of the memory; one that is the outermost of an operand needs room for it all.
    nest, hierarchy, widths, in_rows, in_columns, loops, accounting
        As in `best_mapping`.

    Raises
    ------
    InputError
        For a memory that the hierarchy has not, and as `best_mapping`.
    """
    names = [level.name for level in hierarchy.memories]
    if memory not in names:
        raise input_error(
            f"there is no memory '{memory}'",
            expected=", ".join(names),
            suggestion=nearest(memory, names),
        )
    problem = problem_of(nest, hierarchy, widths, in_rows, in_columns, accounting)
    return _staircase(problem, names.index(memory), loops)


@lru_cache(maxsize=REMEMBERED)
def _staircase(problem: MappingProblem, level: int, limit: int | None) -> CapacityStaircase:
    capacity = inf
    steps: list[tuple[float, float, Mapping]] = []
    factors, complete = factors_of(problem, limit)
    while True:
        memories = list(problem.hierarchy.memories)
        memories[level] = replace(memories[level], capacity_bytes=capacity)
        machine = replace(problem.hierarchy, memories=tuple(memories))
        tighter = replace(problem, hierarchy=machine)
        chain = cheapest_chain(tighter, factors, small=level)
        if chain is None:
            break
        orders, cuts = orders_of_chain(tighter, lattice(factors), chain)
        mapping = mapping_of(orders, cuts, 0, proved=complete)
        needed = _needed_bytes(tighter, level, mapping)
        if steps and mapping.energy_j <= steps[-1][1] * (1 + 1e-12):
            steps.pop()
        steps.append((needed, mapping.energy_j, mapping))
        if needed <= 0:
            break
        capacity = float(np.nextafter(needed * (1 - 1e-12), 0.0))
    steps.reverse()
    return CapacityStaircase(
        memory=problem.hierarchy.memories[level].name,
        capacity_bytes=np.asarray([step[0] for step in steps]),
        energy_j=np.asarray([step[1] for step in steps]),
        mappings=tuple(step[2] for step in steps),
    )


def _needed_bytes(problem: MappingProblem, level: int, mapping: Mapping) -> float:
    """Bytes of a memory that a mapping needs, tiles of double-buffered memories twice."""
    memory = problem.hierarchy.memories[level]
    needed = 0.0
    for access in mapping.accesses:
        if access.memory != memory.name or not access.held_bytes:
            continue
        tile = np.ones(len(DIMS))
        for dim, times in mapping.loops[: access.inside]:
            tile[DIMS.index(dim)] *= times
        place = problem.hierarchy.levels[access.operand].index(level)
        elements = problem.elements(access.operand, tile * problem.inside[access.operand][place])
        room = problem.room(access.operand, level, tile)
        needed += access.held_bytes * float(room / elements)
    return needed
