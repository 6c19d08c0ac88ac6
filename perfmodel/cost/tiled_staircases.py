"""Traffic of a table's loop nests by lookup in exact staircases, one per distinct shape.

Used where few distinct shapes occur over all points (one prediction, or a sweep over capacities);
`tiled_closed_forms` covers all other cases. Padding occupies buffer space but is never fetched, so
that the input of each step counts with its unpadded share.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.caches import cached
from perfmodel.cost.buffered_nests import EXTENTS, BufferedNests
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
    columns += [*buffered.element_bytes, buffered.unpadded_share]
    shapes_of: dict[int, DistinctShapes] = {}
    for i, fused in enumerate(buffered.fused):
        own = [column[i] for column in columns]
        shapes = None if fused else _distinct_shapes(own, buffered.points, limit)
        if shapes is not None:
            shapes_of[i] = shapes
    too_many = len({row for shapes in shapes_of.values() for row in shapes.rows}) > limit
    return {
        i: _look_up(shapes, buffered, i)
        for i, shapes in shapes_of.items()
        if not too_many or shapes.index is None
    }


def _distinct_shapes(columns: list[Value], points: int, limit: int) -> DistinctShapes | None:
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
    is_single = len(varying) == 1
    keys, axis = (table[:, varying[0]], None) if is_single else (table[:, varying], 0)
    _, first, index = np.unique(keys, axis=axis, return_index=True, return_inverse=True)
    if len(first) > limit:
        return None
    return DistinctShapes([tuple(row) for row in table[first].tolist()], np.reshape(index, -1))


def _look_up(shapes: DistinctShapes, buffered: BufferedNests, i: int) -> OperandTraffic:
    """Return the traffic of one group of nest i at all points, in bytes."""
    stride, dilation = buffered.nests.stride[i].tolist(), buffered.nests.dilation[i].tolist()

    def steps(row: tuple[float, ...]) -> _UnpaddedStaircase:
        conventions, partial = buffered.conventions, buffered.partial
        return _unpadded_staircase(row, tuple(stride), tuple(dilation), conventions, partial)

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


class _UnpaddedStaircase:
    """Staircase of the traffic without padding, with lookup of all operands at once.

    Padding occupies space in a tile but is never fetched. Among the tiles of at most a capacity the
    one with the least traffic without padding is used, so that more capacity never increases it.
    """

    __slots__ = ("_capacities", "_columns", "_edges", "_rows")

    def __init__(self, stairs: Staircase, unpadded_share: float) -> None:
        operands = stairs.operands._replace(input=stairs.operands.input * unpadded_share)
        total = operands.input + operands.weight + operands.output
        best = np.minimum.accumulate(total)
        steps = np.flatnonzero(np.append(True, best[1:] < best[:-1]))
        self._edges = stairs.capacity_bytes[steps]
        columns = np.stack(operands)[:, steps]
        self._columns = np.concatenate([np.full((len(columns), 1), np.inf), columns], axis=1)
        self._capacities: list[float] = self._edges.tolist()
        self._rows = [OperandTraffic(*column) for column in self._columns.T.tolist()]

    def __call__(self, capacity: Value) -> OperandTraffic:
        if not is_array(capacity) or not np.ndim(capacity):
            return self._rows[bisect_right(self._capacities, float(capacity))]
        return OperandTraffic(
            *self._columns[:, np.searchsorted(self._edges, capacity, side="right")]
        )


@cached()
def _unpadded_staircase(
    row: tuple[float, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    conventions: Conventions,
    partial: float,
) -> _UnpaddedStaircase:
    extents = {name: int(value) for name, value in zip(EXTENTS, row, strict=False)}
    nest = TileNest.with_steps(stride, dilation, **extents)
    input, weight, output, unpadded_share = row[len(EXTENTS) :]
    widths = Widths(input, weight, output, partial)
    return _UnpaddedStaircase(staircase(nest, widths, conventions), unpadded_share)
