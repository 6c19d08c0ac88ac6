"""Bytes across the cache levels of CPU cores: activations, warm weights, shared by threads.

Activations are placed as in `perfmodel.cost.residency`. Weights of a warm run are read from the
nearest cache that holds the network; at the capacity of a shared cache the transition is a ramp,
not a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.operand_bytes import access_bytes, footprint_bytes, sum_by_row
from perfmodel.cost.residency import crossing, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.kinds.rates import bandwidth
from perfmodel.workload.operator_table import WEIGHT, OperatorTable


@dataclass(slots=True)
class Streams:
    """Bytes of each row, ``(rows, points)``.

    Attributes
    ----------
    traffic
        Level -> bytes across its boundary, weights included.
    charged
        Level -> bytes charged to its bandwidth: weights from the last level are excluded, those
        that it passes on from farther levels included.
    weights
        Bytes of weights that a row reads.
    missed
        Share of them read from the memory that stores them.
    """

    traffic: dict[str, Value]
    charged: dict[str, Value]
    weights: Value
    missed: Value


def level_bandwidth(setting: Setting, level: str) -> Value:
    """Return bytes per second that all threads together draw from a level.

    Each thread draws the bandwidth of one core, until together they saturate the level.
    """
    rate = bandwidth(setting, level)
    per_unit = setting.memory(level).unit_bandwidth
    if per_unit is None or setting.bare:
        return rate
    return setting.xp.minimum(rate, per_unit * setting.engine.units)


def cache_miss_share(setting: Setting, level: str, everything: Value) -> Value:
    """Return the share of a repeatedly read working set that misses a cache.

    A step at its usable capacity or, if it states a ramp,
    ``clip((bytes - start) / (end - start), 0, 1)``.

    Notes
    -----
    ``cold_weights = missed * max(bytes / rate - rest, (1 - hidden) * bytes / rate)``
        measured: cold weights add to arithmetic, docs/cpu.md

    ``launch = kernels * (overhead + lines * latency)``
        runtime or device spec; docs/cpu.md
    """
    start, end = setting.memory(level).ramp_start, setting.memory(level).ramp_end
    if start is None or end is None:
        return 1.0 * (everything > usable_capacity(setting, level))
    xp = setting.xp
    return xp.clip((everything - start) / xp.maximum(end - start, 1.0), 0.0, 1.0)


def streams(table: OperatorTable, setting: Setting) -> Streams:
    """Return the bytes that cross each level."""
    access = table.accesses
    assert access is not None
    accessed = access_bytes(table, setting)
    weight = (access.tensor == WEIGHT)[:, None]
    others, weights = accessed * ~weight, accessed * weight
    xp = setting.xp
    everything = footprint_bytes(table, setting) if setting.warm else xp.asarray(np.inf)
    everything = xp.reshape(xp.asarray(everything, dtype=float), (1, -1))
    main, store = setting.main_memory, setting.weights_memory
    traffic: dict[str, Value] = {}
    charged: dict[str, Value] = {}
    kept_away: Value = 1.0
    crossing_share: Value = 1.0
    all_weights = sum_by_row(weights, table, setting)
    for level in setting.levels:
        through = sum_by_row(others * crossing_share, table, setting)
        passing = all_weights * kept_away
        if level == main:
            traffic[level] = charged[level] = through
            traffic[store] = traffic.get(store, 0.0) + passing
        elif setting.has_memory(level):
            # Misses of nearer levels pass through this one, from any source.
            traffic[level] = charged[level] = through + passing
        if level != main:
            crossing_share = crossing_share * crossing(
                table, setting, usable_capacity(setting, level)
            )
            kept_away = kept_away * cache_miss_share(setting, level, everything)
    return Streams(traffic, charged, all_weights, kept_away)
