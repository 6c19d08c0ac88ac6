"""Quantisers of QKeras as texts or mappings: the format that each rounds to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from perfmodel.formats import find
from perfmodel.workload.importers.keras.fields import Fields, mapped

#: Quantisers whose bits are their first argument, and how many they have without one.
_BITS: Final = frozenset(
    f"quantized_{name}"
    for name in (
        "bits",
        "linear",
        "relu",
        "ulaw",
        "tanh",
        "sigmoid",
        "po2",
        "relu_po2",
        "hswish",
        "softmax",
    )
)
_DEFAULT_BITS: Final = 8

#: Quantiser -> its format.
_FIXED: Mapping[str, str] = {
    "binary": "int1",
    "stochastic_binary": "int1",
    "bernoulli": "int1",
    "ternary": "ternary",
    "stochastic_ternary": "ternary",
}

_CALL: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)


def quantiser_name(value: object) -> str:
    """Return what a quantiser is called: ``quantized_relu`` of ``quantized_relu(6,0)``."""
    found = _CALL.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else str(mapped(value).get("class_name", ""))


def is_quantiser(value: object) -> bool:
    """Whether a value names a quantiser."""
    return quantiser_name(value) in {*_BITS, *_FIXED}


def format_of(fields: Fields, key: str) -> str:
    """Return the format that a field's quantiser rounds to; empty where it has none.

    Raises
    ------
    LayerError
        It has a quantiser that is not known, or of a width that no format has.
    """
    value = fields.data.get(key)
    if value is None or value == "linear":
        return ""
    name = quantiser_name(value)
    if name in _FIXED:
        return _FIXED[name]
    if name not in _BITS:
        raise fields.bad(key, "a quantiser such as quantized_bits(6,0,1), binary or ternary")
    bits: object = mapped(mapped(value).get("config")).get("bits", _DEFAULT_BITS)
    found = _CALL.fullmatch(value) if isinstance(value, str) else None
    if found and found[2]:
        stated = re.search(r"\bbits\s*=\s*(\d+)", found[2]) or re.match(r"\s*(\d+)", found[2])
        bits = int(stated[1]) if stated else bits
    format = f"int{bits:g}" if type(bits) in (int, float) else ""
    if find(format) is None:
        raise fields.bad(key, "a quantiser of 1 to 64 bits")
    return format
