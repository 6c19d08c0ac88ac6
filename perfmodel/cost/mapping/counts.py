"""Accesses and energy of a boundary, from the tile inside it.

An instance below holds ``elements`` for ``cycles`` cycles, so they pass ``all cycles /
cycles`` times. An input is read above (feed) and written below (fill); an output is read below
(drain) and written above (collect), and where its sum is not complete it comes back the same way.
An access of part of a port's width costs that part of the energy, in whole granules.

Two accountings:

``exact``
    The first partial sum of an output is not read back. Instances and elements are averages where
    the array does not divide a loop.
``zigzag``
    As ZigZag 3.9.1 counts: the first one is read as well; counts of instances, of elements of a
    tile and of accesses are rounded; windows of positions are cut down to whole ones, which makes
    inputs cheaper where the array unrolls positions and does not divide them. Its results come out
    digit for digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.hierarchy import DIMS, FREE
from perfmodel.cost.mapping.problem import Boundary, Floats, MappingProblem

_REDUCED = [DIMS.index(dim) for dim in FREE["output"]]


@dataclass(frozen=True)
class Passing:
    """What passes a boundary, for an array of tiles of any shape.

    Attributes
    ----------
    boundary
        Which one.
    elements
        Elements that one lower instance holds.
    cycles
        Cycles for which it holds them.
    times
        How often it is filled (or emptied).
    partial
        Whether sums are incomplete when they pass it outwards.
    first
        Share of the passes in which a partial sum starts from nothing.
    """

    boundary: Boundary
    elements: Floats
    cycles: Floats
    times: Floats
    partial: npt.NDArray[np.bool_]
    first: Floats


def passing(problem: MappingProblem, boundary: Boundary, tile: Floats) -> Passing:
    """What passes a boundary when the loops of a tile run inside it.

    Parameters
    ----------
    problem
        The nest on its hierarchy.
    boundary
        One of its boundaries.
    tile
        Iterations over time inside the boundary, order of `DIMS` along the first axis.
    """
    spatial = boundary.below.reshape(-1, *(1,) * (tile.ndim - 1))
    if boundary.lower < 0:
        elements = np.ones(tile.shape[1:])
    else:
        elements = problem.elements(boundary.operand, tile * spatial)
    if problem.accounting == "zigzag":
        elements = np.rint(elements)
    cycles = np.prod(tile, axis=0)
    times = np.floor_divide(float(problem.cycles), cycles)
    if boundary.operand == "output":
        every = np.asarray(problem.temporal, dtype=np.float64)[_REDUCED]
        outside = np.prod(every) / np.prod(tile[_REDUCED], axis=0)
    else:
        outside = np.ones_like(cycles)
    return Passing(
        boundary=boundary,
        elements=elements,
        cycles=cycles,
        times=times,
        partial=(outside > 1) | boundary.spatial_reduction,
        first=1.0 / outside if problem.accounting == "exact" else np.zeros_like(outside),
    )


def words(
    problem: MappingProblem, memory: int, direction: str, crossing: Passing, elements: Floats
) -> Floats:
    """Accesses of one pass in units of the port's whole width, in whole granules."""
    operand = crossing.boundary.operand
    port = problem.port(memory, operand, direction)
    bits = elements * problem.bits(operand, partial=crossing.partial)
    return np.ceil(bits / port.granule_bits) * (port.granule_bits / port.width_bits)


def accesses(problem: MappingProblem, crossing: Passing) -> dict[tuple[int, str], Floats]:
    """Accesses on both sides of a boundary, of all instances in the whole nest.

    Returns
    -------
    dict
        (memory, direction) -> accesses of the port's whole width, shape of the tiles.
    """
    boundary = crossing.boundary
    sides = [(boundary.upper, boundary.upper_count, crossing.elements * boundary.multicast)]
    if boundary.lower >= 0:
        sides.append((boundary.lower, boundary.lower_count, crossing.elements))
    counts: dict[tuple[int, str], Floats] = {}
    for side, (memory, count, elements) in enumerate(sides):
        if boundary.operand == "output":
            out, back = ("collect", "feed") if side == 0 else ("drain", "fill")
        else:
            out, back = "", "feed" if side == 0 else "fill"
        for direction in (out, back):
            if not direction:
                continue
            number = words(problem, memory, direction, crossing, elements) * crossing.times * count
            if boundary.operand == "output" and direction == back:
                number = np.where(crossing.partial, number * (1.0 - crossing.first), 0.0)
            counts[memory, direction] = (
                np.floor(number) if problem.accounting == "zigzag" else number
            )
    return counts


def energy_j(problem: MappingProblem, crossing: Passing) -> Floats:
    """Joules of all accesses of a boundary."""
    total = np.zeros_like(crossing.elements)
    for (memory, direction), number in accesses(problem, crossing).items():
        level = problem.hierarchy.memories[memory]
        total = total + number * (level.read_j if direction in ("feed", "drain") else level.write_j)
    return total
