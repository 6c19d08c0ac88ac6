"""Bytes across the levels of a core's caches: activations, weights that a run finds warm, threads.

Activations live where `perfmodel.cost.residency` has them. Weights of a warm run are found in the
nearest cache that holds the network; at the edge of a shared cache that is no step but a ramp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import (
    access_bytes,
    crossing,
    footprint_bytes,
    sum_by_row,
    usable_capacity,
)
from perfmodel.cost.setting import Setting
from perfmodel.kinds.rates import bandwidth
from perfmodel.workload.lower import WEIGHT, OperatorTable


@dataclass(slots=True)
class Streams:
    """Bytes of each row, ``(rows, points)``.

    Attributes
    ----------
    traffic
        Level -> bytes across its boundary, weights included.
    moved
        Level -> those that its bandwidth is charged with: weights from the last level are not among
        them, but those that every level before it passes on are.
    weights
        Bytes of weights that a row reads.
    missed
        Share of them that comes from the memory that stores them.
    """

    traffic: dict[str, Value]
    moved: dict[str, Value]
    weights: Value
    missed: Value


def level_bandwidth(setting: Setting, level: str) -> Value:
    """Return bytes per second that all threads together draw from a level.

    Each thread draws what one core can, until together they saturate what the level gives.
    """
    rate = bandwidth(setting, level)
    alone = setting.memory(level).unit_bandwidth
    if alone is None or setting.bare:
        return rate
    return setting.xp.minimum(rate, alone * setting.engine.units)


def missed(setting: Setting, level: str, everything: Value) -> Value:
    """Return the share of a working set, read again and again, that a cache does not hold.

    A step at its usable capacity; in proportion between the ends of its ramp where it states one.

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
    """Return what crosses each level."""
    access = table.accesses
    assert access is not None
    moved = access_bytes(table, setting)
    weight = (access.tensor == WEIGHT)[:, None]
    others, weights = moved * ~weight, moved * weight
    xp = setting.xp
    everything = footprint_bytes(table, setting) if setting.warm else xp.asarray(np.inf)
    everything = xp.reshape(xp.asarray(everything, dtype=float), (1, -1))
    main, store = setting.levels[-1], setting.weights_memory
    traffic: dict[str, Value] = {}
    charged: dict[str, Value] = {}
    kept_away: Value = 1.0
    away: Value = 1.0
    whole = sum_by_row(weights, table, setting)
    for level in setting.levels:
        through = sum_by_row(others * away, table, setting)
        passing = whole * kept_away
        if level == main:
            traffic[level] = charged[level] = through
            traffic[store] = traffic.get(store, 0.0) + passing
        elif setting.has_memory(level):
            # What a nearer level misses comes through this one, wherever it is from.
            traffic[level] = charged[level] = through + passing
        if level != main:
            away = away * crossing(table, setting, usable_capacity(setting, level))
            kept_away = kept_away * missed(setting, level, everything)
    return Streams(traffic, charged, whole, kept_away)
