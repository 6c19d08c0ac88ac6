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

from typing import Any

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.closed_forms.axis import ConvolutionAxis, reduced
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic
from perfmodel.cost.traffic.nest import Conventions


def gemm_compulsory(
    m: Value, n: Value, k: Value, *, input: Value = 1.0, weight: Value = 1.0, output: Value = 1.0
) -> Value:
    """Return the bytes of a GEMM's operands, each once.

    Parameters
    ----------
    m, n, k
        Dimensions; all arguments broadcast.
    input, weight, output
        Bytes of an element.
    """
    return m * k * input + k * n * weight + m * n * output


def gemm_relaxed_bound(
    m: Value,
    n: Value,
    k: Value,
    capacity: Value,
    *,
    input: Value = 1.0,
    weight: Value = 1.0,
    output: Value = 1.0,
    partial: Value = 4.0,
    conventions: Conventions | None = None,
) -> Value:
    """Return the least bytes over all classes of tiles of real size.

    Parameters
    ----------
    m, n, k, capacity, input, weight, output, partial, conventions
        As for `gemm_traffic`.

    Returns
    -------
    array
        Bytes; infinite where not one element of each operand fits.
    """
    return gemm_traffic(
        m, n, k, capacity, input=input, weight=weight, output=output, partial=partial,
        conventions=conventions, relaxed=True,
    ).total  # fmt: skip


def gemm_root_bound(
    m: Value,
    n: Value,
    k: Value,
    capacity: Value,
    *,
    input: Value = 1.0,
    weight: Value = 1.0,
    output: Value = 1.0,
    partial: Value = 4.0,
) -> Value:
    """Return the square-root bound of a GEMM.

    With ``g = 2 m n k sqrt(input weight partial / capacity)`` the output-stationary class moves at
    least ``output + g``; the other two keep one operand and send partial sums out and back, and
    move at least that operand, and ``output - partial sums + sqrt(2) g``.

    Parameters
    ----------
    m, n, k, capacity, input, weight, output, partial
        As for `gemm_traffic`.

    Returns
    -------
    array
        Bytes, never below compulsory.
    """
    xp = namespace(m, n, k, capacity, input, weight, output, partial)
    moved = (m * k * input, k * n * weight, m * n * output)
    return _root(xp, moved, m * n * k, m * n * partial, input * weight * partial / capacity)


def convolution_compulsory(
    out_rows: Value,
    out_columns: Value,
    out_channels: Value,
    in_channels: Value,
    kernel_rows: Value,
    kernel_columns: Value,
    *,
    row_stride: Value = 1,
    column_stride: Value = 1,
    row_dilation: Value = 1,
    column_dilation: Value = 1,
    batch: Value = 1.0,
    groups: Value = 1.0,
    input: Value = 1.0,
    weight: Value = 1.0,
    output: Value = 1.0,
) -> Value:
    """Return the bytes of a convolution's operands, each once; input rows that no tap needs, never.

    Parameters
    ----------
    out_rows, out_columns, out_channels, in_channels, kernel_rows, kernel_columns, row_stride,
    column_stride, row_dilation, column_dilation, batch, groups, input, weight, output
        As for `convolution_traffic`.
    """
    rows = _touched(out_rows, kernel_rows, row_stride, row_dilation)
    columns = _touched(out_columns, kernel_columns, column_stride, column_dilation)
    read = batch * in_channels * rows * columns * input
    weights = out_channels * in_channels * kernel_rows * kernel_columns * weight
    return groups * (read + weights + batch * out_rows * out_columns * out_channels * output)


def convolution_root_bound(
    out_rows: Value,
    out_columns: Value,
    out_channels: Value,
    in_channels: Value,
    kernel_rows: Value,
    kernel_columns: Value,
    capacity: Value,
    *,
    row_stride: Value = 1,
    column_stride: Value = 1,
    row_dilation: Value = 1,
    column_dilation: Value = 1,
    batch: Value = 1.0,
    groups: Value = 1.0,
    input: Value = 1.0,
    weight: Value = 1.0,
    output: Value = 1.0,
    partial: Value = 4.0,
) -> Value:
    """Return the square-root bound of a convolution.

    The GEMM's with ``g = 2 macs sqrt(s t input weight partial / (taps capacity))``: a tile of p x q
    positions touches at least ``s t p q`` rows and columns of input, where s and t are the strides,
    at most the kernel. Halos and whole tiles are neglected, so that it is loose for small buffers.

    Parameters
    ----------
    out_rows, out_columns, out_channels, in_channels, kernel_rows, kernel_columns, capacity,
    row_stride, column_stride, row_dilation, column_dilation, batch, groups, input, weight, output,
    partial
        As for `convolution_traffic`.

    Returns
    -------
    array
        Bytes of all groups, never below compulsory; valid for either treatment of halos.
    """
    xp = namespace(
        out_rows, out_columns, out_channels, in_channels, kernel_rows, kernel_columns, capacity,
        batch, groups, input, weight, output, partial,
    )  # fmt: skip
    extents = {
        "row_stride": row_stride, "column_stride": column_stride, "row_dilation": row_dilation,
        "column_dilation": column_dilation, "batch": batch,
    }  # fmt: skip
    shape = (out_rows, out_columns, out_channels, in_channels, kernel_rows, kernel_columns)
    moved = tuple(
        convolution_compulsory(*shape, **extents, **widths)
        for widths in (
            {"input": input, "weight": 0.0, "output": 0.0},
            {"input": 0.0, "weight": weight, "output": 0.0},
            {"input": 0.0, "weight": 0.0, "output": output},
        )
    )
    outputs = batch * out_rows * out_columns * out_channels
    taps = kernel_rows * kernel_columns
    fresh = xp.minimum(_step(row_stride, row_dilation), kernel_rows)
    fresh = fresh * xp.minimum(_step(column_stride, column_dilation), kernel_columns)
    held = fresh * input * weight * partial / (taps * capacity)
    return groups * _root(xp, moved, outputs * in_channels * taps, outputs * partial, held)


def _root(xp: Any, moved: tuple[Value, ...], macs: Value, partials: Value, held: Value) -> Value:
    """Return the least of the three classes; `held` is under the root of g, `moved` each once."""
    a, b, c = moved
    g = 2.0 * macs * xp.sqrt(held)
    spill = c - 2.0 * partials + np.sqrt(2.0) * g
    return xp.maximum(a + b + c, xp.minimum(c + g, xp.minimum(a + spill, b + spill)))


def _step(stride: Value, dilation: Value) -> Value:
    """Return the stride in units of what it shares with the dilation."""
    return reduced(namespace(stride, dilation), np.asarray(stride), np.asarray(dilation))[0]


def _touched(extent: Value, taps: Value, stride: Value, dilation: Value) -> Value:
    xp = namespace(extent, taps)
    steps = reduced(xp, np.asarray(stride), np.asarray(dilation))
    return ConvolutionAxis(extent, taps, *steps).rows(xp, extent, taps)
