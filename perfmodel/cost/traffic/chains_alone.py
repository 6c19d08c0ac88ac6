"""One operator of a chain alone: its staircase, or with single elements of an operand passing by.

Fused groups let single weights pass by what stays on chip. Alone, an operator must be allowed the
same, or cutting would look worse than it is.
"""

from __future__ import annotations

import numpy as np

from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.cost.traffic.staircase_axes import Floats, flattened, useful_tiles


def alone(nest: TileNest, widths: Widths, conventions: Conventions) -> tuple[Floats, Floats]:
    """Return capacities and least traffic of one operator, both of shape (steps,)."""
    stairs = staircase(nest, widths, conventions)
    room, moved = stairs.capacity_bytes, stairs.traffic_bytes
    flat = flattened(nest)
    if flat.is_gemm:
        passing = _passing(flat, widths, 2.0 if conventions.buffering == "double" else 1.0)
        room = np.concatenate([room, *(p[0] for p in passing)])
        moved = np.concatenate([moved, *(p[1] for p in passing)])
    order = np.lexsort((moved, room))
    falls = moved[order] < np.r_[np.inf, np.minimum.accumulate(moved[order])[:-1]]
    return room[order][falls], moved[order][falls]


def _passing(nest: TileNest, widths: Widths, held: float) -> list[tuple[Floats, Floats]]:
    """Return room and traffic of products C = A B where one operand comes element by element.

    A tile of one operand stays. Of the two others, one stays along one side of the tile while
    elements of the third pass by, which change at the innermost loop.
    """
    rows, outs, ins = nest.out_rows, nest.out_channels, nest.in_channels
    a, b, c = widths.input, widths.weight, widths.partial
    # Bytes of all A, B and C, and of all partial sums out and back.
    all_a, all_b = a * rows * ins, b * ins * outs
    all_c, again = widths.output * rows * outs, 2.0 * c * rows * outs
    m, n, k = (useful_tiles(d).astype(float) for d in (rows, outs, ins))
    found: list[tuple[Floats, Floats]] = []

    def add(room: Floats, moved: Floats) -> None:
        found.append((room.ravel(), (nest.groups * np.broadcast_to(moved, room.shape)).ravel()))

    def times(extent: int, tile: Floats) -> Floats:
        return np.ceil(extent / tile)

    # A tile of C stays, a column of A or a row of B along it.
    x, y = m[:, None], n[None, :]
    moved = all_a * times(outs, y) + all_b * times(rows, x) + all_c
    add(c * x * y + np.minimum(a * x + held * b, b * y + held * a), moved)
    # A tile of A stays, a column of C or of B along it.
    x, y = m[:, None], k[None, :]
    moved = all_a + all_b * times(rows, x) + all_c + again * (times(ins, y) - 1.0)
    add(a * x * y + np.minimum(c * x + held * b, b * y + held * c), moved)
    # A tile of B stays, a row of C or of A along it.
    x, y = n[:, None], k[None, :]
    moved = all_b + all_a * times(outs, x) + all_c + again * (times(ins, y) - 1.0)
    add(b * x * y + np.minimum(c * x + held * a, a * y + held * c), moved)
    return found
