"""Exact staircases for the loop nests of a table with few distinct shapes."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.caches import cached
from perfmodel.cost.tiled_nests import EXTENTS, BufferedNests
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import Staircase, staircase
from perfmodel.cost.traffic.stationarity import OperandTraffic


@dataclass(slots=True)
class DistinctShapes:
    """Distinct shapes of one nest over the points.

    Attributes
    ----------
    rows
        Extents (`EXTENTS`), bytes per element of each operand, and the unpadded share of the input.
    index
        Index of the shape of each point; ``None`` if there is only one shape.
    """

    rows: list[tuple[float, ...]]
    index: Any


def staircases(buffered: BufferedNests, limit: int) -> dict[int, OperandTraffic]:
    """Return the traffic of one group of each nest that staircases can handle, in bytes.

    Excluded are nests of fused attention, fractional extents, and tracers. Nests whose shape varies
    over the points use staircases only if they have at most `limit` distinct shapes in total.
    """
    if buffered.setting.relaxed or buffered.setting.xp is not np:
        return {}
    columns = [getattr(buffered.nests, name) for name in EXTENTS]
    columns += [*buffered.element_bytes, buffered.real_share]
    shapes: dict[int, DistinctShapes] = {}
    for i, fused in enumerate(buffered.fused):
        own = [column[i] for column in columns]
        distinct = None if fused else _distinct(own, buffered.points, limit)
        if distinct is not None:
            shapes[i] = distinct
    many = len({row for distinct in shapes.values() for row in distinct.rows}) > limit
    return {
        i: _looked_up(distinct, buffered, i)
        for i, distinct in shapes.items()
        if not many or distinct.index is None
    }


def _distinct(columns: list[Value], points: int, limit: int) -> DistinctShapes | None:
    """Return the distinct rows of columns; ``None`` for too many rows or fractional extents."""
    if all(len(column) == 1 for column in columns):
        row = tuple(column.item() for column in columns)
        extents = row[: len(EXTENTS)]
        return DistinctShapes([row], None) if all(e == int(e) for e in extents) else None
    table = np.stack([np.broadcast_to(column, (points,)) for column in columns], axis=1)
    if not np.array_equal(table[:, : len(EXTENTS)], np.floor(table[:, : len(EXTENTS)])):
        return None
    varying = np.flatnonzero(np.ptp(table, axis=0) > 0)
    if not len(varying):
        return DistinctShapes([tuple(table[0].tolist())], None)
    single = len(varying) == 1
    keys, axis = (table[:, varying[0]], None) if single else (table[:, varying], 0)
    _, first, index = np.unique(keys, axis=axis, return_index=True, return_inverse=True)
    if len(first) > limit:
        return None
    return DistinctShapes([tuple(row) for row in table[first].tolist()], np.reshape(index, -1))


def _looked_up(shapes: DistinctShapes, buffered: BufferedNests, i: int) -> OperandTraffic:
    stride, dilation = buffered.nests.stride[i].tolist(), buffered.nests.dilation[i].tolist()

    def steps(row: tuple[float, ...]) -> _RealSteps:
        conventions, partial = buffered.conventions, buffered.partial
        return _real_steps(row, tuple(stride), tuple(dilation), conventions, partial)

    if shapes.index is None:
        return steps(shapes.rows[0])(buffered.capacity)
    capacity = np.broadcast_to(np.asarray(buffered.capacity, dtype=float), shapes.index.shape)
    out = np.empty((4, len(shapes.index)))
    order = np.argsort(shapes.index, kind="stable")
    ends = np.cumsum(np.bincount(shapes.index, minlength=len(shapes.rows)))
    start = 0
    for row, end in zip(shapes.rows, ends.tolist(), strict=True):
        points = order[start:end]
        out[:, points] = np.stack(steps(row)(capacity[points]))
        start = end
    return OperandTraffic(*out)


class _RealSteps:
    """Staircase of the traffic without padding, with lookup of all operands at once.

    Padding occupies space in a tile but is never fetched. Among the tiles of at most a capacity the
    one with the least traffic without padding is used, so that more capacity never increases it.
    """

    __slots__ = ("_capacities", "_columns", "_edges", "_rows")

    def __init__(self, stairs: Staircase, real: float) -> None:
        parts = np.stack(stairs.operands)
        parts[0] *= real
        best = np.minimum.accumulate(parts[:3].sum(axis=0))
        lower = np.flatnonzero(np.append(True, best[1:] < best[:-1]))
        self._edges = stairs.capacity_bytes[lower]
        self._columns = np.concatenate([np.full((4, 1), np.inf), parts[:, lower]], axis=1)
        self._capacities: list[float] = self._edges.tolist()
        self._rows = [OperandTraffic(*column) for column in self._columns.T.tolist()]

    def __call__(self, capacity: Value) -> OperandTraffic:
        if not is_array(capacity) or not np.ndim(capacity):
            return self._rows[bisect_right(self._capacities, float(capacity))]
        return OperandTraffic(
            *self._columns[:, np.searchsorted(self._edges, capacity, side="right")]
        )


@cached()
def _real_steps(
    row: tuple[float, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    conventions: Conventions,
    partial: float,
) -> _RealSteps:
    extents = {name: int(value) for name, value in zip(EXTENTS, row, strict=False)}
    nest = TileNest.with_steps(stride, dilation, **extents)
    input, weight, output, real = row[len(EXTENTS) :]
    widths = Widths(input, weight, output, partial)
    return _RealSteps(staircase(nest, widths, conventions), real)
