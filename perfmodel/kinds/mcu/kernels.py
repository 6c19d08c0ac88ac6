"""Clocks of a microcontroller library's kernels, for the loop nests and other rows of a table.

``clocks = relative_clocks * (mac_clocks * macs + edge_tap_clocks * taps) * amdahl``: clocks of the
loops on a reference core, with the constants of a library such as CMSIS-NN (Lai et al.,
arXiv:1801.06601), times those of the core relative to it and of several cores (`cores`). The kind
`mcu` divides them by the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, by_row
from perfmodel.cost.nest_row_sums import RowSums, unmasked
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.mcu.constants import MicrocontrollerKernel
from perfmodel.kinds.mcu.cores import amdahl, relative_clocks
from perfmodel.kinds.mcu.spec import Microcontroller
from perfmodel.kinds.rates import MATRIX_KINDS, by_pair
from perfmodel.kinds.simd.kernels import KERNEL_OF as SIMD_KERNEL_OF
from perfmodel.kinds.simd.tiles import nest_edges
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import OperatorTable

#: Class of product operators -> class of kernels that runs them, which selects the factor between
#: cores.
KERNEL_OF: Final[Mapping[str, str]] = {**SIMD_KERNEL_OF, "grouped": "conv"}

#: 8-bit numbers per word of the cores.
_WORD: Final = 4.0


class Busy(NamedTuple):
    """Clocks of each row, ``(rows, points)``.

    Attributes
    ----------
    matrix
        Clocks of products, on the slowest core; 0 where the library states no constants.
    other
        Clocks of all other work.
    start
        Clocks to enter kernels, and to start cores and wait for the last one.
    known
        Whether the library states constants for the products of a row, ``(rows, 1)``.
    known_other
        Whether it states them for its other work.
    """

    matrix: Value
    other: Value
    start: Value
    known: Value
    known_other: Value


def kernels_of(nests: Nests) -> list[str]:
    """Return the class of kernels that runs each nest; ``gemm`` for operators without their own."""
    return [KERNEL_OF.get(kind, "gemm") for kind in nests.kind]


def _by_row(values: Iterable[Value], table: OperatorTable, setting: Setting) -> Value:
    """Return numbers of rows or nests as one array, 0 for None."""
    return by_row([or_else(value, 0.0) for value in values], table.points, setting.xp)


def busy_clocks(table: OperatorTable, setting: Setting, engine: Microcontroller) -> Busy:
    """Return the clocks for which each row occupies the cores.

    Notes
    -----
    ``matrix = max(relative_clocks * (mac_clocks * macs + edge_tap_clocks * taps) * amdahl / clock,
    2 * macs / peak)``
        loops of CMSIS-NN, Lai et al., arXiv:1801.06601; docs/mcu.md

    ``vector = relative_clocks * operation_clocks * operations * amdahl / clock``
        runtime spec; docs/mcu.md

    ``memory = latency + bytes / bandwidth``
        word of the memory / its wait states
    """
    n, xp, nests = len(table.rows), setting.xp, table.nests
    known = np.zeros((n, 1), dtype=bool)
    matrix: Value = np.zeros((n, 1))
    if nests is not None and len(nests):
        names = kernels_of(nests)
        has_constants = [_constants(setting, name).mac_clocks is not None for name in names]
        if any(has_constants):
            clocks = _nests(table, nests, names, setting, engine) * unmasked(table, setting)
            matrix = RowSums(nests.row, n, xp)(clocks)
            known[nests.row[np.array(has_constants)]] = True
    kernels = [_kernel(setting, row.kind) for row in table.rows]
    each = [
        None if row.kind in MATRIX_KINDS else kernel.operation_clocks
        for row, kernel in zip(table.rows, kernels, strict=True)
    ]
    known_other = np.array([clocks is not None for clocks in each])[:, None]
    other = table.vector_ops * _by_row(each, table, setting) * relative_clocks(engine, "conv")
    start = _by_row((kernel.start_clocks for kernel in kernels), table, setting)
    fork = engine.fork_clocks * xp.clip(engine.units - 1.0, 0.0, 1.0)
    part = passing(table, setting, engine)
    return Busy(matrix * part, other * part, table.kernels * (start + fork), known, known_other)


def passing(table: OperatorTable, setting: Setting, engine: Microcontroller) -> Value:
    """Return the fraction of each row's clocks that remains on all cores (Amdahl's law)."""
    shares = [or_else(_kernel(setting, row.kind).parallel_share, 1.0) for row in table.rows]
    return amdahl(engine.units, by_row(shares, table.points, setting.xp))


def _kernel(setting: Setting, kind: str) -> MicrocontrollerKernel:
    """Return kernel constants of a row: by class of product, its own class, else elementwise."""
    if kind in KERNEL_OF:
        return _constants(setting, KERNEL_OF[kind])
    own = _constants(setting, kind)
    return _constants(setting, "elementwise") if own.operation_clocks is None else own


def _constants(setting: Setting, name: str) -> MicrocontrollerKernel:
    return setting.kernel(name, MicrocontrollerKernel)


def _nests(
    table: OperatorTable, nests: Nests, names: list[str], setting: Setting, engine: Microcontroller
) -> Value:
    """Return clocks of every nest on one core, ``(nests, points)``; 0 where nothing is stated."""

    def scaled(constant: Callable[[MicrocontrollerKernel], Value]) -> Value:
        each = (constant(_constants(setting, name)) for name in names)
        slower = (relative_clocks(engine, name) for name in names)
        return _by_row(
            (or_else(clocks, 0.0) * factor for clocks, factor in zip(each, slower, strict=True)),
            table,
            setting,
        )

    wide = scaled(lambda kernel: kernel.mac_clocks)
    narrow = scaled(lambda kernel: or_else(kernel.narrow_mac_clocks, kernel.mac_clocks))
    clocks = setting.xp.where(is_narrow(nests), narrow, wide) * nests.macs
    channels = nests.times * nests.groups * nests.batch * nests.out_channels
    clocks = clocks + scaled(lambda kernel: kernel.edge_tap_clocks) * channels * edge_taps(nests)
    slower = {
        "int16": engine.relative_int16,
        "fp16": engine.relative_fp16,
        "fp32": engine.relative_fp32,
    }
    return clocks * by_pair(
        table, nests.row, setting, lambda name, _: or_else(slower.get(name), 1.0)
    )


def is_narrow(nests: Nests) -> Value:
    """Return a mask of convolutions over fewer than four channels, ``(nests, points)``."""
    dense = np.array([kind in ("conv", "grouped") for kind in nests.kind])[:, None]
    return dense & (nests.in_channels < _WORD - 0.5)


def edge_taps(nests: Nests) -> Value:
    """Return taps, per channel and image, of windows that overlap the image's edge."""
    down, across = nest_edges(nests)
    windows = nests.out_rows * nests.out_columns - down.inside * across.inside
    return windows * nests.taps
