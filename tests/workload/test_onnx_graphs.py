"""ONNX graphs: free dimensions, control flow, dead code, weights and formats."""

import pickle
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from perfmodel.errors import InputError
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Operator
from perfmodel.workload.importers.onnx import load_onnx
from perfmodel.workload.importers.onnx.load import OnnxWorkload

Write = Callable[..., Path]
node = helper.make_node


def _operators(workload: Any, **semantics: bool) -> list[Operator]:
    return [operator for _, operator in workload.graph(ExecutionSemantics(**semantics)).walk()]


def _net(onnx_file: Write, shape: list[Any], **more: Any) -> Path:
    """Two convolutions and a classifier, the way a framework exports them."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], name="first", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], name="relu"),
        node("Conv", ["r1", "w2"], ["c2"], name="depthwise", group=16, pads=[1, 1, 1, 1]),
        node("Shape", ["c2"], ["s"], name="shape"),
        node("Gather", ["s", "zero"], ["n"], name="batch_of"),
        node("Unsqueeze", ["n", "at0"], ["n1"], name="unsqueeze"),
        node("GlobalAveragePool", ["c2"], ["g"], name="pool"),
        node("Concat", ["n1", "rest"], ["target"], name="concat", axis=0),
        node("Reshape", ["g", "target"], ["f"], name="reshape"),
        node("Gemm", ["f", "w3", "b3"], ["y"], name="classifier", transB=1),
    ]
    weights = {
        "w1": [16, 3, 3, 3],
        "b1": [16],
        "w2": [16, 1, 3, 3],
        "w3": [10, 16],
        "b3": [10],
        "zero": np.array(0),
        "at0": np.array([0]),
        "rest": np.array([-1]),
    }
    return onnx_file(nodes, {"x": shape}, ["y"], weights, **more)


def test_a_network_by_hand(onnx_file: Write) -> None:
    workload = load_onnx(_net(onnx_file, [1, 3, 32, 32]))
    macs = 16 * 16 * 16 * 27 + 16 * 16 * 16 * 9 + 160
    assert workload.macs == macs
    assert workload.weights == 16 * 27 + 16 + 16 * 9 + 160 + 10
    assert workload.unit == "frames"
    assert workload.precision == "fp32"
    assert {t.format for t in workload.graph().tensors.values()} <= {"", "int64"}
    kinds = {o.name: o.kind for o in _operators(workload)}
    assert kinds == {
        "first": "conv",
        "relu": "elementwise",
        "depthwise": "depthwise",
        "pool": "pool",
        "reshape": "view",
        "classifier": "gemm",
    }


def test_free_dimensions_keep_their_names_and_take_arrays(onnx_file: Write) -> None:
    path = _net(onnx_file, ["batch", 3, "image_height", "image_width"])
    widths, batches = np.array([32, 33, 96, 224]), np.array([1, 2, 5, 7])
    many = load_onnx(path, {"image_height": 48, "image_width": widths, "batch": batches})
    assert many.parameters.keys() == {"batch", "image_height", "image_width"}
    for i in range(4):
        one = load_onnx(
            path, {"image_height": 48, "image_width": int(widths[i]), "batch": int(batches[i])}
        )
        fixed = load_onnx(_net(onnx_file, [int(batches[i]), 3, 48, int(widths[i])], name="f.onnx"))
        assert many.macs[i] == one.macs == fixed.macs
    assert list(many.items()) == list(batches)
    assert isinstance(many, OnnxWorkload)
    assert many.structural == {}


def test_dimensions_without_a_name_get_one_and_defaults_are_said(onnx_file: Write) -> None:
    workload = load_onnx(_net(onnx_file, ["?", 3, None, -1]))
    assert workload.parameters == {"dim_x_0": 1, "dim_x_2": 224, "dim_x_3": 224}
    assert any("dim_x_2" in note and "224" in note for note in workload.notes)
    rebound = workload.bind({"dim_x_2": 64, "dim_x_3": 64})
    assert rebound.macs == load_onnx(_net(onnx_file, [1, 3, 64, 64], name="f.onnx")).macs


def test_settings_are_checked_all_at_once(onnx_file: Write) -> None:
    path = _net(onnx_file, ["batch", 3, 32, "image_width"])
    with pytest.raises(InputError) as raised:
        load_onnx(path, {"image_widht": 3, "batch": -1})
    text = str(raised.value)
    assert "did you mean 'image_width'" in text
    assert "-1 is not an extent" in text


def test_an_input_too_small_for_a_window_is_a_fault(onnx_file: Write) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], name="wide")]
    path = onnx_file(nodes, {"x": ["batch", 3, 20, "width"]}, ["y"], {"w": [4, 3, 9, 9]})
    workload = load_onnx(path, {"width": 9})
    assert workload.macs == 4 * 12 * 3 * 81
    with pytest.raises(InputError, match=r"wide.*larger width"):
        workload.bind({"width": np.array([20, 8])})


def _switch(onnx_file: Write) -> Path:
    """A branch that compares an extent: wide inputs take another layer."""
    branches = {
        f"{side}_branch": helper.make_graph(
            [node("MatMul", ["x", f"w_{side}"], [f"{side}_out"], name=f"{side}_product")],
            side,
            [],
            [helper.make_tensor_value_info(f"{side}_out", TensorProto.FLOAT, None)],
        )
        for side in ("then", "else")
    }
    nodes = [
        node("Shape", ["x"], ["s"], name="shape"),
        node("Gather", ["s", "zero"], ["n"], name="length"),
        node("Greater", ["n", "limit"], ["c"], name="compare"),
        node("If", ["c"], ["y"], name="switch", **branches),
    ]
    weights = {
        "w_then": [8, 4],
        "w_else": [8, 64],
        "zero": np.array(0),
        "limit": np.array(100),
    }
    return onnx_file(nodes, {"x": ["length", 8]}, ["y"], weights)


def test_a_branch_that_an_extent_decides(onnx_file: Write) -> None:
    path = _switch(onnx_file)
    assert load_onnx(path, {"length": 101}).macs == 101 * 8 * 4
    short = load_onnx(path, {"length": 100})
    assert short.macs == 100 * 8 * 64
    assert isinstance(short, OnnxWorkload)
    assert "switch" in short.structural["length"]
    # Another number may take the other branch; the same leaves the graph as it is.
    assert short.bind({"length": 200}).macs == 200 * 8 * 4
    assert short.bind({"length": 100}).graph() is short.graph()
    with pytest.raises(InputError, match=r"switch.*no array"):
        load_onnx(path, {"length": np.array([100, 200])})
    with pytest.raises(InputError, match=r"switch.*no array"):
        short.bind({"length": np.array([100, 200])})


def test_a_branch_that_only_the_data_decide_costs_the_more(onnx_file: Write) -> None:
    inner = {
        f"{side}_branch": helper.make_graph(
            [node("MatMul", ["x", f"w_{side}"], [f"{side}_out"])],
            side,
            [],
            [helper.make_tensor_value_info(f"{side}_out", TensorProto.FLOAT, None)],
        )
        for side in ("then", "else")
    }
    path = onnx_file(
        [node("If", ["flag"], ["y"], name="gate", **inner)],
        {"x": ["rows", 8], "flag": (TensorProto.BOOL, [])},
        ["y"],
        {"w_then": [8, 16], "w_else": [8, 4]},
    )
    workload = load_onnx(path, {"rows": 5})
    assert workload.macs == 5 * 8 * 16
    assert any("gate" in note and "then" in note for note in workload.notes)
    # Given as a setting, the flag decides.
    assert load_onnx(path, {"rows": 5, "flag": 0}).macs == 5 * 8 * 4


def _loop(onnx_file: Write, *, trips: bool) -> Path:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("MatMul", ["state", "w"], ["m"], name="product"),
            node("Relu", ["m"], ["next"], name="relu"),
            node("Identity", ["go"], ["still"], name="same"),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, None),
        ],
        [
            value("still", TensorProto.BOOL, []),
            value("next", TensorProto.FLOAT, None),
            value("next", TensorProto.FLOAT, None),
        ],
    )
    inputs: dict[str, Any] = {"x": ["batch", 8]}
    weights: dict[str, Any] = {"w": [8, 8]}
    if trips:
        weights["count"] = np.array(5)
    else:
        inputs["count"] = (TensorProto.INT64, [])
    nodes = [node("Loop", ["count", "", "x"], ["last", "all"], name="steps", body=body)]
    return onnx_file(nodes, inputs, ["last", "all"], weights)


def test_a_loop_runs_its_body_and_stores_its_weights_once(onnx_file: Write) -> None:
    workload = load_onnx(_loop(onnx_file, trips=True), {"batch": 3})
    assert workload.macs == 5 * 3 * 64
    assert workload.weights == 64
    shape = workload.graph().tensors["all"].shape
    assert [workload.number(d) for d in shape] == [5, 3, 8]


def test_a_loop_whose_trips_the_data_decide_has_a_free_dimension(onnx_file: Write) -> None:
    path = _loop(onnx_file, trips=False)
    assert load_onnx(path).parameters["trips_steps"] == 1
    trips = np.array([1, 4, 9])
    assert list(load_onnx(path, {"trips_steps": trips}).macs) == list(64 * trips)
    assert load_onnx(path, {"count": 7}).macs == 7 * 64


@pytest.mark.parametrize("stored", [False, True], ids=["node", "initializer"])
@pytest.mark.parametrize("condition", [False, True])
def test_a_constant_condition_must_be_true_for_all_iterations_to_run(
    onnx_file: Write, condition: bool, stored: bool
) -> None:
    value = helper.make_tensor_value_info
    constant = helper.make_tensor("constant", TensorProto.BOOL, [], [condition])
    body = helper.make_graph(
        [
            node("Exp", ["state"], ["next"], name="exp"),
            *([] if stored else [node("Constant", [], ["constant"], value=constant)]),
            node("Identity", ["constant"], ["still"], name="same"),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, None),
        ],
        [value("still", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, None)],
        [constant] if stored else [],
    )
    nodes = [node("Loop", ["count", "", "x"], ["last"], name="steps", body=body)]
    path = onnx_file(nodes, {"x": [2, 8]}, ["last"], {"count": np.array(5)})
    assert ("trips_steps" in load_onnx(path).parameters) is not condition


def test_a_scan_runs_once_a_slice(onnx_file: Write) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("Add", ["sum", "row"], ["total"], name="add"),
            node("MatMul", ["total", "w"], ["seen"], name="product"),
        ],
        "body",
        [value("sum", TensorProto.FLOAT, [1, 8]), value("row", TensorProto.FLOAT, [1, 8])],
        [value("total", TensorProto.FLOAT, [1, 8]), value("seen", TensorProto.FLOAT, [1, 4])],
    )
    path = onnx_file(
        [node("Scan", ["start", "x"], ["end", "rows"], name="scan", body=body, num_scan_inputs=1)],
        {"start": [1, 8], "x": ["length", 1, 8]},
        ["end", "rows"],
        {"w": [8, 4]},
    )
    lengths = np.array([2, 30])
    assert list(load_onnx(path, {"length": lengths}).macs) == list(lengths * 32)


def test_dead_branches_run_only_where_the_runtime_runs_them(onnx_file: Write) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["y"], name="used"),
        node("MatMul", ["x", "v"], ["unused"], name="dead"),
    ]
    workload = load_onnx(onnx_file(nodes, {"x": [2, 8]}, ["y"], {"w": [8, 4], "v": [8, 4]}))
    assert [o.name for o in _operators(workload)] == ["used"]
    assert [o.name for o in _operators(workload, runs_dead_branches=True)] == ["used", "dead"]


def test_a_tied_weight_is_stored_once_and_a_turned_one_folded(onnx_file: Write) -> None:
    nodes = [
        node("Gather", ["table", "ids"], ["e"], name="embed"),
        node("Transpose", ["table"], ["head"], name="turn", perm=[1, 0]),
        node("MatMul", ["e", "table_t"], ["h"], name="plain"),
        node("MatMul", ["h", "table"], ["y"], name="again"),
        node("MatMul", ["y", "head"], ["z"], name="turned"),
    ]
    weights = {"table": [100, 8], "table_t": [8, 100]}
    path = onnx_file(nodes, {"ids": (TensorProto.INT64, [1, 5])}, ["z"], weights)
    workload = load_onnx(path)
    assert [o.name for o in _operators(workload)] == ["embed", "plain", "again", "turned"]
    gather = _operators(workload)[0]
    assert {a.tensor: a.elements for a in gather.accesses}["table"] == 40
    assert workload.graph().tensors["ids"].format == "int64"
    assert workload.macs == 5 * (800 + 800 + 800)


def test_half_precision_files_fix_their_format(onnx_file: Write) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["m"], name="product"),
        node("Cast", ["m"], ["y"], name="cast", to=TensorProto.FLOAT),
    ]
    path = onnx_file(
        nodes, {"x": ["n", 8]}, ["y"], {"w": ("FLOAT16", [8, 4])}, format=TensorProto.FLOAT16
    )
    workload = load_onnx(path)
    assert workload.precision == "fp16"
    formats = {name: t.format for name, t in workload.graph().tensors.items()}
    assert formats == {"x": "fp16", "w": "fp16", "m": "fp16", "y": "fp32"}


def test_parameters_declared_as_inputs_are_parameters(onnx_file: Write) -> None:
    nodes = [node("Conv", ["x", "w", "b"], ["y"], name="conv")]
    path = onnx_file(nodes, {"x": ["n", 3, 8, 8], "w": [4, 3, 3, 3], "b": [4]}, ["y"])
    workload = load_onnx(path)
    assert workload.weights == 108 + 4
    assert workload.graph().inputs == ("x",)


def test_grouped_attention_reads_the_cache(onnx_file: Write) -> None:
    nodes = [
        node(
            "GroupQueryAttention",
            ["q", "k", "v", "pk", "pv", "lengths", "total"],
            ["y", "ck", "cv"],
            name="gqa",
            domain="com.microsoft",
            num_heads=8,
            kv_num_heads=2,
        ),
    ]
    inputs = {
        "q": ["batch", 1, 64],
        "k": ["batch", 1, 16],
        "v": ["batch", 1, 16],
        "pk": ["batch", 2, "past", 8],
        "pv": ["batch", 2, "past", 8],
        "lengths": (TensorProto.INT32, ["batch"]),
        "total": (TensorProto.INT32, []),
    }
    workload = load_onnx(onnx_file(nodes, inputs, ["y"]), {"batch": 3, "past": 99})
    assert workload.graph().not_priced == ()
    assert workload.macs == 3 * 8 * 100 * (8 + 8)


def test_attention_of_the_standard_masks_what_is_causal(onnx_file: Write) -> None:
    nodes = [node("Attention", ["q", "k", "v"], ["y"], name="a", is_causal=1)]
    shape = ["batch", 4, "tokens", 16]
    path = onnx_file(nodes, {"q": shape, "k": shape, "v": shape}, ["y"], opset=23)
    workload = load_onnx(path, {"batch": 2, "tokens": 10})
    (operator,) = _operators(workload)
    assert workload.macs == 2 * 4 * 100 * 32
    assert workload.number(operator.masked_macs) == 2 * 4 * 45 * 32
    assert [workload.number(d) for d in workload.graph().tensors["y"].shape] == [2, 4, 10, 16]


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_cells(onnx_file: Write, op: str, gates: int) -> None:
    nodes = [
        node(op, ["x", "w", "r"], ["y"], name="cell", hidden_size=16, direction="bidirectional")
    ]
    weights = {"w": [2, gates * 16, 8], "r": [2, gates * 16, 16]}
    path = onnx_file(nodes, {"x": ["steps", "batch", 8]}, ["y"], weights)
    workload = load_onnx(path, {"steps": 7, "batch": 3})
    assert workload.macs == 7 * 3 * 2 * gates * 16 * (8 + 16)
    (operator,) = _operators(workload)
    moved = {a.tensor: workload.number(a.elements) for a in operator.accesses if a.mode == "read"}
    assert moved["w"] == 2 * gates * 16 * 8
    assert moved["r"] == 7 * 2 * gates * 16 * 16


def test_it_pickles_with_its_graph(onnx_file: Write) -> None:
    workload = load_onnx(_net(onnx_file, ["batch", 3, 32, 32]), {"batch": np.array([1, 2])})
    again = pickle.loads(pickle.dumps(workload))
    assert list(again.macs) == list(workload.macs)
    assert again.graph().content_hash() == workload.graph().content_hash()


def test_the_demonstration_network_is_weightless(checkout: Path, tmp_path: Path) -> None:
    write = runpy.run_path(str(checkout / "examples" / "make_demo_cnn.py"))["write"]
    path = write(tmp_path / "demo.onnx")
    assert path.stat().st_size < 10_000
    workload = load_onnx(path, {"batch": np.array([1, 8])})
    assert workload.graph().not_priced == ()
    assert workload.parameters.keys() == {"batch", "height", "width"}
    assert workload.unit == "frames"
    # Sizes as MobileNetV2 halves them: 112, 56, 28, 28, 14.
    assert workload.weights > 1.6e6
    assert workload.macs[1] == 8 * workload.macs[0]


def _attention_block(onnx_file: Write) -> Path:
    """Self-attention over a cache as exporters write it: extents by way of shapes, a mask."""
    nodes = [
        node("Gather", ["table", "ids"], ["e"], name="embed"),
        node("Shape", ["e"], ["se"], name="shape"),
        node("Gather", ["se", "i0"], ["b"], name="batch_of"),
        node("Gather", ["se", "i1"], ["q"], name="queries_of"),
        node("Shape", ["past"], ["sp"], name="past_shape"),
        node("Gather", ["sp", "i2"], ["p"], name="past_of"),
        node("Add", ["p", "q"], ["total"], name="total"),
        node("Range", ["p", "total", "i1"], ["positions"], name="positions"),
        node("Gather", ["places", "positions"], ["pe"], name="place"),
        node("Add", ["e", "pe"], ["x"], name="join"),
        node("MatMul", ["x", "wq"], ["xq"], name="to_query"),
        node("MatMul", ["x", "wk"], ["xk"], name="to_key"),
        node("Unsqueeze", ["b", "at0"], ["b1"], name="u1"),
        node("Unsqueeze", ["q", "at0"], ["q1"], name="u2"),
        node("Concat", ["b1", "q1", "heads"], ["target"], name="target", axis=0),
        node("Reshape", ["xq", "target"], ["xq4"], name="split_q"),
        node("Reshape", ["xk", "target"], ["xk4"], name="split_k"),
        node("Transpose", ["xq4"], ["qt"], name="turn_q", perm=[0, 2, 1, 3]),
        node("Transpose", ["xk4"], ["kt"], name="turn_k", perm=[0, 2, 1, 3]),
        node("Concat", ["past", "kt"], ["keys"], name="cache", axis=2),
        node("Transpose", ["keys"], ["keys_t"], name="turn", perm=[0, 1, 3, 2]),
        node("MatMul", ["qt", "keys_t"], ["scores"], name="scores"),
        node("Range", ["i0", "total", "i1"], ["all"], name="all"),
        node("Unsqueeze", ["positions", "at1"], ["rows"], name="rows"),
        node("LessOrEqual", ["all", "rows"], ["mask"], name="mask"),
        node("Where", ["mask", "scores", "low"], ["masked"], name="masked"),
        node("Softmax", ["masked"], ["weights"], name="softmax"),
        node("MatMul", ["weights", "keys"], ["mixed"], name="mix"),
        node("Transpose", ["mixed"], ["mt"], name="turn_back", perm=[0, 2, 1, 3]),
        node("Concat", ["b1", "q1", "wide"], ["flat"], name="flat", axis=0),
        node("Reshape", ["mt", "flat"], ["y"], name="join_heads"),
    ]
    weights = {
        "table": [1000, 64],
        "places": [512, 64],
        "wq": [64, 64],
        "wk": [64, 64],
        **{f"i{i}": np.array(i) for i in range(3)},
        "at0": np.array([0]),
        "at1": np.array([1]),
        "heads": np.array([4, 16]),
        "wide": np.array([64]),
        "low": np.array(-1e9, np.float32),
    }
    inputs = {
        "ids": (TensorProto.INT64, ["batch", "sequence"]),
        "past": ["batch", 4, "past", 16],
        "mask_in": ["batch", "past + sequence"],
    }
    return onnx_file(nodes, inputs, ["y", "keys"], weights)


def test_attention_over_a_cache_stays_free_in_every_dimension(onnx_file: Write) -> None:
    path = _attention_block(onnx_file)
    settings = {"batch": np.array([1, 2, 3]), "sequence": np.array([5, 1, 7]), "past": 40}
    workload = load_onnx(path, settings)
    assert isinstance(workload, OnnxWorkload)
    assert workload.structural == {}
    assert workload.graph().not_priced == ()
    batch, queries = settings["batch"], settings["sequence"]
    keys = queries + 40
    expected = batch * queries * 2 * 64 * 64 + 2 * batch * 4 * queries * keys * 16
    np.testing.assert_allclose(workload.macs, expected, rtol=1e-12)
    assert workload.weights == 1000 * 64 + 512 * 64 + 2 * 64 * 64
    shapes = workload.graph().tensors
    assert [list(np.broadcast_to(workload.number(d), 3)) for d in shapes["y"].shape] == [
        list(batch),
        list(queries),
        [64] * 3,
    ]
    # The mask is made anew for each length, so it is work and no constant.
    assert "mask" in {o.name for o in _operators(workload)}
