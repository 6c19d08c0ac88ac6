"""Rates of the kernels of a neural processor's runtime, for the rows of an operator table.

A kernel multiplies channels in steps of its array, so that its operations are those of channels
rounded up (`padded_macs`): ``padded = macs * prod(ceil(channels / step) * step / channels)``. A
runtime states constants by class of kernels and format; `kernel_names` lists the keys that may
apply to a row, the most specific first. The kind `npu` divides the one by the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from perfmodel.arrays import Value, by_row
from perfmodel.cost.nest_row_sums import RowSums, unmasked
from perfmodel.cost.setting import Setting
from perfmodel.kinds.npu.constants import NeuralKernel
from perfmodel.kinds.npu.spec import NeuralProcessor
from perfmodel.kinds.rates import row_classes
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable

#: Class of a row -> classes of kernels whose constants apply, the first stated one first.
_CLASSES: Final = {
    "gemm": ("gemm", "conv"),
    "conv": ("conv",),
    "grouped": ("grouped", "conv"),
    "depthwise": ("depthwise", "conv"),
    "attention": ("batched_gemm", "gemm", "conv"),
    "moe": ("moe", "gemm", "conv"),
    "recurrent": ("recurrent", "gemm", "conv"),
    "elementwise": ("elementwise",),
    "norm": ("norm", "elementwise"),
    "softmax": ("softmax", "elementwise"),
    "pool": ("pool", "elementwise"),
    "copy": ("copy",),
    "resize": ("copy",),
    "gather": ("gather", "copy"),
}


def kernel_names(row: OperatorRow, formats: Sequence[str]) -> list[str]:
    """Return the keys of a runtime's `kernels` that may apply to a row, most specific first.

    Parameters
    ----------
    row
        Row of an operator table.
    formats
        Stored formats of its weights and activations: ``conv.int8`` precedes ``conv``.
    """
    kind = row.kind
    if kind == "gemm" and not row.pair[0].startswith("weight"):
        # A product of two activations is attention, written out.
        kind = "attention"
    names = _CLASSES.get(kind, (kind,))
    if kind == "scan" and row.products:
        names = (kind, *_CLASSES["attention"])
    return [key for name in names for key in (*(f"{name}.{each}" for each in formats), name)]


def kernel_constant(
    setting: Setting,
    row: OperatorRow,
    constant: Callable[[NeuralKernel], Value],
    default: Value = None,
) -> Value:
    """Return a constant of the kernels that run a row; `default` if the runtime states none."""
    formats = [setting.precision.format_of(slot).name for slot in row.pair]
    values = (constant(setting.kernel(key, NeuralKernel)) for key in kernel_names(row, formats))
    return next((value for value in values if value is not None), default)


def stated(
    table: OperatorTable,
    setting: Setting,
    constant: Callable[[NeuralKernel], Value],
    default: Value,
) -> Value:
    """Return a constant of the kernels of each row, ``(rows, points or 1)``."""
    return by_class(table, setting, lambda row: kernel_constant(setting, row, constant, default))


def by_class(
    table: OperatorTable, setting: Setting, value: Callable[[OperatorRow], Value]
) -> Value:
    """Return a value of the class of each row's kernel, computed once per class.

    Parameters
    ----------
    value
        Value of a row; the same for all rows of a kind with operands of the same slots, either all
        with products or all without.

    Returns
    -------
    array
        ``(rows, points)``, or ``(rows, 1)`` where no value varies over points.
    """
    rows, index = row_classes(
        table, "npu kernels", lambda row: (row.kind, tuple(row.pair), bool(row.products))
    )
    return by_row([value(row) for row in rows], table.points, setting.xp)[index]


def padded_macs(table: OperatorTable, setting: Setting, engine: NeuralProcessor) -> Value:
    """Return multiply-accumulates of each row, with channels rounded up to those of a step.

    ``macs * (ceil(c_in / n_in) n_in / c_in) * (ceil(c_out / n_out) n_out / c_out)``; the channels
    of a depthwise convolution take the place of output channels. Shape ``(rows, points)``.

    Notes
    -----
    ``matrix = 2 * padded_macs / (peak * peak_share * cores / units)``
        Williams et al., CACM 52(4), 2009; docs/npu.md

    ``vector = vector_ops / vector_peak, or vector_ops * host_slowdown / host_rate``
        Williams et al., CACM 52(4), 2009; docs/npu.md

    ``memory = latency + bytes / (bandwidth * bandwidth_share)``
        Williams et al., CACM 52(4), 2009

    ``launch = kernels * (overhead + launch) * host_slowdown``
        runtime spec

    ``layer = layers * per_layer * host_slowdown``
        runtime spec
    """
    nests = table.nests
    if nests is None or not len(nests):
        return table.macs
    single = _depthwise(nests)
    xp = setting.xp
    inner = xp.where(single, 1.0, nests.in_channels)
    outer = xp.where(single, nests.groups, nests.out_channels)
    share = _rounded(inner, xp.where(single, 1.0, engine.input_channels), setting)
    share = share * _rounded(outer, engine.output_channels, setting)
    rows = RowSums(nests.row, len(table.rows), xp)
    return rows(nests.macs * share * unmasked(table, setting))


def _depthwise(nests: Nests) -> Value:
    return np.array([kind == "depthwise" for kind in nests.kind])[:, None]


def _rounded(extent: Value, step: Value, setting: Setting) -> Value:
    """Return the factor by which an extent grows when rounded up to a multiple of a step."""
    if setting.relaxed:
        return 1.0 + 0.0 * extent
    return setting.xp.ceil(extent / step - 1e-9) * step / extent
