"""Search for the best mapping (loop order and tiles per memory) of a nest onto a memory hierarchy.

Energy is minimised exactly: the chain of tiles with the least energy over all loop orders and cuts
follows from dynamic programming with branch and bound (`tile_chain`), and among loop orders and
cuts of equal energy the one with the fewest cycles is returned (`equal_energy_cuts`). Latency and
energy-delay product do not add up over boundaries; for them this mapping competes with the best of
an enumeration of loop orders, each allocated as by LOMA (`loma_allocation`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice, permutations, product
from math import inf, prod

import numpy as np

from perfmodel.caches import cached
from perfmodel.cost.mapping.access_counts import energy_j
from perfmodel.cost.mapping.equal_energy_cuts import equal_energy_cuts
from perfmodel.cost.mapping.hierarchy import OPERANDS, Operand
from perfmodel.cost.mapping.latency import cycles
from perfmodel.cost.mapping.loma_allocation import allocate_greedily
from perfmodel.cost.mapping.loop_orders import (
    Ints,
    LoopOrders,
    Loops,
    all_loop_orders,
    mapped_boundaries,
    order_chunks,
    prime_factor_loops,
)
from perfmodel.cost.mapping.problem import MappingProblem
from perfmodel.cost.mapping.result import Mapping, Objective, mapping_of, objective_value
from perfmodel.cost.mapping.tile_chain import (
    DivisorLattice,
    TileChain,
    cheapest_chain,
    divisor_lattice,
)
from perfmodel.errors import InfeasibleError

#: Maximum number of loops for exhaustive enumeration of orders; the usual limit of LOMA.
LOOPS = 6
#: Maximum number of tiles (points of the divisor lattice); above it, factors are multiplied.
_MOST_TILES = 60_000
#: Maximum number of orders, and of cuts, of equal energy that are compared by their cycles.
_MOST_TIES = 720
#: Number of loop orders evaluated at once.
_ORDERS_PER_CHUNK = 2_000


@cached()
def least_cost_mapping(problem: MappingProblem, objective: Objective, limit: int | None) -> Mapping:
    """Return the best mapping, with the parameters of `mappers.best_mapping`.

    `limit` is the maximum number of loops; ``None`` keeps all prime factors. With fewer loops, the
    least energy over them is not a bound on that over all orders.
    """
    factors, complete = factors_of(problem, limit)
    answer = cheapest_chain(problem, factors)
    if answer.solution is None:
        raise InfeasibleError(why_none_fits(problem))
    orders, cuts = loop_orders_of_chain(problem, divisor_lattice(factors), answer.solution)
    latency = cycles(orders, cuts)
    fastest = int(np.argmin(latency.total))
    selected = slice(fastest, fastest + 1)
    orders, cuts = equal_energy_cuts(
        orders.pick(selected),
        {operand: own[:, selected] for operand, own in cuts.items()},
        _MOST_TIES,
    )
    latency = cycles(orders, cuts)
    best = mapping_of(
        orders,
        cuts,
        int(np.argmin(latency.total)),
        method="branch and bound",
        objective=objective,
        least_access_j=answer.bound if complete else 0.0,
        spent=latency,
    )
    if objective == "energy":
        return best
    enumerated = (
        enumerated_mapping(problem, objective, limit or LOOPS, half=half_full)
        for half_full in (False, True)
    )
    candidates = [best, *(mapping for mapping in enumerated if mapping is not None)]
    return min(candidates, key=lambda mapping: (mapping.value, mapping.energy_j))


@cached()
def enumerated_mapping(
    problem: MappingProblem, objective: Objective, limit: int, *, half: bool = False
) -> Mapping | None:
    """Return the best of all orders of a few factors, allocated by LOMA; ``None`` if none fits.

    The first of equal mappings is returned. `half` limits memories to half full, see
    `allocate_greedily`.
    """
    best: tuple[tuple[float, float], LoopOrders, dict[Operand, Ints], int] | None = None
    for chunk in order_chunks(
        all_loop_orders(problem, prime_factor_loops(problem, limit)), _ORDERS_PER_CHUNK
    ):
        cuts, fits = allocate_greedily(chunk, half=half)
        boundaries_of = mapped_boundaries(chunk, cuts)
        joules = np.full(len(chunk.dims), problem.hierarchy.mac_j * problem.nest.macs)
        for boundary in (b for boundaries in boundaries_of.values() for b in boundaries):
            joules = joules + energy_j(problem, boundary.transfers)
        total = cycles(chunk, cuts, boundaries_of).total
        first = np.where(fits, objective_value(objective, joules, total), inf)
        second = total if objective == "energy" else joules
        index = int(np.lexsort((second, first))[0])
        score = (float(first[index]), float(second[index]))
        if fits[index] and (best is None or score < best[0]):
            best = (score, chunk, cuts, index)
    if best is None:
        return None
    _, orders, cuts, index = best
    return mapping_of(orders, cuts, index, method="loma", objective=objective)


def factors_of(problem: MappingProblem, limit: int | None) -> tuple[Loops, bool]:
    """Return the loops to search, and whether they are all prime factors."""
    factors = prime_factor_loops(problem, limit)
    while prod(loop_count + 1 for loop_count in Counter(factors).values()) > _MOST_TILES:
        factors = prime_factor_loops(problem, len(factors) - 1)
    return factors, factors == prime_factor_loops(problem)


def loop_orders_of_lists(
    problem: MappingProblem, orders: Sequence[Sequence[tuple[int, int]]]
) -> LoopOrders:
    """Return orders from lists of (dimension, iterations), inner to outer."""
    table = np.asarray([list(order) for order in orders], dtype=np.int64).reshape(
        len(orders), -1, 2
    )
    return LoopOrders(problem, table[..., 0], table[..., 1])


def loop_orders_of_chain(
    problem: MappingProblem, lattice: DivisorLattice, chain: TileChain
) -> tuple[LoopOrders, dict[Operand, Ints]]:
    """Return the loop orders of a chain of tiles; loops between two tiles are permuted freely."""
    full = tuple(times for _, _, times in lattice.axes)
    segments: list[list[tuple[int, int]]] = []
    ends: dict[tuple[int, ...], int] = {(0,) * len(full): 0}
    before = (0,) * len(full)
    for tile in dict.fromkeys((*chain.order, full)):
        factors: dict[int, int] = {}
        for (dim, factor, _), inner, outer in zip(lattice.axes, before, tile, strict=True):
            if outer > inner:
                factors[dim] = factors.get(dim, 1) * factor ** (outer - inner)
        segments.append(list(factors.items()))
        ends[tile] = ends[before] + len(factors)
        before = tile
    choices = product(*(permutations(segment) for segment in segments))
    listed = [[loop for part in choice for loop in part] for choice in islice(choices, _MOST_TIES)]
    cuts: dict[Operand, Ints] = {}
    for operand in OPERANDS:
        inside = [ends[tile] for tile in chain.tiles[operand][1:]]
        cuts[operand] = np.repeat(np.asarray(inside, dtype=np.int64)[:, None], len(listed), axis=1)
    return loop_orders_of_lists(problem, listed), cuts


def why_none_fits(problem: MappingProblem) -> str:
    """Return the memories that cannot hold even single elements."""
    faults: list[str] = []
    for level, memory in enumerate(problem.hierarchy.memories):
        need = 0.0
        for operand in memory.operands:
            levels = problem.hierarchy.levels[operand]
            below = problem.inside[operand][levels.index(level)]
            if level == levels[-1]:
                below = below * np.asarray(problem.temporal, dtype=np.float64)
            is_partial = operand == "output" and (level != levels[-1] or len(levels) == 1)
            bits = problem.elements(operand, below) * problem.bits(operand, partial=is_partial)
            need += float(bits) / 8
        if need > memory.capacity_bytes:
            faults.append(
                f"{memory.name} holds {memory.capacity_bytes:g} of at least {need:g} bytes"
            )
    return "no mapping fits: " + (
        "; ".join(faults) or "with loops this coarse; allow more of them (loops=)"
    )
