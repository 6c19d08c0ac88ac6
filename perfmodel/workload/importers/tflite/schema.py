"""Names and numbers of the TensorFlow Lite schema: ``workloads/tflite/schema.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from perfmodel.specfile import shipped

#: Field -> slot, kind and default.
Fields: TypeAlias = Mapping[str, tuple[int, str, object]]

#: Bytes 4 to 8 of every file.
IDENTIFIER: Final = b"TFL3"

_SCHEMA: Final[Mapping[str, Any]] = shipped("workloads", "tflite/schema.yaml")

#: Builtin operators; the index is the operator code.
BUILTINS: tuple[str, ...] = tuple(_SCHEMA["builtins"])

#: Element type -> numeric format, or the type's own name if it is not numeric.
FORMATS: tuple[str, ...] = tuple(_SCHEMA["formats"])

#: Bits of a stored element by element type; 0 if the shape does not determine the size.
ELEMENT_BITS: tuple[int, ...] = tuple(_SCHEMA["element_bits"])

ACTIVATIONS: tuple[str, ...] = tuple(_SCHEMA["activations"])
PADDINGS: tuple[str, ...] = tuple(_SCHEMA["paddings"])

#: Operator -> number of its options in the union, and their fields; kind ``vector`` is a vector of
#: int32. Operators without options that affect their price are omitted.
OPTIONS: Final[Mapping[str, tuple[int, Fields]]] = _SCHEMA["options"]
