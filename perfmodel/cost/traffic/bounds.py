"""Lower bounds of tiled traffic, vectorised over nests, capacities and widths.

No tiling of the model has less traffic than a bound. Bounds require no search; they are estimates
only where they are tight. Three kinds, from loose to tight:

* compulsory: every operand crosses the boundary once;
* square root: each stationarity class (`closed_forms.gemm`) reloads two operands whose tile sizes
  x and y share the buffer, and ``u / x + v / y >= 2 sqrt(u v / (x y))``. For a GEMM, in elements,
  the leading term is the ``2 M N K / sqrt(C)`` of Smith et al. (arXiv:1702.02017); for convolutions
  the reuse of overlapping windows lowers it by ``sqrt(strides / taps)``, as in Demmel and Dinh
  (arXiv:1802.06905);
* relaxed: the optimum of each class with real tiles and tile counts.

The bounds hold for even tiles, single- and double-buffered. Uneven tiles retain panels and can have
less traffic; the relaxed bound has a form for them.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic
from perfmodel.cost.traffic.convolution_axis import convolution_axes
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.stationarity import operands_once


def compulsory_bound(nest: TileNest, widths: Widths) -> Value:
    """Return the compulsory traffic: each operand once, without input that no tap reads.

    Parameters
    ----------
    nest, widths
        Scalars or arrays that broadcast.

    Returns
    -------
    array
        Bytes of all groups.

    Examples
    --------
    >>> compulsory_bound(TileNest.product(10, 20, 30), Widths(1, 1, 1))
    1100.0
    """
    once = operands_once(nest, widths)
    return nest.groups * (once.input + once.weight + once.output)


def relaxed_bound(
    nest: TileNest,
    capacity: Value,
    widths: Widths,
    conventions: Conventions = Conventions(),  # noqa: B008
) -> Value:
    """Return the least traffic of a GEMM over all classes with real tiles and tile counts.

    Parameters
    ----------
    nest, capacity, widths, conventions
        As for `gemm_traffic`.

    Returns
    -------
    array
        Bytes of one group; infinite where one element of each operand does not fit.
    """
    return gemm_traffic(nest, capacity, widths, conventions, relaxed=True).total


def root_bound(nest: TileNest, capacity: Value, widths: Widths) -> Value:
    """Return the square-root bound.

    Let ``g = 2 macs sqrt(s t input weight partial / (taps capacity))`` bytes, with `input`,
    `weight` and `partial` the bytes per element. The traffic of the output-stationary class is at
    least ``output + g``. The other two classes keep one operand stationary and spill partial sums;
    their traffic is at least that operand plus ``output - partial sums + sqrt(2) g``. A tile of
    p x q positions reads at least ``s t p q`` input positions, where s and t are the strides, at
    most the kernel extents; for a GEMM ``s t = taps = 1``. Halos and integrality of tiles are
    neglected, so that the bound is loose for small buffers.

    Parameters
    ----------
    nest, widths
        Scalars or arrays that broadcast.
    capacity
        Bytes of the buffer.

    Returns
    -------
    array
        Bytes of all groups, at least the compulsory traffic; valid for both halo conventions.
    """
    xp = namespace(nest.out_rows, nest.in_channels, capacity, widths.partial)
    rows, columns = convolution_axes(nest)
    once = operands_once(nest, widths)
    fresh = xp.minimum(rows.stride, rows.taps) * xp.minimum(columns.stride, columns.taps)
    squared = fresh * widths.input * widths.weight * widths.partial / (nest.taps * capacity)
    g = 2.0 * nest.macs / nest.groups * xp.sqrt(squared)
    spilling = once.output - 2.0 * once.partial_reads + np.sqrt(2.0) * g
    operand = xp.minimum(once.input, once.weight)
    least = xp.minimum(once.output + g, operand + spilling)
    return nest.groups * xp.maximum(once.input + once.weight + once.output, least)
