"""Operations of a row with channels rounded up, and the rates of a runtime's kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from perfmodel.arrays import Value, by_row
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.setting import Setting
from perfmodel.workload.lower import OperatorRow, OperatorTable
from perfmodel.workload.shapes import Nests

#: Class of a row -> classes of kernels whose constants hold for it, the first stated one first.
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
    """Return the keys of a runtime's `kernels` that may hold for a row, the most particular first.

    Parameters
    ----------
    row
        Of an operator table.
    formats
        Stored formats of its weights and activations: ``conv.int8`` goes before ``conv``.
    """
    kind = row.kind
    if kind == "gemm" and not row.pair[0].startswith("weight"):
        # A product of two activations is one of attention, written out.
        kind = "attention"
    names = _CLASSES.get(kind, (kind,))
    if kind == "scan" and row.products:
        names = (kind, *_CLASSES["attention"])
    return [key for name in names for key in (*(f"{name}.{each}" for each in formats), name)]


def kernel_constant(setting: Setting, row: OperatorRow, field: str, default: Value = None) -> Value:
    """Return a constant of the kernels that run a row, or `default` where the runtime has none."""
    formats = [setting.precision.format_of(slot).name for slot in row.pair]
    for key in kernel_names(row, formats):
        found = setting.facts.get(f"runtime.kernels.{key}.{field}")
        if found is not None:
            return found
    return default


def by_class(
    table: OperatorTable, setting: Setting, value: Callable[[OperatorRow], Value]
) -> Value:
    """Return what follows from the class of each row's kernel, worked out once for each class.

    Parameters
    ----------
    value
        Of a row; the same for all rows of a kind, with operands of the same slots, that have
        products or have none.

    Returns
    -------
    array
        ``(rows, points)``, or ``(rows, 1)`` where no value has points.
    """
    place: dict[tuple[str, tuple[str, ...], bool], int] = {}
    values: list[Value] = []
    index: list[int] = []
    for row in table.rows:
        key = row.kind, tuple(row.pair), bool(row.products)
        if key not in place:
            place[key] = len(values)
            values.append(value(row))
        index.append(place[key])
    return by_row(values, table.points, setting.xp)[np.array(index, dtype=np.intp)]


def padded_macs(table: OperatorTable, setting: Setting) -> Value:
    """Return multiply-accumulates of each row, channels rounded up to what a step takes.

    ``macs * (ceil(c_in / n_in) n_in / c_in) * (ceil(c_out / n_out) n_out / c_out)``; a depthwise
    convolution has its channels side by side where others have output channels. Shape
    ``(rows, points)``.
    """
    nests = table.nests
    if nests is None or not len(nests):
        return table.macs
    facts, head = setting.facts, f"engines.{setting.engine}."
    steps = facts[head + "input_channels"], facts[head + "output_channels"]
    single = _depthwise(nests)
    xp = setting.xp
    inner = xp.where(single, 1.0, nests.in_channels)
    outer = xp.where(single, nests.groups, nests.out_channels)
    share = _rounded(inner, xp.where(single, 1.0, steps[0]), setting)
    share = share * _rounded(outer, steps[1], setting)
    rows = RowSums(nests.row, len(table.rows), xp)
    return rows(nests.macs * share * unmasked(table, setting))


def _depthwise(nests: Nests) -> Value:
    return np.array([kind == "depthwise" for kind in nests.kind])[:, None]


def _rounded(extent: Value, step: Value, setting: Setting) -> Value:
    """Return how much larger an extent is once it is a multiple of a step."""
    if setting.relaxed:
        return 1.0 + 0.0 * extent
    return setting.xp.ceil(extent / step - 1e-9) * step / extent
