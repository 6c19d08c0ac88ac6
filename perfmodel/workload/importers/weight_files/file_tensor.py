"""A tensor of a weight file, whatever the format: its elements, storage format and bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_LAYER: Final = re.compile(r"blk\.(\d{1,6})\.", re.ASCII)


def bytes_by_format(tensors: Iterable[FileTensor]) -> dict[str, int]:
    """Return format -> bytes of the tensors in it."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.format] = sizes.get(tensor.format, 0) + tensor.bytes
    return sizes


class FileTensor(NamedTuple):
    """A logical tensor of a weight file.

    Attributes
    ----------
    name
        Name in the file.
    elements
        Number of elements, after unpacking.
    format
        Name of its storage format.
    bytes
        Stored bytes, including scales.
    place
        Location of its entry in the file, for messages.
    shape
        Shape in the axis order of the file, for messages.
    """

    name: str
    elements: int
    format: str
    bytes: int
    place: str = ""
    shape: tuple[int, ...] = ()


def layer_of(name: str) -> int:
    """Return the layer number in a tensor's GGUF name; -1 outside the layers."""
    number = _LAYER.match(name)
    return int(number[1]) if number else -1


def joined_expert_name(name: str) -> str:
    """Return the name of the joined tensor of all experts for that of one expert; else empty.

    ``blk.3.ffn_up.5.weight`` belongs to ``blk.3.ffn_up_exps.weight``.
    """
    parts = name.split(".")
    if len(parts) != 5 or parts[2] not in ("ffn_up", "ffn_gate", "ffn_down"):
        return ""
    return ".".join((*parts[:2], f"{parts[2]}_exps", parts[4]))
