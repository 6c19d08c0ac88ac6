"""The best mapping of a nest on a hierarchy, and what a given one costs."""

from __future__ import annotations

from collections.abc import Mapping as ByName
from collections.abc import Sequence

import numpy as np

from perfmodel.cost.mapping.hierarchy import DIMS, OPERANDS, Dim, Hierarchy, Operand
from perfmodel.cost.mapping.orders import Ints
from perfmodel.cost.mapping.problem import Accounting, MappingProblem
from perfmodel.cost.mapping.result import Mapping, mapping_of
from perfmodel.cost.mapping.search import (
    LOOPS,
    Objective,
    listed_mapping,
    orders_of_loops,
    searched_mapping,
    why_none_fits,
)
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import Fault, InfeasibleError, InputError


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
        ``energy``: the exact optimum over all orders of all prime factors and all cuts; of orders
        of the loops between its tiles, and of cuts, with this energy, those with fewest cycles.
        ``latency``, ``edp``: the best of all orders of at most `loops` factors, each cut as LOMA
        cuts it and once more with memories half full, and of the one with least energy. Equal
        ones are told apart by energy.
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
    problem = problem_of(nest, hierarchy, widths, in_rows, in_columns, accounting)
    _check(objective, loops)
    return searched_mapping(problem, objective, loops)


def loma_mapping(
    nest: TileNest,
    hierarchy: Hierarchy,
    *,
    objective: Objective = "energy",
    widths: Widths | None = None,
    in_rows: int | None = None,
    in_columns: int | None = None,
    loops: int = LOOPS,
    accounting: Accounting = "exact",
) -> Mapping:
    """What ZigZag's search LOMA finds: all orders of at most `loops` factors, greedily cut.

    With ``accounting="zigzag"`` this is what ZigZag 3.9.1 returns for the same limit and criterion,
    number for number. Parameters and errors are those of `best_mapping`, which is never worse.
    """
    problem = problem_of(nest, hierarchy, widths, in_rows, in_columns, accounting)
    _check(objective, loops)
    mapping = listed_mapping(problem, objective, loops)
    if mapping is None:
        raise InfeasibleError(why_none_fits(problem))
    return mapping


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
    problem = problem_of(nest, hierarchy, widths, in_rows, in_columns, accounting)
    faults: list[Fault | str] = []
    iterations = dict.fromkeys(DIMS, 1)
    for dim, factor in order:
        iterations[dim] *= factor
    for dim, extent in zip(DIMS, problem.temporal, strict=True):
        if iterations[dim] != extent:
            faults.append(
                Fault(f"loops over {dim} make {iterations[dim]}", expected=f"{extent} over time")
            )
    for operand in OPERANDS:
        own = list(cuts.get(operand, ()))
        levels = len(hierarchy.levels[operand]) - 1
        if len(own) != levels or sorted(own) != own or not all(0 <= c <= len(order) for c in own):
            faults.append(
                Fault(
                    f"cuts of {operand} are {own}",
                    expected=f"{levels} rising numbers up to {len(order)}",
                )
            )
    if faults:
        raise InputError(faults)
    orders = orders_of_loops(problem, [[(DIMS.index(dim), factor) for dim, factor in order]])
    arrays: dict[Operand, Ints] = {
        operand: np.asarray(list(cuts.get(operand, ())), dtype=np.int64).reshape(-1, 1)
        for operand in OPERANDS
    }
    return mapping_of(orders, arrays, 0, proved=False)


def problem_of(
    nest: TileNest,
    hierarchy: Hierarchy,
    widths: Widths | None,
    in_rows: int | None,
    in_columns: int | None,
    accounting: Accounting,
) -> MappingProblem:
    """A nest on a hierarchy, checked."""
    faults = [
        Fault(f"{dim} is {getattr(nest, dim)}", path="nest", expected="a whole number from 1 on")
        for dim in DIMS
        if getattr(nest, dim) < 1
    ]
    if accounting not in ("exact", "zigzag"):
        faults.append(Fault(f"no accounting {accounting!r}", expected="exact or zigzag"))
    if faults:
        raise InputError(faults)
    return MappingProblem(nest, hierarchy, widths or Widths(), in_rows, in_columns, accounting)


def _check(objective: str, loops: int | None) -> None:
    faults: list[Fault] = []
    if objective not in ("energy", "latency", "edp"):
        faults.append(Fault(f"no objective {objective!r}", expected="energy, latency or edp"))
    if loops is not None and loops < 1:
        faults.append(Fault(f"loops is {loops}", expected="at least 1"))
    if faults:
        raise InputError(faults)
