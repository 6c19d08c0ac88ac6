"""Every operator of the standard: shapes against onnx's own test cases, prices by hand."""

import warnings
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from perfmodel.workload.importers.onnx import load_onnx
from perfmodel.workload.importers.onnx.graph_build import OnnxBuild
from perfmodel.workload.importers.onnx.parser import read_onnx

Write = Callable[..., Path]
node = helper.make_node

#: Operators on text, sequences, pictures in files, trees, and those of training.
NOT_PRICED = {
    "Adagrad",
    "Adam",
    "ArrayFeatureExtractor",
    "Binarizer",
    "FlexAttention",
    "ImageDecoder",
    "LabelEncoder",
    "Momentum",
    "OptionalGetElement",
    "OptionalHasElement",
    "RegexFullMatch",
    "SequenceEmpty",
    "SequenceInsert",
    "SequenceLength",
    "SequenceMap",
    "SplitToSequence",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
    "TreeEnsemble",
}

#: `Scan` of operator set 8 carried a batch; nothing writes it any more.
OLD = {"test_scan_sum"}


def _cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        made = collect_testcases(None)
    # The expanded forms repeat operators that are tested by themselves.
    made = [case for case in made if "expanded" not in case.name and case.name not in OLD]
    return [case for case in made if case.data_sets]


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape")


@pytest.mark.slow
def test_shapes_of_the_standards_own_cases(tmp_path: Path) -> None:
    path = tmp_path / "case.onnx"
    checked: set[str] = set()
    unpriced: set[str] = set()
    for case in _cases():
        inputs, outputs = case.data_sets[0]
        tensors = [*inputs, *outputs]
        if not all(map(_is_tensor, tensors)) or any(0 in t.shape for t in tensors):
            continue
        _with_constants(case, inputs)
        path.write_bytes(case.model.SerializeToString())
        workload = load_onnx(path)
        ops = {n.op_type for n in case.model.graph.node}
        if workload.graph().not_priced:
            unpriced |= ops
            continue
        walked = OnnxBuild(read_onnx(path), "case", {}, {}, {}).walk()
        for edge, output in zip(walked.outputs, outputs, strict=False):
            assert edge.shape is not None, case.name
            shape = tuple(workload.number(d) for d in edge.shape)
            # How many elements are distinct only the data tell.
            expected = len(output.shape) if "Unique" in ops else output.shape
            assert (len(shape) if "Unique" in ops else shape) == expected, case.name
        checked |= ops
    assert unpriced <= NOT_PRICED
    assert len(checked) > 160


def _with_constants(case: Any, inputs: list[Any]) -> None:
    """Store small whole-number inputs in the file, as exporters do: they are shapes and axes."""
    from onnx import numpy_helper

    graph = case.model.graph
    names = [v.name for v in graph.input]
    for name, value in zip(names, inputs, strict=False):
        if value.dtype.kind in "iu" and value.ndim <= 1 and value.size <= 8 and len(names) > 1:
            graph.initializer.append(numpy_helper.from_array(value, name))
    kept = [v for v in graph.input if v.name not in {t.name for t in graph.initializer}]
    if kept:
        del graph.input[:]
        graph.input.extend(kept)
    else:
        del graph.initializer[:]


def _only(path: Path, **settings: Any) -> Any:
    workload = load_onnx(path, settings)
    assert workload.graph().not_priced == ()
    ((_, operator),) = workload.graph().walk()
    return workload, operator


@pytest.mark.parametrize(
    ("attributes", "out", "macs"),
    [
        ({"pads": [1, 1, 1, 1]}, (8, 8), 6 * 4 * 64 * 9),
        ({"strides": [2, 2]}, (3, 3), 6 * 4 * 9 * 9),
        ({"dilations": [2, 2]}, (4, 4), 6 * 4 * 16 * 9),
        ({"auto_pad": "SAME_UPPER", "strides": [3, 3]}, (3, 3), 6 * 4 * 9 * 9),
        ({"group": 2}, (6, 6), 6 * 2 * 36 * 9),
    ],
)
def test_convolutions(onnx_file: Write, attributes: Any, out: Any, macs: int) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], name="conv", **attributes)]
    inner = 4 // attributes.get("group", 1)
    path = onnx_file(nodes, {"x": [1, 4, 8, 8]}, ["y"], {"w": [6, inner, 3, 3]})
    workload, operator = _only(path)
    assert workload.macs == macs
    assert workload.graph().tensors["y"].shape == (1, 6, *out)
    assert operator.kind == "conv"


