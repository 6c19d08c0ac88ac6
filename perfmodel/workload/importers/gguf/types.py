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
_FORMATS: Final[Mapping[int, str]] = {
    0: "fp32", 1: "fp16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 9: "q8_1",
    10: "q2_k", 11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k", 16: "iq2_xxs",
    17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl", 21: "iq3_s", 22: "iq2_s", 23: "iq4_xs",
    24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "fp64", 29: "iq1_m", 30: "bf16",
    34: "tq1_0", 35: "tq2_0", 39: "mxfp4", 40: "nvfp4", 41: "q1_0", 42: "q2_0",
}  # fmt: skip


def _stored(format: str) -> GgmlType:
    """Return a type by its format: ggml's blocks are groups with a scale, four of NVFP4."""
    known = format_named(format)
    block = 4 * known.group if format == "nvfp4" else known.group or 1
    short = re.sub("^(INT|FP)", lambda prefix: prefix[0][0], format.upper())
    return GgmlType(short, block, int(known.bits * block / 8), format)


#: Number in the file -> type.
TYPES: Final[Mapping[int, GgmlType]] = {n: _stored(format) for n, format in _FORMATS.items()}

#: ``general.file_type`` -> the mixture's name here (``enum llama_ftype`` in ``include/llama.h``).
FILE_TYPES: Final[Mapping[int, str]] = {
    1: "fp16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 12: "q3_k_m",
    14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 38: "mxfp4_moe",
}  # fmt: skip
