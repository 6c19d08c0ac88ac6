"""Element types of each file format -> numeric formats: ``workloads/stored/element_types.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from perfmodel.specfile import shipped

#: File format -> number or name of an element type -> numeric format.
ELEMENT_TYPES: Final[Mapping[str, Any]] = shipped("workloads", "stored/element_types.yaml")


def element_types_by_number(kind: str) -> dict[int, str]:
    """Return the numeric format for each element-type number of a file format."""
    return {int(number): format for number, format in ELEMENT_TYPES[kind].items()}
