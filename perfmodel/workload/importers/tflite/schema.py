"""Names and numbers of TensorFlow Lite's schema, version 3 (``schema.fbs`` of LiteRT).

Checked by a test against the generated readers of the package ``tflite``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Bytes 4 to 8 of a file.
IDENTIFIER: Final = b"TFL3"

#: Operators by their code, from 0.
BUILTINS: tuple[str, ...] = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE",
    "DEQUANTIZE", "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED", "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION", "L2_POOL_2D", "LOCAL_RESPONSE_NORMALIZATION", "LOGISTIC",
    "LSH_PROJECTION", "LSTM", "MAX_POOL_2D", "MUL", "RELU", "RELU_N1_TO_1", "RELU6", "RESHAPE",
    "RESIZE_BILINEAR", "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH", "CONCAT_EMBEDDINGS",
    "SKIP_GRAM", "CALL", "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND",
    "TRANSPOSE", "MEAN", "SUB", "DIV", "SQUEEZE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE",
    "BIDIRECTIONAL_SEQUENCE_RNN", "EXP", "TOPK_V2", "SPLIT", "LOG_SOFTMAX", "DELEGATE",
    "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU", "MAXIMUM", "ARG_MAX", "MINIMUM", "LESS",
    "NEG", "PADV2", "GREATER", "GREATER_EQUAL", "LESS_EQUAL", "SELECT", "SLICE", "SIN",
    "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE", "EXPAND_DIMS", "EQUAL", "NOT_EQUAL", "LOG",
    "SUM", "SQRT", "RSQRT", "SHAPE", "POW", "ARG_MIN", "FAKE_QUANT", "REDUCE_PROD", "REDUCE_MAX",
    "PACK", "LOGICAL_OR", "ONE_HOT", "LOGICAL_AND", "LOGICAL_NOT", "UNPACK", "REDUCE_MIN",
    "FLOOR_DIV", "REDUCE_ANY", "SQUARE", "ZEROS_LIKE", "FILL", "FLOOR_MOD", "RANGE",
    "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "SQUARED_DIFFERENCE", "MIRROR_PAD", "ABS", "SPLIT_V",
    "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND", "COS", "WHERE", "RANK", "ELU",
    "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE", "MATRIX_SET_DIAG", "ROUND", "HARD_SWISH", "IF",
    "WHILE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "SCATTER_ND", "SELECT_V2",
    "DENSIFY", "SEGMENT_SUM", "BATCH_MATMUL", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM",
    "CALL_ONCE", "BROADCAST_TO", "RFFT2D", "CONV_3D", "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE",
    "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "REDUCE_ALL", "CONV_3D_TRANSPOSE",
    "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "BROADCAST_ARGS", "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE", "RANDOM_UNIFORM", "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE", "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM", "ATAN2",
    "UNSORTED_SEGMENT_MIN", "SIGN", "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT", "STABLEHLO_LOGISTIC",
    "STABLEHLO_ADD", "STABLEHLO_DIVIDE", "STABLEHLO_MULTIPLY", "STABLEHLO_MAXIMUM",
    "STABLEHLO_RESHAPE", "STABLEHLO_CLAMP", "STABLEHLO_CONCATENATE", "STABLEHLO_BROADCAST_IN_DIM",
    "STABLEHLO_CONVOLUTION", "STABLEHLO_SLICE", "STABLEHLO_CUSTOM_CALL", "STABLEHLO_REDUCE",
    "STABLEHLO_ABS", "STABLEHLO_AND", "STABLEHLO_COSINE", "STABLEHLO_EXPONENTIAL",
    "STABLEHLO_FLOOR", "STABLEHLO_LOG", "STABLEHLO_MINIMUM", "STABLEHLO_NEGATE", "STABLEHLO_OR",
    "STABLEHLO_POWER", "STABLEHLO_REMAINDER", "STABLEHLO_RSQRT", "STABLEHLO_SELECT",
    "STABLEHLO_SUBTRACT", "STABLEHLO_TANH", "STABLEHLO_SCATTER", "STABLEHLO_COMPARE",
    "STABLEHLO_CONVERT", "STABLEHLO_DYNAMIC_SLICE", "STABLEHLO_DYNAMIC_UPDATE_SLICE",
    "STABLEHLO_PAD", "STABLEHLO_IOTA", "STABLEHLO_DOT_GENERAL", "STABLEHLO_REDUCE_WINDOW",
    "STABLEHLO_SORT", "STABLEHLO_WHILE", "STABLEHLO_GATHER", "STABLEHLO_TRANSPOSE", "DILATE",
    "STABLEHLO_RNG_BIT_GENERATOR", "REDUCE_WINDOW", "STABLEHLO_COMPOSITE", "STABLEHLO_SHIFT_LEFT",
    "STABLEHLO_CBRT",
)  # fmt: skip

#: Element type -> numeric format, from 0. What is no plain number keeps its own name.
FORMATS: tuple[str, ...] = (
    "fp32", "fp16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
    "fp64", "complex128", "int64", "resource", "variant", "int32", "int16", "int4", "bf16", "int2",
)  # fmt: skip

#: Bits of a stored element, by the same number; 0 where a tensor's size does not follow.
ELEMENT_BITS: tuple[int, ...] = (
    32, 16, 32, 8, 64, 0, 8, 16, 64, 8, 64, 128, 64, 0, 0, 32, 16, 4, 16, 2,
)  # fmt: skip

ACTIVATIONS: tuple[str, ...] = (
    "NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT",
)  # fmt: skip
PADDINGS: tuple[str, ...] = ("SAME", "VALID")

_Fields = Mapping[str, tuple[int, str, object]]

_CONV: _Fields = {
    "padding": (0, "int8", 0), "stride_w": (1, "int32", 0), "stride_h": (2, "int32", 0),
    "activation": (3, "int8", 0), "dilation_w": (4, "int32", 1), "dilation_h": (5, "int32", 1),
}  # fmt: skip
_REDUCE: _Fields = {"keep_dims": (0, "bool", False)}
_ACTIVATION: _Fields = {"activation": (0, "int8", 0)}

#: Operator -> (number of its options in the union, field -> (slot, kind, default)); vectors of
#: int32 are of kind ``vector``. Operators that are not here have no options that decide a price.
OPTIONS: Final[Mapping[str, tuple[int, _Fields]]] = {
    "CONV_2D": (1, _CONV),
    "DEPTHWISE_CONV_2D": (2, {
        "padding": (0, "int8", 0), "stride_w": (1, "int32", 0), "stride_h": (2, "int32", 0),
        "depth_multiplier": (3, "int32", 0), "activation": (4, "int8", 0),
        "dilation_w": (5, "int32", 1), "dilation_h": (6, "int32", 1),
    }),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), (5, {
        "padding": (0, "int8", 0), "stride_w": (1, "int32", 0), "stride_h": (2, "int32", 0),
        "filter_w": (3, "int32", 0), "filter_h": (4, "int32", 0), "activation": (5, "int8", 0),
    })),
    "SVDF": (6, {"rank": (0, "int32", 0), "activation": (1, "int8", 0)}),
    "RNN": (7, _ACTIVATION),
    "FULLY_CONNECTED": (8, {
        "activation": (0, "int8", 0), "weights_format": (1, "int8", 0),
        "keep_num_dims": (2, "bool", False),
    }),
    "CONCATENATION": (10, {"axis": (0, "int32", 0), "activation": (1, "int8", 0)}),
    "ADD": (11, _ACTIVATION),
    "L2_NORMALIZATION": (12, _ACTIVATION),
    "LSTM": (14, {"activation": (0, "int8", 0), "kernel_type": (3, "int8", 0)}),
    "CALL": (16, {"subgraph": (0, "uint32", 0)}),
    "RESHAPE": (17, {"new_shape": (0, "vector", ())}),
    "SPACE_TO_DEPTH": (19, {"block_size": (0, "int32", 0)}),
    "MUL": (21, _ACTIVATION),
    "GATHER": (23, {"axis": (0, "int32", 0), "batch_dims": (1, "int32", 0)}),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY",
                     "REDUCE_ALL"), (27, _REDUCE)),
    "SUB": (28, _ACTIVATION),
    "DIV": (29, _ACTIVATION),
    "SQUEEZE": (30, {"squeeze_dims": (0, "vector", ())}),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (31, {
        "time_major": (0, "bool", False), "activation": (1, "int8", 0),
    }),
    "STRIDED_SLICE": (32, {
        "begin_mask": (0, "int32", 0), "end_mask": (1, "int32", 0),
        "ellipsis_mask": (2, "int32", 0), "new_axis_mask": (3, "int32", 0),
        "shrink_axis_mask": (4, "int32", 0), "offset": (5, "bool", False),
    }),
    "SPLIT": (35, {"num_splits": (0, "int32", 0)}),
    "TRANSPOSE_CONV": (49, {
        "padding": (0, "int8", 0), "stride_w": (1, "int32", 0), "stride_h": (2, "int32", 0),
        "activation": (3, "int8", 0),
    }),
    "PACK": (59, {"values_count": (0, "int32", 0), "axis": (1, "int32", 0)}),
    "ONE_HOT": (61, {"axis": (0, "int32", 0)}),
    "UNPACK": (64, {"num": (0, "int32", 0), "axis": (1, "int32", 0)}),
    "BIDIRECTIONAL_SEQUENCE_LSTM": (69, {
        "activation": (0, "int8", 0), "merge_outputs": (3, "bool", False),
        "time_major": (4, "bool", True),
    }),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (71, {
        "activation": (0, "int8", 0), "time_major": (3, "bool", False),
    }),
    "MIRROR_PAD": (77, {"mode": (0, "int8", 0)}),
    "SPLIT_V": (79, {"num_splits": (0, "int32", 0)}),
    "IF": (92, {"then_subgraph": (0, "int32", 0), "else_subgraph": (1, "int32", 0)}),
    "WHILE": (93, {"cond_subgraph": (0, "int32", 0), "body_subgraph": (1, "int32", 0)}),
    "DEPTH_TO_SPACE": (94, {"block_size": (0, "int32", 0)}),
    "BATCH_MATMUL": (101, {"adj_x": (0, "bool", False), "adj_y": (1, "bool", False)}),
    "CALL_ONCE": (103, {"init_subgraph": (0, "int32", 0)}),
    "CONV_3D": (106, {
        "padding": (0, "int8", 0), "stride_d": (1, "int32", 0), "stride_w": (2, "int32", 0),
        "stride_h": (3, "int32", 0), "activation": (4, "int8", 0), "dilation_d": (5, "int32", 1),
        "dilation_w": (6, "int32", 1), "dilation_h": (7, "int32", 1),
    }),
    "VAR_HANDLE": (111, {"container": (0, "text", ""), "shared_name": (1, "text", "")}),
}  # fmt: skip
