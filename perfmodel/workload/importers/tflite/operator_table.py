"""How each builtin operator is translated, by its name in the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from perfmodel.workload.importers.tflite.read import TfliteOperator
from perfmodel.workload.importers.tflite.schema import PADDINGS
from perfmodel.workload.importers.tflite.slices import SLICES
from perfmodel.workload.importers.tflite.translate import Translator

Handler = Callable[[Translator, TfliteOperator], None]

#: Functions of each element with the same inputs in the same order.
_PLAIN: Final[Mapping[str, str]] = {
    "ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min",
    "POW": "Pow", "FLOOR_MOD": "Mod", "FLOOR_DIV": "Div", "ADD_N": "Sum", "RELU": "Relu",
    "LOGISTIC": "Sigmoid", "TANH": "Tanh", "HARD_SWISH": "HardSwish", "ELU": "Elu", "GELU": "Gelu",
    "LEAKY_RELU": "LeakyRelu", "PRELU": "PRelu", "EXP": "Exp", "LOG": "Log", "SIN": "Sin",
    "COS": "Cos", "SQRT": "Sqrt", "RSQRT": "Rsqrt", "ABS": "Abs", "NEG": "Neg", "CEIL": "Ceil",
    "FLOOR": "Floor", "ROUND": "Round", "SIGN": "Sign", "EQUAL": "Equal", "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual", "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual",
    "NOT_EQUAL": "Equal", "LOGICAL_AND": "And", "LOGICAL_OR": "Or", "LOGICAL_NOT": "Not",
    "SELECT": "Where", "SELECT_V2": "Where", "LOCAL_RESPONSE_NORMALIZATION": "LRN",
    "TILE": "Tile", "BROADCAST_TO": "Expand", "FILL": "ConstantOfShape", "SHAPE": "Shape",
    "GATHER_ND": "GatherND", "CUMSUM": "CumSum", "SCATTER_ND": "ScatterND",
    "BITWISE_XOR": "BitwiseXor", "RIGHT_SHIFT": "BitShift", "STABLEHLO_ADD": "Add",
    "STABLEHLO_MULTIPLY": "Mul", "STABLEHLO_SUBTRACT": "Sub", "STABLEHLO_DIVIDE": "Div",
    "STABLEHLO_MAXIMUM": "Max", "STABLEHLO_MINIMUM": "Min", "STABLEHLO_LOGISTIC": "Sigmoid",
    "STABLEHLO_TANH": "Tanh", "STABLEHLO_EXPONENTIAL": "Exp", "STABLEHLO_RSQRT": "Rsqrt",
}  # fmt: skip

#: The same under this format's own meaning.
_OWN: Final[Mapping[str, str]] = {
    "SQUARED_DIFFERENCE": "SquaredDifference", "BATCH_TO_SPACE_ND": "BatchToSpace",
    "SPACE_TO_BATCH_ND": "SpaceToBatch", "RESIZE_BILINEAR": "Resize",
    "RESIZE_NEAREST_NEIGHBOR": "Resize", "REVERSE_V2": "Copy", "BITCAST": "Copy",
    "RFFT2D": "RFFT2D", "COMPLEX_ABS": "ComplexAbs", "REAL": "Real", "IMAG": "Imag",
}  # fmt: skip

_REDUCTIONS: Final[Mapping[str, str]] = {
    "MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_PROD": "ReduceProd",
    "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin", "REDUCE_ANY": "ReduceMax",
    "REDUCE_ALL": "ReduceMin",
}  # fmt: skip

#: Number of an element type in ONNX, by format.
_TYPES: Final[Mapping[str, int]] = {
    "fp32": 1, "uint8": 2, "int8": 3, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "fp16": 10,
    "fp64": 11, "bf16": 16,
}  # fmt: skip


def _plain(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    t.emit(_PLAIN[o.op], t.inputs(o), (source, *(t.name(i) for i in o.outputs[1:])))
    t.activate(o, source)


def _fill(t: Translator, o: TfliteOperator) -> None:
    t.emit("ConstantOfShape", (t.input(o, 0),), (t.name(o.outputs[0]),))


def _own(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    mode = {"RESIZE_BILINEAR": "linear", "RESIZE_NEAREST_NEIGHBOR": "nearest"}.get(o.op)
    attributes = {"mode": mode} if mode else {}
    t.own(_OWN[o.op], t.inputs(o), (source,), attributes)
    t.activate(o, source)


def _clipped(t: Translator, o: TfliteOperator) -> None:
    t.function(o.op, t.input(o, 0), t.name(o.outputs[0]))


def _square(t: Translator, o: TfliteOperator) -> None:
    t.emit("Mul", (t.input(o, 0),) * 2, (t.name(o.outputs[0]),))


def _window(t: Translator, o: TfliteOperator) -> dict[str, object]:
    return {
        "strides": (o.options["stride_h"], o.options["stride_w"]),
        "dilations": (o.options.get("dilation_h", 1), o.options.get("dilation_w", 1)),
        "padding": PADDINGS[o.options["padding"]],
    }


def _convolution(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    op = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D"}.get(o.op, "TransposeConv")
    t.own(op, t.inputs(o), (source,), _window(t, o))
    t.activate(o, source)


def _convolution_3d(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    t.own("Conv3D", t.inputs(o), (source,), {
        "strides": tuple(o.options[f"stride_{a}"] for a in "dhw"),
        "dilations": tuple(o.options[f"dilation_{a}"] for a in "dhw"),
        "padding": PADDINGS[o.options["padding"]],
    })  # fmt: skip
    t.activate(o, source)


def _pool(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    op = {"AVERAGE_POOL_2D": "AveragePool", "MAX_POOL_2D": "MaxPool"}.get(o.op, "LpPool")
    kernel = (o.options["filter_h"], o.options["filter_w"])
    t.own(op, t.inputs(o), (source,), {**_window(t, o), "kernel_shape": kernel})
    t.activate(o, source)


def _dense(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    keep = int(o.options["keep_num_dims"])
    t.own("FullyConnected", t.inputs(o), (source,), {"keep_num_dims": keep})
    t.activate(o, source)


def _matmul(t: Translator, o: TfliteOperator) -> None:
    sides = {name: int(o.options[name]) for name in ("adj_x", "adj_y")}
    t.own("BatchMatMul", t.inputs(o), (t.name(o.outputs[0]),), sides)


def _blocks(t: Translator, o: TfliteOperator) -> None:
    op = {"DEPTH_TO_SPACE": "DepthToSpace"}.get(o.op, "SpaceToDepth")
    t.own(op, t.inputs(o), (t.name(o.outputs[0]),), {"block_size": o.options["block_size"]})


def _normalised(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    t.own("L2Normalization", t.inputs(o), (source,))
    t.activate(o, source)


def _softmax(t: Translator, o: TfliteOperator) -> None:
    op = "LogSoftmax" if o.op == "LOG_SOFTMAX" else "Softmax"
    t.emit(op, t.inputs(o), (t.name(o.outputs[0]),), {"axis": -1})


def _concat(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    t.emit("Concat", t.inputs(o), (source,), {"axis": o.options["axis"]})
    t.activate(o, source)


def _quantise(t: Translator, o: TfliteOperator) -> None:
    op = "Quantize" if o.op in {"QUANTIZE", "FAKE_QUANT"} else "Dequantize"
    t.own(op, t.inputs(o), (t.name(o.outputs[0]),), {"to": t.tensor(o.outputs[0]).format})


def _cast(t: Translator, o: TfliteOperator) -> None:
    to = _TYPES.get(t.tensor(o.outputs[0]).format, 1)
    t.emit("Cast", t.inputs(o), (t.name(o.outputs[0]),), {"to": to})


def _reduce(t: Translator, o: TfliteOperator) -> None:
    t.emit(_REDUCTIONS[o.op], t.inputs(o), (t.name(o.outputs[0]),),
           {"keepdims": int(o.options["keep_dims"])})  # fmt: skip


def _arg(t: Translator, o: TfliteOperator) -> None:
    axis = (t.numbers(o, 1) or (-1,))[0]
    op = "ArgMax" if o.op == "ARG_MAX" else "ArgMin"
    t.emit(op, (t.input(o, 0),), (t.name(o.outputs[0]),), {"axis": axis, "keepdims": 0})


def _top(t: Translator, o: TfliteOperator) -> None:
    k = t.numbers(o, 1)
    at = t.input(o, 1) if k is None else t.constant(k)
    t.emit("TopK", (t.input(o, 0), at), [t.name(i) for i in o.outputs])


def _one_hot(t: Translator, o: TfliteOperator) -> None:
    values = t.constant((0, 1))
    t.emit("OneHot", (t.input(o, 0), t.input(o, 1), values), (t.name(o.outputs[0]),),
           {"axis": o.options["axis"]})  # fmt: skip


def _lookup(t: Translator, o: TfliteOperator) -> None:
    if o.op == "EMBEDDING_LOOKUP":
        t.emit("Gather", (t.input(o, 1), t.input(o, 0)), (t.name(o.outputs[0]),), {"axis": 0})
    elif o.options["batch_dims"]:
        t.own("Gather", t.inputs(o), (t.name(o.outputs[0]),),
              {"axis": o.options["axis"], "batch_dims": o.options["batch_dims"]})  # fmt: skip
    else:
        t.emit("Gather", t.inputs(o), (t.name(o.outputs[0]),), {"axis": o.options["axis"]})


def _svdf(t: Translator, o: TfliteOperator) -> None:
    source = t.activated(o)
    t.own("SVDF", t.inputs(o), (source,), {"rank": o.options["rank"]})
    t.activate(o, source)


def _lstm(t: Translator, o: TfliteOperator) -> None:
    if o.op == "LSTM" and o.options["kernel_type"] == 1:
        # The basic kernel: one matrix for all gates.
        t.own("BasicLSTM", t.inputs(o), [t.name(i) for i in o.outputs], {"sequence": 0})
        return
    t.own("SequenceLSTM", t.inputs(o), (t.name(o.outputs[0]),), {
        "sequence": int(o.op != "LSTM"), "time_major": int(o.options.get("time_major", False)),
    })  # fmt: skip


def _bidirectional(t: Translator, o: TfliteOperator) -> None:
    t.own("BidirectionalLSTM", t.inputs(o), [t.name(i) for i in o.outputs], {
        "merge": int(o.options["merge_outputs"]), "time_major": int(o.options["time_major"]),
    })  # fmt: skip


def _rnn(t: Translator, o: TfliteOperator) -> None:
    t.own("SequenceRNN", t.inputs(o), (t.name(o.outputs[0]),), {
        "sequence": int(o.op != "RNN"), "time_major": int(o.options.get("time_major", False)),
    })  # fmt: skip


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
    named = [
        f"'{t.model.subgraphs[n].name}'" for n in numbers if 0 <= n < len(t.model.subgraphs)
    ]  # fmt: skip
    t.own(o.op, t.inputs(o), [t.name(i) for i in o.outputs],
          {"runs": "it runs the subgraphs " + " and ".join(named)})  # fmt: skip


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


HANDLERS: Final[Mapping[str, Handler]] = {
    **dict.fromkeys(_PLAIN, _plain),
    **dict.fromkeys(_OWN, _own),
    **dict.fromkeys(("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), _clipped),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"), _convolution),
    "CONV_3D": _convolution_3d,
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), _pool),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX"), _softmax),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "FAKE_QUANT"), _quantise),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _arg),
    **dict.fromkeys(("GATHER", "EMBEDDING_LOOKUP"), _lookup),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), _blocks),
    **dict.fromkeys(("UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM"), _lstm),
    "BIDIRECTIONAL_SEQUENCE_LSTM": _bidirectional,
    **dict.fromkeys(("UNIDIRECTIONAL_SEQUENCE_RNN", "RNN"), _rnn),
    "IF": _if,
    **dict.fromkeys(("WHILE", "CALL"), _runs),
    "CALL_ONCE": _once,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matmul,
    "L2_NORMALIZATION": _normalised,
    "CONCATENATION": _concat,
    "CAST": _cast,
    "TOPK_V2": _top,
    "ONE_HOT": _one_hot,
    "FILL": _fill,
    "SQUARE": _square,
    "SVDF": _svdf,
    "VAR_HANDLE": _handle,
    "READ_VARIABLE": _read_state,
    "ASSIGN_VARIABLE": _write_state,
    **SLICES,
}
