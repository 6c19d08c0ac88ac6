"""One operator of a chain alone: its staircase, or with single elements of an operand passing by.

Fused groups let single weights pass by what stays on chip. Alone, an operator must be allowed the
same, or cutting would look worse than it is.
"""

from __future__ import annotations

import numpy as np

from perfmodel.cost.traffic.axis import Floats, flattened, useful_tiles
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.points import pieces
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.cost.traffic.undominated import falling


def alone(nest: TileNest, widths: Widths, conventions: Conventions) -> tuple[Floats, Floats]:
    """Return capacities and least traffic of one operator, both of shape (steps,)."""
    stairs = staircase(nest, widths, conventions)
    room, traffic = stairs.capacity_bytes, stairs.traffic_bytes
    flat = flattened(nest)
    if flat.is_gemm:
        passing = _passing(flat, widths, conventions.copies)
        room, traffic = (
            np.concatenate(column) for column in zip((room, traffic), *passing, strict=True)
        )
    steps = falling(room, traffic)
    return room[steps], traffic[steps]


def _passing(nest: TileNest, widths: Widths, copies: float) -> list[tuple[Floats, Floats]]:
    """Return room and traffic of products C = A B where one operand comes element by element.

    A tile of one operand stays. Of the two others, one stays along one side of the tile while
    elements of the third pass by, which change at the innermost loop.
    """
    rows, outs, ins = nest.out_rows, nest.out_channels, nest.in_channels
    a, b, c = widths.input, widths.weight, widths.partial
    all_a, all_b, all_c = a * rows * ins, b * ins * outs, widths.output * rows * outs
    spill = 2.0 * c * rows * outs
    m, n, k = (useful_tiles(extent).astype(float) for extent in (rows, outs, ins))
    by_m, by_n, by_k = pieces(rows, m), pieces(outs, n), pieces(ins, k)

    def stationary(
        own: float, x: Floats, y: Floats, by_x: float, by_y: float, traffic: Floats
    ) -> tuple[Floats, Floats]:
        """A tile of x by y elements of `own` bytes stays; the others go along x or along y."""
        beside = np.minimum(
            (by_x * x + copies * by_y)[:, None], (by_y * y + copies * by_x)[None, :]
        )
        return (own * np.outer(x, y) + beside).ravel(), (nest.groups * traffic).ravel()

    return [
        stationary(c, m, n, a, b, all_a * by_n + all_b * by_m[:, None] + all_c),
        stationary(a, m, k, c, b, all_a + all_b * by_m[:, None] + all_c + spill * (by_k - 1.0)),
        stationary(b, n, k, c, a, all_b + all_a * by_n[:, None] + all_c + spill * (by_k - 1.0)),
    ]
