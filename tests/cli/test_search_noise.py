"""``perfmodel search --accuracy sqnr``: noise of quantised weights and activations of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def onnx_file(path: Path) -> None:
    """Write a network of two convolutions and a classifier with weights from a normal law."""
    onnx = pytest.importorskip("onnx")
    import numpy as np

    helper, of = onnx.helper, onnx.numpy_helper.from_array
    dice = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return of(dice.normal(size=shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], "one", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], "two", pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], "pool"),
        helper.make_node("Flatten", ["d"], ["e"], "flat"),
        helper.make_node("Gemm", ["e", "w3"], ["y"], "three", transB=1),
    ]
    stored = [weight("w1", 16, 3, 3, 3), weight("w2", 32, 16, 3, 3), weight("w3", 10, 32)]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 16, 16])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "tiny", [image], [result], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_noise_of_the_weights_of_the_workload(run: Run, folder: Path) -> None:
    onnx_file(folder / "tiny.onnx")
    done = run(
        "search",
        "tiny.onnx",
        "gemmini_16x16",
        "--precision",
        "w8a8",
        "--choice",
        "weight_bits=2,4,8",
        "--accuracy",
        "sqnr",
        "--constraint",
        "weight_bytes <= 3 KiB",
        "--json",
    )
    assert done.code == 0
    assert done.data["source"] == "sqnr of tiny.onnx"
    # The sum of ||Q(W) - W||^2 / ||W||^2 over the layers that were chosen.
    chosen = {k.removesuffix(".weights"): v for k, v in done.data["best"]["configuration"].items()}
    model = pm.accuracy.sqnr("tiny.onnx")
    options = [[pm.accuracy.parse_option(f"w={bits}")] for bits in chosen.values()]
    assert done.data["best"]["value"] == pytest.approx(
        float(model.table(list(chosen), options).loss([0] * len(chosen)))
    )
    named = run(
        "search",
        "tiny.onnx",
        "gemmini_16x16",
        "--precision",
        "w8a8",
        "--choice",
        "weight_bits=2,4,8",
        "--accuracy",
        "sqnr:tiny.onnx",
        "--constraint",
        "weight_bytes <= 3 KiB",
        "--json",
    )
    assert named.data == done.data


def test_noise_of_activations_needs_their_values(run: Run, folder: Path) -> None:
    onnx_file(folder / "tiny.onnx")
    words = (
        "search",
        "tiny.onnx",
        "gemmini_16x16",
        "--precision",
        "w8a8",
        "--choice",
        "activation_bits=4,8",
        "--choice",
        "weight_bits=4,8",
        "--accuracy",
        "sqnr",
        "--constraint",
        "weight_bytes <= 4 KiB",
        "--json",
    )
    without = run(*words)
    assert (without.code, without.out) == (2, "")
    assert "--accuracy: no range of activations for layer 'two'" in without.err
    (folder / "ranges.csv").write_text("tensor,low,high,rms\nb,0,6,1.5\nd,-2,2,0.7\ne,-2,2,0.7\n")
    done = run(*words, "--calibration", "ranges.csv")
    assert done.code == 0
    found = pm.search(
        "tiny.onnx",
        "gemmini_16x16",
        precision="w8a8",
        constraints="weight_bytes <= 4 KiB",
        choices={"activation_bits": [4, 8], "weight_bits": [4, 8]},
        accuracy=pm.accuracy.sqnr("tiny.onnx", "ranges.csv"),
    )
    assert done.data == json.loads(json.dumps(found.to_dict()))
