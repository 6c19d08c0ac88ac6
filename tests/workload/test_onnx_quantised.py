"""Quantised ONNX files are priced as the integer operators that they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from perfmodel.workload.graph import Operator
from perfmodel.workload.importers.onnx import load_onnx

Write = Callable[..., Path]
node = helper.make_node
SCALES: dict[str, Any] = {"s": np.float32(0.1), "z": np.uint8(128), "zw": np.int8(0)}


def _operators(workload: Any) -> list[Operator]:
    return [operator for _, operator in workload.graph().walk()]


def _scalars() -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in SCALES.items()}


def _pair(x: str, to: str, zero: str = "z") -> list[Any]:
    return [
        node("QuantizeLinear", [x, "s", zero], [f"{to}_q"], name=f"{to}.quantise"),
        node("DequantizeLinear", [f"{to}_q", "s", zero], [to], name=f"{to}.dequantise"),
    ]


def test_pairs_around_a_convolution_fold_into_it(onnx_file: Write) -> None:
    nodes = [
        *_pair("x", "xd"),
        node("DequantizeLinear", ["w", "s", "zw"], ["wd"], name="w.dequantise"),
        node("DequantizeLinear", ["b", "s"], ["bd"], name="b.dequantise"),
        node("Conv", ["xd", "wd", "bd"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], name="relu"),
        *_pair("r", "rd"),
        node("MaxPool", ["rd"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        *_pair("p", "y"),
    ]
    weights = {"w": ("INT8", [4, 3, 3, 3]), "b": ("INT32", [4]), **_scalars()}
    workload = load_onnx(onnx_file(nodes, {"x": [1, 3, 8, 8]}, ["y"], weights))
    assert [(o.name, o.kind) for o in _operators(workload)] == [
        ("xd.quantise", "quantise"),
        ("conv", "conv"),
        ("pool", "pool"),
        ("y.dequantise", "quantise"),
    ]
    tensors = workload.graph().tensors
    conv = _operators(workload)[1]
    assert conv.pair == ("weight=int8", "=uint8")
    assert workload.macs == 4 * 64 * 27
    assert workload.weights == 108 + 4
    assert {tensors[n].format for n in conv.reads} == {"uint8", "int8", "int32"}
    assert tensors[conv.writes[0]].format == "uint8"
    # Bias, activation and requantisation (3 operations) of each output.
    assert conv.vector_ops == 4 * 64 * (1 + 1 + 3)
    assert {tensors[n].format for n in _operators(workload)[2].reads} == {"uint8"}


def test_only_the_weights_of_a_product_may_be_narrow(onnx_file: Write) -> None:
    nodes = [
        node("DequantizeLinear", ["w", "scales"], ["wd"], name="unpack", axis=0, block_size=32),
        node("MatMul", ["x", "wd"], ["y"], name="product"),
    ]
    weights = {"w": ("INT4", [64, 16]), "scales": [2, 16]}
    workload = load_onnx(onnx_file(nodes, {"x": ["n", 64]}, ["y"], weights), {"n": 5})
    (product,) = _operators(workload)
    assert product.pair == ("weight=int4g32", "activation")
    assert workload.macs == 5 * 64 * 16


def test_weights_of_few_bits(onnx_file: Write) -> None:
    nodes = [
        node(
            "MatMulNBits",
            ["x", "packed", "scales"],
            ["y"],
            name="product",
            domain="com.microsoft",
            K=256,
            N=64,
            bits=4,
            block_size=32,
        ),
    ]
    weights = {"packed": ("UINT8", [64, 8, 16]), "scales": [512]}
    path = onnx_file(nodes, {"x": ["batch", "tokens", 256]}, ["y"], weights)
    workload = load_onnx(path, {"batch": 2, "tokens": 7})
    assert workload.macs == 14 * 256 * 64
    assert workload.weights == 256 * 64
    (product,) = _operators(workload)
    assert product.pair == ("weight=int4g32", "activation")
    assert [workload.number(d) for d in workload.graph().tensors["y"].shape] == [2, 7, 64]


def test_operators_with_integers_inside(onnx_file: Write) -> None:
    nodes = [
        node("QLinearConv", ["x", "s", "z", "w", "s", "zw", "s", "z", "b"], ["c"], name="conv"),
        node(
            "QLinearAdd",
            ["c", "s", "z", "c", "s", "z", "s", "z"],
            ["a"],
            name="add",
            domain="com.microsoft",
        ),
        node(
            "QLinearGlobalAveragePool",
            ["a", "s", "z", "s", "z"],
            ["g"],
            name="pool",
            domain="com.microsoft",
        ),
        node("Flatten", ["g"], ["f"], name="flatten"),
        node("QLinearMatMul", ["f", "s", "z", "v", "s", "zw", "s", "z"], ["m"], name="product"),
        node("DequantizeLinear", ["m", "s", "z"], ["y"], name="out"),
    ]
    weights = {
        "w": ("INT8", [4, 3, 3, 3]),
        "b": ("INT32", [4]),
        "v": ("INT8", [4, 10]),
        **_scalars(),
    }
    inputs = {"x": (TensorProto.UINT8, ["n", 3, 8, 8])}
    workload = load_onnx(onnx_file(nodes, inputs, ["y"], weights), {"n": 2})
    assert workload.graph().not_priced == ()
    assert workload.macs == 2 * (4 * 36 * 27 + 40)
    assert workload.weights == 108 + 4 + 40
    products = [o for o in _operators(workload) if o.nests]
    assert [o.pair for o in products] == [("weight=int8", "=uint8")] * 2
    formats = {t.format for n, t in workload.graph().tensors.items() if n in {"c", "a", "g", "m"}}
    assert formats == {"uint8"}


def test_dynamic_quantisation_takes_its_scaling_in(onnx_file: Write) -> None:
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"], name="quantise"),
        node("MatMulInteger", ["q", "w", "qz", "zw"], ["i"], name="product"),
        node("Cast", ["i"], ["f"], name="cast", to=TensorProto.FLOAT),
        node("Mul", ["qs", "s"], ["scale"], name="scales"),
        node("Mul", ["f", "scale"], ["y"], name="scaled"),
    ]
    weights = {"w": ("INT8", [64, 16]), **_scalars()}
    workload = load_onnx(onnx_file(nodes, {"x": ["n", 64]}, ["y"], weights), {"n": 5})
    assert [o.name for o in _operators(workload)] == ["quantise", "product"]
    product = _operators(workload)[1]
    assert product.pair == ("weight=int8", "=uint8")
    assert workload.graph().tensors[product.writes[0]].format == ""
    assert workload.macs == 5 * 64 * 16


@pytest.mark.parametrize("reader", ["Relu", "Softmax"])
def test_what_is_read_elsewhere_keeps_its_conversion(onnx_file: Write, reader: str) -> None:
    nodes = [
        *_pair("x", "xd"),
        node("DequantizeLinear", ["w", "s", "zw"], ["wd"], name="w.dequantise"),
        node("MatMul", ["xd", "wd"], ["m"], name="product"),
        node(reader, ["m"], ["y"], name="float"),
        *_pair("m", "other"),
    ]
    weights = {"w": ("INT8", [8, 8]), **_scalars()}
    workload = load_onnx(onnx_file(nodes, {"x": [4, 8]}, ["y", "other"], weights))
    names = [o.name for o in _operators(workload)]
    assert names == ["xd.quantise", "product", "float", "other.quantise", "other.dequantise"]
    product = _operators(workload)[1]
    assert product.pair == ("weight=int8", "=uint8")
    assert workload.graph().tensors[product.writes[0]].format == ""


def test_lstm_that_onnxruntime_quantised_is_the_lstm(onnx_file: Any, tmp_path: Path) -> None:
    import numpy as np
    from onnx import helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    node = helper.make_node(
        "LSTM",
        ["x", "w", "r", "b"],
        ["y", "h", "c"],
        name="lstm",
        hidden_size=16,
        direction="bidirectional",
    )
    shapes = {"w": (2, 64, 12), "r": (2, 64, 16), "b": (2, 128)}
    chance = np.random.default_rng(0)
    weights = {n: chance.random(s, dtype=np.float32) for n, s in shapes.items()}
    plain = onnx_file([node], {"x": [5, 3, 12]}, ["y", "h", "c"], weights)
    made = tmp_path / "quantised.onnx"
    quantize_dynamic(plain, made, weight_type=QuantType.QInt8)
    known, found = load_onnx(plain), load_onnx(made)
    assert found.graph().not_priced == ()
    assert found.macs == known.macs
    assert found.weights == known.weights
    formats = {t.format for t in found.graph().tensors.values() if t.role == "weight"}
    assert "int8" in formats


def test_clips_between_quantise_and_dequantise_say_the_width(onnx_file: Any) -> None:
    """QCDQ as Brevitas exports it: 8-bit containers, clipped to 4 and 2 bits; a view on the way."""
    import numpy as np

    def integers(*values: int) -> Any:
        return np.array(values[0] if len(values) == 1 else values, np.int8)

    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["q"], name="q"),
        helper.make_node("Clip", ["q", "zero", "fifteen"], ["c"], name="clip"),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["d"], name="dq"),
        helper.make_node("Flatten", ["d"], ["f"], name="flat"),
        helper.make_node("Clip", ["w", "minus", "one"], ["wc"], name="clip_w"),
        helper.make_node("DequantizeLinear", ["wc", "s", "z"], ["wd"], name="dq_w"),
        helper.make_node("MatMul", ["f", "wd"], ["y"], name="fc"),
    ]
    stored = {
        "s": np.array(0.1, np.float32),
        "z": integers(0),
        "zero": integers(0),
        "fifteen": integers(15),
        "minus": integers(-2),
        "one": integers(1),
        "w": ("INT8", [32, 10]),
    }
    workload = load_onnx(onnx_file(nodes, {"x": [1, 8, 2, 2]}, ["y"], stored))
    operators = {o.name: o for _, o in workload.graph().walk()}
    assert list(operators) == ["relu", "q", "flat", "fc"]
    assert operators["fc"].pair == ("weight=int2", "=int4")
    assert workload.weights == 320
