"""Tiled traffic of the loop nests of a table: exact staircases, or closed forms over the points."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from perfmodel.arrays import Value, by_row, is_array
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled_forms import closed_forms, is_fused_attention
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import Staircase, staircase
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

_DIMS = (
    "batch", "out_channels", "in_channels", "out_rows", "out_columns", "kernel_rows",
    "kernel_columns",
)  # fmt: skip


#: Bytes of one group: input, weight, output, and partial sums that come back.
Four: TypeAlias = tuple[Value, Value, Value, Value]


@dataclass(slots=True)
class NestTraffic:
    """Bytes of each nest in one execution of its row, all groups; ``(nests, points)``."""

    input: Value
    weight: Value
    output: Value
    #: part of `output` that is read: partial sums coming back
    partial_reads: Value


def nest_traffic(
    table: OperatorTable, setting: Setting, rule: Conventions, capacity: Value, partial: float,
    stay: Value, shapes: int,
) -> NestTraffic:  # fmt: skip
    """Return the bytes of each nest across the boundary beyond `capacity`.

    Parameters
    ----------
    stay
        1 for each access that crosses, 0 for one that stays; ``None``: all cross.
    shapes
        Distinct shapes up to which staircases are used.
    """
    nests = table.nests
    assert nests is not None
    widths = operand_bytes(table, setting, stay)
    fused = is_fused_attention(table)
    exact = not setting.relaxed and setting.xp is np
    real = real_share(table, nests, setting)
    found: list[Four] = [(0.0, 0.0, 0.0, 0.0)] * len(nests)
    rest: list[int] = []
    strides = np.concatenate([nests.stride, nests.dilation], axis=1).tolist()
    columns = [getattr(nests, name) for name in _DIMS] + [widths[0], widths[1], widths[2], real]
    fixed = _fixed(columns) if exact else None
    chosen: list[_DistinctShapes | None] = [None] * len(nests)
    for i in range(len(nests)):
        if exact and not fused[i]:
            chosen[i] = (
                fixed[i] if fixed else _distinct([c[i] for c in columns], table.points, shapes)
            )
    # All or none: nests that vary take staircases only where those of all of them are few.
    used = {numbers for keys in chosen if keys is not None for numbers in keys.numbers}
    many = len(used) > shapes
    for i, keys in enumerate(chosen):
        if keys is None or (many and keys.index is not None):
            rest.append(i)
        else:
            found[i] = _looked_up(keys, tuple(strides[i]), rule, capacity, partial)
    if rest:
        closed = closed_forms(table, setting, rule, capacity, partial, widths, real, rest)
        for i, parts in closed.items():
            found[i] = parts
    scale = nests.groups * nests.times
    stacked = (
        by_row([parts[part] for parts in found], table.points, setting.xp) * scale
        for part in range(4)
    )
    return NestTraffic(*stacked)


def operand_bytes(table: OperatorTable, setting: Setting, stay: Value) -> Value:
    """Return bytes of an element of each operand, ``(3, nests, points or 1)``; 0: it stays."""
    from perfmodel.cost.residency import slot_bytes

    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    each = slot_bytes(access.slots, table.points, setting)
    if stay is not None:
        each = each * stay
    xp = setting.xp
    padded = xp.concatenate([each, xp.zeros((1, each.shape[1]))])
    return xp.stack([padded[nests.access[:, k]] for k in range(3)])


def real_share(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return the share of each nest's input that is real: padding is never fetched."""
    access = table.accesses
    assert access is not None
    xp = setting.xp
    span = 1.0
    for side, axis in (("rows", 0), ("columns", 1)):
        taps = (getattr(nests, f"kernel_{side}") - 1.0) * nests.dilation[:, axis : axis + 1] + 1.0
        step = xp.minimum(nests.stride[:, axis : axis + 1], taps)
        span = span * (step * (getattr(nests, f"out_{side}") - 1.0) + taps)
    model = nests.times * nests.groups * nests.batch * nests.in_channels * span
    at = nests.access[:, 0]
    held = xp.where((at >= 0)[:, None], access.elements[at], model)
    return xp.minimum(1.0, held / model)


@dataclass(slots=True)
class _DistinctShapes:
    """Distinct shapes of one nest over the points, and which point has which."""

    numbers: list[tuple[float, ...]]
    index: Any