def test_a_transposed_convolution_multiplies_once_an_input_and_tap(onnx_file: Write) -> None:
    nodes = [node("ConvTranspose", ["x", "w", "b"], ["y"], name="up", strides=[2, 2])]
    path = onnx_file(nodes, {"x": [1, 4, 5, 5]}, ["y"], {"w": [4, 6, 2, 2], "b": [6]})
    workload, operator = _only(path)
    assert workload.macs == 25 * 4 * 6 * 4
    assert workload.graph().tensors["y"].shape == (1, 6, 10, 10)
    assert operator.vector_ops == 600


@pytest.mark.parametrize(
    ("a", "b", "weights", "macs"),
    [
        ([2, 3, 5, 7], [7, 4], True, 30 * 28),
        ([2, 3, 5, 7], [2, 3, 7, 4], False, 6 * 5 * 28),
        ([5, 7], [3, 7, 4], False, 3 * 5 * 28),
        ([7], [7, 4], True, 28),
        ([2, 1, 5, 7], [3, 7, 4], False, 6 * 5 * 28),
    ],
)
def test_products(onnx_file: Write, a: Any, b: Any, weights: bool, macs: int) -> None:
    nodes = [node("MatMul", ["a", "b"], ["y"], name="product")]
    inputs = {"a": a} if weights else {"a": a, "b": b}
    path = onnx_file(nodes, inputs, ["y"], {"b": b} if weights else {"unused": [1, 1]})
    workload, operator = _only(path)
    assert workload.macs == macs
    assert operator.kind == "gemm"
    assert workload.weights == (28 if weights else 0)


def test_a_free_batch_multiplies_a_shared_left_side(onnx_file: Write) -> None:
    nodes = [node("MatMul", ["w", "x"], ["y"], name="product")]
    path = onnx_file(nodes, {"x": ["batch", 7, 4]}, ["y"], {"w": [5, 7]})
    workload, operator = _only(path, batch=6)
    assert workload.macs == 6 * 5 * 28
    assert operator.pair == ("weight", "activation")


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("bhqd,bhkd->bhqk", ([2, 4, 5, 8], [2, 4, 6, 8]), 2 * 4 * 5 * 6 * 8),
        ("...ij,...jk->...ik", ([3, 2, 5, 7], [3, 2, 7, 4]), 6 * 5 * 28),
        ("ij,jk,kl->il", ([2, 3], [3, 4], [4, 5]), 2 * 3 * 4 + 2 * 4 * 5),
        ("ij->ji", ([2, 3],), 0),
    ],
)
def test_einsum(onnx_file: Write, equation: str, shapes: Any, macs: int) -> None:
    names = [f"x{i}" for i in range(len(shapes))]
    nodes = [node("Einsum", names, ["y"], name="sum", equation=equation)]
    inputs = dict(zip(names, shapes, strict=True))
    path = onnx_file(nodes, inputs, ["y"], {"unused": [1, 1]})
    workload, _ = _only(path)
    assert workload.macs == macs


def test_movement_costs_what_it_moves(onnx_file: Write) -> None:
    import numpy as np

    nodes = [
        node("Slice", ["x", "one", "three", "one"], ["s"], name="slice"),
        node("Transpose", ["s"], ["t"], name="turn", perm=[1, 0]),
        node("Concat", ["t", "t"], ["c"], name="join", axis=0),
        node("Reshape", ["c", "flat"], ["y"], name="view"),
    ]
    weights = {"one": np.array([1]), "three": np.array([3]), "flat": np.array([-1])}
    workload = load_onnx(onnx_file(nodes, {"x": ["n", 10]}, ["y"], weights), {"n": 6})
    moved = {
        o.name: (o.kind, *(workload.number(a.elements) for a in o.accesses))
        for _, o in workload.graph().walk()
    }
    assert moved == {
        "slice": ("copy", 12, 12),
        "turn": ("copy", 12, 12),
        "join": ("copy", 12, 12, 24),
        "view": ("view", 0, 0),
    }


