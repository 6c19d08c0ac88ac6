"""Bits and family of what a slot is stored in, tensors that a precision stores apart included."""

from __future__ import annotations

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.formats import format_named


def bits_of(setting: Setting, slot: str) -> Value:
    """Return the bits of an element of a slot; shares of a mixed tensor add."""
    parts = _parts(setting, slot)
    if not parts:
        return setting.precision.format_of(slot).element_bits
    return sum(share * format_named(name).element_bits for share, name in parts)


def family_of(setting: Setting, slot: str) -> str:
    """Return the family of formats that a slot is stored in, that of the largest share."""
    parts = _parts(setting, slot)
    if not parts:
        return setting.precision.format_of(slot).family
    return format_named(max(parts)[1]).family


def _parts(setting: Setting, slot: str) -> tuple[tuple[float, str], ...]:
    """Return the shares of a tensor that a precision stores apart, else nothing."""
    weights = setting.precision.weights
    if "=" in slot or not slot.startswith("weight") or not weights.overrides:
        return ()
    tag = slot.partition(":")[2]
    return weights.parts_of(tag) if any(tag == name for name, _ in weights.overrides) else ()