def _fixed(columns: list[Any]) -> list[_DistinctShapes | None] | None:
    """Return the one shape of every nest where no column varies; None for one that is not whole."""
    if any(c.shape[1] > 1 for c in columns):
        return None
    table = np.concatenate(columns, axis=1)
    whole = (table[:, : len(_DIMS)] == np.floor(table[:, : len(_DIMS)])).all(axis=1).tolist()
    return [
        _DistinctShapes([tuple(row)], None) if good else None
        for row, good in zip(table.tolist(), whole, strict=True)
    ]


def _distinct(columns: list[Any], points: int, shapes: int) -> _DistinctShapes | None:
    """Return the distinct rows of columns; None where too many, or dimensions are not whole."""
    dims = len(_DIMS)
    if all(len(c) == 1 for c in columns):
        row = tuple(c.item() for c in columns)
        return _DistinctShapes([row], None) if all(d == int(d) for d in row[:dims]) else None
    table = np.stack([np.broadcast_to(c, (points,)) for c in columns], axis=1)
    if not np.array_equal(table[:, :dims], np.floor(table[:, :dims])):
        return None
    varying = np.flatnonzero(np.ptp(table, axis=0) > 0)
    if not len(varying):
        return _DistinctShapes([tuple(table[0].tolist())], None)
    one = len(varying) == 1
    rows = table[:, varying[0]] if one else table[:, varying]
    _, first, index = np.unique(
        rows, axis=None if one else 0, return_index=True, return_inverse=True
    )
    if len(first) > shapes:
        return None
    return _DistinctShapes([tuple(table[f].tolist()) for f in first], np.reshape(index, -1))


def _looked_up(
    keys: _DistinctShapes,
    strides: tuple[int, ...],
    rule: Conventions,
    capacity: Value,
    partial: float,
) -> Four:
    if keys.index is None:
        return _steps(keys.numbers[0], strides, rule, partial)(capacity)
    size = np.broadcast_to(np.asarray(capacity, dtype=float), keys.index.shape)
    out = np.empty((4, len(keys.index)))
    order = np.argsort(keys.index, kind="stable")
    ends = np.cumsum(np.bincount(keys.index, minlength=len(keys.numbers)))
    start = 0
    for at, end in enumerate(ends.tolist()):
        members = order[start:end]
        out[:, members] = np.stack(_steps(keys.numbers[at], strides, rule, partial)(size[members]))
        start = end
    return out[0], out[1], out[2], out[3]


class _Steps:
    """A staircase whose input counts only what is real, for look-ups of all parts at once.

    Padding has a place in a tile and is never fetched. Of the tiles at or below a capacity the one
    with the least real traffic is taken, so that more capacity never adds any.
    """

    __slots__ = ("_capacities", "_columns", "_edges", "_rows")

    def __init__(self, steps: Staircase, real: float) -> None:
        parts = np.stack(
            [steps.input_bytes * real, steps.weight_bytes, steps.output_bytes,
             steps.partial_read_bytes]
        )  # fmt: skip
        total = parts[:3].sum(axis=0)
        best = np.minimum.accumulate(total)
        lower = np.flatnonzero(np.r_[True, best[1:] < best[:-1]])
        self._edges = steps.capacity_bytes[lower]
        self._columns = np.concatenate([np.full((4, 1), np.inf), parts[:, lower]], axis=1)
        self._capacities: list[float] = self._edges.tolist()
        self._rows: list[Four] = [tuple(column) for column in self._columns.T.tolist()]

    def __call__(self, capacity: Value) -> Four:
        if not is_array(capacity) or not np.ndim(capacity):
            return self._rows[bisect_right(self._capacities, float(capacity))]
        found = self._columns[:, np.searchsorted(self._edges, capacity, side="right")]
        return found[0], found[1], found[2], found[3]


@lru_cache(maxsize=4096)
def _steps(
    numbers: tuple[float, ...], strides: tuple[int, ...], rule: Conventions, partial: float
) -> _Steps:
    dims = {name: int(value) for name, value in zip(_DIMS, numbers, strict=False)}
    x, w, y, real = numbers[len(_DIMS) :]
    row_stride, column_stride, row_dilation, column_dilation = strides
    nest = TileNest(
        **dims, row_stride=row_stride, column_stride=column_stride, row_dilation=row_dilation,
        column_dilation=column_dilation,
    )  # fmt: skip
    return _Steps(staircase(nest, Widths(x, w, y, partial), rule), real)
