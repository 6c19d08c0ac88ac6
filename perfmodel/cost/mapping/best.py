"""The best mapping of a nest on a hierarchy, found once and remembered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as ByName
from dataclasses import replace
from functools import lru_cache
from itertools import islice, permutations, product
from math import inf
from typing import Literal, TypeAlias

import numpy as np

from perfmodel.cost.mapping.allocate import allocate
from perfmodel.cost.mapping.chain import Chain, Lattice, cheapest_chain, lattice
from perfmodel.cost.mapping.counts import energy_j
from perfmodel.cost.mapping.hierarchy import DIMS, OPERANDS, Dim, Hierarchy, Operand
from perfmodel.cost.mapping.latency import cycles
from perfmodel.cost.mapping.orders import Ints, Loops, Orders, all_orders, chunks, cut, prime_loops
from perfmodel.cost.mapping.problem import Accounting, Problem
from perfmodel.cost.mapping.result import Mapping, mapping_of
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import Fault, InfeasibleError, InputError

Objective: TypeAlias = Literal["energy", "latency", "edp"]

#: Mappings that are remembered; one takes some 5 kB.
REMEMBERED = 4096
#: Tiles of the lattice that are searched at most; beyond, small factors are multiplied first.
_TILES = 60_000
#: Loops whose orders are all listed for cycles; LOMA's usual limit.
_LOOPS = 6
#: Orders of one chain that are told apart by their cycles, and orders evaluated at a time.
_SAME_ENERGY, _CHUNK = 720, 2_000


def best_mapping(
    nest: TileNest,
    hierarchy: Hierarchy,
    *,
    objective: Objective = "energy",
    widths: Widths | None = None,
    in_rows: int | None = None,
    in_columns: int | None = None,
    loops: int | None = None,
    accounting: Accounting = "exact",
) -> Mapping:
    """The best order of loops, and the best cuts of it for every operand.

    Parameters
    ----------
    nest
        The loops; along a dimension that the array unrolls, what is left runs over time.
    hierarchy
        The array and its memories.
    objective
        ``energy``: the exact optimum over all orders of all prime factors and all cuts; of several
        orders with this energy, the one with the fewest cycles.
        ``latency``, ``edp``: the best of all orders of at most `loops` factors, each cut as LOMA
        cuts it, and of the one with least energy. Equal ones are told apart by energy.
    widths
        Bytes of an element; one byte, and four for a partial sum, where left out.
    in_rows, in_columns
        Real extents of the input, without padding, which is neither held nor moved.
    loops
        Most factors that the loops are split into; None: all prime factors for ``energy``, 6 else.
    accounting
        ``exact`` or ``zigzag``, see `counts`.

    Raises
    ------
    InfeasibleError
        Where no tile fits its memory.
    InputError
        For an unknown objective or accounting, or extents below 1.
    """
    faults = [
        Fault(
            f"{dim} is {getattr(nest, dim)}", path="nest", expected="a whole number of at least 1"
        )
        for dim in DIMS
        if getattr(nest, dim) < 1
    ]
    if objective not in ("energy", "latency", "edp"):
        faults.append(Fault(f"no objective {objective!r}", expected="energy, latency or edp"))
    if accounting not in ("exact", "zigzag"):
        faults.append(Fault(f"no accounting {accounting!r}", expected="exact or zigzag"))
    if loops is not None and loops < 1:
        faults.append(Fault(f"loops is {loops}", expected="at least 1"))
    if faults:
        raise InputError(faults)
    problem = Problem(nest, hierarchy, widths or Widths(), in_rows, in_columns, accounting)
    return _best(problem, objective, loops)


def best_mappings(
    nests: Iterable[TileNest], hierarchy: Hierarchy, *, objective: Objective = "energy",
    widths: Widths | None = None, loops: int | None = None, accounting: Accounting = "exact",
) -> list[Mapping]:  # fmt: skip
    """`best_mapping` of every nest; equal nests are searched once."""
    return [
        best_mapping(
            nest, hierarchy, objective=objective, widths=widths, loops=loops, accounting=accounting
        )
        for nest in nests
    ]


def evaluate_mapping(
    nest: TileNest,
    hierarchy: Hierarchy,
    order: Sequence[tuple[Dim, int]],
    cuts: ByName[Operand, Sequence[int]],
    *,
    widths: Widths | None = None,
    in_rows: int | None = None,
    in_columns: int | None = None,
    accounting: Accounting = "exact",
) -> Mapping:
    """What a given mapping costs, such as one that another tool found.

    Parameters
    ----------
    nest, hierarchy, widths, in_rows, in_columns, accounting
        As in `best_mapping`.
    order
        Loops over time as (dimension, iterations), inner to outer.
    cuts
        For each operand and each of its memories but the outermost, inner to outer, how many of the
        loops run on what it holds. Capacities are not checked: see `Access.held_bytes`.

    Raises
    ------
    InputError
        Where the loops do not make up the nest, or cuts are missing, falling or out of range.
    """
    problem = Problem(nest, hierarchy, widths or Widths(), in_rows, in_columns, accounting)
    faults: list[Fault | str] = []
    made = dict.fromkeys(DIMS, 1)
    for dim, factor in order:
        made[dim] *= factor
    for dim, extent in zip(DIMS, problem.temporal, strict=True):
        if made[dim] != extent:
            faults.append(
                Fault(f"loops over {dim} make {made[dim]}", expected=f"{extent} over time")
            )
    for operand in OPERANDS:
        given = list(cuts.get(operand, ()))
        levels = len(hierarchy.levels[operand]) - 1
        if (
            len(given) != levels
            or sorted(given) != given
            or not all(0 <= c <= len(order) for c in given)
        ):
            faults.append(
                Fault(
                    f"cuts of {operand} are {given}",
                    expected=f"{levels} rising numbers up to {len(order)}",
                )
            )
    if faults:
        raise InputError(faults)
    orders = _orders(problem, [[(DIMS.index(dim), factor) for dim, factor in order]])
    arrays: dict[Operand, Ints] = {
        operand: np.asarray(list(cuts.get(operand, ())), dtype=np.int64).reshape(-1, 1)
        for operand in OPERANDS
    }
    return mapping_of(orders, arrays, 0, proved=False)


@lru_cache(maxsize=REMEMBERED)
def _best(problem: Problem, objective: Objective, limit: int | None) -> Mapping:
    factors, whole = _factors(problem, limit)
    chain = cheapest_chain(problem, factors)
    if chain is None:
        raise InfeasibleError(_why(problem))
    orders, cuts = _orders_of(problem, lattice(factors), chain)
    total = cycles(orders, cuts).total
    best = mapping_of(orders, cuts, int(np.argmin(total)), proved=whole)
    if objective == "energy":
        return best
    score = _score(best, objective)
    every = all_orders(problem, prime_loops(problem, limit or _LOOPS))
    for part in chunks(every, _CHUNK):
        cuts, fits = allocate(part)
        found = cut(part, cuts)
        joules = np.full(len(part.dims), problem.hierarchy.mac_j * problem.nest.macs)
        for boundary in (b for boundaries in found.values() for b in boundaries):
            joules = joules + energy_j(problem, boundary.passing)
        total = cycles(part, cuts, found).total
        first = total if objective == "latency" else total * joules
        first = np.where(fits, first, inf)
        at = int(np.lexsort((joules, first))[0])
        if fits[at] and (float(first[at]), float(joules[at])) < score:
            best = mapping_of(part, cuts, at, proved=False)
            score = _score(best, objective)
    return replace(best, proved=False)


def _score(mapping: Mapping, objective: Objective) -> tuple[float, float]:
    cycles_ = mapping.latency_cycles
    return (cycles_ if objective == "latency" else cycles_ * mapping.energy_j, mapping.energy_j)


def _factors(problem: Problem, limit: int | None) -> tuple[Loops, bool]:
    """The loops to search, and whether they are all prime factors."""
    every = prime_loops(problem)
    found = prime_loops(problem, limit)
    while _tiles(found) > _TILES:
        found = prime_loops(problem, len(found) - 1)
    return found, found == every


def _tiles(loops: Loops) -> int:
    count = 1
    for loop in set(loops):
        count *= loops.count(loop) + 1
    return count


def _orders(problem: Problem, orders: Sequence[Sequence[tuple[int, int]]]) -> Orders:
    table = np.asarray([list(order) for order in orders], dtype=np.int64).reshape(
        len(orders), -1, 2
    )
    return Orders(problem, table[..., 0], table[..., 1])


def _orders_of(problem: Problem, grid: Lattice, chain: Chain) -> tuple[Orders, dict[Operand, Ints]]:
    """Orders of loops of a chain of tiles: those between two tiles may stand in any order."""
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
    listed = [
        [loop for part in choice for loop in part] for choice in islice(choices, _SAME_ENERGY)
    ]
    cuts: dict[Operand, Ints] = {}
    for operand in OPERANDS:
        held = [ends[tile] for tile in chain.tiles[operand][1:]]
        cuts[operand] = np.repeat(np.asarray(held, dtype=np.int64)[:, None], len(listed), axis=1)
    return _orders(problem, listed), cuts


def _why(problem: Problem) -> str:
    """The memories that cannot hold even single elements."""
    found: list[str] = []
    for level, memory in enumerate(problem.hierarchy.memories):
        need = 0.0
        for operand in memory.operands:
            levels = problem.hierarchy.levels[operand]
            below = problem.inside[operand][levels.index(level)]
            if level == levels[-1]:
                below = below * np.asarray(problem.temporal, dtype=np.float64)
            wide = operand == "output" and level != levels[-1]
            need += (
                float(problem.elements(operand, below) * problem.bits(operand, partial=wide)) / 8
            )
        if need > memory.capacity_bytes:
            found.append(
                f"{memory.name} holds {memory.capacity_bytes:g} of at least {need:g} bytes"
            )
    return "no mapping fits: " + ("; ".join(found) or "the operands that share a memory")
