"""Search for the best mapping (loop order and tiles per memory) of a nest onto a memory hierarchy.

The chain of tiles with the least energy is found on the lattice of prime factors (`chain`). Among
loop orders and cuts of equal energy the one with the fewest cycles is taken (`ties`). For latency
and energy-delay product, this mapping competes with an enumeration of loop orders, each allocated
as by LOMA (`allocate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, permutations, product
from math import inf
from typing import Literal, TypeAlias

import numpy as np

from perfmodel.caches import cached
from perfmodel.cost.mapping.allocate import allocate
from perfmodel.cost.mapping.chain import TileChain, TileLattice, cheapest_chain, lattice
from perfmodel.cost.mapping.counts import energy_j
from perfmodel.cost.mapping.hierarchy import OPERANDS, Operand
from perfmodel.cost.mapping.latency import cycles
from perfmodel.cost.mapping.orders import Ints, Loops, Orders, all_orders, chunks, cut, prime_loops
from perfmodel.cost.mapping.problem import MappingProblem
from perfmodel.cost.mapping.result import Mapping, mapping_of
from perfmodel.cost.mapping.ties import equal_cuts
from perfmodel.errors import InfeasibleError

Objective: TypeAlias = Literal["energy", "latency", "edp"]

#: Maximum number of loops for exhaustive enumeration of orders; the usual limit of LOMA.
LOOPS = 6
#: Maximum size of the tile lattice; above it, small factors are multiplied first.
_MOST_TILES = 60_000
#: Maximum number of orders, and of cuts, of equal energy that are compared by their cycles.
_MOST_TIES = 720
#: Orders evaluated at once.
_ORDERS_PER_CHUNK = 2_000


@cached()
def searched_mapping(problem: MappingProblem, objective: Objective, limit: int | None) -> Mapping:
    """Return the best mapping, with the parameters of `best.best_mapping`.

    `limit` is the maximum number of loops; ``None`` keeps all prime factors, without which nothing
    is proved, nor for objectives other than energy.
    """
    factors, complete = factors_of(problem, limit)
    chain = cheapest_chain(problem, factors)
    if chain is None:
        raise InfeasibleError(why_none_fits(problem))
    orders, cuts = orders_of_chain(problem, lattice(factors), chain)
    latency = cycles(orders, cuts)
    best_index = int(np.argmin(latency.total))
    best_order = Orders(
        problem,
        orders.dims[best_index : best_index + 1],
        orders.factors[best_index : best_index + 1],
    )
    orders, cuts = equal_cuts(
        best_order, {o: c[:, best_index : best_index + 1] for o, c in cuts.items()}, _MOST_TIES
    )
    latency = cycles(orders, cuts)
    best = mapping_of(orders, cuts, int(np.argmin(latency.total)), proved=complete, spent=latency)
    if objective == "energy":
        return best
    for half_full in (False, True):
        enumerated = listed_mapping(problem, objective, limit or LOOPS, half=half_full)
        if enumerated is not None and _score(enumerated, objective) < _score(best, objective):
            best = enumerated
    return replace(best, proved=False)


@cached()
def listed_mapping(
    problem: MappingProblem, objective: Objective, limit: int, *, half: bool = False
) -> Mapping | None:
    """Return the best of all orders of a few factors, allocated by LOMA; ``None`` if none fits.

    The first of equal mappings is returned. `half` limits memories to half full, see `allocate`.
    """
    best: tuple[tuple[float, float], Orders, dict[Operand, Ints], int] | None = None
    for part in chunks(all_orders(problem, prime_loops(problem, limit)), _ORDERS_PER_CHUNK):
        cuts, fits = allocate(part, half=half)
        boundaries_of = cut(part, cuts)
        joules = np.full(len(part.dims), problem.hierarchy.mac_j * problem.nest.macs)
        for boundary in (b for boundaries in boundaries_of.values() for b in boundaries):
            joules = joules + energy_j(problem, boundary.passing)
        total = cycles(part, cuts, boundaries_of).total
        first, second = {
            "energy": (joules, total),
            "latency": (total, joules),
            "edp": (total * joules, joules),
        }[objective]
        first = np.where(fits, first, inf)
        at = int(np.lexsort((second, first))[0])
        score = (float(first[at]), float(second[at]))
        if fits[at] and (best is None or score < best[0]):
            best = (score, part, cuts, at)
    return None if best is None else mapping_of(best[1], best[2], best[3], proved=False)


def _score(mapping: Mapping, objective: Objective) -> tuple[float, float]:
    cycles_ = mapping.latency_cycles
    return (cycles_ if objective == "latency" else cycles_ * mapping.energy_j, mapping.energy_j)


def factors_of(problem: MappingProblem, limit: int | None) -> tuple[Loops, bool]:
    """Return the loops to search, and whether they are all prime factors."""
    every = prime_loops(problem)
    factors = prime_loops(problem, limit)
    while _tiles(factors) > _MOST_TILES:
        factors = prime_loops(problem, len(factors) - 1)
    return factors, factors == every


def _tiles(loops: Loops) -> int:
    count = 1
    for loop in set(loops):
        count *= loops.count(loop) + 1
    return count


def orders_of_loops(problem: MappingProblem, orders: Sequence[Sequence[tuple[int, int]]]) -> Orders:
    """Return orders from lists of (dimension, iterations), inner to outer."""
    table = np.asarray([list(order) for order in orders], dtype=np.int64).reshape(
        len(orders), -1, 2
    )
    return Orders(problem, table[..., 0], table[..., 1])


def orders_of_chain(
    problem: MappingProblem, grid: TileLattice, chain: TileChain
) -> tuple[Orders, dict[Operand, Ints]]:
    """Return the loop orders of a chain of tiles; loops between two tiles are permuted freely."""
    full = tuple(times for _, _, times in grid.axes)
    segments: list[list[tuple[int, int]]] = []
    ends: dict[tuple[int, ...], int] = {(0,) * len(full): 0}
    before = (0,) * len(full)
    for tile in dict.fromkeys((*chain.order, full)):
        grown: dict[int, int] = {}
        for (dim, factor, _), less, more in zip(grid.axes, before, tile, strict=True):
            if more > less:
                grown[dim] = grown.get(dim, 1) * factor ** (more - less)
        segments.append(list(grown.items()))
        ends[tile] = ends[before] + len(grown)
        before = tile
    choices = product(*(permutations(segment) for segment in segments))
    listed = [[loop for part in choice for loop in part] for choice in islice(choices, _MOST_TIES)]
    cuts: dict[Operand, Ints] = {}
    for operand in OPERANDS:
        inside = [ends[tile] for tile in chain.tiles[operand][1:]]
        cuts[operand] = np.repeat(np.asarray(inside, dtype=np.int64)[:, None], len(listed), axis=1)
    return orders_of_loops(problem, listed), cuts


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
            wide = operand == "output" and (level != levels[-1] or len(levels) == 1)
            need += (
                float(problem.elements(operand, below) * problem.bits(operand, partial=wide)) / 8
            )
        if need > memory.capacity_bytes:
            faults.append(
                f"{memory.name} holds {memory.capacity_bytes:g} of at least {need:g} bytes"
            )
    return "no mapping fits: " + (
        "; ".join(faults) or "with loops this coarse; allow more of them (loops=)"
    )
