"""What no schedule is faster than."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perfmodel_studies.contest.instance import MATMUL, Instance
from perfmodel_studies.contest.operands import operand_bound, reaches, read_outside
from perfmodel_studies.contest.structure import DEPTH, TILE, Structure

__all__ = ["cover_prices", "group_floor", "physical_bound"]


def physical_bound(instance: Instance) -> float:
    """Return the largest of: all compute at native tiles, and two counts of transfers.

    Each operation runs at least once on each of its native tiles. Each input of the graph that is
    read moves in at least once, each output moves out once. A tensor that is made by a pointwise
    operation in strips wider than the native tile for a product that reads it, and that is too
    large to be retained, is written and read. A product whose result no other product can take over
    inside a subgraph is summed tile by tile; where its sums are longer than the native depth, two
    slices follow each other and nothing stays: its left operand is read once for each column of
    native tiles and its right one once for each row, unless it fits in fast memory as a whole. The
    other count is `operand_bound`.
    """
    busy = 0.0
    for op in instance.operations:
        busy += op.base_cost * math.prod(instance.native_tiles(op.outputs[0]))
    elements_moved = sum(instance.elements(t) for t in instance.graph_outputs)
    for tensor, producer in enumerate(instance.producer):
        size = instance.elements(tensor)
        readers = [i for i in instance.consumers[tensor] if read_outside(instance, tensor, i)]
        if not readers or (producer >= 0 and size < instance.capacity):
            continue
        times = max(_times(instance, tensor, i) for i in readers) if size > instance.capacity else 1
        elements_moved += size * (times + (producer >= 0))
    return max(
        busy, elements_moved / instance.bandwidth, operand_bound(instance) / instance.bandwidth
    )


def _times(instance: Instance, tensor: int, reader: int) -> int:
    """How often, at least, a reader that is outside reads a tensor too large to stay."""
    op = instance.operations[reader]
    if op.kind != MATMUL or instance.depth(reader) <= instance.native_depth:
        return 1
    out = op.outputs[0]
    handed_on = any(instance.operations[j].kind == MATMUL for j in instance.consumers[out])
    if handed_on or reaches(instance, reader):
        return 1
    tiles = instance.native_tiles(out)
    return max(n for t, n in zip(op.inputs, tiles, strict=True) if t == tensor)


def group_floor(instance: Instance, structure: Structure, retainable: frozenset[int]) -> float:
    """Return what no way to run a subgraph is faster than, whatever the capacity.

    The larger of its compute in native tiles and of its transfers: regions that are loaded at least
    once, those that follow the steps of a sum longer than the native depth once for each tile along
    the other axis, and outputs. Tensors that could be retained move nothing.
    """
    rows, columns = (
        _count(structure.height, instance.native_height),
        _count(structure.width, instance.native_width),
    )
    busy = 0.0
    for run in structure.executions:
        op, d = instance.operations[run.operation], run.demand
        out = op.outputs[0]
        high = d.depth if d.rows == DEPTH else instance.heights[out]
        wide = d.depth if d.columns == DEPTH else instance.widths[out]
        passes = 1 if d.rows == TILE else _count(high, instance.native_height)
        passes *= 1 if d.columns == TILE else _count(wide, instance.native_width)
        busy += op.base_cost * passes * rows * columns
    times: dict[int, list[int]] = {}
    for region in structure.slices:
        if region.tensor not in retainable:
            d = region.demand
            again = 1
            if d.depth > instance.native_depth:
                again = (1 if d.rows == TILE else rows) * (1 if d.columns == TILE else columns)
            times.setdefault(region.tensor, []).append(again)
    elements_moved = sum(
        instance.elements(t) * (again[0] if len(again) == 1 else 1) for t, again in times.items()
    )
    elements_moved += sum(instance.elements(t) for t in structure.outputs if t not in retainable)
    return max(busy, elements_moved / instance.bandwidth)


def _count(extent: int, native: int) -> int:
    return -(-extent // native)


def cover_prices(
    operations: int, masks: Sequence[int], latencies: Sequence[float]
) -> NDArray[np.float64]:
    """Share the cost of covering the operations out among them.

    Every operation gets a price so that no group costs less than the prices of its operations
    (a feasible solution of the dual of the covering programme). A schedule runs each operation at
    least once, so the prices of those still to run bound what is left to pay.

    Parameters
    ----------
    masks, latencies
        Every group that may be used, bits of its operations, and what it costs at least.

    Returns
    -------
    array of `operations` prices
    """
    member: NDArray[np.bool_] = np.array(
        [[m >> i & 1 for i in range(operations)] for m in masks], dtype=np.bool_
    ).reshape(len(masks), operations)
    cost: NDArray[np.float64] = np.array(latencies, dtype=np.float64)
    single_prices: NDArray[np.float64] = np.full(operations, np.inf)
    for i in range(operations):
        single_prices[i] = cost[member[:, i]].min(initial=np.inf)
    if not np.isfinite(single_prices).all():
        return np.zeros(operations)
    weight: NDArray[np.float64] = np.where(single_prices > 0, single_prices, 1.0)
    share: NDArray[np.float64] = cost / (member @ weight)
    price: NDArray[np.float64] = np.zeros(operations)
    for i in range(operations):
        price[i] = weight[i] * share[member[:, i]].min()
    slack: NDArray[np.float64] = cost - member @ price
    for i in np.argsort(
        -single_prices
    ):  # then raise one after the other as far as every group allows
        room = slack[member[:, i]].min()
        if room > 0:
            price[i] += room
            slack = slack - member[:, i] * room
    return price * (1 - 1e-12)
