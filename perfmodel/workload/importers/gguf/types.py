"""What tensors of a GGUF file are stored in: ggml's types, their blocks, their names here.

Sizes are those of the formats here, which are ``sizeof`` of the block structs of
ggml-org/llama.cpp, ``ggml/src/ggml-common.h``; numbers are those of ``enum ggml_type`` in
``ggml/include/ggml.h``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from perfmodel.formats import format_named
from perfmodel.workload.importers.element_types import numbered


class GgmlType(NamedTuple):
    """A type of tensor.

    Attributes
    ----------
    name
        As ggml spells it.
    block, size
        Elements of a block, and its bytes.
    format
        Name of the format here (`perfmodel.formats`).
    """

    name: str
    block: int
    size: int
    format: str


#: Number in the file -> format here.
_FORMATS: Final[Mapping[int, str]] = numbered("ggml")


def _stored(format: str) -> GgmlType:
    """Return a type by its format: ggml's blocks are groups with a scale, four of NVFP4."""
    known = format_named(format)
    block = 4 * known.group if format == "nvfp4" else known.group or 1
    short = re.sub("^(INT|FP)", lambda prefix: prefix[0][0], format.upper())
    return GgmlType(short, block, int(known.bits * block / 8), format)


#: Number in the file -> type.
TYPES: Final[Mapping[int, GgmlType]] = {n: _stored(format) for n, format in _FORMATS.items()}

#: ``general.file_type`` -> the mixture's name here (``enum llama_ftype`` in ``include/llama.h``).
FILE_TYPES: Final[Mapping[int, str]] = numbered("ggml_files")
