"""Traffic across each memory boundary from the residency of tensors.

This is the default traffic model of every kind that searches no tiles: each operand crosses a
boundary once (compulsory traffic) unless it is resident in a nearer memory. From its definition to
its last use, an activation is resident in the nearest memory that can hold it together with every
activation whose lifetime is not longer. Weights, KV cache, network inputs and outputs cross the
boundary of main memory once per run; in a `warm` run, weights and KV cache are resident in the
nearest memory that holds the whole footprint. The rule requires no placement search, never exceeds
a capacity (at any step the longest-lived resident bounds the sum), and is monotone: more capacity
never evicts a tensor.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, is_array
from perfmodel.caches import cached
from perfmodel.cost.setting import Setting
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.operator_table import ALWAYS_MAIN, WEIGHT, OperatorTable

TRAFFIC_MODEL = "compulsory; activations resident in the nearest memory that holds them"
WARM = "; weights too, from one run to the next"


def row_bytes(table: OperatorTable, setting: Setting, *, weights: bool | None = None) -> Value:
    """Return the bytes of the distinct operands of each row, ``(rows, points)``.

    Parameters
    ----------
    weights
        True for weights only, false for everything but weights, ``None`` for all operands.
    """
    xp = setting.xp
    n = len(table.rows)
    parts = [
        (rows, elements * (setting.precision.bits(slot) / 8.0))
        for slot, (rows, elements) in table.transfers.items()
        if weights is None or slot.startswith("weight") is weights
    ]
    total = xp.zeros((n, max((part.shape[1] for _, part in parts), default=1)))
    for rows, part in parts:
        if len(rows) == n:
            total = total + part
        elif xp is np:
            total[rows] += part
        else:
            total = total.at[rows].add(part)
    return total


def level_traffic(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return a mapping from level to the bytes of each row across its boundary towards the engine.

    The last level is main memory, and the separate weights memory if there is one.
    """
    main = setting.levels[-1]
    if setting.bare or table.accesses is None:
        if setting.weights_memory == main:
            return {main: row_bytes(table, setting)}
        return {
            main: row_bytes(table, setting, weights=False),
            setting.weights_memory: row_bytes(table, setting, weights=True),
        }
    bytes_ = access_bytes(table, setting)
    out: dict[str, Value] = {}
    for level, outer in zip(setting.levels, (*setting.levels[1:], None), strict=True):
        if level == main and setting.weights_memory != main:
            weights = (table.accesses.tensor == WEIGHT)[:, None]
            out[level] = sum_by_row(bytes_ * np.where(weights, 0.0, 1.0), table, setting)
            stored = sum_by_row(bytes_ * np.where(weights, 1.0, 0.0), table, setting)
            out[setting.weights_memory] = stored
        elif setting.has_memory(level):
            out[level] = sum_by_row(bytes_, table, setting)
        if outer is not None:
            bytes_ = bytes_ * crossing(table, setting, usable_capacity(setting, level))
    return out


def crossing(table: OperatorTable, setting: Setting, capacity: Value) -> Value:
    """Return 1 for each access that crosses the boundary beyond a memory of `capacity`, else 0.

    Returns
    -------
    array of shape ``(accesses, points)`` or ``(accesses, 1)``
        0 for an access to a resident activation, by the rule of this module.
    """
    access, xp = table.accesses, setting.xp
    assert access is not None
    lives = access.lifetimes
    persistent: Value = 1.0
    if setting.warm:
        persistent = 1.0 * (footprint_bytes(table, setting) > capacity)
    if lives.names:
        sizes = access.sizes * (slot_bytes(lives.slots, table.points, setting))
        transient = 1.0 * (residency_needs(lives, sizes, xp) > capacity)
    else:
        transient = xp.zeros((0, 1))
    persistent = xp.asarray(persistent, dtype=float).reshape(1, -1)
    n, width = int(transient.shape[0]), max(transient.shape[1], persistent.shape[1])
    # Two further rows: one for weights and KV cache, one for tensors that are never resident.
    if xp is np:
        crosses = np.ones((n + 2, width))
        crosses[:n], crosses[n] = transient, persistent
    else:
        crosses = xp.concatenate(
            [
                xp.broadcast_to(transient, (n, width)),
                xp.broadcast_to(persistent, (1, width)),
                xp.ones((1, width)),
            ]
        )
    tensor = access.tensor
    place = np.where(tensor == ALWAYS_MAIN, n + 1, n)
    return crosses[np.where(tensor >= 0, tensor, place)]


