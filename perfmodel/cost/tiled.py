"""Tiled traffic of the rows of a table: what a scratchpad of some capacity lets through.

Every loop nest crosses the boundary beyond the scratchpad as often as its best tile needs; what a
row touches outside its nests (bias, residual input) crosses once. Networks of up to `SHAPES`
distinct shapes use exact staircases, one a shape; more, closed forms over the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.nests import RowSums, network_bytes, outside
from perfmodel.cost.residency import access_bytes, crossing, sum_by_row, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled_nests import NestTraffic, nest_traffic
from perfmodel.cost.traffic.nest import Conventions
from perfmodel.workload.lower import WEIGHT, OperatorTable

#: Distinct shapes of a prediction that get a staircase each; beyond, closed forms.
SHAPES = 1000


@dataclass(slots=True)
class Tiled:
    """Traffic beyond a scratchpad.

    Attributes
    ----------
    traffic
        Level -> bytes of each row, ``(rows, points)``: main memory, and the memory that stores the
        weights where that is another.
    nests
        Bytes of each nest by operand.
    model
        How it was found, with its conventions.
    """

    traffic: dict[str, Value]
    nests: NestTraffic
    model: str


def tiled_traffic(
    table: OperatorTable, setting: Setting, conventions: Conventions | None = None, *,
    partial: float = 4.0, keep: Value = 0.0, capacity: Value = None,
) -> Tiled:  # fmt: skip
    """Return the bytes that each row moves between the last on-chip memory and what is beyond.

    Parameters
    ----------
    conventions
        What a tile may do; double-buffered, halo refetched, even by default.
    partial
        Bytes of an output element while it is summed up.
    keep
        Share of the scratchpad that activations may keep from the row that makes them to those
        that read them; tiles have the rest. 0: layer by layer. With a share the better of both is
        taken, over the whole network.
    capacity
        Bytes of the scratchpad; by default what is usable of the level before main memory.

    Returns
    -------
    Tiled
        Infinite where not even the smallest tile fits.

    Notes
    -----
    More capacity never adds traffic: both ways are monotone, and so is their minimum.
    """
    rule = conventions or Conventions()
    size = usable_capacity(setting, setting.levels[-2]) if capacity is None else capacity
    alone = _layerwise(table, setting, rule, size, partial, None)
    if not is_array(keep) and keep == 0.0:
        return alone
    stay = crossing(table, setting, size * keep)
    kept = _layerwise(table, setting, rule, size * (1.0 - keep), partial, stay)
    xp = setting.xp
    better = setting.stays
    if better is None:
        better = network_bytes(table, kept.traffic) < network_bytes(table, alone.traffic)

    def pick(left: Value, right: Value) -> Value:
        return xp.where(better, left, right)

    mixed = NestTraffic(
        *(pick(getattr(kept.nests, f), getattr(alone.nests, f)) for f in NestTraffic.__slots__)
    )
    traffic = {level: pick(kept.traffic[level], moved) for level, moved in alone.traffic.items()}
    return Tiled(traffic, mixed, alone.model.replace("layer by layer", "activations may stay"))


def _layerwise(
    table: OperatorTable, setting: Setting, rule: Conventions, capacity: Value, partial: float,
    stay: Value,
) -> Tiled:  # fmt: skip
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    xp = setting.xp
    moved = access_bytes(table, setting)
    if stay is not None:
        moved = moved * stay
    found = nest_traffic(table, setting, rule, capacity, partial, stay, SHAPES)
    # What no nest accounts for crosses once.
    apart = outside(table)
    by_row = sum_by_row(moved * apart, table, setting)
    rows = RowSums(nests.row, len(table.rows), xp)
    weight_of = access.tensor == WEIGHT
    stored_apart = setting.weights_memory != setting.levels[-1]
    traffic = {setting.levels[-1]: by_row}
    weights = found.weight
    if stored_apart:
        own = sum_by_row(moved * apart * weight_of[:, None], table, setting)
        is_weight = np.where(nests.access[:, 1] >= 0, weight_of[nests.access[:, 1]], False)
        mask = is_weight[:, None]
        stored = xp.where(mask, found.weight, 0.0)
        traffic = {
            setting.levels[-1]: by_row - own,
            setting.weights_memory: own + rows(stored),
        }
        weights = xp.where(mask, 0.0, found.weight)
    main = found.input + weights + found.output
    traffic[setting.levels[-1]] = traffic[setting.levels[-1]] + rows(main)
    return Tiled(traffic, found, f"tiled, layer by layer; {rule}")
