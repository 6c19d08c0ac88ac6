"""Nodes that onnxruntime dispatches beside those that compute, counted against its own trace."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import perfmodel as pm
from perfmodel.hardware.library import hardware
from perfmodel.hardware.runtime import Runtime
from perfmodel.search.oracle.pricing import NotTabledError, Pricing
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.importers.onnx import load_onnx
from perfmodel.workload.view_dispatches import with_view_dispatches

node = helper.make_node
X = np.ones((6, 4), np.float32)
BODIES = {"If", "Loop", "Scan"}
ALL = ExecutionSemantics(runs_dead_branches=True)


def executed(path: Path, feeds: dict[str, Any], folder: Path) -> Counter[str]:
    """Operators that a run dispatches, after all that onnxruntime does on loading."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, feeds)
    return Counter(
        event["args"]["op_name"]
        for event in json.loads(Path(session.end_profiling()).read_text())
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    )


def body(op: str, read: str, write: str) -> Any:
    value = helper.make_tensor_value_info(write, TensorProto.FLOAT, None)
    return helper.make_graph([node(op, [read], [write])], write, [], [value])


def choice(condition: str, then: str = "Exp", other: str = "Neg") -> Any:
    return node(
        "If",
        [condition],
        ["y"],
        then_branch=body(then, "x", "p"),
        else_branch=body(other, "x", "q"),
    )


ROWS = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"])]
WORKED_OUT = [
    *ROWS,
    node("Concat", ["two", "n", "four"], ["t"], axis=0),
    node("Exp", ["x"], ["e"]),
    node("Expand", ["e", "t"], ["r"]),
    node("Neg", ["r"], ["y"]),
]
INTEGERS = {name: np.array([n]) for name, n in {"zero": 0, "two": 2, "four": 4, "six": 6}.items()}
SMALL: dict[str, tuple[list[Any], list[Any]]] = {
    "shapes that are fixed are folded": ([6, 4], WORKED_OUT),
    "shapes that are free are worked out": (["n", 4], WORKED_OUT),
    "a choice by a fixed shape is made on loading": (
        [6, 4],
        [*ROWS, node("Equal", ["n", "six"], ["c"]), choice("c")],
    ),
    "a choice by a free shape is made in every run": (
        ["n", 4],
        [*ROWS, node("Equal", ["n", "six"], ["c"]), choice("c")],
    ),
    "an Identity is no node": (
        [6, 4],
        [node("Exp", ["x"], ["e"]), node("Identity", ["e"], ["i"]), node("Neg", ["i"], ["y"])],
    ),
    "nor is a Cast to the same format": (
        [6, 4],
        [node("Exp", ["x"], ["e"]), node("Cast", ["e"], ["i"], to=1), node("Neg", ["i"], ["y"])],
    ),
    "but an Identity that is all of a body is one": (
        ["n", 4],
        [*ROWS, node("Equal", ["n", "six"], ["c"]), choice("c", "Identity")],
    ),
    "axes come and go": (
        [6, 4],
        [
            node("Exp", ["x"], ["e"]),
            node("Unsqueeze", ["e", "zero"], ["u"]),
            node("Neg", ["u"], ["v"]),
            node("Squeeze", ["v", "zero"], ["y"]),
        ],
    ),
}
KERNELS = {"Exp", "Neg", "Expand"}


@pytest.mark.parametrize("case", SMALL, ids=[name.replace(" ", "-") for name in SMALL])
def test_views_are_those_that_onnxruntime_dispatches(
    case: str, onnx_file: Callable[..., Path], tmp_path: Path
) -> None:
    shape, nodes = SMALL[case]
    path = onnx_file(nodes, {"x": shape}, ["y"], INTEGERS, opset=13)
    settings = {"n": 6} if "n" in shape else {}
    graph = load_onnx(path, settings).graph(ALL)
    trace = executed(path, {"x": X}, tmp_path)
    assert graph.calls == sum(trace[op] for op in BODIES)
    assert graph.views == sum(n for op, n in trace.items() if op not in KERNELS | BODIES)


def test_stored_numbers_that_are_inputs_too_are_not_folded(
    onnx_file: Callable[..., Path], tmp_path: Path
) -> None:
    nodes = [
        node("Reshape", ["b", "six"], ["r"]),
        node("Exp", ["r"], ["e"]),
        node("Add", ["x", "e"], ["y"]),
    ]
    weights = INTEGERS | {"b": np.ones((1, 6), np.float32)}
    fixed = onnx_file(nodes, {"x": [6]}, ["y"], weights, opset=13, name="fixed.onnx")
    free = onnx_file(nodes, {"x": [6], "b": [1, 6]}, ["y"], weights, opset=13)
    for path, views in ((fixed, 0), (free, 2)):
        assert load_onnx(path).graph().views == views
        trace = executed(path, {"x": X[:, 0]}, tmp_path)
        assert trace.total() - trace["Add"] == views


