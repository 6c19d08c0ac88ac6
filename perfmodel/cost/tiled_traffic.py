"""Tiled traffic of all rows of an operator table across the boundary of a scratchpad.

The operands of every loop nest cross the boundary as often as the nest's best tile requires
(`perfmodel.cost.traffic`); data outside nests (bias, residual input) crosses once:

    bytes of a row = sum over its nests of (input + weight + output) + bytes outside nests

Up to `SHAPES` distinct shapes are looked up in one exact staircase per shape; with more shapes, as
in large sweeps, the traffic follows from closed forms over all points at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value, by_row, is_array
from perfmodel.cost.buffered_nests import BufferedNests
from perfmodel.cost.nest_row_sums import RowSums, network_bytes, outside_nests
from perfmodel.cost.operand_bytes import access_bytes, sum_by_row
from perfmodel.cost.residency import crossing, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled_closed_forms import closed_forms
from perfmodel.cost.tiled_staircases import staircases
from perfmodel.cost.traffic.nest import Conventions
from perfmodel.cost.traffic.stationarity import OperandTraffic
from perfmodel.workload.operator_table import WEIGHT, OperatorTable

#: Maximum number of distinct shapes for exact staircases; beyond, closed forms are used.
SHAPES = 1000


@dataclass(slots=True)
class Tiled:
    """Traffic between a scratchpad and the memories outside it.

    Attributes
    ----------
    traffic
        Level -> bytes of each row, ``(rows, points)``: main memory, and the memory that stores the
        weights if it is a different one.
    nests
        Bytes of each nest by operand in one execution of its row, all groups; ``(nests, points)``.
    model
        Name of the traffic model with its conventions.
    """

    traffic: dict[str, Value]
    nests: OperandTraffic
    model: str


def tiled_traffic(
    table: OperatorTable,
    setting: Setting,
    conventions: Conventions | None = None,
    *,
    partial: float = 4.0,
    keep: Value = 0.0,
    capacity: Value = None,
) -> Tiled:
    """Return the traffic of each row between the last on-chip memory and the memories beyond it.

    Parameters
    ----------
    conventions
        Constraints on tiles; by default double-buffered, halo refetched, even.
    partial
        Bytes of a partial sum.
    keep
        Share of the scratchpad reserved for activations from the row that produces them to the
        rows that read them; tiles use the remainder. 0 for layer by layer. With a positive share
        the better of both is used, over the whole network.
    capacity
        Bytes of the scratchpad; by default the usable bytes of the level next to main memory.

    Returns
    -------
    Tiled
        Infinite traffic where the smallest tile does not fit.

    Notes
    -----
    More capacity never increases traffic: both variants are monotone, and so is their minimum.
    """
    rule = conventions or Conventions()
    size = usable_capacity(setting, setting.levels[-2]) if capacity is None else capacity
    layerwise = _layerwise(table, setting, rule, size, partial, None)
    if not is_array(keep) and keep == 0.0:
        return layerwise
    crosses = crossing(table, setting, size * keep)
    resident = _layerwise(table, setting, rule, size * (1.0 - keep), partial, crosses)
    is_better = setting.resident
    if is_better is None:
        is_better = network_bytes(table, resident.traffic) < network_bytes(table, layerwise.traffic)

    def better(with_residents: Value, without: Value) -> Value:
        return setting.xp.where(is_better, with_residents, without)

    return Tiled(
        {level: better(resident.traffic[level], b) for level, b in layerwise.traffic.items()},
        OperandTraffic(*map(better, resident.nests, layerwise.nests)),
        layerwise.model.replace("layer by layer", "activations may stay"),
    )


def nest_traffic(buffered: BufferedNests) -> OperandTraffic:
    """Return the bytes of each nest in one execution of its row; ``(nests, points)``."""
    by_nest = staircases(buffered, SHAPES)
    by_nest |= closed_forms(buffered, [i for i in range(len(buffered.nests)) if i not in by_nest])
    operands = zip(*(by_nest[i] for i in range(len(by_nest))), strict=True)
    scale, xp = buffered.nests.groups * buffered.nests.times, buffered.setting.xp
    return OperandTraffic(*(by_row(part, buffered.points, xp) * scale for part in operands))


def _layerwise(
    table: OperatorTable,
    setting: Setting,
    rule: Conventions,
    capacity: Value,
    partial: float,
    crosses: Value,
) -> Tiled:
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    xp = setting.xp
    accessed = access_bytes(table, setting)
    if crosses is not None:
        accessed = accessed * crosses
    operands = nest_traffic(BufferedNests.of(table, setting, rule, capacity, partial, crosses))
    rows = RowSums(nests.row, len(table.rows), xp)
    main, weights_memory = setting.levels[-1], setting.weights_memory
    # Data outside nests crosses once.
    accessed = accessed * outside_nests(table)
    traffic = {main: sum_by_row(accessed, table, setting)}
    weights = operands.weight
    if weights_memory != main:
        weight_of = access.tensor == WEIGHT
        own = sum_by_row(accessed * weight_of[:, None], table, setting)
        is_weight = np.where(nests.access[:, 1] >= 0, weight_of[nests.access[:, 1]], False)
        stored = xp.where(is_weight[:, None], operands.weight, 0.0)
        traffic = {main: traffic[main] - own, weights_memory: own + rows(stored)}
        weights = xp.where(is_weight[:, None], 0.0, operands.weight)
    traffic[main] = traffic[main] + rows(operands.input + weights + operands.output)
    return Tiled(traffic, operands, f"tiled, layer by layer; {rule}")
