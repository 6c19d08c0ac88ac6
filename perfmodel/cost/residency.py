"""Traffic across each memory boundary, derived from the residency of tensors.

Default traffic model of every kind of engine that searches no tiles: each operand crosses a
boundary once (compulsory traffic) unless it is resident in a nearer memory.

* An activation is resident, from its definition to its last use, in the nearest memory that can
  hold it together with every activation that is live at the same time and has no longer live range:
  activation a is resident in a memory of C bytes if ``need(a) <= C`` (`residency_needs`). As in
  Belady's rule for a known future, tensors that are used again soonest stay near the engine.
* Weights, KV cache, network inputs and outputs cross the boundary of main memory once per run. In a
  `warm` run, weights and KV cache are resident in the nearest memory that holds the complete
  footprint.

The rule needs no search of placements, never exceeds a capacity (at each step, the sum is at most
the need of the resident activation with the longest live range), and is monotone: more capacity
never evicts a tensor. `level_traffic` is called for every prediction, so that its arrays are
arranged beforehand (`perfmodel.workload.lifetimes`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from perfmodel.arrays import Value, reduce_segments
from perfmodel.cost.operand_bytes import (
    access_bytes,
    footprint_bytes,
    row_bytes,
    slot_bytes,
    sum_by_row,
    weight_bytes,
)
from perfmodel.cost.setting import Setting
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.operator_table import ALWAYS_MAIN, PERSISTENT, WEIGHT, OperatorTable

TRAFFIC_MODEL = "compulsory; activations resident in the nearest memory that holds them"
WARM = "; weights too, from one run to the next"


def residency_needs(lifetimes: Lifetimes, sizes: Value, xp: Any = np) -> Value:
    """Return the capacity that each activation requires to be resident, bytes.

    ``need(a) = max over steps t of a of  sum of S(b) over b live at t, rank(b, t) <= rank(a, t)``

    S are sizes in bytes. Activations that are live at step t are ranked by the length of their live
    range, the shortest first. In the arrays of `Lifetimes`, the sums over ranks are built up rank
    by rank (a cumulative sum at each step), and the maximum is one reduction per activation.

    Parameters
    ----------
    lifetimes
        Lifetimes of at least one activation.
    sizes
        Bytes of each activation, ``(activations, points)``.
    xp
        Namespace of the arrays.

    Returns
    -------
    array of shape ``(activations, points)``
    """
    if xp is np:
        sums = sizes.take(lifetimes.order, axis=0)
        previous = 0
        for start, stop in pairwise((*lifetimes.ranks, len(sums))):
            sums[start:stop] += sums[previous : previous + stop - start]
            previous = start
        return reduce_segments(np.maximum, sums.take(lifetimes.last, axis=0), lifetimes.pairs)
    ordered = sizes[lifetimes.order]
    blocks = [ordered[start:stop] for start, stop in pairwise((0, *lifetimes.ranks, len(ordered)))]
    for rank in range(1, len(blocks)):
        blocks[rank] = blocks[rank - 1][: len(blocks[rank])] + blocks[rank]
    sums = xp.concatenate(blocks)[lifetimes.last]
    lengths = np.diff(lifetimes.pairs, append=len(lifetimes.last))
    owner = np.repeat(np.arange(len(lifetimes.pairs)), lengths)
    return xp.zeros(sizes.shape).at[owner].max(sums)


def crossing(table: OperatorTable, setting: Setting, capacity: Value) -> Value:
    """Return 1 for each access that crosses the boundary beyond a memory of `capacity`, else 0.

    Returns
    -------
    array of shape ``(accesses, points)`` or ``(accesses, 1)``
        0 for an access to a tensor that is resident by the rule of this module.
    """
    access, xp = table.accesses, setting.xp
    assert access is not None
    lifetimes = access.lifetimes
    transient: Value = np.zeros((0, 1))
    if lifetimes.names:
        sizes = access.sizes * slot_bytes(lifetimes.slots, table.points, setting)
        transient = residency_needs(lifetimes, sizes, xp) > capacity
    n, width = transient.shape
    persistent: Value = True
    if setting.warm:
        persistent = footprint_bytes(table, setting) > capacity
        width = max(width, np.size(persistent))
    # Three further rows, at the negative indices ALWAYS_MAIN, PERSISTENT and WEIGHT.
    if xp is np:
        crosses = np.empty((n + 3, width))
        crosses[:n], crosses[ALWAYS_MAIN], crosses[PERSISTENT:] = transient, True, persistent
        return crosses.take(access.tensor, axis=0)
    rows = ((transient, n), (True, 1), (persistent, 2))
    crosses = xp.concatenate([xp.broadcast_to(xp.asarray(r), (k, width)) for r, k in rows])
    return 1.0 * crosses[access.tensor]


def level_traffic(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return a mapping from level to the bytes of each row across its boundary towards the engine.

    ``traffic[n] = sum over accesses x of the row of bytes(x) product over m < n of crosses(x, m)``

    The levels m < n are nearer to the engine; ``crosses(x, m)`` is 1 if the tensor of access x is
    not resident in level m, else 0 (`crossing`). The last level is main memory, and the separate
    memory of the weights if there is one.
    """
    main = setting.levels[-1]
    if setting.bare or table.accesses is None:
        if setting.weights_memory == main:
            return {main: row_bytes(table, setting)}
        return {
            main: row_bytes(table, setting, operands="others"),
            setting.weights_memory: row_bytes(table, setting, operands="weights"),
        }
    bytes_ = access_bytes(table, setting)
    out: dict[str, Value] = {}
    for level, outer in zip(setting.levels, (*setting.levels[1:], None), strict=True):
        if level == main and setting.weights_memory != main:
            is_weight = (table.accesses.tensor == WEIGHT)[:, None]
            out[level] = sum_by_row(bytes_ * np.where(is_weight, 0.0, 1.0), table, setting)
            out[setting.weights_memory] = sum_by_row(
                bytes_ * np.where(is_weight, 1.0, 0.0), table, setting
            )
        elif setting.has_memory(level):
            out[level] = sum_by_row(bytes_, table, setting)
        if outer is not None:
            bytes_ = bytes_ * crossing(table, setting, usable_capacity(setting, level))
    return out


def usable_capacity(setting: Setting, level: str) -> Value:
    """Return the bytes of a memory that are available to a network."""
    reserved = setting.fact(f"memories.{level}.reserved", 0.0)
    return setting.facts[f"memories.{level}.capacity"] - reserved


def cold_weight_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the weight bytes that each row reads from the memory that stores the weights.

    In a warm run these are 0 if the footprint fits a nearer memory.

    ``None`` if individual accesses are unknown (bare roofline).
    """
    bytes_ = weight_bytes(table, setting)
    if bytes_ is not None and setting.warm:
        footprint = footprint_bytes(table, setting)
        for level in setting.levels[:-1]:
            bytes_ = bytes_ * (footprint > usable_capacity(setting, level))
    return bytes_
