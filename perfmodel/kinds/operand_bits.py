"""Bits and families of operands, and operations by format, for kinds with bit-dependent time.

Tensors with their own format in a mixed precision are included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perfmodel.arrays import Value, by_row, is_array
from perfmodel.cost.setting import Setting
from perfmodel.formats import format_named
from perfmodel.kinds.rates import best_format, executed_format, pair_format
from perfmodel.workload.operator_table import OperatorTable


def bits_of(setting: Setting, slot: str) -> Value:
    """Return the bits of an element of a slot; for a mixed tensor the mean over its shares."""
    parts = _parts(setting, slot)
    if not parts:
        return setting.precision.format_of(slot).element_bits
    return sum(share * format_named(name).element_bits for share, name in parts)


def family_of(setting: Setting, slot: str) -> str:
    """Return the family of formats of a slot; for a mixed tensor that of the largest share."""
    parts = _parts(setting, slot)
    if not parts:
        return setting.precision.format_of(slot).family
    return format_named(max(parts)[1]).family


def _parts(setting: Setting, slot: str) -> tuple[tuple[float, str], ...]:
    """Return the shares of a tensor with its own formats in a precision, else an empty tuple."""
    weights = setting.precision.weights
    if "=" in slot or not slot.startswith("weight") or not weights.overrides:
        return ()
    tag = slot.partition(":")[2]
    return weights.parts_of(tag) if any(tag == name for name, _ in weights.overrides) else ()


def element_bits(slots: Sequence[str], points: int, setting: Setting) -> Value:
    """Return bits of each slot as multiplied, scales excluded; ``(slots, points)``."""
    return by_row([bits_of(setting, slot) for slot in slots], points, setting.xp)


def operations_by_format(
    table: OperatorTable, macs: Value, setting: Setting
) -> tuple[dict[str, Value], dict[str, str], tuple[str, ...]]:
    """Return operations by compute format, executed formats, and unsupported formats.

    Both operands name the format, weights first (``int4xint8``), where the engine has such a peak.
    """
    peaks = setting.engine.peaks
    groups: dict[str, list[int]] = {}
    executed: dict[str, str] = {}
    unsupported: list[str] = []
    assert table.nests is not None
    for i in (int(place) for place in np.unique(table.nests.row)):
        row = table.rows[i]
        wanted = pair_format(setting, row.pair)
        name = executed_format(setting, wanted)
        if not name:
            unsupported.append(wanted)
            name = best_format(setting)
            executed[wanted] = name
        else:
            narrow = _narrow(setting, row.pair)
            name = next((n for n in (narrow, wanted) if n in peaks), name)
            executed[wanted if name != narrow else name] = name
        groups.setdefault(name, []).append(i)
    operations: dict[str, Value] = {}
    for name, places in groups.items():
        mask = np.zeros((len(table.rows), 1))
        mask[places] = 2.0
        operations[name] = macs * mask
    return operations, executed, tuple(dict.fromkeys(unsupported))


def _narrow(setting: Setting, pair: tuple[str, str]) -> str:
    """Return the compute formats of weights and inputs by their bits: one name where equal."""
    names = [setting.precision.format_of(slot) for slot in pair]
    bits = [
        f.compute
        if is_array(f.element_bits) or f.is_float
        else next((f"int{b}" for b in (2, 4, 8, 16, 32) if f.element_bits <= b), f.compute)
        for f in names
    ]
    return bits[0] if bits[0] == bits[1] else "x".join(bits)
