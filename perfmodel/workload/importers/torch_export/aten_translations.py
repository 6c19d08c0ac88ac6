"""Translation of each ATen operator to an operator of the ONNX walk.

The operator registry finds most operators by ATen's name (``aten.add`` is ``Add``); functions here
translate those whose arguments differ from ONNX's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.records import RawTensor
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FUNCTIONS,
    GENERATORS,
    LOOKUPS,
    NORMS,
    POOLS,
    REDUCTIONS,
    TRANSFORMS,
    VIEWS,
    find_by_name,
)
from perfmodel.workload.importers.torch_export.emitter import Emitter
from perfmodel.workload.importers.torch_export.program_records import TensorReference
from perfmodel.workload.symbols import constant

Writer = Callable[[Emitter], None]


def _node_writer(op: str, most: int | None = None, **attributes: Any) -> Writer:
    """Return the translation to operator `op` on the first `most` tensor arguments."""
    return lambda emitter: emitter.add(op, emitter.tensors[:most], **attributes)


def _write_view(emitter: Emitter) -> None:
    """Translate a view; the transpose of a parameter is remembered, so that products read it."""
    x = emitter.tensors[0]
    if (
        emitter.call.op in {"t", "numpy_T", "permute", "transpose"}
        and x in emitter.program.parameters
    ):
        shape = emitter.shapes[x]
        if len(shape) == 2 and emitter.shapes[emitter.call.outputs[0]] == shape[::-1]:
            emitter.transposed_parameters[emitter.call.outputs[0]] = x
    for name in emitter.call.outputs:
        if name:
            emitter.add("Reshape", [x], outputs=[name])


def _write_reshape(emitter: Emitter) -> None:
    """Translate ``reshape`` and ``contiguous``: a view of a contiguous tensor, else a copy."""
    x = emitter.tensors[0]
    emitter.add("Reshape" if emitter.meta(x).is_contiguous else "Pad", [x])


def _write_cast(emitter: Emitter) -> None:
    """Translate a conversion, which is a view if the format remains the same."""
    x = emitter.tensors[0]
    same = emitter.meta(x).format == emitter.meta(emitter.call.outputs[0]).format
    emitter.add("Reshape" if same else "Cast", [x])


def write_convolution(emitter: Emitter) -> None:
    """Translate convolutions over one to three axes, transposed ones included."""
    x, w = emitter.tensor("input", "self"), emitter.tensor("weight")
    axes = len(emitter.shapes[w]) - 2
    if axes < 1 or len(emitter.shapes[x]) != axes + 2:
        raise NotPricedError(f"an input with {len(emitter.shapes[x])} dimensions")
    transposed = emitter.call.op.startswith("conv_transpose") or emitter.flag("transposed")
    pads: tuple[int, ...] = (0,) * axes
    if not isinstance(emitter.call.arguments.get("padding"), str):
        pads = emitter.integers("padding", axes, 0)
    emitter.add(
        "ConvTranspose" if transposed else "Conv",
        [x, w, *filter(None, [emitter.optional("bias")])],
        strides=emitter.integers("stride", axes, 1),
        dilations=emitter.integers("dilation", axes, 1),
        group=emitter.integer("groups", 1),
        pads=(*pads, *pads),
    )


def write_linear(emitter: Emitter) -> None:
    """Translate ``linear``, whose weights are stored transposed."""
    emitter.linear(
        emitter.tensor("input"),
        emitter.tensor("weight"),
        emitter.optional("bias"),
        is_transposed=True,
    )


def write_addmm(emitter: Emitter) -> None:
    """Translate ``addmm``: a product plus a bias."""
    emitter.linear(
        emitter.tensor("mat1"), emitter.tensor("mat2"), emitter.tensor("self"), is_transposed=False
    )


def write_matmul(emitter: Emitter) -> None:
    """Translate ``mm``, ``bmm`` and ``matmul``."""
    a, b = emitter.tensor("self"), emitter.tensor("mat2", "other", "vec", "tensor")
    if b in emitter.transposed_parameters:
        emitter.linear(a, b, is_transposed=False)
    else:
        emitter.add("MatMul", [a, b])


def write_baddbmm(emitter: Emitter) -> None:
    """Translate ``baddbmm``: a stack of products plus a tensor."""
    emitter.add(
        "Linear", [emitter.tensor("batch1"), emitter.tensor("batch2"), emitter.tensor("self")]
    )


def write_einsum(emitter: Emitter) -> None:
    """Translate ``einsum``."""
    emitter.add("Einsum", emitter.tensors, equation=str(emitter.call.arguments.get("equation", "")))


def write_attention(emitter: Emitter) -> None:
    """Translate scaled dot-product attention, grouped and masked."""
    q, k, v = emitter.tensor("query"), emitter.tensor("key"), emitter.tensor("value")
    heads: dict[str, Any] = (
        {"q_num_heads": 1, "kv_num_heads": 1} if len(emitter.shapes[q]) == 3 else {}
    )
    emitter.add(
        "Attention",
        [q, k, v, *filter(None, [emitter.optional("attn_mask", "attn_bias")])],
        outputs=emitter.call.outputs[:1],
        is_causal=int(emitter.flag("is_causal")),
        **heads,
    )


def write_embedding(emitter: Emitter) -> None:
    """Translate ``embedding``: a lookup of a table's rows."""
    emitter.add("Gather", [emitter.tensor("weight"), emitter.tensor("indices")], axis=0)


