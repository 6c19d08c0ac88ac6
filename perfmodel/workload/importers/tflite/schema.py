"""Names and numbers of TensorFlow Lite's schema: ``workloads/tflite/schema.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from perfmodel.specfile import shipped

#: Field -> slot, kind and default.
Fields: TypeAlias = Mapping[str, tuple[int, str, object]]

#: Bytes 4 to 8 of a file.
IDENTIFIER: Final = b"TFL3"

_SCHEMA: Final[Mapping[str, Any]] = shipped("workloads", "tflite/schema.yaml")

#: Operators by their code, from 0.
BUILTINS: tuple[str, ...] = tuple(_SCHEMA["builtins"])

#: Element type -> numeric format, from 0. What is no plain number keeps its own name.
FORMATS: tuple[str, ...] = tuple(_SCHEMA["formats"])

#: Bits of a stored element, by the same number; 0 where a tensor's size does not follow.
ELEMENT_BITS: tuple[int, ...] = tuple(_SCHEMA["element_bits"])

ACTIVATIONS: tuple[str, ...] = tuple(_SCHEMA["activations"])
PADDINGS: tuple[str, ...] = tuple(_SCHEMA["paddings"])

#: Operator -> number of its options in the union, and their fields; vectors of int32 are of kind
#: ``vector``. Operators that are not here have no options that decide a price.
OPTIONS: Final[Mapping[str, tuple[int, Fields]]] = _SCHEMA["options"]
