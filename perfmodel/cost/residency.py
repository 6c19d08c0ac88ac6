"""Bytes across each memory boundary, from where each tensor lives.

Default traffic model of every kind that searches no tiles: each operand crosses a boundary once
(compulsory traffic), unless it is resident in a nearer memory. An activation is resident in the
nearest memory that holds it together with every activation whose lifetime is no longer, until its
last reader. Weights, KV cache, network inputs and outputs come from and go to main memory once a
run; a `warm` run finds weights and KV cache in the nearest memory that holds the whole footprint.
No placement search: the rule never exceeds a capacity (at any step the longest-lived resident
bounds the sum) and more capacity never evicts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, is_array
from perfmodel.caches import cached
from perfmodel.cost.setting import Setting
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.lower import ALWAYS_MAIN, WEIGHT, Accesses, OperatorTable

TRAFFIC_MODEL = "compulsory; activations resident in the nearest memory that holds them"
WARM = "; weights too, from one run to the next"


def row_bytes(table: OperatorTable, setting: Setting, *, weights: bool | None = None) -> Value:
    """Return bytes that the operands of each row occupy, each counted once; ``(rows, points)``.

    Parameters
    ----------
    weights
        Of weights alone, or of all but weights; of everything where left out.
    """
    xp = setting.xp
    n = len(table.rows)
    parts = [
        (rows, elements * (setting.precision.bits(slot) / 8.0))
        for slot, (rows, elements) in table.moved.items()
        if weights is None or slot.startswith("weight") is weights
    ]
    total = xp.zeros((n, max((moved.shape[1] for _, moved in parts), default=1)))
    for rows, moved in parts:
        if len(rows) == n:
            total = total + moved
        elif xp is np:
            total[rows] += moved
        else:
            total = total.at[rows].add(moved)
    return total


def level_traffic(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return level -> bytes that each row moves across its boundary towards the engine.

    The last level is main memory (and, where weights live elsewhere, their own memory).
    """
    main = setting.levels[-1]
    if setting.bare or table.accesses is None:
        if setting.weights_memory == main:
            return {main: row_bytes(table, setting)}
        return {
            main: row_bytes(table, setting, weights=False),
            setting.weights_memory: row_bytes(table, setting, weights=True),
        }
    access = table.accesses
    moved = _access_bytes(access, table.points, setting)
    out: dict[str, Value] = {}
    apart = setting.weights_memory != main
    kept_apart = access.tensor == WEIGHT
    passed: Value = None
    everything = footprint_bytes(table, setting) if setting.warm else 0.0
    for i, level in enumerate(setting.levels):
        if level == main and apart:
            stay = moved * np.where(kept_apart, 0.0, 1.0)[:, None]
            store = moved * np.where(kept_apart, 1.0, 0.0)[:, None]
            if passed is not None:
                stay, store = stay * passed, store * passed
            out[level] = _by_row(stay, access, setting)
            out[setting.weights_memory] = _by_row(store, access, setting)
            break
        if f"memories.{level}.bandwidth" in setting.facts:
            through = moved if passed is None else moved * passed
            out[level] = _by_row(through, access, setting)
        if i + 1 < len(setting.levels):
            capacity = _usable(setting, level)
            away = _away(access, capacity, everything, setting, table.points)
            passed = away if passed is None else passed * away
    return out


def crossing(table: OperatorTable, setting: Setting, capacity: Value) -> Value:
    """Return 1 for each access that crosses the boundary beyond a memory of `capacity`, else 0.

    Returns
    -------
    array of shape ``(accesses, points)`` or ``(accesses, 1)``
        By the rule of this module: 0 for an activation that stays.
    """
    assert table.accesses is not None
    everything = footprint_bytes(table, setting) if setting.warm else 0.0
    return _away(table.accesses, capacity, everything, setting, table.points)


def access_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of each access, ``(accesses, points)`` or ``(accesses, 1)``."""
    assert table.accesses is not None
    return _access_bytes(table.accesses, table.points, setting)


def slot_bytes(slots: tuple[str, ...], points: int, setting: Setting) -> Value:
    """Return the bytes of an element of each slot, ``(slots, points)`` or ``(slots, 1)``."""
    return _slot_bits(slots, points, setting) / 8.0


def usable_capacity(setting: Setting, level: str) -> Value:
    """Return the bytes of a memory that a network may fill."""
    return _usable(setting, level)


def sum_by_row(values: Value, table: OperatorTable, setting: Setting) -> Value:
    """Return values of accesses summed over each row, ``(rows, points)``."""
    assert table.accesses is not None
    return _by_row(values, table.accesses, setting)


def weight_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of weights that each row reads, from whatever memory.

    ``None`` where the accesses are not known one by one (the bare roofline).
    """
    access = table.accesses
    if setting.bare or access is None:
        return None
    moved = _access_bytes(access, table.points, setting) * (access.tensor == -1)[:, None]
    return _by_row(moved, access, setting)


