"""How each builtin operator is translated, by its name in the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from perfmodel.workload.importers.onnx.registry import FUNCTIONS, REDUCTIONS, called
from perfmodel.workload.importers.tflite.read import TfliteOperator
from perfmodel.workload.importers.tflite.schema import PADDINGS
from perfmodel.workload.importers.tflite.slices import SLICES
from perfmodel.workload.importers.tflite.translate import DOMAIN, Translator

Handler = Callable[[Translator, TfliteOperator], None]
Attributes = Callable[[Translator, TfliteOperator], Mapping[str, object]]

#: Operators that mean another thing than the registry by that name: ``WHERE`` returns positions.
_OTHERWISE: Final = frozenset({"WHERE"})

#: Number of an element type in ONNX, by format.
_TYPES: Final[Mapping[str, int]] = {
    "fp32": 1,
    "uint8": 2,
    "int8": 3,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "fp16": 10,
    "fp64": 11,
    "bf16": 16,
}


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

    def handler(t: Translator, o: TfliteOperator) -> None:
        read = t.inputs(o) if inputs is None else [t.input(o, i) for i in inputs]
        source = t.activated(o) if fused else t.name(o.outputs[0])
        written = [source, *map(t.name, o.outputs[1:outputs])]
        stated = attributes(t, o) if attributes else None
        t.emit(op, read, written, stated, DOMAIN if own else "")
        if fused:
            t.activate(o, source)

    return handler


def _always(**attributes: object) -> Attributes:
    return lambda t, o: attributes


def _options(*names: str) -> Attributes:
    """Return options as attributes of their names; what an operator lacks is 0."""
    return lambda t, o: {name: int(o.options.get(name, 0)) for name in names}


def _clipped(t: Translator, o: TfliteOperator) -> None:
    t.function(o.op, t.input(o, 0), t.name(o.outputs[0]))


def _window(axes: str) -> Attributes:
    def window(t: Translator, o: TfliteOperator) -> dict[str, object]:
        return {
            "strides": tuple(o.options[f"stride_{a}"] for a in axes),
            "dilations": tuple(o.options.get(f"dilation_{a}", 1) for a in axes),
            "padding": PADDINGS[o.options["padding"]],
        }

    return window


def _pool(t: Translator, o: TfliteOperator) -> Mapping[str, object]:
    kernel = (o.options["filter_h"], o.options["filter_w"])
    return {**_window("hw")(t, o), "kernel_shape": kernel}


def _to(t: Translator, o: TfliteOperator) -> Mapping[str, object]:
    return {"to": t.tensor(o.outputs[0]).format}


def _to_type(t: Translator, o: TfliteOperator) -> Mapping[str, object]:
    return {"to": _TYPES.get(t.tensor(o.outputs[0]).format, 1)}


def _keeping(t: Translator, o: TfliteOperator) -> Mapping[str, object]:
    return {"keepdims": int(o.options["keep_dims"])}


def _along(t: Translator, o: TfliteOperator) -> Mapping[str, object]:
    return {"axis": (t.numbers(o, 1) or (-1,))[0], "keepdims": 0}


def _top(t: Translator, o: TfliteOperator) -> None:
    k = t.numbers(o, 1)
    at = t.input(o, 1) if k is None else t.constant(k)
    t.emit("TopK", (t.input(o, 0), at), [t.name(i) for i in o.outputs])


def _one_hot(t: Translator, o: TfliteOperator) -> None:
    values = t.constant((0, 1))
    t.emit(
        "OneHot",
        (t.input(o, 0), t.input(o, 1), values),
        (t.name(o.outputs[0]),),
        {"axis": o.options["axis"]},
    )


def _gather(t: Translator, o: TfliteOperator) -> None:
    batched = bool(o.options["batch_dims"])
    stated = _options("axis", "batch_dims") if batched else _options("axis")
    _node("Gather", stated, own=batched)(t, o)


def _cells(op: str) -> Handler:
    def cells(t: Translator, o: TfliteOperator) -> None:
        single = o.op in {"LSTM", "RNN"}
        stated = {
            "sequence": int(not single),
            "time_major": int(o.options.get("time_major", False)),
        }
        _node(op, _always(**stated), own=True, fused=False)(t, o)

    return cells


def _lstm(t: Translator, o: TfliteOperator) -> None:
    """``LSTM``: of the basic kernel, with one matrix for all gates, or of the full one."""
    basic = o.options["kernel_type"] == 1
    handler = _node("BasicLSTM", _always(sequence=0), own=True, outputs=None, fused=False)
    (handler if basic else _cells("SequenceLSTM"))(t, o)


def _bidirectional(t: Translator, o: TfliteOperator) -> Mapping[str, object]:
    return {"merge": int(o.options["merge_outputs"]), "time_major": int(o.options["time_major"])}


# states


def _handle(t: Translator, o: TfliteOperator) -> None:
    key = f"{o.options['container']}/{o.options['shared_name']}".strip("/")
    t.handles[o.outputs[0]] = key or t.name(o.outputs[0])


def _read_state(t: Translator, o: TfliteOperator) -> None:
    key = t.handles.get(o.inputs[0] if o.inputs else -1, t.input(o, 0))
    out = t.tensor(o.outputs[0])
    if key not in t.states:
        from perfmodel.workload.importers.onnx.read import RawValue

        t.states[key] = t.fresh(f"{key}.state")
        t.more_inputs.append(RawValue(t.states[key], out.signature, out.format))
    t.own("Copy", (t.states[key],), (out.name,))


def _write_state(t: Translator, o: TfliteOperator) -> None:
    key = t.handles.get(o.inputs[0] if o.inputs else -1, t.input(o, 0))
    kept = t.fresh(f"{key}.next")
    t.own("Assign", (t.input(o, 1), t.states.get(key, "")), (kept,))
    t.states[key] = kept
    t.more_outputs.append(kept)


# subgraphs


def _runs(t: Translator, o: TfliteOperator) -> None:
    numbers: list[int] = [v for k, v in o.options.items() if k.endswith("subgraph")]
    named = [f"'{t.model.subgraphs[n].name}'" for n in numbers if 0 <= n < len(t.model.subgraphs)]
    t.own(
        o.op,
        t.inputs(o),
        [t.name(i) for i in o.outputs],
        {"runs": "it runs the subgraphs " + " and ".join(named)},
    )


def _if(t: Translator, o: TfliteOperator) -> None:
    """``IF``: both branches are walked, and the costlier one is priced where the data decide."""
    numbers = (o.options["then_subgraph"], o.options["else_subgraph"])
    bodies = [t.branch(n, o.inputs[1:], len(o.outputs)) for n in numbers]
    then_body, else_body = bodies
    if then_body is None or else_body is None:
        _runs(t, o)
        return
    t.emit("If", (t.input(o, 0),), [t.name(i) for i in o.outputs])
    t.nodes[-1].graphs.update(then_branch=then_body, else_branch=else_body)


def _once(t: Translator, o: TfliteOperator) -> None:
    """``CALL_ONCE`` sets states up before the first run: no part of any other."""


#: Operators that are written otherwise than those of `registry` by their names there.
HANDLERS: Final[Mapping[str, Handler]] = {
    **{
        name: _node(op)
        for name, op in (
            ("LOCAL_RESPONSE_NORMALIZATION", "LRN"),
            ("TILE", "Tile"),
            ("BROADCAST_TO", "Expand"),
            ("SHAPE", "Shape"),
            ("GATHER_ND", "GatherND"),
            ("SCATTER_ND", "ScatterND"),
        )
    },
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
    **dict.fromkeys(("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), _clipped),
    "CONV_2D": _node("Conv2D", _window("hw"), own=True),
    "DEPTHWISE_CONV_2D": _node("DepthwiseConv2D", _window("hw"), own=True),
    "TRANSPOSE_CONV": _node("TransposeConv", _window("hw"), own=True),
    "CONV_3D": _node("Conv3D", _window("dhw"), own=True),
    "AVERAGE_POOL_2D": _node("AveragePool", _pool, own=True),
    "MAX_POOL_2D": _node("MaxPool", _pool, own=True),
    "L2_POOL_2D": _node("LpPool", _pool, own=True),
    "FULLY_CONNECTED": _node("FullyConnected", _options("keep_num_dims"), own=True),
    "BATCH_MATMUL": _node("BatchMatMul", _options("adj_x", "adj_y"), own=True),
    "DEPTH_TO_SPACE": _node("DepthToSpace", _options("block_size"), own=True),
    "SPACE_TO_DEPTH": _node("SpaceToDepth", _options("block_size"), own=True),
    "SOFTMAX": _node("Softmax", _always(axis=-1), fused=False),
    "LOG_SOFTMAX": _node("LogSoftmax", _always(axis=-1), fused=False),
    "QUANTIZE": _node("Quantize", _to, own=True),
    "FAKE_QUANT": _node("Quantize", _to, own=True),
    "DEQUANTIZE": _node("Dequantize", _to, own=True),
    "CAST": _node("Cast", _to_type),
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
    return None if function is None else _node(function.name)
