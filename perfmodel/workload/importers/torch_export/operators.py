"""ATen operators, and what each is in the ONNX walk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.torch_export.emit import Emitter
from perfmodel.workload.importers.torch_export.program import AtenCall
from perfmodel.workload.importers.torch_export.recurrent import recurrent
from perfmodel.workload.symbols import constant

Writer = Callable[[Emitter, AtenCall], None]

#: Checks and arithmetic on extents: nothing that a device computes.
SKIPPED: Final = frozenset(
    {"_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_size", "sym_numel",
     "sym_stride", "sym_constrain_range", "sym_constrain_range_for_size", "_local_scalar_dense",
     "item", "size"}
)  # fmt: skip

_ELEMENTWISE: Mapping[str, str] = {
    "add": "Add", "sub": "Sub", "subtract": "Sub", "rsub": "Sub", "mul": "Mul", "multiply": "Mul",
    "div": "Div", "divide": "Div", "true_divide": "Div", "floor_divide": "Div", "pow": "Pow",
    "sqrt": "Sqrt", "rsqrt": "Rsqrt", "exp": "Exp", "expm1": "Exp", "exp2": "Exp", "log": "Log",
    "log2": "Log", "log10": "Log", "log1p": "Log", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "atan": "Atan", "asin": "Asin", "acos": "Acos", "sinh": "Sinh", "cosh": "Cosh",
    "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "relu6": "Clip", "silu": "Swish",
    "gelu": "Gelu", "hardswish": "HardSwish", "hardsigmoid": "HardSigmoid", "hardtanh": "Clip",
    "leaky_relu": "LeakyRelu", "elu": "Elu", "selu": "Selu", "celu": "Celu", "mish": "Mish",
    "softplus": "Softplus", "softsign": "Softsign", "clamp": "Clip", "clamp_min": "Clip",
    "clamp_max": "Clip", "clip": "Clip", "abs": "Abs", "neg": "Neg", "sign": "Sign",
    "floor": "Floor", "ceil": "Ceil", "round": "Round", "erf": "Erf", "reciprocal": "Reciprocal",
    "maximum": "Max", "minimum": "Min", "where": "Where", "masked_fill": "Where", "fill": "Where",
    "eq": "Equal", "ne": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater",
    "ge": "GreaterOrEqual", "logical_and": "And", "logical_or": "Or", "logical_not": "Not",
    "logical_xor": "Xor", "and": "And", "or": "Or", "xor": "Xor", "bitwise_and": "BitwiseAnd",
    "bitwise_or": "BitwiseOr", "bitwise_xor": "BitwiseXor", "bitwise_not": "BitwiseNot",
    "remainder": "Mod", "fmod": "Mod", "isnan": "IsNaN", "isinf": "IsInf", "prelu": "PRelu",
    "square": "Pow", "threshold": "ThresholdedRelu", "lerp": "Affine", "log_sigmoid": "Softplus",
    "addcmul": "Affine", "diff": "Sub", "cumsum": "CumSum", "cumprod": "CumProd",
    "nan_to_num": "Where",
}  # fmt: skip
_REDUCTIONS: Mapping[str, str] = {
    "mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin",
    "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd", "argmax": "ArgMax",
    "argmin": "ArgMin", "norm": "ReduceL2", "linalg_vector_norm": "ReduceL2",
    "logsumexp": "ReduceLogSumExp", "any": "ReduceMax", "all": "ReduceMin",
    "var": "ReduceSumSquare", "std": "ReduceSumSquare", "var_mean": "ReduceSumSquare",
    "adaptive_avg_pool1d": "GlobalAveragePool", "adaptive_avg_pool2d": "GlobalAveragePool",
    "_adaptive_avg_pool2d": "GlobalAveragePool", "adaptive_avg_pool3d": "GlobalAveragePool",
    "adaptive_max_pool1d": "GlobalMaxPool", "adaptive_max_pool2d": "GlobalMaxPool",
}  # fmt: skip
#: Other names of the same elements, or what does nothing at inference.
_VIEWS: Final = (
    "view", "_unsafe_view", "unsqueeze", "squeeze", "flatten", "unflatten", "expand", "expand_as",
    "permute", "transpose", "t", "slice", "select", "narrow", "split", "split_with_sizes", "chunk",
    "unsafe_split", "tensor_split", "unbind", "alias", "detach", "lift_fresh", "lift_fresh_copy",
    "dropout", "alpha_dropout", "feature_dropout", "view_as", "movedim", "swapaxes", "swapdims",
    "numpy_T", "mT", "diagonal", "unfold", "as_strided", "positive", "native_dropout",
)  # fmt: skip
_COPIES: Mapping[str, str] = {
    "cat": "Concat", "concat": "Concat", "stack": "Concat", "hstack": "Concat", "pad": "Pad",
    "constant_pad_nd": "Pad", "reflection_pad1d": "Pad", "reflection_pad2d": "Pad",
    "replication_pad1d": "Pad", "replication_pad2d": "Pad", "roll": "Pad", "flip": "Pad",
    "repeat": "Tile", "repeat_interleave": "Tile", "tile": "Tile", "tril": "Trilu",
    "triu": "Trilu", "copy": "Pad", "clone": "Pad", "pixel_shuffle": "DepthToSpace",
    "pixel_unshuffle": "SpaceToDepth", "channel_shuffle": "Pad", "im2col": "Pad",
}  # fmt: skip
_MADE: Final = (
    "arange", "zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "zeros_like",
    "ones_like", "full_like", "empty", "empty_like", "new_empty", "scalar_tensor", "eye",
    "linspace",
)  # fmt: skip


def _named(op: str) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        e.add(c, op, e.tensors(c))

    return writer


def _view(e: Emitter, c: AtenCall) -> None:
    x = e.tensors(c)[0]
    if c.op in {"t", "numpy_T", "permute", "transpose"} and x in e.program.parameters:
        shape = e.shapes[x]
        if len(shape) == 2 and e.shapes[c.outputs[0]] == shape[::-1]:
            e.turned[c.outputs[0]] = x
    for name in c.outputs:
        if name:
            e.add(c, "Reshape", [x], outputs=[name])


def _laid_out(e: Emitter, c: AtenCall) -> None:
    """``reshape`` and ``contiguous``: a view of what lies row by row, else a copy."""
    x = e.tensors(c)[0]
    e.add(c, "Reshape" if e.meta(x).contiguous else "Pad", [x])


def _cast(e: Emitter, c: AtenCall) -> None:
    x = e.tensors(c)[0]
    same = e.meta(x).format == e.meta(c.outputs[0]).format
    e.add(c, "Reshape" if same else "Cast", [x])


def _made(e: Emitter, c: AtenCall) -> None:
    e.add(c, "ConstantOfShape", [])


def convolution(e: Emitter, c: AtenCall) -> None:
    """Convolutions of one to three axes, transposed ones as well."""
    x, w = e.tensor(c, "input", "self"), e.tensor(c, "weight")
    axes = len(e.shapes[w]) - 2
    if axes < 1 or len(e.shapes[x]) != axes + 2:
        raise NotPricedError(f"an input with {len(e.shapes[x])} dimensions")
    bias = e.optional(c, "bias")
    transposed = c.op.startswith("conv_transpose") or e.flag(c, "transposed")
    pads: tuple[int, ...] = (0,) * axes
    if not isinstance(c.arguments.get("padding"), str):
        pads = e.wholes(c, "padding", axes, 0)
    e.add(
        c, "ConvTranspose" if transposed else "Conv", [x, w, *([bias] if bias else [])],
        strides=e.wholes(c, "stride", axes, 1), dilations=e.wholes(c, "dilation", axes, 1),
        group=e.whole(c, "groups", 1), pads=(*pads, *pads),
    )  # fmt: skip


def linear(e: Emitter, c: AtenCall) -> None:
    """``linear``: weights are stored turned."""
    e.linear(c, e.tensor(c, "input"), e.tensor(c, "weight"), e.optional(c, "bias"), turned=True)


def addmm(e: Emitter, c: AtenCall) -> None:
    """``addmm``: a bias and a product."""
    e.linear(c, e.tensor(c, "mat1"), e.tensor(c, "mat2"), e.tensor(c, "self"), turned=False)


def matmul(e: Emitter, c: AtenCall) -> None:
    """``mm``, ``bmm``, ``matmul``."""
    a, b = e.tensor(c, "self"), e.tensor(c, "mat2", "other", "vec", "tensor")
    if b in e.turned:
        e.linear(c, a, b, turned=False)
    else:
        e.add(c, "MatMul", [a, b])


def baddbmm(e: Emitter, c: AtenCall) -> None:
    """``baddbmm``: stacks of products, added to."""
    e.add(c, "Linear", [e.tensor(c, "batch1"), e.tensor(c, "batch2"), e.tensor(c, "self")])


def einsum(e: Emitter, c: AtenCall) -> None:
    """``einsum``."""
    e.add(c, "Einsum", e.tensors(c), equation=str(c.arguments.get("equation", "")))


def attention(e: Emitter, c: AtenCall) -> None:
    """Scaled dot-product attention, grouped and masked."""
    q, k, v = e.tensor(c, "query"), e.tensor(c, "key"), e.tensor(c, "value")
    mask = e.optional(c, "attn_mask", "attn_bias")
    inputs = [q, k, v, mask] if mask else [q, k, v]
    alone: dict[str, Any] = {"q_num_heads": 1, "kv_num_heads": 1} if len(e.shapes[q]) == 3 else {}
    e.add(
        c,
        "Attention",
        inputs,
        outputs=c.outputs[:1],
        is_causal=int(e.flag(c, "is_causal")),
        **alone,
    )


def embedding(e: Emitter, c: AtenCall) -> None:
    """``embedding``: rows of a table."""
    e.add(c, "Gather", [e.tensor(c, "weight"), e.tensor(c, "indices")], axis=0)


def _norm(op: str) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        x = e.tensor(c, "input", "self")
        vectors = [n for n in (e.optional(c, "weight"), e.optional(c, "bias")) if n]
        # Statistics of the training are folded into scale and shift, as any runtime does.
        e.add(c, op, [x, *vectors], outputs=c.outputs[:1])

    return writer


def _pool(op: str) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        x = e.tensor(c, "self", "input")
        axes = next(n for n in (1, 2, 3) if f"{n}d" in c.op)
        kernel = e.wholes(c, "kernel_size", axes, 1)
        stride = e.wholes(c, "stride", axes, 0)
        pads = e.wholes(c, "padding", axes, 0)
        e.add(
            c, op, [x], outputs=c.outputs[:1], kernel_shape=kernel,
            strides=stride if any(stride) else kernel,
            dilations=e.wholes(c, "dilation", axes, 1), pads=(*pads, *pads),
        )  # fmt: skip

    return writer


def _softmax(op: str) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        e.add(c, op, e.tensors(c)[:1])

    return writer


def _resized(mode: str) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        e.add(c, "Resize", e.tensors(c)[:1], mode=mode)

    return writer


def _gathered(op: str) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        names = e.tensors(c)
        if c.op in {"gather", "index_select", "take_along_dim"}:
            names = names[:2]
        e.add(c, op, names)

    return writer


def _reduced(op: str) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        x = e.tensors(c)[0]
        if c.op in {"max", "min"} and len(e.tensors(c)) == 2:
            e.add(c, "Max", e.tensors(c))
            return
        window = c.op.startswith(("adaptive", "_adaptive"))
        if window and any(constant(d) != 1 for d in e.shapes[c.outputs[0]][2:]):
            op_here: Any = "AveragePool" if "avg" in c.op else "MaxPool"
            inner, outer = e.meta(x).hints[2:], e.meta(c.outputs[0]).hints[2:]
            kernel = tuple(-(-a // max(b, 1)) for a, b in zip(inner, outer, strict=False))
            e.add(c, op_here, [x], kernel_shape=kernel, strides=kernel)
            return
        e.add(c, op, [x])

    return writer


OPERATORS: Mapping[str, Writer] = {
    **{aten: _named(op) for aten, op in _ELEMENTWISE.items()},
    **{aten: _reduced(op) for aten, op in _REDUCTIONS.items()},
    **{aten: _named(op) for aten, op in _COPIES.items()},
    **dict.fromkeys(_VIEWS, _view), **dict.fromkeys(_MADE, _made),
    **dict.fromkeys(("reshape", "contiguous"), _laid_out),
    **dict.fromkeys(("to", "_to_copy", "type_as", "float", "half"), _cast),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d",
                     "conv_transpose2d", "conv_transpose3d"), convolution),
    "linear": linear, "addmm": addmm, "baddbmm": baddbmm, "einsum": einsum,
    **dict.fromkeys(("mm", "bmm", "matmul", "mv", "dot"), matmul),
    **dict.fromkeys(
        ("scaled_dot_product_attention", "_scaled_dot_product_flash_attention",
         "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_efficient_attention",
         "_scaled_dot_product_cudnn_attention"), attention,
    ),
    "embedding": embedding,
    **dict.fromkeys(("layer_norm", "native_layer_norm"), _norm("LayerNormalization")),
    **dict.fromkeys(("rms_norm", "_fused_rms_norm"), _norm("RMSNormalization")),
    **dict.fromkeys(("group_norm", "native_group_norm"), _norm("GroupNormalization")),
    "instance_norm": _norm("InstanceNormalization"),
    **dict.fromkeys(
        ("batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training",
         "_native_batch_norm_legit", "cudnn_batch_norm", "_batch_norm_no_update"),
        _norm("BatchNormalization"),
    ),
    **{f"max_pool{n}d{extra}": _pool("MaxPool") for n in (1, 2, 3)
       for extra in ("", "_with_indices")},
    **{f"avg_pool{n}d": _pool("AveragePool") for n in (1, 2, 3)},
    **dict.fromkeys(("softmax", "_softmax"), _softmax("Softmax")),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _softmax("LogSoftmax")),
    **{f"upsample_nearest{n}d": _resized("nearest") for n in (1, 2, 3)},
    **{f"upsample_{kind}{n}d": _resized("linear")
       for kind, n in (("linear", 1), ("bilinear", 2), ("trilinear", 3))},
    "upsample_bicubic2d": _resized("cubic"),
    "grid_sampler": _named("GridSample"), "grid_sampler_2d": _named("GridSample"),
    "index": _gathered("Gather"), "index_select": _gathered("Gather"),
    "gather": _gathered("GatherElements"), "take_along_dim": _gathered("GatherElements"),
    **dict.fromkeys(("index_put", "scatter", "slice_scatter", "select_scatter", "scatter_add",
                     "masked_scatter", "index_copy"), _gathered("ScatterND")),
    "lstm": recurrent, "gru": recurrent, "rnn_tanh": recurrent, "rnn_relu": recurrent,
}  # fmt: skip
