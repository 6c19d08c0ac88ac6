"""Staircase of one unfused operator of a chain, including element-wise streaming of an operand.

Fused groups stream single weights past the operands on chip. The same must be allowed for an
unfused operator; otherwise partitions with more groups would be overpriced.
"""

from __future__ import annotations

import numpy as np

from perfmodel.cost.traffic.convolution_axis import Floats, flatten_nest, useful_tiles
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.pareto_filters import pareto_front
from perfmodel.cost.traffic.pointwise import tile_count
from perfmodel.cost.traffic.staircase import staircase


def single_operator_steps(
    nest: TileNest, widths: Widths, conventions: Conventions
) -> tuple[Floats, Floats]:
    """Return the capacities and the least traffic of one operator in bytes, shape (steps,)."""
    stairs = staircase(nest, widths, conventions)
    footprint, traffic = stairs.capacity_bytes, stairs.traffic_bytes
    flat = flatten_nest(nest)
    if flat.is_gemm:
        streamed = _streamed_candidates(flat, widths, conventions.copies)
        footprint, traffic = (
            np.concatenate(column) for column in zip((footprint, traffic), *streamed, strict=True)
        )
    steps = pareto_front(footprint, traffic)
    return footprint[steps], traffic[steps]


def _streamed_candidates(
    nest: TileNest, widths: Widths, copies: float
) -> list[tuple[Floats, Floats]]:
    """Return footprint and traffic of GEMMs C = A B with one operand streamed element by element.

    An x by y tile of one operand is stationary. A second operand is held along one side of that
    tile, while single elements of the third change at the innermost loop. With s the bytes per
    element of the stationary operand, p and q those of the operands along x and along y, and e the
    number of buffers, the footprint is ``s x y + min(p x + e q, q y + e p)`` bytes.
    """
    rows, outs, ins = nest.out_rows, nest.out_channels, nest.in_channels
    a, b, c = widths.input, widths.weight, widths.partial
    all_a, all_b, all_c = a * rows * ins, b * ins * outs, widths.output * rows * outs
    spill = 2.0 * c * rows * outs
    m, n, k = (useful_tiles(extent).astype(float) for extent in (rows, outs, ins))
    by_m, by_n, by_k = tile_count(rows, m), tile_count(outs, n), tile_count(ins, k)

    def stationary(
        own: float, x: Floats, y: Floats, by_x: float, by_y: float, traffic: Floats
    ) -> tuple[Floats, Floats]:
        """Return footprint and traffic with a stationary tile of x by y elements of `own` bytes."""
        beside = np.minimum(
            (by_x * x + copies * by_y)[:, None], (by_y * y + copies * by_x)[None, :]
        )
        return (own * np.outer(x, y) + beside).ravel(), (nest.groups * traffic).ravel()

    return [
        stationary(c, m, n, a, b, all_a * by_n + all_b * by_m[:, None] + all_c),
        stationary(a, m, k, c, b, all_a + all_b * by_m[:, None] + all_c + spill * (by_k - 1.0)),
        stationary(b, n, k, c, a, all_b + all_a * by_n[:, None] + all_c + spill * (by_k - 1.0)),
    ]
