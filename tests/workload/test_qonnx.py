"""Quantisers of QONNX, FINN and Brevitas: formats from their bit widths."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import perfmodel as pm
from perfmodel.workload.importers.onnx import load_onnx

Write = Callable[..., Path]
DOMAIN = "qonnx.custom_op.general"
node = helper.make_node


def _bits(value: float) -> Any:
    return np.array(value, np.float32)


def _quant(x: str, y: str, bits: str, **attributes: Any) -> Any:
    given = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attributes}
    return node("Quant", [x, "scale", "zero", bits], [y], name=f"to_{y}", domain=DOMAIN, **given)


CONSTANTS: dict[str, Any] = {
    "scale": _bits(0.5),
    "zero": _bits(0.0),
    "b2": _bits(2),
    "b3": _bits(3),
    "b5": _bits(5),
    "b8": _bits(8),
}


def _network(write: Write, *nodes: Any, **weights: Any) -> Any:
    graph = load_onnx(
        write(
            list(nodes),
            {"x": [1, 8, 6, 6]},
            [nodes[-1].output[0]],
            {**CONSTANTS, **weights},
            domains=(DOMAIN, "finn.custom_op.general"),
        )
    )
    assert graph.not_priced == ()
    return graph


def test_weights_and_activations_take_the_formats_of_their_quantisers(onnx_file: Write) -> None:
    workload = _network(
        onnx_file,
        _quant("x", "xq", "b8"),
        _quant("w", "wq", "b3"),
        node("Conv", ["xq", "wq"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], name="relu"),
        _quant("r", "rq", "b5", signed=0),
        node("MaxPool", ["rq"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"], name="flat"),
        _quant("v", "vq", "b2", narrow=1),
        node("MatMul", ["f", "vq"], ["y"], name="fc"),
        w=[4, 8, 3, 3],
        v=[36, 10],
    )
    graph = workload.graph()
    assert workload.weights == 4 * 8 * 9 + 360
    assert workload.precision == "w3a8"
    operators = {o.name: o for _, o in graph.walk()}
    assert set(operators) == {"to_xq", "conv", "relu", "pool", "flat", "fc"}
    assert operators["conv"].pair == ("weight=int3", "=int8")
    assert operators["fc"].pair == ("weight=ternary", "=int5")  # two bits from -1 to 1
    assert graph.tensors["rq"].format == graph.tensors["p"].format == "int5"
    assert graph.tensors["c"].format == ""


def test_a_value_that_others_read_unrounded_is_rounded_by_itself(onnx_file: Write) -> None:
    workload = _network(
        onnx_file,
        node("Relu", ["x"], ["r"], name="relu"),
        _quant("r", "q", "b5"),
        node("Add", ["r", "q"], ["y"], name="add"),
    )
    kinds = {o.name: o.kind for _, o in workload.graph().walk()}
    assert kinds["to_q"] == "quantise"
    assert workload.graph().tensors["q"].format == "int5"


def test_a_width_that_only_a_run_tells_stays_open(onnx_file: Write) -> None:
    workload = _network(
        onnx_file,
        node("ReduceMax", ["x"], ["bits"], name="bits", keepdims=0),
        _quant("w", "wq", "bits"),
        node("Conv", ["x", "wq"], ["y"], name="conv"),
        w=[4, 8, 3, 3],
    )
    assert workload.macs == 4 * 16 * 72


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "format"),
    [
        ("BipolarQuant", ["scale"], {}, "int1"),
        ("Trunc", ["scale", "zero", "b8", "b5"], {"rounding_mode": "FLOOR"}, "int5"),
        ("FloatQuant", ["scale", "b5", "b2", "zero", "b8"], {}, "fp8_e5m2"),
        ("IntQuant", ["scale", "zero", "b3"], {"signed": 1, "narrow": 0}, "int3"),
    ],
)
def test_each_quantiser(
    onnx_file: Write, op: str, inputs: list[str], attributes: dict[str, Any], format: str
) -> None:
    workload = _network(
        onnx_file,
        node("Relu", ["x"], ["r"], name="relu"),
        node(op, ["r", *inputs], ["y"], name="q", domain=DOMAIN, **attributes),
    )
    assert [o.name for _, o in workload.graph().walk()] == ["relu"]
    assert workload.graph().tensors["y"].format == format


def test_thresholds_of_finn_are_searched(onnx_file: Write) -> None:
    """15 thresholds tell 16 levels: 4 comparisons an element, by halves."""
    workload = _network(
        onnx_file,
        node(
            "MultiThreshold",
            ["x", "t"],
            ["y"],
            name="t",
            domain="finn.custom_op.general",
            out_dtype="UINT4",
        ),
        t=[8, 15],
    )
    ((_, operator),) = workload.graph().walk()
    assert operator.vector_ops == 4 * 8 * 36
    assert workload.graph().tensors["y"].format == "int4"
    assert workload.weights == 8 * 15


@pytest.mark.packages
def test_files_of_the_qonnx_package() -> None:
    """Super-resolution networks of 4 bits that Brevitas wrote (first and last layer: 8)."""
    try:
        folder = Path(str(distribution("qonnx").locate_file("qonnx/data/onnx")))
    except PackageNotFoundError:
        pytest.skip("qonnx is absent: pip install --no-deps -r tests/requirements-models.txt")
    for kind in ("subpixel", "nn_resize"):
        workload = pm.workload(folder / "bsd300x3-espcn" / kind / "quant_model.onnx")
        assert workload.not_priced == ()
        pairs = [o.pair for _, o in workload.graph().walk() if o.kind == "conv"]
        assert pairs[1:3] == [("weight=int4", "=int4")] * 2
        assert pairs[0][0] == pairs[-1][0] == "weight=int8"
        assert workload.precision == "w8a8" if kind == "nn_resize" else "w8a4"
