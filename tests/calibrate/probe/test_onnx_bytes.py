"""A model written byte by byte, read by those who know the format."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibrate.probe.dispatch import chain, choices, views


@pytest.mark.parametrize("nodes", [1, 2, 200])
def test_the_onnx_package_accepts_it(nodes: int) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(chain(nodes))
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Add"] * nodes


def test_onnxruntime_runs_every_node_of_it() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(chain(40), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.array([0.5], np.float32)})
    assert y == 0.5 * 41


@pytest.mark.parametrize("nodes", [2, 40])
def test_the_onnx_package_accepts_views_and_choices(nodes: int) -> None:
    onnx = pytest.importorskip("onnx")
    for made, ops in ((views, {"Unsqueeze", "Squeeze"}), (choices, {"If"})):
        model = onnx.load_from_string(made(nodes))
        onnx.checker.check_model(model, full_check=True)
        assert len(model.graph.node) == nodes
        assert {node.op_type for node in model.graph.node} == ops


def test_onnxruntime_dispatches_every_view_and_enters_every_body(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    x = {"x": np.array([0.5], np.float32)}
    for made, feeds, wanted in (
        (views, x, {"Unsqueeze": 20, "Squeeze": 20}),
        (choices, {**x, "c": np.array(True)}, {"If": 40, "Identity": 40}),
    ):
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(tmp_path / made.__name__)
        session = onnxruntime.InferenceSession(
            made(40), options, providers=["CPUExecutionProvider"]
        )
        (y,) = session.run(None, feeds)
        assert y == 0.5
        events = json.loads(Path(session.end_profiling()).read_text())
        ran = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
        assert Counter(event["args"]["op_name"] for event in ran) == wanted