def test_resize_by_symbolic_halves(onnx_file: Write) -> None:
    import numpy as np

    nodes = [node("Resize", ["x", "", "scales"], ["y"], name="resize", mode="linear")]
    scales = np.array([1, 1, 2, 0.5], dtype=np.float32)
    path = onnx_file(nodes, {"x": [1, 3, 5, "width"]}, ["y"], {"scales": scales})
    workload, operator = _only(path, width=np.array([7, 8]))
    shape = [workload.number(d) for d in workload.graph().tensors["y"].shape]
    assert shape[:3] == [1, 3, 10]
    assert list(shape[3]) == [3, 4]
    # Both sides change: two lerps and one between them, 3 operations each.
    assert list(workload.number(operator.vector_ops)) == [9 * 3 * 10 * 3, 9 * 3 * 10 * 4]


def test_transforms_count_as_fast_ones(onnx_file: Write) -> None:
    import numpy as np

    nodes = [node("STFT", ["x", "step", "", "length"], ["y"], name="stft")]
    weights = {"step": np.array(64), "length": np.array(256)}
    path = onnx_file(nodes, {"x": [2, 1024, 1]}, ["y"], weights)
    workload, operator = _only(path)
    assert workload.graph().tensors["y"].shape == (2, 13, 129, 2)
    assert operator.vector_ops == 2 * 13 * (2.5 * 256 * log2(256) + 256)


def test_experts_are_read_as_routing_touches_them(onnx_file: Write) -> None:
    nodes = [
        node(
            "MoE", ["x", "router", "up", "", "down"], ["y"], name="moe", domain="com.microsoft", k=2
        ),
        node("Relu", ["y"], ["z"], name="relu"),
    ]
    inputs = {"x": ["tokens", 16], "router": ["tokens", 8]}
    path = onnx_file(nodes, inputs, ["z"], {"up": [8, 16, 32], "down": [8, 32, 16]})
    workload = load_onnx(path, {"tokens": 3})
    assert workload.macs == 3 * 2 * 2 * 16 * 32
    assert workload.weights == 2 * 8 * 16 * 32
    moe = next(o for _, o in workload.graph().walk() if o.kind == "moe")
    read = {a.tensor: workload.number(a.elements) for a in moe.accesses}
    assert read["up"] == pytest.approx(8 * (1 - (1 - 2 / 8) ** 3) * 512)


def test_what_the_data_decide_is_a_free_dimension(onnx_file: Write) -> None:
    nodes = [
        node("NonZero", ["x"], ["where"], name="nonzero"),
        node("Range", ["zero", "n", "one"], ["r"], name="range"),
        node("Cast", ["r"], ["y"], name="cast", to=TensorProto.FLOAT),
    ]
    import numpy as np

    inputs = {"x": [4, 5], "n": (TensorProto.INT64, [])}
    path = onnx_file(nodes, inputs, ["where", "y"], {"zero": np.array(0), "one": np.array(1)})
    workload = load_onnx(path)
    assert workload.parameters == {"dim_where_1": 20, "dim_r_0": 1}
    many = workload.bind({"dim_r_0": np.array([3, 9])})
    assert list(many.number(many.graph().tensors["y"].elements)) == [3, 9]


def test_what_has_no_price_is_named(onnx_file: Write) -> None:
    nodes = [
        node("Frobnicate", ["x"], ["a"], name="mine", domain="my.own"),
        node("Relu", ["a"], ["b"], name="after"),
        node("StringNormalizer", ["t"], ["u"], name="text"),
        node("Relu", ["x"], ["y"], name="priced"),
    ]
    inputs = {"x": [2, 3], "t": (TensorProto.STRING, [2])}
    path = onnx_file(nodes, inputs, ["b", "u", "y"], domains=("my.own",))
    workload = load_onnx(path)
    named = workload.graph().not_priced
    assert [n.partition(":")[0] for n in named] == [
        "Frobnicate at mine",
        "Relu at after",
        "StringNormalizer at text",
    ]
    assert "my.own" in named[0]
    assert [o.name for _, o in workload.graph().walk()] == ["priced"]
    assert any("3 operators are not priced" in note for note in workload.notes)
