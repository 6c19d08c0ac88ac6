"""Memory accesses and energy of a boundary, from the tile inside it.

One lower instance holds n elements for t of all T cycles, so that they cross the boundary T / t
times. With b bits per element and w the width of the port, the accesses and their energy are

    accesses = T / t ceil(n b / granule) granule / w
    energy   = reads read_j + writes write_j    (joules)

after Mei et al., "ZigZag", IEEE Transactions on Computers 70(8), 2021. An input is read from the
upper memory (feed) and written to the lower one (fill); an output is read from the lower memory
(drain) and written to the upper one (collect), and a partial sum returns the same way. An access to
part of a port's width costs that part of the energy, rounded up to granules.

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

from perfmodel.cost.mapping.hierarchy import DIMS, INVARIANT_DIMS
from perfmodel.cost.mapping.problem import Boundary, Floats, MappingProblem

_REDUCED = [DIMS.index(dim) for dim in INVARIANT_DIMS["output"]]


@dataclass(frozen=True)
class BoundaryTransfers:
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


def boundary_transfers(
    problem: MappingProblem, boundary: Boundary, tile: Floats
) -> BoundaryTransfers:
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
    return BoundaryTransfers(
        boundary=boundary,
        elements=elements,
        cycles=cycles,
        times=times,
        partial=(outside > 1) | boundary.spatial_reduction,
        first=1.0 / outside if problem.accounting == "exact" else np.zeros_like(outside),
    )


def port_words(
    problem: MappingProblem,
    memory: int,
    direction: str,
    transfers: BoundaryTransfers,
    elements: Floats,
) -> Floats:
    """Return the accesses of one pass in units of the port width, rounded up to granules."""
    operand = transfers.boundary.operand
    port = problem.port(memory, operand, direction)
    bits = elements * problem.bits(operand, partial=transfers.partial)
    return np.ceil(bits / port.granule_bits) * (port.granule_bits / port.width_bits)


def accesses(
    problem: MappingProblem, transfers: BoundaryTransfers
) -> dict[tuple[int, str], Floats]:
    """Return the accesses on both sides of a boundary, of all instances over the whole nest.

    Returns
    -------
    dict
        (memory, direction) -> accesses in units of the port width, in the shape of the tiles.
    """
    boundary = transfers.boundary
    sides = [(boundary.upper, boundary.upper_count, transfers.elements * boundary.multicast)]
    if boundary.lower >= 0:
        sides.append((boundary.lower, boundary.lower_count, transfers.elements))
    counts: dict[tuple[int, str], Floats] = {}
    directions = (("collect", "feed"), ("drain", "fill"))
    for (memory, count, elements), (out, back) in zip(sides, directions, strict=False):
        for direction in (out, back) if boundary.operand == "output" else (back,):
            number = port_words(problem, memory, direction, transfers, elements)
            number = number * transfers.times * count
            if boundary.operand == "output" and direction == back:
                number = np.where(transfers.partial, number * (1.0 - transfers.first), 0.0)
            counts[memory, direction] = (
                np.floor(number) if problem.accounting == "zigzag" else number
            )
    return counts


def energy_j(problem: MappingProblem, transfers: BoundaryTransfers) -> Floats:
    """Return the energy of all accesses at a boundary, joules."""
    total = np.zeros_like(transfers.elements)
    for (memory, direction), number in accesses(problem, transfers).items():
        level = problem.hierarchy.memories[memory]
        total = total + number * (level.read_j if direction in ("feed", "drain") else level.write_j)
    return total