def access_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of each access, ``(accesses, points)`` or ``(accesses, 1)``."""
    assert table.accesses is not None
    return table.accesses.elements * slot_bytes(table.accesses.slots, table.points, setting)


def slot_bytes(slots: tuple[str, ...], points: int, setting: Setting) -> Value:
    """Return the bytes per element of each slot, ``(slots, points)`` or ``(slots, 1)``."""
    return _slot_bits(slots, points, setting) / 8.0


def usable_capacity(setting: Setting, level: str) -> Value:
    """Return the bytes of a memory that are available to a network."""
    reserved = setting.fact(f"memories.{level}.reserved", 0.0)
    return setting.facts[f"memories.{level}.capacity"] - reserved


def sum_by_row(values: Value, table: OperatorTable, setting: Setting) -> Value:
    """Return values of accesses summed over each row, ``(rows, points)``."""
    access = table.accesses
    assert access is not None
    if setting.xp is np:
        return reduce_rows(np.add, values, access.starts)
    total = setting.xp.zeros((len(access.starts), values.shape[1]))
    return total.at[access.row].add(values)


def weight_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the weight bytes that each row reads from any memory.

    ``None`` if individual accesses are unknown (bare roofline).
    """
    access = table.accesses
    if setting.bare or access is None:
        return None
    bytes_ = access_bytes(table, setting) * (access.tensor == WEIGHT)[:, None]
    return sum_by_row(bytes_, table, setting)


def cold_weight_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the weight bytes that each row reads from the memory that stores the weights.

    ``None`` if individual accesses are unknown (bare roofline).
    """
    bytes_ = weight_bytes(table, setting)
    if bytes_ is not None and setting.warm:
        everything = footprint_bytes(table, setting)
        for level in setting.levels[:-1]:
            bytes_ = bytes_ * (everything > usable_capacity(setting, level))
    return bytes_


def _slot_bits(slots: tuple[str, ...], points: int, setting: Setting) -> Value:
    xp = setting.xp
    names, place = _distinct(slots)
    bits = [setting.precision.bits(slot) for slot in names]
    if not any(map(is_array, bits)):
        return np.array(bits, dtype=float)[place]
    distinct = dict(zip(names, bits, strict=True))
    if any(is_array(b) and np.ndim(b) for b in distinct.values()):
        full = {s: xp.broadcast_to(xp.asarray(b), (points,)) for s, b in distinct.items()}
        return xp.stack([full[slot] for slot in slots])
    if any(is_array(b) and not isinstance(b, np.ndarray | np.generic) for b in distinct.values()):
        return xp.stack([xp.asarray(distinct[slot], dtype=float) for slot in slots])[:, None]
    return np.array([float(distinct[slot]) for slot in slots])[:, None]


@cached(16 << 10)
def _distinct(slots: tuple[str, ...]) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    """Return the distinct slots, and the index of every slot among them as a column."""
    names = tuple(dict.fromkeys(slots))
    return names, np.array([[names.index(slot)] for slot in slots], dtype=np.intp).reshape(-1, 1)


def reduce_rows(ufunc: np.ufunc, values: Value, starts: Value) -> Value:
    """Return ``ufunc.reduceat(values, starts, axis=0)`` for ascending starts.

    For many columns NumPy's `reduceat` is ten times slower than one reduction per group.
    """
    if values.shape[1] < 64:
        return ufunc.reduceat(values, starts, axis=0)
    ends = np.append(starts[1:], len(values))
    out = np.empty((len(starts), values.shape[1]))
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        ufunc.reduce(values[start:end], axis=0, out=out[i])
    return out


def residency_needs(lives: Lifetimes, sizes: Value, xp: Any = np) -> Value:
    """Return the capacity that each activation requires to be resident, bytes.

    An activation is resident together with every activation whose lifetime is not longer; it
    requires the maximum of the sum of their bytes over the steps at which it is live.

    Parameters
    ----------
    lives
        Lifetimes of at least one activation.
    sizes
        Bytes of each activation, ``(activations, points)``.
    xp
        Namespace of the arrays.

    Returns
    -------
    array of shape ``(activations, points)``
    """
    # Slices, not `split`, which takes longer than the sums of a small network.
    ordered = sizes[lives.order]
    ends = pairwise((0, *lives.ranks, len(ordered)))
    blocks = [ordered[start:stop] for start, stop in ends]
    for rank in range(1, len(blocks)):
        blocks[rank] = blocks[rank - 1][: len(blocks[rank])] + blocks[rank]
    beside = xp.concatenate(blocks)[lives.last]
    if xp is np:
        return reduce_rows(np.maximum, beside, lives.pairs)
    owner = np.repeat(np.arange(len(lives.pairs)), np.diff(lives.pairs, append=len(lives.last)))
    return xp.zeros(sizes.shape).at[owner].max(beside)


def stored_bytes(table: OperatorTable, setting: Setting, role: str) -> Value:
    """Return the stored bytes of a role: ``weight`` (fixed formats included) or ``kv``."""
    total: Value = 0.0
    for slot, elements in table.stored.items():
        name = slot.partition(":")[0].partition("=")[0]
        stored_as = "kv" if name in {"kv", "state"} else "weight"
        if stored_as == role:
            total = total + elements * (setting.precision.bits(slot) / 8.0)
    return total


def activation_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the peak bytes of live activations over the steps of the execution order."""
    total: Value = None
    for slot, elements in table.live.items():
        part = elements * (setting.precision.bits(slot) / 8.0)
        total = part if total is None else total + part
    if total is None:
        return 0.0
    return setting.xp.max(total, axis=0)


def footprint_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the footprint in bytes: weights + KV cache + peak activations."""
    return (
        stored_bytes(table, setting, "weight")
        + stored_bytes(table, setting, "kv")
        + activation_bytes(table, setting)
    )
