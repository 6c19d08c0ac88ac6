"""Clocks of a library's kernels for the loop nests and the other rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, by_row, is_array
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.setting import Setting
from perfmodel.kinds.mcu.cores import amdahl, relative_clocks
from perfmodel.kinds.rates import MATRIX_KINDS, executed_format, pair_format
from perfmodel.kinds.roofline import best_format
from perfmodel.kinds.simd.tiles import edges
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

#: Class of operators that are products above all -> the class of kernels that runs them, and of
#: what cores differ in.
KERNEL_OF: Final[Mapping[str, str]] = {
    "conv": "conv", "depthwise": "depthwise", "grouped": "conv", "gemm": "gemm",
    "attention": "gemm", "moe": "gemm", "recurrent": "gemm",
}  # fmt: skip

#: Numbers of 8 bits in a word of the cores.
_WORD: Final = 4.0


class Busy(NamedTuple):
    """Clocks of each row, ``(rows, points)``.

    Attributes
    ----------
    matrix
        Of products, on the slowest core; 0 where the library states no constants.
    other
        Of everything else.
    start
        Of entering kernels, and of starting cores and waiting for the last one.
    known
        Whether the library states constants for the products of a row, ``(rows, 1)``.
    known_other
        Whether it does for its other work.
    """

    matrix: Value
    other: Value
    start: Value
    known: Value
    known_other: Value


def kernels_of(nests: Nests) -> list[str]:
    """Return the class of kernels that runs each nest: dense where its operator is no product."""
    return [KERNEL_OF.get(kind, "gemm") for kind in nests.kind]


def constant(setting: Setting, kernel: str, field: str, default: Value = None) -> Value:
    """Return a constant of a runtime's kernels, or `default` where it states none."""
    return setting.facts.get(f"runtime.kernels.{kernel}.{field}", default)


def busy_clocks(table: OperatorTable, setting: Setting) -> Busy:
    """Return the clocks that the cores are busy with each row."""
    n, xp = len(table.rows), setting.xp
    known = np.zeros((n, 1), dtype=bool)
    matrix: Value = np.zeros((n, 1))
    nests = table.nests
    if nests is not None and len(nests):
        names = kernels_of(nests)
        there = [constant(setting, name, "mac_clocks") is not None for name in names]
        if any(there):
            clocks = _nests(table, nests, names, setting) * unmasked(table, setting)
            matrix = RowSums(nests.row, n, xp)(clocks)
            known[nests.row[np.array(there)]] = True
    kinds = [row.kind for row in table.rows]
    each = [
        None if kind in MATRIX_KINDS else constant(setting, _other(setting, kind),
                                                   "operation_clocks")
        for kind in kinds
    ]  # fmt: skip
    known_other = np.array([each_clocks is not None for each_clocks in each])[:, None]
    per = by_row([0.0 if c is None else c for c in each], table.points, xp)
    other = table.vector_ops * per * relative_clocks(setting, "conv")
    start = by_row(
        [constant(setting, KERNEL_OF.get(k, _other(setting, k)), "start_clocks", 0.0)
         for k in kinds], table.points, xp,
    )  # fmt: skip
    units = setting.facts[f"engines.{setting.engine}.units"]
    fork = setting.facts[f"engines.{setting.engine}.fork_clocks"]
    forks = table.kernels * (start + fork * xp.clip(units - 1.0, 0.0, 1.0))
    part = passing(table, setting)
    return Busy(matrix * part, other * part, forks, known, known_other)


def passing(table: OperatorTable, setting: Setting) -> Value:
    """Return the share of each row's clocks that passes on all cores together (Amdahl's law)."""
    shares = [
        constant(setting, KERNEL_OF.get(row.kind, _other(setting, row.kind)), "parallel_share", 1.0)
        for row in table.rows
    ]
    return amdahl(setting, by_row(shares, table.points, setting.xp))


def _other(setting: Setting, kind: str) -> str:
    """Return the class of kernels of a row without products: its own, else elementwise."""
    own = constant(setting, kind, "operation_clocks")
    return kind if own is not None else "elementwise"


def _nests(table: OperatorTable, nests: Nests, names: list[str], setting: Setting) -> Value:
    """Return clocks of every nest on one core, ``(nests, points)``; 0 where nothing is stated."""
    points, xp = table.points, setting.xp
    facts = {
        field: by_row([_scaled(setting, name, field) for name in names], points, xp)
        for field in ("mac_clocks", "edge_tap_clocks")
    }
    channels = nests.times * nests.groups * nests.batch * nests.out_channels
    narrow = by_row(
        [_scaled(setting, name, "narrow_mac_clocks" if _has_narrow(setting, name) else "mac_clocks")
         for name in names], points, xp,
    )  # fmt: skip
    each = xp.where(is_narrow(nests), narrow, facts["mac_clocks"])
    clocks = each * nests.macs
    edge = facts["edge_tap_clocks"]
    if is_array(edge) or edge:
        clocks = clocks + edge * channels * edge_taps(nests)
    return clocks * _slower(table, nests, setting)


def is_narrow(nests: Nests) -> Value:
    """Return whether a nest is a convolution over fewer than four channels, ``(nests, points)``."""
    dense = np.array([kind in ("conv", "grouped") for kind in nests.kind])[:, None]
    return dense & (nests.in_channels < _WORD - 0.5)


def _has_narrow(setting: Setting, name: str) -> bool:
    return constant(setting, name, "narrow_mac_clocks") is not None


def edge_taps(nests: Nests) -> Value:
    """Return taps, of one channel and image, of windows that reach beyond the image."""
    stride, dilation = nests.stride, nests.dilation
    down = edges(nests.in_rows, nests.out_rows, nests.kernel_rows, stride[:, :1], dilation[:, :1])
    across = edges(nests.in_columns, nests.out_columns, nests.kernel_columns, stride[:, 1:],
                   dilation[:, 1:])  # fmt: skip
    windows = nests.out_rows * nests.out_columns - down.inside * across.inside
    return windows * nests.kernel_rows * nests.kernel_columns


def _scaled(setting: Setting, name: str, field: str) -> Value:
    own = constant(setting, name, field, 0.0)
    if not is_array(own) and not own:
        return 0.0
    return own * relative_clocks(setting, name)


def _slower(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return clocks in the format that is executed over those in int8."""
    head = f"engines.{setting.engine}.relative_"
    ratios: list[Value] = []
    for row in nests.row:
        pair = table.rows[int(row)].pair
        name = executed_format(setting, pair_format(setting, pair)) or best_format(setting)
        ratios.append(setting.facts.get(head + name, 1.0))
    return by_row(ratios, table.points, setting.xp)
