"""ATen operators, and what each is in the ONNX walk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.read import RawTensor
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FUNCTIONS,
    LOOKUPS,
    NORMS,
    POOLS,
    REDUCTIONS,
    called,
)
from perfmodel.workload.importers.torch_export.emit import Emitter
from perfmodel.workload.importers.torch_export.program import AtenCall, Ref
from perfmodel.workload.symbols import Dim, constant

Writer = Callable[[Emitter, AtenCall], None]

#: Checks and arithmetic on extents: nothing that a device computes.
SKIPPED: Final = frozenset(
    {
        "_assert_tensor_metadata",
        "_assert_scalar",
        "_assert_async",
        "sym_size",
        "sym_numel",
        "sym_stride",
        "sym_constrain_range",
        "sym_constrain_range_for_size",
        "_local_scalar_dense",
        "item",
        "size",
    }
)

#: Other names of the same elements, or what does nothing at inference.
VIEWS: Final = (
    "view",
    "_unsafe_view",
    "unsqueeze",
    "squeeze",
    "flatten",
    "unflatten",
    "expand",
    "expand_as",
    "permute",
    "transpose",
    "t",
    "slice",
    "select",
    "narrow",
    "split",
    "split_with_sizes",
    "chunk",
    "unsafe_split",
    "tensor_split",
    "unbind",
    "alias",
    "detach",
    "lift_fresh",
    "lift_fresh_copy",
    "dropout",
    "alpha_dropout",
    "feature_dropout",
    "view_as",
    "movedim",
    "swapaxes",
    "swapdims",
    "numpy_T",
    "mT",
    "diagonal",
    "unfold",
    "as_strided",
    "positive",
    "native_dropout",
)
#: Tensors made from nothing but their shapes.
MADE: Final = (
    "arange",
    "zeros",
    "ones",
    "full",
    "new_zeros",
    "new_ones",
    "new_full",
    "zeros_like",
    "ones_like",
    "full_like",
    "empty",
    "empty_like",
    "new_empty",
    "scalar_tensor",
    "eye",
    "linspace",
)


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
        c,
        "ConvTranspose" if transposed else "Conv",
        [x, w, *([bias] if bias else [])],
        strides=e.wholes(c, "stride", axes, 1),
        dilations=e.wholes(c, "dilation", axes, 1),
        group=e.whole(c, "groups", 1),
        pads=(*pads, *pads),
    )


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
            c,
            op,
            [x],
            outputs=c.outputs[:1],
            kernel_shape=kernel,
            strides=stride if any(stride) else kernel,
            dilations=e.wholes(c, "dilation", axes, 1),
            pads=(*pads, *pads),
        )

    return writer


def _first(op: str, **attributes: Any) -> Writer:
    def writer(e: Emitter, c: AtenCall) -> None:
        e.add(c, op, e.tensors(c)[:1], **attributes)

    return writer


def _resized(mode: str) -> Writer:
    return _first("Resize", mode=mode)


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


_CELLS: Mapping[str, str] = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def recurrent(e: Emitter, c: AtenCall) -> None:
    """``lstm``, ``gru``, ``rnn``: one operator a layer, the weights of both directions stacked."""
    given: Any = c.arguments.get("params")
    listed = cast("list[Any]", given) if isinstance(given, list) else []
    names = [p.name for p in listed if isinstance(p, Ref)]
    layers, biased = e.whole(c, "num_layers", 1), e.flag(c, "has_biases", True)
    directions = 1 + e.flag(c, "bidirectional")
    each = 4 if biased else 2
    if len(names) != layers * directions * each or not names:
        raise NotPricedError(f"{len(names)} parameters for {layers} layers")
    x = e.tensor(c, "input")
    batch_first = e.flag(c, "batch_first")
    for layer in range(layers):
        last = layer == layers - 1
        sets = [
            names[(layer * directions + d) * each : (layer * directions + d + 1) * each]
            for d in range(directions)
        ]
        inputs = [x, *(_stacked(e, [s[i] for s in sets]) for i in (0, 1))]
        if biased:
            inputs.append(_biases(e, [n for s in sets for n in s[2:]], directions))
        y = c.outputs[0] if last else f"{c.outputs[0]}.layer{layer}"
        if not last:
            shape: tuple[Dim, ...] = e.shapes[c.outputs[0]]
            e.shapes[y] = shape
            e.program.metas[y] = e.meta(c.outputs[0])
        made = c.outputs if last else [y]
        e.add(
            c,
            _CELLS[c.op],
            inputs,
            outputs=made,
            name=f"{c.outputs[0]}.{layer}",
            layout=int(batch_first),
        )
        x = y


def _stacked(e: Emitter, names: list[str]) -> str:
    """Declare the weights of all directions as one tensor."""
    return _declared(e, names, (len(names), *_extents(e, names[0])))


def _biases(e: Emitter, names: list[str], directions: int) -> str:
    width = _extents(e, names[0])[0] * len(names) // directions
    return _declared(e, names, (directions, width))


def _extents(e: Emitter, name: str) -> list[int]:
    return [d for d in e.meta(name).shape if isinstance(d, int)]


def _declared(e: Emitter, names: list[str], shape: tuple[int, ...]) -> str:
    label = "+".join(names) if len(names) > 1 else f"{names[0]}.stacked"
    e.stored[label] = RawTensor(shape, e.meta(names[0]).format)
    e.shapes[label] = shape
    return label


#: Operators that are written otherwise than those of `registry` by their names there.
_OPERATORS: Mapping[str, Writer] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(MADE, _made),
    **dict.fromkeys(("reshape", "contiguous"), _laid_out),
    **dict.fromkeys(("to", "_to_copy", "type_as", "float", "half"), _cast),
    **dict.fromkeys(
        (
            "conv1d",
            "conv2d",
            "conv3d",
            "convolution",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
        ),
        convolution,
    ),
    "linear": linear,
    "addmm": addmm,
    "baddbmm": baddbmm,
    "einsum": einsum,
    **dict.fromkeys(("mm", "bmm", "matmul", "mv", "dot"), matmul),
    **dict.fromkeys(
        (
            "scaled_dot_product_attention",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
        ),
        attention,
    ),
    "embedding": embedding,
    "square": _named("Pow"),
    **dict.fromkeys(("softmax", "_softmax"), _first("Softmax")),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _first("LogSoftmax")),
    **{f"upsample_nearest{n}d": _resized("nearest") for n in (1, 2, 3)},
    **{
        f"upsample_{kind}{n}d": _resized("linear")
        for kind, n in (("linear", 1), ("bilinear", 2), ("trilinear", 3))
    },
    "upsample_bicubic2d": _resized("cubic"),
    **dict.fromkeys(_CELLS, recurrent),
}

#: How operators of the registry are written, in the order in which their names are looked up.
_GROUPS: Final = (
    (REDUCTIONS, _reduced),
    (NORMS, _norm),
    (POOLS, _pool),
    (COPIES, _named),
    (LOOKUPS, _gathered),
    (FUNCTIONS, _named),
)


def writer_of(op: str) -> Writer | None:
    """Return what writes an ATen operator; ``None`` for one that is not known."""
    if op in _OPERATORS:
        return _OPERATORS[op]
    for group, write in _GROUPS:
        match = called(op, group)
        if match is not None:
            return write(match.name)
    return None
