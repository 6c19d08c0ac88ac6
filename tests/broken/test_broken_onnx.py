"""Mutations of a sound ONNX file, field by field: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Change = Callable[[Any], Any]


def _node(model: Any, name: str) -> Any:
    return next(node for node in model.graph.node if node.name == name)


def _stored(model: Any, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _attribute(model: Any, node: str, name: str) -> Any:
    return next(a for a in _node(model, node).attribute if a.name == name)


def _extent(model: Any, axis: int) -> Any:
    return model.graph.input[0].type.tensor_type.shape.dim[axis]


def _set(target: Any, name: str, value: Any) -> None:
    setattr(target, name, value)


# (change, what is said after the file's name)
MUTATIONS: list[tuple[Change, str]] = [
    (
        lambda m: _node(m, "conv").input.__setitem__(0, "imagee"),
        "graph.node[0].input: 'conv' reads 'imagee'; expected an input, a weight or the output of a node; did you mean 'image'?",
    ),
    (
        lambda m: _node(m, "conv").input.__setitem__(0, "r"),
        "graph.node[0]: 'conv' depends on itself; expected a graph without a cycle",
    ),
    (
        lambda m: _node(m, "relu").output.__setitem__(0, "c"),
        (
            "graph.node[1].output: 'c' is produced twice; expected each name once\n"
            "graph.node[2].input: 'pool' reads 'r'; expected an input, a weight or the output of a node"
        ),
    ),
    (
        lambda m: _set(_node(m, "conv"), "op_type", ""),
        "graph.node[0]: has no operator type; expected such as Conv",
    ),
    (
        lambda m: _set(_node(m, "conv"), "op_type", "Convv"),
        (
            "'net' computes nothing that has a price; expected at least one operator that has\n"
            "not priced: Convv at conv: unknown operator of domain 'ai.onnx'; did you mean 'Conv'?\n"
            "not priced: Relu at relu: the shape of 'c' is not known\n"
            "not priced: GlobalAveragePool at pool: the shape of 'r' is not known\n"
            "not priced: Shape at shape: the shape of 'g' is not known\n"
            "not priced: Reshape at reshape: the target shape ('target') is not known before the network runs\n"
            "not priced: Gemm at gemm: the shape of 'f' is not known"
        ),
    ),
    (
        lambda m: _set(m.graph.output[0], "name", "z"),
        "graph.output: no node produces 'z'; expected an output of a node",
    ),
    (
        lambda m: m.graph.ClearField("output"),
        "graph.output: the graph has no output; expected a value that a node produces",
    ),
    (
        lambda m: m.graph.ClearField("node"),
        "holds no ONNX graph; expected an ONNX model (protobuf)",
    ),
    (lambda m: m.ClearField("graph"), "holds no ONNX graph; expected an ONNX model (protobuf)"),
    (lambda m: _set(m, "ir_version", 0), "holds no ONNX graph; expected an ONNX model (protobuf)"),
    (
        lambda m: m.ClearField("opset_import"),
        "opset_import: names no operator set; expected a version of the standard's",
    ),
    (
        lambda m: _set(m.opset_import[0], "version", -1),
        "opset_import: there is no operator set -1; expected a version from 1",
    ),
    (
        lambda m: _stored(m, "w").dims.__setitem__(0, -8),
        "graph.initializer.w: [-8, 3, 3, 3] is not a shape; expected extents from 0 to 1099511627776",
    ),
    (
        lambda m: _stored(m, "w").dims.__setitem__(0, 2**50),
        "graph.initializer.w: [1125899906842624, 3, 3, 3] is not a shape; expected extents from 0 to 1099511627776",
    ),
    (
        lambda m: _stored(m, "w").dims.__setitem__(0, 9),
        "graph.initializer.w: holds 864 bytes for 243 elements of fp32; expected 972 bytes",
    ),
    (
        lambda m: _set(_stored(m, "w"), "data_type", 99),
        "graph.initializer.w: 99 is not an element type; expected a number from 1 to 26",
    ),
    (
        lambda m: _set(_stored(m, "minus"), "raw_data", b"\1"),
        "graph.initializer.minus: holds 1 bytes for 1 elements of int64; expected 8 bytes",
    ),
    (
        lambda m: _set(_extent(m, 1), "dim_value", 2**60),
        "graph.input.image: an extent of 1152921504606846976 is too large; expected at most 1099511627776",
    ),
    (
        lambda m: _set(_extent(m, 1), "dim_value", 7),
        "Conv at conv: channels of weights and input differ: 3 and 7; expected attributes and shapes that fit each other",
    ),
    (
        lambda m: _attribute(m, "conv", "pads").ints.append(1),
        "Conv at conv: 5 pads for 2 axes; expected attributes and shapes that fit each other",
    ),
    (
        lambda m: _attribute(m, "conv", "strides").ints.__setitem__(0, 0),
        "Conv at conv: a stride, kernel or dilation below 1; expected attributes and shapes that fit each other",
    ),
    (
        lambda m: _attribute(m, "conv", "strides").ints.append(2),
        "Conv at conv: attribute 'strides' has 3 numbers for 2 axes; expected attributes and shapes that fit each other",
    ),
    (
        lambda m: _set(_attribute(m, "concat", "axis"), "i", 9),
        "Concat at concat: there is no axis 9 in 1 dimensions; expected attributes and shapes that fit each other",
    ),
    (
        lambda m: _set(_attribute(m, "gemm", "transB"), "i", 0),
        "Gemm at gemm: inner extents differ: 8 and 10; expected attributes and shapes that fit each other",
    ),
]


@pytest.fixture
def model(onnx_bytes: bytes) -> Any:
    import onnx

    return onnx.ModelProto.FromString(onnx_bytes)


@pytest.mark.parametrize(("change", "expected"), MUTATIONS, ids=range(len(MUTATIONS)))
def test_a_mutation_is_refused(
    folder: Path, refused: Callable[..., list[str]], model: Any, change: Change, expected: str
) -> None:
    change(model)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    found = refused("predict", "net.onnx", "a100")
    assert found == [f"net.onnx: {line}" for line in expected.splitlines()]


def test_every_fault_of_a_file_at_once(
    folder: Path, refused: Callable[..., list[str]], model: Any
) -> None:
    _stored(model, "w").dims[0] = -8
    _node(model, "conv").input[0] = "imagee"
    model.graph.output[0].name = "z"
    model.opset_import[0].version = 0
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    found = refused("predict", "net.onnx", "a1000", "--precision", "fp61")
    assert [line.partition(": ")[0] for line in found] == [
        "net.onnx",
        "net.onnx",
        "net.onnx",
        "net.onnx",
        "no device is named 'a1000'; did you mean 'a100'?",
        "--precision",
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            ("heigth=3",),
            "net.onnx: heigth: the network has no free dimension 'heigth'; expected one of batch, height, width; did you mean 'height'?",
        ),
        (
            ("height=0.5",),
            "net.onnx: height: Conv at conv would be left with an extent of 0; expected a larger height",
        ),
        (
            ("batch=0", "width=many"),
            (
                "batch: 0 is not an extent; expected a number above 0, at most 1e+12, or an array of them\n"
                "width: 'many' is not a number; expected a number above 0, at most 1e+12, or an array of them"
            ),
        ),
    ],
)
def test_a_setting_is_refused(
    folder: Path,
    onnx_bytes: bytes,
    refused: Callable[..., list[str]],
    settings: tuple[str, ...],
    expected: str,
) -> None:
    (folder / "net.onnx").write_bytes(onnx_bytes)
    given = [part for setting in settings for part in ("--set", setting)]
    assert refused("predict", "net.onnx", "a100", *given) == expected.splitlines()


@pytest.mark.parametrize("old", [b"image", b"target", b"height", b"relu", b"Gemm"])
def test_a_name_that_is_no_text(
    folder: Path, onnx_bytes: bytes, refused: Callable[..., list[str]], old: bytes
) -> None:
    name = old[:2] + b"\xe9" + old[3:]
    (folder / "net.onnx").write_bytes(onnx_bytes.replace(old, name))
    (line,) = refused("predict", "net.onnx", "a100")
    assert line == f"net.onnx: graph: the name {name!r} is not UTF-8; expected names in UTF-8"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(
    folder: Path, onnx_bytes: bytes, refused: Callable[..., list[str]], kept: float
) -> None:
    (folder / "net.onnx").write_bytes(onnx_bytes[: int(kept * len(onnx_bytes))])
    (line,) = refused("predict", "net.onnx", "a100")
    assert line == "net.onnx: is truncated or not ONNX; expected an ONNX model (protobuf)"