def cold_weight_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of weights that each row takes from the memory that stores them.

    ``None`` where the accesses are not known one by one (the bare roofline).
    """
    access = table.accesses
    if setting.bare or access is None:
        return None
    moved = _access_bytes(access, table.points, setting) * (access.tensor == -1)[:, None]
    if setting.warm:
        everything = footprint_bytes(table, setting)
        for level in setting.levels[:-1]:
            moved = moved * (everything > _usable(setting, level))
    return _by_row(moved, access, setting)


def _usable(setting: Setting, level: str) -> Value:
    reserved = setting.fact(f"memories.{level}.reserved", 0.0)
    return setting.facts[f"memories.{level}.capacity"] - reserved


def _access_bytes(access: Accesses, points: int, setting: Setting) -> Value:
    width = _slot_bits(access.slots, points, setting)
    return access.elements * (width / 8.0)


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
    """Return the slots without repetition, and where each stands among them, as a column."""
    names = tuple(dict.fromkeys(slots))
    return names, np.array([[names.index(slot)] for slot in slots], dtype=np.intp).reshape(-1, 1)


def _by_row(values: Value, access: Accesses, setting: Setting) -> Value:
    if setting.xp is np:
        return reduce_rows(np.add, values, access.starts)
    rows = access.row
    total = setting.xp.zeros((int(rows[-1]) + 1, values.shape[1]))
    return total.at[rows].add(values)


def reduce_rows(ufunc: np.ufunc, values: Value, starts: Value) -> Value:
    """Return ``ufunc.reduceat(values, starts, axis=0)`` for ascending starts.

    Over many columns NumPy's `reduceat` takes ten times as long as a reduction a group.
    """
    if values.shape[1] < 64:
        return ufunc.reduceat(values, starts, axis=0)
    ends = np.append(starts[1:], len(values))
    out = np.empty((len(starts), values.shape[1]))
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        ufunc.reduce(values[start:end], axis=0, out=out[i])
    return out


def residency_needs(lives: Lifetimes, sizes: Value, xp: Any = np) -> Value:
    """Return the bytes that a memory must have for each activation to be resident in it.

    An activation is resident together with every activation whose lifetime is no longer; it needs
    the largest sum of their bytes over the steps at which it is live.

    Parameters
    ----------
    lives
        Of at least one activation.
    sizes
        Bytes of each activation, ``(activations, points)``.
    xp
        Namespace of the arrays.

    Returns
    -------
    array of shape ``(activations, points)``
    """
    blocks = xp.split(sizes[lives.order], lives.ranks)
    for rank in range(1, len(blocks)):
        blocks[rank] = blocks[rank - 1][: len(blocks[rank])] + blocks[rank]
    beside = xp.concatenate(blocks)[lives.last]
    if xp is np:
        return reduce_rows(np.maximum, beside, lives.pairs)
    owner = np.repeat(np.arange(len(lives.pairs)), np.diff(lives.pairs, append=len(lives.last)))
    return xp.zeros(sizes.shape).at[owner].max(beside)


def _away(
    access: Accesses, capacity: Value, everything: Value, setting: Setting, points: int
) -> Value:
    """Return 1 for each access whose tensor is not resident within `capacity`, else 0."""
    xp = setting.xp
    lives = access.lifetimes
    kept = 1.0 * (everything > capacity) if setting.warm else 1.0
    if lives.names:
        sizes = access.sizes * (_slot_bits(lives.slots, points, setting) / 8.0)
        away = 1.0 * (residency_needs(lives, sizes, xp) > capacity)
    else:
        away = xp.zeros((0, 1))
    kept = xp.asarray(kept, dtype=float).reshape(1, -1)
    n, width = int(away.shape[0]), max(away.shape[1], kept.shape[1])
    # After the tensors: one row for weights and KV cache, one for what never stays.
    if xp is np:
        table = np.ones((n + 2, width))
        table[:n], table[n] = away, kept
    else:
        table = xp.concatenate(
            [
                xp.broadcast_to(away, (n, width)),
                xp.broadcast_to(kept, (1, width)),
                xp.ones((1, width)),
            ]
        )
    tensor = access.tensor
    place = np.where(tensor == ALWAYS_MAIN, n + 1, n)
    return table[np.where(tensor >= 0, tensor, place)]


def stored_bytes(table: OperatorTable, setting: Setting, role: str) -> Value:
    """Return bytes stored for a role: ``weight`` (fixed formats included) or ``kv``."""
    total: Value = 0.0
    for slot, elements in table.stored.items():
        name = slot.partition(":")[0].partition("=")[0]
        held = "kv" if name in {"kv", "state"} else "weight"
        if held == role:
            total = total + elements * (setting.precision.bits(slot) / 8.0)
    return total


def activation_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return peak bytes of live activations over the steps of the given order."""
    total: Value = None
    for slot, elements in table.live.items():
        part = elements * (setting.precision.bits(slot) / 8.0)
        total = part if total is None else total + part
    if total is None:
        return 0.0
    return setting.xp.max(total, axis=0)


def footprint_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return weights + KV cache + peak activations, bytes."""
    return (
        stored_bytes(table, setting, "weight")
        + stored_bytes(table, setting, "kv")
        + activation_bytes(table, setting)
    )
