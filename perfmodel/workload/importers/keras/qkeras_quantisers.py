"""Numeric formats of QKeras quantisers, which a file states as texts or mappings.

``quantized_bits(bits, integer, ...)`` rounds to an integer of ``bits`` bits (Coelho et al., Nature
Machine Intelligence 3, 2021); the table of quantisers is in ``workloads/operators/keras.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from perfmodel.formats import find
from perfmodel.workload.importers.keras.layer_fields import LAYERS, LayerFields, as_mapping

#: Quantiser -> its format; None if its first argument is the number of bits.
_FORMATS: Final[Mapping[str, str | None]] = LAYERS["quantisers"]
#: Default bits of a quantiser without arguments.
_DEFAULT_BITS: Final = 8

_CALL: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)


def quantiser_name(value: object) -> str:
    """Return the name of a quantiser: ``quantized_relu`` of ``quantized_relu(6,0)``."""
    call = _CALL.fullmatch(value) if isinstance(value, str) else None
    return call[1] if call else str(as_mapping(value).get("class_name", ""))


def is_quantiser(value: object) -> bool:
    """Return whether a value names a known quantiser."""
    return quantiser_name(value) in _FORMATS


def quantiser_format(fields: LayerFields, key: str) -> str:
    """Return the format to which a field's quantiser rounds; empty if it has none.

    Raises
    ------
    LayerError
        The quantiser is unknown, or no format has its width.
    """
    value = fields.data.get(key)
    if value is None or value == "linear":
        return ""
    name = quantiser_name(value)
    if name not in _FORMATS:
        raise fields.invalid(key, "a quantiser such as quantized_bits(6,0,1), binary or ternary")
    if fixed := _FORMATS[name]:
        return fixed
    bits: object = as_mapping(as_mapping(value).get("config")).get("bits", _DEFAULT_BITS)
    call = _CALL.fullmatch(value) if isinstance(value, str) else None
    if call and call[2]:
        stated = re.search(r"\bbits\s*=\s*(\d+)", call[2]) or re.match(r"\s*(\d+)", call[2])
        bits = int(stated[1]) if stated else bits
    format = f"int{bits:g}" if type(bits) in (int, float) else ""
    if find(format) is None:
        raise fields.invalid(key, "a quantiser of 1 to 64 bits")
    return format
