"""Optimal mapping of a loop nest on a memory hierarchy, and evaluation of a given mapping."""

from __future__ import annotations

from collections.abc import Mapping as ByName
from collections.abc import Sequence

import numpy as np

from perfmodel.cost.mapping.hierarchy import DIMS, OPERANDS, Dim, Hierarchy, Operand
from perfmodel.cost.mapping.loop_orders import Ints
from perfmodel.cost.mapping.problem import Accounting, MappingProblem
from perfmodel.cost.mapping.result import Mapping, Objective, mapping_of
from perfmodel.cost.mapping.search import (
    LOOPS,
    enumerated_mapping,
    least_cost_mapping,
    loop_orders_of_lists,
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
    """Return the mapping with the best loop order and the best cuts for every operand.

    Parameters
    ----------
    nest
        Loop nest; of dimensions that the array unrolls, the remaining iterations run over time.
    hierarchy
        Array of units with its memories.
    objective
        ``energy``: the exact optimum over all orders of all prime factors and all cuts; among loop
        orders and cuts of equal energy, the one with the fewest cycles. ``latency``, ``edp``: the
        best of all orders of at most `loops` factors, each allocated by LOMA with full and with
        half-full memories, and of the mapping with the least energy. Ties are broken by energy.
    widths
        Bytes per element; by default one byte, and four for a partial sum.
    in_rows, in_columns
        Extents of the input without padding, which is neither stored nor transferred.
    loops
        Maximum number of factors that the loops are split into; ``None`` for all prime factors with
        ``energy``, and 6 with other objectives.
    accounting
        ``exact`` or ``zigzag``, see `counts`.

    Raises
    ------
    InfeasibleError
        If no tile fits its memory.
    InputError
        For an unknown objective or accounting, or extents below 1.
    """
    problem = problem_of(nest, hierarchy, widths, in_rows, in_columns, accounting)
    _check(objective, loops)
    return least_cost_mapping(problem, objective, loops)


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
    """Return the best mapping of ZigZag's LOMA: all orders of at most `loops` factors, greedy cuts.

    With ``accounting="zigzag"`` the result equals that of ZigZag 3.9.1 for the same limit and
    criterion. Parameters and errors are those of `best_mapping`, which is never worse.
    """
    problem = problem_of(nest, hierarchy, widths, in_rows, in_columns, accounting)
    _check(objective, loops)
    mapping = enumerated_mapping(problem, objective, loops)
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
    """Return the cost of a given mapping, such as the result of another tool.

    Parameters
    ----------
    nest, hierarchy, widths, in_rows, in_columns, accounting
        The same as in `best_mapping`.
    order
        Temporal loops as (dimension, iterations), inner to outer.
    cuts
        For each operand and each of its memories except the outermost, inner to outer, the number
        of loops inside that memory. Capacities are not checked: see `OperandAccesses.held_bytes`.

    Raises
    ------
    InputError
        If the loops do not multiply to the nest, or cuts are missing, decreasing or out of range.
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
    orders = loop_orders_of_lists(problem, [[(DIMS.index(dim), factor) for dim, factor in order]])
    arrays: dict[Operand, Ints] = {
        operand: np.asarray(list(cuts.get(operand, ())), dtype=np.int64).reshape(-1, 1)
        for operand in OPERANDS
    }
    return mapping_of(orders, arrays, 0, method="evaluation")


def problem_of(
    nest: TileNest,
    hierarchy: Hierarchy,
    widths: Widths | None,
    in_rows: int | None,
    in_columns: int | None,
    accounting: Accounting,
) -> MappingProblem:
    """Return the validated problem of a nest on a hierarchy."""
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
