"""Bytes of the operands of an operator table: elements times bits of their number formats.

Every size is ``elements bits / 8``, where the bits depend on the slot of the operand (weight,
activation, KV cache ...) and the precision of the setting. Cost models sum these bytes by access,
by row (kernel), by role, or over the network. Arrays have one column per point of a sweep, or a
single one.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, by_row, is_array, reduce_segments
from perfmodel.caches import cached
from perfmodel.cost.setting import Setting
from perfmodel.workload.operator_table import WEIGHT, OperatorTable

#: Operands of a row to be counted.
Operands: TypeAlias = Literal["all", "weights", "others"]


def row_bytes(table: OperatorTable, setting: Setting, *, operands: Operands = "all") -> Value:
    """Return the bytes of the distinct operands of each row, ``sum of elements bits / 8``.

    Returns
    -------
    array of shape ``(rows, points)``
    """
    xp = setting.xp
    n = len(table.rows)
    parts = [
        (rows, elements * (setting.precision.bits(slot) / 8.0))
        for slot, (rows, elements) in table.transfers.items()
        if operands == "all" or slot.startswith("weight") == (operands == "weights")
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


def access_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of each access, ``(accesses, points)`` or ``(accesses, 1)``."""
    assert table.accesses is not None
    return table.accesses.elements * slot_bytes(table.accesses.slots, table.points, setting)


def slot_bytes(slots: tuple[str, ...], points: int, setting: Setting) -> Value:
    """Return the bytes per element of each slot, ``(slots, points)`` or ``(slots, 1)``."""
    return _slot_bits(slots, points, setting) / 8.0


def _slot_bits(slots: tuple[str, ...], points: int, setting: Setting) -> Value:
    """Return the bits per element of each slot, ``(slots, points)`` or ``(slots, 1)``."""
    names, place = _distinct(slots)
    bits = [setting.precision.bits(slot) for slot in names]
    if not any(map(is_array, bits)):
        return np.array(bits, dtype=float)[place]
    return by_row(bits, points, setting.xp)[place[:, 0]]


@cached(16 << 10)
def _distinct(slots: tuple[str, ...]) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    """Return the distinct slots, and the index of every slot among them as a column."""
    names = tuple(dict.fromkeys(slots))
    return names, np.array([[names.index(slot)] for slot in slots], dtype=np.intp).reshape(-1, 1)


def sum_by_row(values: Value, table: OperatorTable, setting: Setting) -> Value:
    """Return values of accesses summed over each row, ``(rows, points)``."""
    access = table.accesses
    assert access is not None
    if setting.xp is np:
        return reduce_segments(np.add, values, access.starts)
    total = setting.xp.zeros((len(access.starts), values.shape[1]))
    return total.at[access.row].add(values)


def weight_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the weight bytes that each row reads, from whichever memory holds them.

    ``None`` if individual accesses are unknown (bare roofline).
    """
    access = table.accesses
    if setting.bare or access is None:
        return None
    bytes_ = access_bytes(table, setting) * (access.tensor == WEIGHT)[:, None]
    return sum_by_row(bytes_, table, setting)


def stored_bytes(table: OperatorTable, setting: Setting, role: str) -> Value:
    """Return the bytes of stored tensors of a role, ``sum of elements bits / 8``.

    The role is ``weight`` (including weights in fixed formats) or ``kv``.
    """
    total: Value = 0.0
    for slot, elements in table.stored.items():
        name = slot.partition(":")[0].partition("=")[0]
        stored_as = "kv" if name in {"kv", "state"} else "weight"
        if stored_as == role:
            total = total + elements * (setting.precision.bits(slot) / 8.0)
    return total


def copied_weight_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of the copies that the runtime keeps beside the stored weights.

    ``sum of stored bytes * weight_copies[format]``; 0 for formats of which it states none.
    """
    copies = setting.runtime.weight_copies
    total: Value = 0.0
    for slot, elements in table.stored.items():
        name = setting.precision.format_of(slot).name
        factor = copies.get(name, copies.get(name.partition("g")[0]))
        if factor is not None and slot.startswith("weight"):
            total = total + elements * (setting.precision.bits(slot) / 8.0) * factor
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