@pytest.mark.packages
@pytest.mark.parametrize(("samples", "rate"), [(576, 16000), (288, 8000)])
def test_a_network_full_of_choices(samples: int, rate: int, tmp_path: Path) -> None:
    from tests.workload.test_onnx_packages import VAD, _file, _sound

    path = _file("silero-vad", f"{VAD}/silero_vad.onnx")
    graph = load_onnx(path, {"dim_input_1": samples, "sr": rate}).graph(ALL)
    trace = executed(path, _sound(samples, rate), tmp_path)
    assert graph.calls == trace["If"]
    shapes = {
        "Unsqueeze",
        "Squeeze",
        "Identity",
        "Shape",
        "Size",
        "Equal",
        "Not",
        "Cast",
    }
    # Of the lookups two are of a state, the others of shapes.
    assert graph.views == sum(trace[op] for op in shapes) + trace["Gather"] - 2


FREE = Runtime(name="r")
COSTS = Runtime(
    name="r",
    per_operator=3e-7,
    per_run=5e-6,
    per_subgraph=6e-7,  # pyright: ignore[reportArgumentType]
    semantics={"dispatches_views": True, "runs_dead_branches": True},  # pyright: ignore[reportArgumentType]
)


def test_each_costs_its_dispatch_and_nothing_else(onnx_file: Callable[..., Path]) -> None:
    shape, nodes = SMALL["a choice by a free shape is made in every run"]
    work = load_onnx(onnx_file(nodes, {"x": shape}, ["y"], INTEGERS, opset=13), {"n": 6})
    graph, device = work.graph(ALL), hardware("zen4_core")
    assert (graph.views, graph.calls) == (3, 1)
    semantics = COSTS.semantics.model_copy(update={"dispatches_views": False})
    quiet = COSTS.model_copy(update={"semantics": semantics, "per_subgraph": FREE.per_subgraph})
    found, less = (pm.predict(work, device, runtime=r) for r in (COSTS, quiet))
    assert found.latency_s - less.latency_s == pytest.approx(3 * 3e-7 + 6e-7, rel=1e-9)
    assert found.once_a_run_s == pytest.approx(5.6e-6)
    total = float(np.sum(found.table["total_s"])) + found.once_a_run_s
    assert total == pytest.approx(found.latency_s, rel=1e-12)
    assert found.traffic_bytes == less.traffic_bytes
    assert found.peak_memory_bytes == less.peak_memory_bytes
    assert with_view_dispatches(graph) is not graph
    bare = pm.predict(work, device, runtime=COSTS, model="roofline")
    assert bare.latency_s == pytest.approx(
        pm.predict(work, device, runtime=FREE, model="roofline").latency_s, rel=1e-12
    )


def test_an_array_of_trips_is_as_many_networks(onnx_file: Callable[..., Path]) -> None:
    inner = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Exp", ["a"], ["b"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [6, 4]),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [6, 4]),
        ],
    )
    nodes = [
        node("Cast", ["k"], ["times"], to=7),
        node("Loop", ["times", "", "x"], ["y"], "l", body=inner),
    ]
    inputs = {"x": [6, 4], "k": (TensorProto.INT32, [])}
    work = load_onnx(onnx_file(nodes, inputs, ["y"], opset=13))
    device, trips = hardware("zen4_core"), np.array([1.0, 4.0, 9.0])
    assert "trips_l" in work.parameters
    many = pm.predict(work.bind({"trips_l": trips}), device, runtime=COSTS)
    for at, count in enumerate(trips):
        one = pm.predict(work.bind({"trips_l": float(count)}), device, runtime=COSTS)
        assert many.latency_s[at] == pytest.approx(one.latency_s, rel=1e-12)
        assert one.once_a_run_s == pytest.approx(5e-6 + count * 6e-7)


def test_a_runtime_that_says_nothing_sees_no_views(onnx_file: Callable[..., Path]) -> None:
    shape, nodes = SMALL["shapes that are free are worked out"]
    work = load_onnx(onnx_file(nodes, {"x": shape}, ["y"], INTEGERS, opset=13), {"n": 6})
    found = pm.predict(work, hardware("zen4_core"), runtime=Runtime(name="r", per_operator=3e-7))
    assert "dispatch" not in set(found.table["kind"])
    assert float(np.sum(found.table["total_s"])) == pytest.approx(found.latency_s, rel=1e-12)


def test_tables_of_kernels_refuse_what_dispatches_views(onnx_file: Callable[..., Path]) -> None:
    shape, nodes = SMALL["shapes that are free are worked out"]
    work = load_onnx(onnx_file(nodes, {"x": shape}, ["y"], INTEGERS, opset=13), {"n": 6})
    device = hardware("zen4_core")
    with pytest.raises(NotTabledError, match="views"):
        Pricing.of(work, device, runtime=COSTS)
    assert Pricing.of(work, device, runtime=FREE).per_run_s == 0.0
