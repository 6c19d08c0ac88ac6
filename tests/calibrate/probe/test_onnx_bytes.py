"""A model written byte by byte, read by those who know the format."""

import numpy as np
import pytest

from perfmodel.calibrate.probe.onnx_bytes import chain


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
