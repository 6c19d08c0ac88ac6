"""Translation of ATen operators to operators of the ONNX walk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.read import RawTensor
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FILLED,
    FUNCTIONS,
    LOOKUPS,
    NORMS,
    POOLS,
    REDUCTIONS,
    TRANSFORMS,
    VIEWS,
    called,
)
from perfmodel.workload.importers.torch_export.emit import Emitter
from perfmodel.workload.importers.torch_export.program import Ref
from perfmodel.workload.symbols import constant

Writer = Callable[[Emitter], None]


def _named(op: str, most: int | None = None, **attributes: Any) -> Writer:
    """Return the translation to operator `op` on the first `most` tensor arguments."""
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
    """Translate ``reshape`` and ``contiguous``: a view of a contiguous tensor, else a copy."""
    x = e.tensors[0]
    e.add("Reshape" if e.meta(x).contiguous else "Pad", [x])


def _cast(e: Emitter) -> None:
    x = e.tensors[0]
    same = e.meta(x).format == e.meta(e.call.outputs[0]).format
    e.add("Reshape" if same else "Cast", [x])


def convolution(e: Emitter) -> None:
    """Translate convolutions over one to three axes, transposed ones included."""
    x, w = e.tensor("input", "self"), e.tensor("weight")
    axes = len(e.shapes[w]) - 2
    if axes < 1 or len(e.shapes[x]) != axes + 2:
        raise NotPricedError(f"an input with {len(e.shapes[x])} dimensions")
    transposed = e.call.op.startswith("conv_transpose") or e.flag("transposed")
    pads: tuple[int, ...] = (0,) * axes
    if not isinstance(e.call.arguments.get("padding"), str):
        pads = e.integers("padding", axes, 0)
    e.add(
        "ConvTranspose" if transposed else "Conv",
        [x, w, *filter(None, [e.optional("bias")])],
        strides=e.integers("stride", axes, 1),
        dilations=e.integers("dilation", axes, 1),
        group=e.integer("groups", 1),
        pads=(*pads, *pads),
    )


def linear(e: Emitter) -> None:
    """Translate ``linear``, whose weights are stored transposed."""
    e.linear(e.tensor("input"), e.tensor("weight"), e.optional("bias"), turned=True)


def addmm(e: Emitter) -> None:
    """Translate ``addmm``: a product plus a bias."""
    e.linear(e.tensor("mat1"), e.tensor("mat2"), e.tensor("self"), turned=False)


def matmul(e: Emitter) -> None:
    """Translate ``mm``, ``bmm`` and ``matmul``."""
    a, b = e.tensor("self"), e.tensor("mat2", "other", "vec", "tensor")
    if b in e.turned:
        e.linear(a, b, turned=False)
    else:
        e.add("MatMul", [a, b])


def baddbmm(e: Emitter) -> None:
    """Translate ``baddbmm``: a stack of products plus a tensor."""
    e.add("Linear", [e.tensor("batch1"), e.tensor("batch2"), e.tensor("self")])


def einsum(e: Emitter) -> None:
    """Translate ``einsum``."""
    e.add("Einsum", e.tensors, equation=str(e.call.arguments.get("equation", "")))


def attention(e: Emitter) -> None:
    """Translate scaled dot-product attention, grouped and masked."""
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
    """Translate ``embedding``: a lookup of a table's rows."""
    e.add("Gather", [e.tensor("weight"), e.tensor("indices")], axis=0)


def _norm(op: str) -> Writer:
    def writer(e: Emitter) -> None:
        x = e.tensor("input", "self")
        vectors = filter(None, [e.optional("weight"), e.optional("bias")])
        # Running statistics are folded into scale and shift, as in any runtime.
        e.add(op, [x, *vectors], outputs=e.call.outputs[:1])

    return writer


def _pool(op: str) -> Writer:
    def writer(e: Emitter) -> None:
        x = e.tensor("self", "input")
        axes = next(n for n in (1, 2, 3) if f"{n}d" in e.call.op)
        kernel = e.integers("kernel_size", axes, 1)
        stride = e.integers("stride", axes, 0)
        pads = e.integers("padding", axes, 0)
        e.add(
            op,
            [x],
            outputs=e.call.outputs[:1],
            kernel_shape=kernel,
            strides=stride if any(stride) else kernel,
            dilations=e.integers("dilation", axes, 1),
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
    """Translate ``lstm``, ``gru`` and ``rnn``: one operator per layer, both directions stacked."""
    parameters: Any = e.call.arguments.get("params", ())
    names = [p.name for p in parameters if isinstance(p, Ref)]
    layers, biased = e.integer("num_layers", 1), e.flag("has_biases", True)
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
    """Declare the weights of all directions, one or more each, as one stacked tensor."""
    meta = e.meta(names[0])
    first, *others = (d for d in meta.shape if isinstance(d, int))
    shape = directions, first * len(names) // directions, *others
    label = "+".join(names) if len(names) > 1 else f"{names[0]}.stacked"
    e.stored[label] = RawTensor(shape, meta.format)
    e.shapes[label] = shape
    return label


def _resized(e: Emitter) -> None:
    """Translate ``upsample``, whose name states the interpolation mode."""
    modes = (mode for mode in ("nearest", "cubic") if mode in e.call.op)
    e.add("Resize", e.tensors[:1], mode=next(modes, "linear"))


#: Calls with arguments that differ from those of the registry's operator.
_CALLS: Mapping[str, Writer] = {
    **dict.fromkeys(("reshape", "contiguous"), _laid_out),
    "linear": linear,
    "addmm": addmm,
    "baddbmm": baddbmm,
    "embedding": embedding,
    "square": _named("Pow"),
}

#: Operator of the registry -> translation of its calls.
_WRITERS: Mapping[str, Writer] = {
    "Reshape": _view,
    "ConstantOfShape": _named("ConstantOfShape", 0),
    "Cast": _cast,
    "Conv": convolution,
    "ConvTranspose": convolution,
    "MatMul": matmul,
    "Einsum": einsum,
    "Attention": attention,
    "Resize": _resized,
    **dict.fromkeys(_CELLS.values(), recurrent),
}


def _written(op: str) -> Writer:
    """Return the translation of calls to an operator; by default, all tensors in order."""
    return _WRITERS.get(op) or _named(op)


#: Groups of the registry and their translations, in order of lookup.
_GROUPS: Final = (
    *((group, _written) for group in (VIEWS, FILLED, TRANSFORMS)),
    (REDUCTIONS, _reduced),
    (NORMS, _norm),
    (POOLS, _pool),
    (COPIES, _named),
    (LOOKUPS, _gathered),
    (FUNCTIONS, _named),
)


def writer_of(op: str) -> Writer | None:
    """Return the translation of an ATen operator; ``None`` for an unknown one."""
    if op in _CALLS:
        return _CALLS[op]
    for group, write in _GROUPS:
        match = called(op, group)
        if match is not None:
            return write(match.name)
    return None
