"""Rows of a table that are matrix products: dense, batched, grouped, convolutions as products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.tensor_core.gemm import GemmConstants, GemmTimes, Processor, gemm_times
from perfmodel.kinds.tensor_core.kernels import KernelRows, constants_of, processor
from perfmodel.kinds.tensor_core.tiles import GROUPED_TILES, SPLITS, TILES
from perfmodel.workload.lower import OperatorTable

__all__ = ["CLASSES", "product_rows"]

#: Classes of rows that go through the routine of products.
CLASSES = ("gemm", "conv", "grouped", "moe")


def product_rows(table: OperatorTable, setting: Setting, base: Terms) -> Iterator[KernelRows]:
    """Yield the times of products for which the runtime states constants.

    A convolution goes as its implicit product: M positions of all images, N filters of a group, K
    taps times channels. Experts are groups, as many as the tokens touch, that share the tokens.
    """
    nests = table.nests
    assert nests is not None
    alone = np.bincount(nests.row, minlength=len(table.rows)) == 1
    by_kind: dict[tuple[str, tuple[str, str]], list[int]] = {}
    for i, (row, kind) in enumerate(zip(nests.row.tolist(), nests.kind, strict=True)):
        if kind in CLASSES and alone[row]:
            pair = table.rows[int(row)].pair
            by_kind.setdefault((kind, pair), []).append(i)
    for (kind, pair), chosen in by_kind.items():
        machine, executed = processor(setting, pair)
        stored = setting.precision.format_of(pair[0]).name
        values = constants_of(setting, kind, (stored, executed))
        if values:
            yield _rows(table, setting, base, np.array(chosen), kind, machine, values)


def _rows(
    table: OperatorTable, setting: Setting, base: Terms, at: Any, kind: str, machine: Processor,
    values: dict[str, Value],
) -> KernelRows:  # fmt: skip
    nests = table.nests
    assert nests is not None
    xp = setting.xp
    rows = nests.row[at]
    moved = base.traffic[setting.levels[-1]]
    m = (nests.batch * nests.out_rows * nests.out_columns)[at]
    k = (nests.in_channels * nests.kernel_rows * nests.kernel_columns)[at]
    groups = (nests.groups * nests.times)[at]
    inputs: dict[str, Value] = {
        "m": m, "n": nests.out_channels[at], "k": k, "groups": groups, "moved_bytes": moved[rows],
        "left_bytes": _bytes(nests.slots, at, 0, table, setting),
        "right_bytes": _bytes(nests.slots, at, 1, table, setting),
    }  # fmt: skip
    constants = GemmConstants.of(values)
    tiles = GROUPED_TILES if kind == "moe" else TILES
    splits = (1,) if kind == "moe" else SPLITS
    found = _distinct_times(inputs, machine, constants, tiles, splits, setting)
    top = xp.maximum(xp.maximum(found.matrix_s, found.dram_s), found.l2_s)
    launch = constants.launch + constants.per_group * groups
    choice = np.asarray(found.choice)[:, :1] if xp is np else None
    detail = None
    if choice is not None:
        detail = {
            "tile_rows": np.array([t[0] for t in tiles], dtype=float)[choice // len(splits)],
            "tile_columns": np.array([t[1] for t in tiles], dtype=float)[choice // len(splits)],
            "split_sums": np.array(splits, dtype=float)[choice % len(splits)],
        }
    zero = 0.0 * found.matrix_s
    return KernelRows(
        rows, found.matrix_s, found.dram_s, found.l2_s, launch + zero,
        found.joined_s - top + found.split_s, found.l2_bytes,
        constants.host_floor + zero, detail,
    )  # fmt: skip


def _bytes(
    slots: tuple[tuple[str, str, str], ...], at: Any, which: int, table: OperatorTable,
    setting: Setting,
) -> Value:  # fmt: skip
    """Return the bytes of an element of an operand of each product."""
    names = tuple(slots[int(i)][which] for i in at)
    if len(set(names)) == 1:
        return slot_bytes(names[:1], table.points, setting)
    return slot_bytes(names, table.points, setting)


def _distinct_times(
    inputs: dict[str, Value], machine: Processor, constants: GemmConstants, tiles: Any,
    splits: Any, setting: Setting,
) -> GemmTimes:  # fmt: skip
    """Return the times of products, each distinct point computed once.

    A sweep over batch and context has as many distinct products as batches.
    """
    run: dict[str, Any] = {
        "constants": constants,
        "tiles": tiles,
        "splits": splits,
        "relaxed": setting.relaxed,
    }
    parts = {name: getattr(machine, name) for name in Processor.__dataclass_fields__}
    arrays = [v for v in (*inputs.values(), *parts.values()) if np.ndim(v) and np.shape(v)[-1] > 1]
    points = max((np.shape(v)[-1] for v in arrays), default=1)
    traced = setting.xp is not np or any(is_array(v) for v in vars_of(constants))
    if points < _FEW or traced:
        return gemm_times(**inputs, machine=machine, **run)
    stacked = np.concatenate([np.reshape(v, (-1, points)) for v in arrays])
    # One number a point; that equal numbers are equal points is checked below.
    weights = np.random.default_rng(0).uniform(0.5, 1.5, len(stacked)) / stacked.max(axis=1)
    _, first, back = np.unique(weights @ stacked, return_index=True, return_inverse=True)
    if not np.array_equal(stacked[:, first][:, back], stacked):
        first = back = np.arange(points)

    def cut(value: Value, some: Any) -> Value:
        return value[..., some] if np.ndim(value) and np.shape(value)[-1] == points else value

    pieces = [
        gemm_times(
            **{name: cut(v, some) for name, v in inputs.items()},
            machine=Processor(**{name: cut(v, some) for name, v in parts.items()}), **run,
        )
        for some in np.array_split(first, max(1, len(first) // _PIECE))
    ]  # fmt: skip
    joined = (np.concatenate(part, axis=-1) for part in zip(*pieces, strict=True))
    return GemmTimes(*(part[..., back] for part in joined))


#: Points from which on equal ones are looked for.
_FEW = 64
#: Points computed at once: the candidates of a few rows stay within the caches.
_PIECE = 32


def vars_of(constants: GemmConstants) -> tuple[Value, ...]:
    """Return the constants' values."""
    return tuple(getattr(constants, name) for name in GemmConstants.__dataclass_fields__)
