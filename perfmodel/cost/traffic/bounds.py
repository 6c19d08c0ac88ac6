"""Lower bounds of tiled traffic, as functions of arrays.

A bound says what no tiling of the model can beat; it needs no search and is an estimate only where
it is known to be tight. Three kinds, from loose to close:

* compulsory: every operand once;
* square root: each class of tiles (`closed_forms.gemm`) reloads two operands x and y whose tile
  sizes share the buffer, and ``u / x + v / y >= 2 sqrt(u v / (x y))``. For a GEMM in elements the
  leading term is the ``2 M N K / sqrt(C)`` of Smith et al. (arXiv:1702.02017); for convolutions the
  reuse of overlapping windows lowers it by ``sqrt(strides / taps)``, as in Demmel and Dinh
  (arXiv:1802.06905);
* relaxed: the optimum of each class with real tiles and counts.

They hold for even tiles, single and double buffered. Uneven ones keep panels and can move less;
the relaxed bound has a form for them.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.axis import axes
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.stationarity import operands_once


def compulsory_bound(nest: TileNest, widths: Widths) -> Value:
    """Return the bytes of a nest's operands, each once; input rows that no tap needs, never.

    Parameters
    ----------
    nest, widths
        Numbers or arrays that broadcast.

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
    """Return the least bytes of a product over all classes of tiles of real size.

    Parameters
    ----------
    nest, capacity, widths, conventions
        As for `gemm_traffic`.

    Returns
    -------
    array
        Bytes of one group; infinite where not one element of each operand fits.
    """
    return gemm_traffic(nest, capacity, widths, conventions, relaxed=True).total


def root_bound(nest: TileNest, capacity: Value, widths: Widths) -> Value:
    """Return the square-root bound.

    With ``g = 2 macs sqrt(s t input weight partial / (taps capacity))`` the output-stationary class
    moves at least ``output + g``; the other two keep one operand and send partial sums out and
    back, and move at least that operand, and ``output - partial sums + sqrt(2) g``. A tile of p x q
    positions touches at least ``s t p q`` rows and columns of input, where s and t are the strides,
    at most the kernel; of a product ``s t = taps = 1``. Halos and whole tiles are neglected, so
    that it is loose for small buffers.

    Parameters
    ----------
    nest, widths
        Numbers or arrays that broadcast.
    capacity
        Bytes of the buffer.

    Returns
    -------
    array
        Bytes of all groups, never below compulsory; valid for either treatment of halos.
    """
    xp = namespace(nest.out_rows, nest.in_channels, capacity, widths.partial)
    rows, columns = axes(nest)
    once = operands_once(nest, widths)
    fresh = xp.minimum(rows.stride, rows.taps) * xp.minimum(columns.stride, columns.taps)
    squared = fresh * widths.input * widths.weight * widths.partial / (nest.taps * capacity)
    g = 2.0 * nest.macs / nest.groups * xp.sqrt(squared)
    spilling = once.output - 2.0 * once.partial_reads + np.sqrt(2.0) * g
    operand = xp.minimum(once.input, once.weight)
    least = xp.minimum(once.output + g, operand + spilling)
    return nest.groups * xp.maximum(once.input + once.weight + once.output, least)
