"""What tensors of a GGUF file are stored in: ggml's types, their blocks, their names here.

Sizes are ``sizeof`` of the block structs of ggml-org/llama.cpp, ``ggml/src/ggml-common.h``; numbers
are those of ``enum ggml_type`` in ``ggml/include/ggml.h``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


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


#: Number in the file -> type.
TYPES: Final[Mapping[int, GgmlType]] = {
    0: GgmlType("F32", 1, 4, "fp32"), 1: GgmlType("F16", 1, 2, "fp16"),
    2: GgmlType("Q4_0", 32, 18, "q4_0"), 3: GgmlType("Q4_1", 32, 20, "q4_1"),
    6: GgmlType("Q5_0", 32, 22, "q5_0"), 7: GgmlType("Q5_1", 32, 24, "q5_1"),
    8: GgmlType("Q8_0", 32, 34, "q8_0"), 9: GgmlType("Q8_1", 32, 36, "q8_1"),
    10: GgmlType("Q2_K", 256, 84, "q2_k"), 11: GgmlType("Q3_K", 256, 110, "q3_k"),
    12: GgmlType("Q4_K", 256, 144, "q4_k"), 13: GgmlType("Q5_K", 256, 176, "q5_k"),
    14: GgmlType("Q6_K", 256, 210, "q6_k"), 15: GgmlType("Q8_K", 256, 292, "q8_k"),
    16: GgmlType("IQ2_XXS", 256, 66, "iq2_xxs"), 17: GgmlType("IQ2_XS", 256, 74, "iq2_xs"),
    18: GgmlType("IQ3_XXS", 256, 98, "iq3_xxs"), 19: GgmlType("IQ1_S", 256, 50, "iq1_s"),
    20: GgmlType("IQ4_NL", 32, 18, "iq4_nl"), 21: GgmlType("IQ3_S", 256, 110, "iq3_s"),
    22: GgmlType("IQ2_S", 256, 82, "iq2_s"), 23: GgmlType("IQ4_XS", 256, 136, "iq4_xs"),
    24: GgmlType("I8", 1, 1, "int8"), 25: GgmlType("I16", 1, 2, "int16"),
    26: GgmlType("I32", 1, 4, "int32"), 27: GgmlType("I64", 1, 8, "int64"),
    28: GgmlType("F64", 1, 8, "fp64"), 29: GgmlType("IQ1_M", 256, 56, "iq1_m"),
    30: GgmlType("BF16", 1, 2, "bf16"), 34: GgmlType("TQ1_0", 256, 54, "tq1_0"),
    35: GgmlType("TQ2_0", 256, 66, "tq2_0"), 39: GgmlType("MXFP4", 32, 17, "mxfp4"),
    40: GgmlType("NVFP4", 64, 36, "nvfp4"), 41: GgmlType("Q1_0", 128, 18, "q1_0"),
    42: GgmlType("Q2_0", 64, 18, "q2_0"),
}  # fmt: skip

#: ``general.file_type`` -> the mixture's name here (``enum llama_ftype`` in ``include/llama.h``).
FILE_TYPES: Final[Mapping[int, str]] = {
    1: "fp16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 12: "q3_k_m",
    14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 38: "mxfp4_moe",
}  # fmt: skip
