"""How each builtin operator is translated, by its name in the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from perfmodel.workload.importers.onnx.read import RawValue
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FUNCTIONS,
    LOOKUPS,
    NORMS,
    REDUCTIONS,
    called,
)
from perfmodel.workload.importers.tflite.schema import PADDINGS
from perfmodel.workload.importers.tflite.slices import SLICES
from perfmodel.workload.importers.tflite.translate import DOMAIN, Translator, sized

Handler = Callable[[Translator], None]
Attributes = Callable[[Translator], Mapping[str, object]]

#: Operators that mean another thing than the registry by that name: ``WHERE`` returns positions.
_OTHERWISE: Final = frozenset({"WHERE"})


def _node(
    op: str,
    attributes: Attributes | None = None,
    *,
    own: bool = False,
    inputs: Sequence[int] | None = None,
    outputs: int | None = 1,
    fused: bool = True,
) -> Handler:
    """Return what writes an operator as one node, and its fused activation as a node behind it.

    Parameters
    ----------
    own
        Whether it is a node of this format's own meaning.
    inputs, outputs
        Inputs by their places, by default all; and how many outputs, ``None`` for all.
    fused
        Whether an activation among its options is one of its output.
    """

    def handler(t: Translator) -> None:
        read = t.inputs if inputs is None else [t.input(i) for i in inputs]
        source = t.activated() if fused else t.output
        written = [source, *map(t.name, t.at.outputs[1:outputs])]
        stated = attributes(t) if attributes else None
        t.emit(op, read, written, stated, DOMAIN if own else "")
        if fused:
            t.activate(source)

    return handler


def _always(**attributes: object) -> Attributes:
    return lambda t: attributes


def _options(*names: str) -> Attributes:
    """Return options as attributes of their names; what an operator lacks is 0."""
    return lambda t: {name: int(t.options.get(name, 0)) for name in names}


def _window(axes: str) -> Attributes:
    def window(t: Translator) -> dict[str, object]:
        return {
            "strides": tuple(t.options[f"stride_{a}"] for a in axes),
            "dilations": tuple(t.options.get(f"dilation_{a}", 1) for a in axes),
            "padding": PADDINGS[t.options["padding"]],
        }

    return window


def _pool(t: Translator) -> Mapping[str, object]:
    kernel = t.options["filter_h"], t.options["filter_w"]
    return {**_window("hw")(t), "kernel_shape": kernel}


def _transposed(t: Translator) -> Mapping[str, object]:
    return {"transA": int(t.options["adj_x"]), "transB": int(t.options["adj_y"])}


def _block(t: Translator) -> Mapping[str, object]:
    return {"blocksize": t.options["block_size"]}


def _to(t: Translator) -> Mapping[str, object]:
    return {"to": sized(t.tensor(t.at.outputs[0]))}


def _keeping(t: Translator) -> Mapping[str, object]:
    return {"keepdims": int(t.options["keep_dims"])}


def _along(t: Translator) -> Mapping[str, object]:
    return {"axis": (t.numbers(1) or (-1,))[0], "keepdims": 0}


def _top(t: Translator) -> None:
    t.emit("TopK", (t.input(0), t.stated(1)), t.outputs)


def _one_hot(t: Translator) -> None:
    read = *t.inputs[:2], t.constant((0, 1))
    t.emit("OneHot", read, (t.output,), {"axis": t.options["axis"]})


def _gather(t: Translator) -> None:
    batched = bool(t.options["batch_dims"])
    stated = _options("axis", "batch_dims") if batched else _options("axis")
    _node("Gather", stated, own=batched)(t)


def _cells(op: str) -> Handler:
    def cells(t: Translator) -> None:
        single = t.at.op in {"LSTM", "RNN"}
        stated = {
            "sequence": int(not single),
            "time_major": int(t.options.get("time_major", False)),
        }
        _node(op, _always(**stated), own=True, fused=False)(t)

    return cells


def _lstm(t: Translator) -> None:
    """``LSTM``: of the basic kernel, with one matrix for all gates, or of the full one."""
    basic = t.options["kernel_type"] == 1
    handler = _node("BasicLSTM", _always(sequence=0), own=True, outputs=None, fused=False)
    (handler if basic else _cells("SequenceLSTM"))(t)


def _bidirectional(t: Translator) -> Mapping[str, object]:
    return {"merge": int(t.options["merge_outputs"]), "time_major": int(t.options["time_major"])}


# states


def _handle(t: Translator) -> None:
    key = f"{t.options['container']}/{t.options['shared_name']}".strip("/")
    t.handles[t.at.outputs[0]] = key or t.output


def _state(t: Translator) -> str:
    return t.handles.get(t.at.inputs[0] if t.at.inputs else -1, t.input(0))


def _read_state(t: Translator) -> None:
    key = _state(t)
    out = t.tensor(t.at.outputs[0])
    if key not in t.states:
        t.states[key] = t.fresh(f"{key}.state")
        t.more_inputs.append(RawValue(t.states[key], out.signature, out.format))
    t.own("Copy", (t.states[key],), (out.name,))


def _write_state(t: Translator) -> None:
    key = _state(t)
    kept = t.fresh(f"{key}.next")
    t.own("Assign", (t.input(1), t.states.get(key, "")), (kept,))
    t.states[key] = kept
    t.more_outputs.append(kept)


# subgraphs


def _runs(t: Translator) -> None:
    numbers: list[int] = [v for k, v in t.options.items() if k.endswith("subgraph")]
    named = [f"'{t.model.subgraphs[n].name}'" for n in numbers if 0 <= n < len(t.model.subgraphs)]
    reason = "it runs the subgraphs " + " and ".join(named)
    t.own(t.at.op, t.inputs, t.outputs, {"runs": reason})


def _if(t: Translator) -> None:
    """``IF``: both branches are walked, and the costlier one is priced where the data decide."""
    then_body, else_body = (
        t.branch(t.options[f"{side}_subgraph"], t.at.inputs[1:], len(t.at.outputs))
        for side in ("then", "else")
    )
    if then_body is None or else_body is None:
        _runs(t)
        return
    t.emit("If", (t.input(0),), t.outputs)
    t.nodes[-1].graphs.update(then_branch=then_body, else_branch=else_body)


def _once(t: Translator) -> None:
    """``CALL_ONCE`` sets states up before the first run: no part of any other."""


#: Operators that are written otherwise than those of `registry` by their names there.
HANDLERS: Final[Mapping[str, Handler]] = {
    "BROADCAST_TO": _node("Expand"),
    "SHAPE": _node("Shape"),
    **{
        name: _node(op, own=True)
        for name, op in (
            ("SQUARED_DIFFERENCE", "SquaredDifference"),
            ("BATCH_TO_SPACE_ND", "BatchToSpace"),
            ("SPACE_TO_BATCH_ND", "SpaceToBatch"),
            ("REVERSE_V2", "Copy"),
            ("BITCAST", "Copy"),
            ("RFFT2D", "RFFT2D"),
            ("COMPLEX_ABS", "ComplexAbs"),
            ("REAL", "Real"),
            ("IMAG", "Imag"),
            ("L2_NORMALIZATION", "L2Normalization"),
        )
    },
    "RESIZE_BILINEAR": _node("Resize", _always(mode="linear"), own=True),
    "RESIZE_NEAREST_NEIGHBOR": _node("Resize", _always(mode="nearest"), own=True),
    **dict.fromkeys(
        ("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"),
        lambda t: t.function(t.at.op, t.input(0), t.output),
    ),
    "CONV_2D": _node("Conv2D", _window("hw"), own=True),
    "DEPTHWISE_CONV_2D": _node("DepthwiseConv2D", _window("hw"), own=True),
    "TRANSPOSE_CONV": _node("TransposeConv", _window("hw"), own=True),
    "CONV_3D": _node("Conv3D", _window("dhw"), own=True),
    "AVERAGE_POOL_2D": _node("AveragePool", _pool, own=True),
    "MAX_POOL_2D": _node("MaxPool", _pool, own=True),
    "L2_POOL_2D": _node("LpPool", _pool, own=True),
    "FULLY_CONNECTED": _node("FullyConnected", _options("keep_num_dims"), own=True),
    "BATCH_MATMUL": _node("BatchMatMul", _transposed, own=True),
    "DEPTH_TO_SPACE": _node("DepthToSpace", _block, own=True),
    "SPACE_TO_DEPTH": _node("SpaceToDepth", _block, own=True),
    "SOFTMAX": _node("Softmax", _always(axis=-1), fused=False),
    "LOG_SOFTMAX": _node("LogSoftmax", _always(axis=-1), fused=False),
    "QUANTIZE": _node("Quantize", _to, own=True),
    "FAKE_QUANT": _node("Quantize", _to, own=True),
    "DEQUANTIZE": _node("Dequantize", _to, own=True),
    "CAST": _node("Cast", _to),
    "ARG_MAX": _node("ArgMax", _along, inputs=(0,)),
    "ARG_MIN": _node("ArgMin", _along, inputs=(0,)),
    "CONCATENATION": _node("Concat", _options("axis")),
    "GATHER": _gather,
    "EMBEDDING_LOOKUP": _node("Gather", _always(axis=0), inputs=(1, 0)),
    "FILL": _node("ConstantOfShape", inputs=(0,)),
    "SQUARE": _node("Mul", inputs=(0, 0)),
    "SVDF": _node("SVDF", _options("rank"), own=True),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _cells("SequenceLSTM"),
    "LSTM": _lstm,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _node(
        "BidirectionalLSTM", _bidirectional, own=True, outputs=None, fused=False
    ),
    **dict.fromkeys(("UNIDIRECTIONAL_SEQUENCE_RNN", "RNN"), _cells("SequenceRNN")),
    "TOPK_V2": _top,
    "ONE_HOT": _one_hot,
    "IF": _if,
    **dict.fromkeys(("WHILE", "CALL"), _runs),
    "CALL_ONCE": _once,
    "VAR_HANDLE": _handle,
    "READ_VARIABLE": _read_state,
    "ASSIGN_VARIABLE": _write_state,
    **SLICES,
}


def handler_of(op: str) -> Handler | None:
    """Return what writes a builtin operator; ``None`` for one that is not known."""
    if op in HANDLERS or op in _OTHERWISE:
        return HANDLERS.get(op)
    reduction = called(op, REDUCTIONS)
    if reduction is not None:
        return _node(reduction.name, _keeping)
    function = called(op.removeprefix("STABLEHLO_"), FUNCTIONS)
    same = function or called(op, NORMS, COPIES, LOOKUPS)
    return None if same is None else _node(same.name)
