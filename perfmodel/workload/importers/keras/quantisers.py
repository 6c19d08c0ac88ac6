"""Quantisers of QKeras as texts or mappings: the format that each rounds to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from perfmodel.formats import find
from perfmodel.workload.importers.keras.fields import Fields, LayerError

#: Quantiser -> its format, or where its bits stand: the first argument, and the default.
_BITS: Mapping[str, int] = {
    "quantized_bits": 8, "quantized_linear": 8, "quantized_relu": 8, "quantized_ulaw": 8,
    "quantized_tanh": 8, "quantized_sigmoid": 8, "quantized_po2": 8, "quantized_relu_po2": 8,
    "quantized_hswish": 8, "quantized_softmax": 8,
}  # fmt: skip
_FIXED: Mapping[str, str] = {
    "binary": "int1", "stochastic_binary": "int1", "bernoulli": "int1", "ternary": "ternary",
    "stochastic_ternary": "ternary",
}  # fmt: skip

_CALL: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)


def quantiser_name(value: object) -> str:
    """Return what a quantiser is called: ``quantized_relu`` of ``quantized_relu(6,0)``."""
    if isinstance(value, dict):
        return str(cast("dict[str, Any]", value).get("class_name", ""))
    found = _CALL.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else ""


def is_quantiser(value: object) -> bool:
    """Whether a value names a quantiser."""
    name = quantiser_name(value)
    return name in _BITS or name in _FIXED


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
    bits: object = _BITS[name]
    if isinstance(value, dict):
        config: Any = cast("dict[str, Any]", value).get("config")
        bits = (
            cast("dict[str, Any]", config).get("bits", bits) if isinstance(config, dict) else bits
        )
    else:
        found = _CALL.fullmatch(str(value))
        arguments = (found[2] or "") if found else ""
        stated = re.search(r"\bbits\s*=\s*(\d+)", arguments) or re.match(r"\s*(\d+)", arguments)
        bits = int(stated[1]) if stated else bits
    if isinstance(bits, float) and bits.is_integer():
        bits = int(bits)
    format = f"int{bits}"
    if isinstance(bits, bool) or not isinstance(bits, int) or find(format) is None:
        raise LayerError(*fields.bad(key, "a quantiser of 1 to 64 bits").flaws)
    return format