def _norm_writer(op: str) -> Writer:
    """Return the translation to a normalisation; running statistics are folded into its scale."""

    def writer(emitter: Emitter) -> None:
        x = emitter.tensor("input", "self")
        vectors = filter(None, [emitter.optional("weight"), emitter.optional("bias")])
        # Running statistics are folded into scale and shift, as in any runtime.
        emitter.add(op, [x, *vectors], outputs=emitter.call.outputs[:1])

    return writer


def _pool_writer(op: str) -> Writer:
    """Return the translation to a pool over one to three axes."""

    def writer(emitter: Emitter) -> None:
        x = emitter.tensor("self", "input")
        axes = next(n for n in (1, 2, 3) if f"{n}d" in emitter.call.op)
        kernel = emitter.integers("kernel_size", axes, 1)
        stride = emitter.integers("stride", axes, 0)
        pads = emitter.integers("padding", axes, 0)
        emitter.add(
            op,
            [x],
            outputs=emitter.call.outputs[:1],
            kernel_shape=kernel,
            strides=stride if any(stride) else kernel,
            dilations=emitter.integers("dilation", axes, 1),
            pads=(*pads, *pads),
        )

    return writer


def _gather_writer(op: str) -> Writer:
    """Return the translation to a lookup on the first tensors of the call."""

    def writer(emitter: Emitter) -> None:
        picks = emitter.call.op in {"gather", "index_select", "take_along_dim"}
        emitter.add(op, emitter.tensors[: 2 if picks else None])

    return writer


