"""ATen operators, and what each is in the ONNX walk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

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
from perfmodel.workload.importers.torch_export.program import Ref
from perfmodel.workload.symbols import constant

Writer = Callable[[Emitter], None]

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


def _named(op: str, most: int | None = None, **attributes: Any) -> Writer:
    """Return what writes an operator of the first tensors that it is called with."""
    return lambda e: e.add(op, e.tensors[:most], **attributes)


def _view(e: Emitter) -> None:
    x = e.tensors[0]
    if e.call.op in {"t", "numpy_T", "permute", "transpose"} and x in e.program.parameters:
        shape = e.shapes[x]
        if len(shape) == 2 and e.shapes[e.call.outputs[0]] == shape[::-1]:
            e.turned[e.call.outputs[0]] = x
    for name in e.call.outputs:
        if name:
            e.add("Reshape", [x], outputs=[name])


def _laid_out(e: Emitter) -> None:
    """``reshape`` and ``contiguous``: a view of what lies row by row, else a copy."""
    x = e.tensors[0]
    e.add("Reshape" if e.meta(x).contiguous else "Pad", [x])


def _cast(e: Emitter) -> None:
    x = e.tensors[0]
    same = e.meta(x).format == e.meta(e.call.outputs[0]).format
    e.add("Reshape" if same else "Cast", [x])


def convolution(e: Emitter) -> None:
    """Convolutions of one to three axes, transposed ones as well."""
    x, w = e.tensor("input", "self"), e.tensor("weight")
    axes = len(e.shapes[w]) - 2
    if axes < 1 or len(e.shapes[x]) != axes + 2:
        raise NotPricedError(f"an input with {len(e.shapes[x])} dimensions")
    transposed = e.call.op.startswith("conv_transpose") or e.flag("transposed")
    pads: tuple[int, ...] = (0,) * axes
    if not isinstance(e.call.arguments.get("padding"), str):
        pads = e.wholes("padding", axes, 0)
    e.add(
        "ConvTranspose" if transposed else "Conv",
        [x, w, *filter(None, [e.optional("bias")])],
        strides=e.wholes("stride", axes, 1),
        dilations=e.wholes("dilation", axes, 1),
        group=e.whole("groups", 1),
        pads=(*pads, *pads),
    )


def linear(e: Emitter) -> None:
    """``linear``: weights are stored turned."""
    e.linear(e.tensor("input"), e.tensor("weight"), e.optional("bias"), turned=True)


def addmm(e: Emitter) -> None:
    """``addmm``: a bias and a product."""
    e.linear(e.tensor("mat1"), e.tensor("mat2"), e.tensor("self"), turned=False)


def matmul(e: Emitter) -> None:
    """``mm``, ``bmm``, ``matmul``."""
    a, b = e.tensor("self"), e.tensor("mat2", "other", "vec", "tensor")
    if b in e.turned:
        e.linear(a, b, turned=False)
    else:
        e.add("MatMul", [a, b])


def baddbmm(e: Emitter) -> None:
    """``baddbmm``: stacks of products, added to."""
    e.add("Linear", [e.tensor("batch1"), e.tensor("batch2"), e.tensor("self")])


def einsum(e: Emitter) -> None:
    """``einsum``."""
    e.add("Einsum", e.tensors, equation=str(e.call.arguments.get("equation", "")))


def attention(e: Emitter) -> None:
    """Scaled dot-product attention, grouped and masked."""
    q, k, v = e.tensor("query"), e.tensor("key"), e.tensor("value")
    heads: dict[str, Any] = {"q_num_heads": 1, "kv_num_heads": 1} if len(e.shapes[q]) == 3 else {}
    e.add(
        "Attention",
        [q, k, v, *filter(None, [e.optional("attn_mask", "attn_bias")])],
        outputs=e.call.outputs[:1],
        is_causal=int(e.flag("is_causal")),
        **heads,
    )


def embedding(e: Emitter) -> None:
    """``embedding``: rows of a table."""
    e.add("Gather", [e.tensor("weight"), e.tensor("indices")], axis=0)


def _norm(op: str) -> Writer:
    def writer(e: Emitter) -> None:
        x = e.tensor("input", "self")
        vectors = filter(None, [e.optional("weight"), e.optional("bias")])
        # Statistics of the training are folded into scale and shift, as any runtime does.
        e.add(op, [x, *vectors], outputs=e.call.outputs[:1])

    return writer


def _pool(op: str) -> Writer:
    def writer(e: Emitter) -> None:
        x = e.tensor("self", "input")
        axes = next(n for n in (1, 2, 3) if f"{n}d" in e.call.op)
        kernel = e.wholes("kernel_size", axes, 1)
        stride = e.wholes("stride", axes, 0)
        pads = e.wholes("padding", axes, 0)
        e.add(
            op,
            [x],
            outputs=e.call.outputs[:1],
            kernel_shape=kernel,
            strides=stride if any(stride) else kernel,
            dilations=e.wholes("dilation", axes, 1),
            pads=(*pads, *pads),
        )

    return writer


def _gathered(op: str) -> Writer:
    def writer(e: Emitter) -> None:
        picks = e.call.op in {"gather", "index_select", "take_along_dim"}
        e.add(op, e.tensors[: 2 if picks else None])

    return writer


def _reduced(op: str) -> Writer:
    def writer(e: Emitter) -> None:
        x = e.tensors[0]
        if e.call.op in {"max", "min"} and len(e.tensors) == 2:
            e.add("Max", e.tensors)
            return
        window = e.call.op.startswith(("adaptive", "_adaptive"))
        if window and any(constant(d) != 1 for d in e.shapes[e.call.outputs[0]][2:]):
            inner, outer = e.meta(x).hints[2:], e.meta(e.call.outputs[0]).hints[2:]
            kernel = tuple(-(-a // max(b, 1)) for a, b in zip(inner, outer, strict=False))
            pool = "AveragePool" if "avg" in e.call.op else "MaxPool"
            e.add(pool, [x], kernel_shape=kernel, strides=kernel)
            return
        e.add(op, [x])

    return writer


_CELLS: Mapping[str, str] = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def recurrent(e: Emitter) -> None:
    """``lstm``, ``gru``, ``rnn``: one operator a layer, the weights of both directions stacked."""
    parameters: Any = e.call.arguments.get("params", ())
    names = [p.name for p in parameters if isinstance(p, Ref)]
    layers, biased = e.whole("num_layers", 1), e.flag("has_biases", True)
    directions = 1 + e.flag("bidirectional")
    each = 4 if biased else 2
    if len(names) != layers * directions * each or not names:
        raise NotPricedError(f"{len(names)} parameters for {layers} layers")
    x = e.tensor("input")
    rows = [names[i : i + each] for i in range(0, len(names), each)]
    for layer in range(layers):
        last = layer == layers - 1
        sets = rows[layer * directions : (layer + 1) * directions]
        inputs = [x, *(_stacked(e, [s[i] for s in sets], directions) for i in (0, 1))]
        if biased:
            inputs.append(_stacked(e, [n for s in sets for n in s[2:]], directions))
        y = e.call.outputs[0] if last else f"{e.call.outputs[0]}.layer{layer}"
        if not last:
            e.shapes[y] = e.shapes[e.call.outputs[0]]
            e.program.metas[y] = e.meta(e.call.outputs[0])
        e.add(
            _CELLS[e.call.op],
            inputs,
            outputs=e.call.outputs if last else [y],
            name=f"{e.call.outputs[0]}.{layer}",
            layout=int(e.flag("batch_first")),
        )
        x = y


def _stacked(e: Emitter, names: list[str], directions: int) -> str:
    """Declare weights of all directions, one or more of each, as one tensor."""
    meta = e.meta(names[0])
    first, *others = (d for d in meta.shape if isinstance(d, int))
    shape = directions, first * len(names) // directions, *others
    label = "+".join(names) if len(names) > 1 else f"{names[0]}.stacked"
    e.stored[label] = RawTensor(shape, meta.format)
    e.shapes[label] = shape
    return label


#: Operators that are written otherwise than those of `registry` by their names there.
_OPERATORS: Mapping[str, Writer] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(MADE, _named("ConstantOfShape", 0)),
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
    **dict.fromkeys(("softmax", "_softmax"), _named("Softmax", 1)),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _named("LogSoftmax", 1)),
    **{
        f"upsample_{kind}": _named("Resize", 1, mode=mode)
        for kind, mode in (
            ("nearest1d", "nearest"),
            ("nearest2d", "nearest"),
            ("nearest3d", "nearest"),
            ("linear1d", "linear"),
            ("bilinear2d", "linear"),
            ("trilinear3d", "linear"),
            ("bicubic2d", "cubic"),
        )
    },
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
