"""Element types of GGUF tensors: type number, block size in elements and bytes, format.

Type numbers are those of ``enum ggml_type`` in ggml-org/llama.cpp, ggml/include/ggml.h. A block of
G elements with b stored bits each has ``G b / 8`` bytes, which equals ``sizeof`` of the block
structs in ggml/src/ggml-common.h. Block and bits come from `perfmodel.formats`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from perfmodel.formats import format_named
from perfmodel.workload.importers.element_types import element_types_by_number


class GgmlType(NamedTuple):
    """Element type of a tensor.

    Attributes
    ----------
    name
        Name in ggml.
    block, size
        Elements and bytes of a block.
    format
        Name of the format in `perfmodel.formats`.
    """

    name: str
    block: int
    size: int
    format: str


#: Type number in the file -> name of the format.
_FORMATS: Final[Mapping[int, str]] = element_types_by_number("ggml")


def _stored(format: str) -> GgmlType:
    """Return the type of a format: a block is one group with its scale, or four for NVFP4."""
    known = format_named(format)
    block = 4 * known.group if format == "nvfp4" else known.group or 1
    short = re.sub("^(INT|FP)", lambda prefix: prefix[0][0], format.upper())
    return GgmlType(short, block, int(known.bits * block / 8), format)


#: Type number in the file -> type.
TYPES: Final[Mapping[int, GgmlType]] = {n: _stored(format) for n, format in _FORMATS.items()}

#: ``general.file_type`` -> name of the mixture (``enum llama_ftype`` in ``include/llama.h``).
FILE_TYPES: Final[Mapping[int, str]] = element_types_by_number("ggml_files")
