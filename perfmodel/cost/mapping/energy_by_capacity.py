"""Least energy of a nest as a step function (staircase) of the capacity of one memory.

Each step requires one search: the optimal mapping at one capacity is optimal for all smaller
capacities down to its own requirement, just below which the next search starts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
import numpy.typing as npt

from perfmodel.caches import cached
from perfmodel.cost.mapping.hierarchy import DIMS, Hierarchy
from perfmodel.cost.mapping.mappers import problem_of
from perfmodel.cost.mapping.problem import Accounting, Floats, MappingProblem
from perfmodel.cost.mapping.result import Mapping, mapping_of
from perfmodel.cost.mapping.search import factors_of, loop_orders_of_chain
from perfmodel.cost.mapping.tile_chain import cheapest_chain, divisor_lattice
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import input_error, nearest


@dataclass(frozen=True, eq=False)
class CapacityStaircase:
    """Least energy of a nest as a function of the capacity of one memory, all others fixed.

    Attributes
    ----------
    memory
        Name of the memory.
    capacity_bytes
        Capacities at which the energy decreases, ascending; shape (steps,).
    energy_j
        Least energy from each step on, decreasing; shape (steps,).
    mappings
        Optimal mapping of each step.
    """

    memory: str
    capacity_bytes: Floats
    energy_j: Floats
    mappings: tuple[Mapping, ...]

    def __call__(self, capacity_bytes: npt.ArrayLike) -> Floats:
        """Return the least energy at some capacities, in their shape; infinite if infeasible."""
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
    """Return the least energy of a nest for every capacity of a memory.

    The optimal mapping at one capacity is optimal for all smaller capacities down to its own
    requirement; the next search starts just below it, until no mapping fits. The result is as exact
    as `best_mapping`, except for steps of a relative height below 1e-10. Energies per access are
    those of the hierarchy, independent of the capacity.

    Parameters
    ----------
    memory
        Name of the memory; if it is the outermost one of an operand, it must hold that operand
        completely.
    nest, hierarchy, widths, in_rows, in_columns, loops, accounting
        The same as in `best_mapping`.

    Raises
    ------
    InputError
        For a memory that is not in the hierarchy, and under the conditions of `best_mapping`.
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


@cached()
def _staircase(problem: MappingProblem, level: int, limit: int | None) -> CapacityStaircase:
    capacity = inf
    steps: list[tuple[float, float, Mapping]] = []
    factors, complete = factors_of(problem, limit)
    while True:
        memories = list(problem.hierarchy.memories)
        memories[level] = replace(memories[level], capacity_bytes=capacity)
        machine = replace(problem.hierarchy, memories=tuple(memories))
        tighter = replace(problem, hierarchy=machine)
        answer = cheapest_chain(tighter, factors, small=level)
        if answer.solution is None:
            break
        orders, cuts = loop_orders_of_chain(tighter, divisor_lattice(factors), answer.solution)
        mapping = mapping_of(
            orders,
            cuts,
            0,
            method="branch and bound",
            least_access_j=answer.bound if complete else 0.0,
        )
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
    """Return the bytes of a memory that a mapping requires; double-buffered tiles count twice."""
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
        room = problem.required_elements(access.operand, level, tile)
        needed += access.held_bytes * float(room / elements)
    return needed
