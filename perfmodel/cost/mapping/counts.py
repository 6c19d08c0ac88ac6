"""Memory accesses and energy of a boundary, from the tile inside it.

A lower instance holds ``elements`` for ``cycles`` cycles, so that they cross the boundary ``all
cycles / cycles`` times. An input is read from the upper memory (feed) and written to the lower one
(fill); an output is read from the lower memory (drain) and written to the upper one (collect), and
a partial sum returns the same way. An access to part of a port's width costs that part of the
energy, rounded up to granules.

Two accountings:

``exact``
    The first partial sum of an output is not read back. Instances and elements are averages where
    the array does not divide a loop.
``zigzag``
    The counting of ZigZag 3.9.1, whose results are reproduced digit for digit: the first partial
    sum is read as well; numbers of instances, of elements of a tile and of accesses are rounded;
    windows of positions are truncated to integers, which makes inputs cheaper if the array unrolls
    positions and does not divide them.
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
    """Transfers across a boundary, for an array of tiles of any shape.

    Attributes
    ----------
    boundary
        Boundary that is crossed.
    elements
        Elements held by one lower instance.
    cycles
        Cycles for which they are held.
    times
        Number of times a lower instance is filled (or emptied).
    partial
        Whether sums that cross the boundary outwards are incomplete.
    first
        Share of the passes in which a partial sum starts from zero.
    """

    boundary: Boundary
    elements: Floats
    cycles: Floats
    times: Floats
    partial: npt.NDArray[np.bool_]
    first: Floats


def passing(problem: MappingProblem, boundary: Boundary, tile: Floats) -> Passing:
    """Return the transfers across a boundary with the loops of a tile inside it.

    Parameters
    ----------
    problem
        Nest on its hierarchy.
    boundary
        Boundary of the problem.
    tile
        Temporal iterations inside the boundary, in the order of `DIMS` along the first axis.
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
    """Return the accesses of one pass in units of the port width, rounded up to granules."""
    operand = crossing.boundary.operand
    port = problem.port(memory, operand, direction)
    bits = elements * problem.bits(operand, partial=crossing.partial)
    return np.ceil(bits / port.granule_bits) * (port.granule_bits / port.width_bits)


def accesses(problem: MappingProblem, crossing: Passing) -> dict[tuple[int, str], Floats]:
    """Return the accesses on both sides of a boundary, of all instances over the whole nest.

    Returns
    -------
    dict
        (memory, direction) -> accesses in units of the port width, in the shape of the tiles.
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
    """Return the energy of all accesses at a boundary, joules."""
    total = np.zeros_like(crossing.elements)
    for (memory, direction), number in accesses(problem, crossing).items():
        level = problem.hierarchy.memories[memory]
        total = total + number * (level.read_j if direction in ("feed", "drain") else level.write_j)
    return total