def _reduction_writer(op: str) -> Writer:
    """Return the translation to a reduction; adaptive pools with several outputs are pools.

    Their window has ``ceil(input / output)`` elements per axis.
    """

    def writer(emitter: Emitter) -> None:
        x = emitter.tensors[0]
        if emitter.call.op in {"max", "min"} and len(emitter.tensors) == 2:
            emitter.add("Max", emitter.tensors)
            return
        window = emitter.call.op.startswith(("adaptive", "_adaptive"))
        if window and any(constant(d) != 1 for d in emitter.shapes[emitter.call.outputs[0]][2:]):
            inner, outer = (
                emitter.meta(x).hints[2:],
                emitter.meta(emitter.call.outputs[0]).hints[2:],
            )
            kernel = tuple(-(-a // max(b, 1)) for a, b in zip(inner, outer, strict=False))
            pool = "AveragePool" if "avg" in emitter.call.op else "MaxPool"
            emitter.add(pool, [x], kernel_shape=kernel, strides=kernel)
            return
        emitter.add(op, [x])

    return writer


_CELLS: Mapping[str, str] = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def write_recurrent(emitter: Emitter) -> None:
    """Translate ``lstm``, ``gru`` and ``rnn``: one operator per layer, both directions stacked."""
    parameters: Any = emitter.call.arguments.get("params", ())
    names = [p.name for p in parameters if isinstance(p, TensorReference)]
    layers, biased = emitter.integer("num_layers", 1), emitter.flag("has_biases", True)
    directions = 1 + emitter.flag("bidirectional")
    each = 4 if biased else 2
    if len(names) != layers * directions * each or not names:
        raise NotPricedError(f"{len(names)} parameters for {layers} layers")
    x = emitter.tensor("input")
    rows = [names[i : i + each] for i in range(0, len(names), each)]
    for layer in range(layers):
        last = layer == layers - 1
        sets = rows[layer * directions : (layer + 1) * directions]
        inputs = [x, *(_store_stacked(emitter, [s[i] for s in sets], directions) for i in (0, 1))]
        if biased:
            inputs.append(_store_stacked(emitter, [n for s in sets for n in s[2:]], directions))
        y = emitter.call.outputs[0] if last else f"{emitter.call.outputs[0]}.layer{layer}"
        if not last:
            emitter.shapes[y] = emitter.shapes[emitter.call.outputs[0]]
            emitter.program.metadata[y] = emitter.meta(emitter.call.outputs[0])
        emitter.add(
            _CELLS[emitter.call.op],
            inputs,
            outputs=emitter.call.outputs if last else [y],
            name=f"{emitter.call.outputs[0]}.{layer}",
            layout=int(emitter.flag("batch_first")),
        )
        x = y


def _store_stacked(emitter: Emitter, names: list[str], directions: int) -> str:
    """Declare the weights of all directions, one or more each, as one stacked tensor."""
    meta = emitter.meta(names[0])
    first, *others = (d for d in meta.shape if isinstance(d, int))
    shape = directions, first * len(names) // directions, *others
    label = "+".join(names) if len(names) > 1 else f"{names[0]}.stacked"
    emitter.stored[label] = RawTensor(shape, meta.format)
    emitter.shapes[label] = shape
    return label


def _write_resize(emitter: Emitter) -> None:
    """Translate ``upsample``, whose name states the interpolation mode."""
    modes = (mode for mode in ("nearest", "cubic") if mode in emitter.call.op)
    emitter.add("Resize", emitter.tensors[:1], mode=next(modes, "linear"))


#: Calls with arguments that differ from those of the registry's operator.
_CALLS: Mapping[str, Writer] = {
    **dict.fromkeys(("reshape", "contiguous"), _write_reshape),
    "linear": write_linear,
    "addmm": write_addmm,
    "baddbmm": write_baddbmm,
    "embedding": write_embedding,
    "square": _node_writer("Pow"),
}

#: Operator of the registry -> translation of its calls.
_WRITERS: Mapping[str, Writer] = {
    "Reshape": _write_view,
    "ConstantOfShape": _node_writer("ConstantOfShape", 0),
    "Cast": _write_cast,
    "Conv": write_convolution,
    "ConvTranspose": write_convolution,
    "MatMul": write_matmul,
    "Einsum": write_einsum,
    "Attention": write_attention,
    "Resize": _write_resize,
    **dict.fromkeys(_CELLS.values(), write_recurrent),
}


def _operator_writer(op: str) -> Writer:
    """Return the translation of calls to an operator; by default, all tensors in order."""
    return _WRITERS.get(op) or _node_writer(op)


#: Groups of the registry and their translations, in order of lookup.
_GROUPS: Final = (
    *((group, _operator_writer) for group in (VIEWS, GENERATORS, TRANSFORMS)),
    (REDUCTIONS, _reduction_writer),
    (NORMS, _norm_writer),
    (POOLS, _pool_writer),
    (COPIES, _node_writer),
    (LOOKUPS, _gather_writer),
    (FUNCTIONS, _node_writer),
)


def writer_of(op: str) -> Writer | None:
    """Return the translation of an ATen operator; ``None`` for an unknown one."""
    if op in _CALLS:
        return _CALLS[op]
    for group, write in _GROUPS:
        match = find_by_name(op, group)
        if match is not None:
            return write(match.name)
    return None
