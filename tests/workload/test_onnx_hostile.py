"""Broken ONNX bytes: every one a fault or an operator named without a price, never a traceback."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from perfmodel.errors import InputError
from perfmodel.workload.importers.onnx import load_onnx
from tests.draws import draws

Write = Callable[..., Path]
node = helper.make_node


def _good(onnx_file: Write) -> ModelProto:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Relu", ["state"], ["next"], name="relu"), node("Identity", ["go"], ["still"])],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, None),
        ],
        [value("still", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], name="conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Shape", ["c"], ["s"], name="shape"),
        node("Slice", ["s", "zero1", "one1"], ["n"], name="slice"),
        node("Concat", ["n", "rest"], ["target"], name="concat", axis=0),
        node("Reshape", ["c", "target"], ["f"], name="reshape"),
        node("Gemm", ["f", "v"], ["g"], name="gemm", transB=1),
        node("QuantizeLinear", ["g", "scale", "at"], ["q"], name="quantise"),
        node("DequantizeLinear", ["q", "scale", "at"], ["d"], name="dequantise"),
        node("DequantizeLinear", ["u", "scale"], ["ud"], name="weights"),
        node("MatMul", ["d", "ud"], ["m"], name="product"),
        node("Loop", ["five", "", "m"], ["y"], name="loop", body=body),
    ]
    weights: dict[str, Any] = {
        "w": [4, 3, 3, 3],
        "b": [4],
        "v": [10, 64],
        "u": ("INT8", [10, 6]),
        "zero1": np.array([0]),
        "one1": np.array([1]),
        "rest": np.array([-1]),
        "scale": np.array(0.1, np.float32),
        "at": np.array(0, np.int8),
        "five": np.array(5),
    }
    path = onnx_file(nodes, {"x": ["batch", 3, 8, 8]}, ["y"], weights)
    return onnx.load(path, load_external_data=False)


def _load(model: ModelProto | bytes, folder: Path) -> Any:
    path = folder / "broken.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    workload = load_onnx(path)
    return workload, workload.graph(), workload.macs, workload.weights


def test_the_unbroken_file_loads(onnx_file: Write, tmp_path: Path) -> None:
    _, graph, macs, weights = _load(_good(onnx_file), tmp_path)
    assert graph.not_priced == ()
    assert macs == 4 * 16 * 27 + 640 + 60
    assert weights == 108 + 4 + 640 + 60


def _cycle(model: ModelProto) -> None:
    model.graph.node[0].input[0] = "g"


def _missing(model: ModelProto) -> None:
    model.graph.node[5].input[0] = "nowhere"


def _twice(model: ModelProto) -> None:
    model.graph.node[5].output[0] = "c"


def _negative(model: ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -4


def _absurd(model: ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 2**50


def _absurd_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**60


def _short(model: ModelProto) -> None:
    tensor = model.graph.initializer[4]
    tensor.raw_data = tensor.raw_data[:3]


def _typeless(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def _nameless(model: ModelProto) -> None:
    model.graph.node[5].op_type = ""


def _no_output(model: ModelProto) -> None:
    model.graph.output[0].name = "nobody"


def _no_opset(model: ModelProto) -> None:
    del model.opset_import[:]


def _no_nodes(model: ModelProto) -> None:
    del model.graph.node[:]


def _body_reads_nothing(model: ModelProto) -> None:
    model.graph.node[10].attribute[0].g.node[0].input[0] = "nowhere"


FAULTS: list[tuple[Callable[[ModelProto], None], str]] = [
    (_cycle, "depends on itself"),
    (_missing, "nowhere"),
    (_twice, "produced twice"),
    (_negative, "is not a shape"),
    (_absurd, "is not a shape"),
    (_absurd_input, "too large"),
    (_short, "3 bytes for 1 elements"),
    (_typeless, "not an element type"),
    (_nameless, "no operator type"),
    (_no_output, "nobody"),
    (_no_opset, "opset_import"),
    (_no_nodes, "no ONNX graph"),
    (_body_reads_nothing, "nowhere"),
]


@pytest.mark.parametrize(("break_it", "said"), FAULTS, ids=[f.__name__ for f, _ in FAULTS])
def test_faults(onnx_file: Write, tmp_path: Path, break_it: Any, said: str) -> None:
    model = _good(onnx_file)
    break_it(model)
    with pytest.raises(InputError) as raised:
        _load(model, tmp_path)
    assert said in str(raised.value)
    assert all("broken.onnx" in fault.file for fault in raised.value.faults)


def test_several_faults_are_told_together(onnx_file: Write, tmp_path: Path) -> None:
    model = _good(onnx_file)
    _missing(model)
    _negative(model)
    _typeless(model)
    with pytest.raises(InputError) as raised:
        _load(model, tmp_path)
    assert len(raised.value.faults) >= 2


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a network", bytes(range(256)) * 4])
def test_what_is_no_onnx(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError):
        _load(content, tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_onnx(tmp_path / "absent.onnx")


def test_every_truncation_is_a_fault(onnx_file: Write, tmp_path: Path) -> None:
    whole = _good(onnx_file).SerializeToString()
    for end in range(0, len(whole) - 1, 29):
        with pytest.raises(InputError):
            _load(whole[:end], tmp_path)


_OPS = [
    "Conv",
    "MatMul",
    "Reshape",
    "Slice",
    "Resize",
    "If",
    "Scan",
    "LSTM",
    "Attention",
    "TopK",
    "Range",
    "Expand",
    "Split",
    "Pad",
    "Einsum",
    "STFT",
    "QLinearConv",
    "Tile",
    "Squeeze",
    "MatMulNBits",
    "ConstantOfShape",
    "GatherND",
    "OneHot",
    "NonMaxSuppression",
]


def _mutate(model: ModelProto, rng: random.Random) -> None:
    graph = model.graph
    for _ in range(rng.randint(1, 4)):
        at = rng.choice(graph.node)
        names = [n for other in graph.node for n in (*other.input, *other.output)]
        match rng.randrange(8):
            case 0:
                at.op_type = rng.choice(_OPS)
            case 1:
                at.domain = rng.choice(["com.microsoft", "my.own"])
            case 2 if at.input:
                at.input[rng.randrange(len(at.input))] = rng.choice([*names, ""])
            case 3 if at.attribute:
                attribute = rng.choice(at.attribute)
                attribute.type = rng.randint(0, 14)
            case 4 if at.attribute:
                attribute = rng.choice(at.attribute)
                attribute.i = rng.choice([-1, 0, 2**62])
                if attribute.ints:
                    attribute.ints[0] = rng.choice([-1, 0, 2**62, -(2**63)])
            case 5:
                tensor = rng.choice(graph.initializer)
                if tensor.dims:
                    tensor.dims[0] = rng.choice([-1, 0, 7, 2**39])
            case 6 if at.input:
                at.input.pop()
            case _:
                dim = rng.choice(graph.input[0].type.tensor_type.shape.dim)
                if rng.random() < 0.5:
                    dim.dim_value = rng.choice([-5, 0, 1, 2**30])
                else:
                    dim.dim_param = rng.choice(["batch", "?", "batch+1", " "])


def test_random_mutations_never_end_in_a_traceback(onnx_file: Write, tmp_path: Path) -> None:
    rng = random.Random(11)
    good = _good(onnx_file)
    whole = good.SerializeToString()
    outcomes = {"loaded": 0, "not priced": 0, "fault": 0}
    for i in range(draws(600)):
        if i % 3 == 0:
            content = bytearray(whole)
            for _ in range(rng.choice([1, 2, 8])):
                content[rng.randrange(len(content))] = rng.randrange(256)
            broken: ModelProto | bytes = bytes(content)
        else:
            broken = ModelProto()
            broken.CopyFrom(good)
            _mutate(broken, rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                _, graph, macs, weights = _load(broken, tmp_path)
        except InputError:
            outcomes["fault"] += 1
            continue
        outcomes["not priced" if graph.not_priced else "loaded"] += 1
        assert macs >= 0
        assert weights >= 0
    assert all(outcomes.values()), outcomes
