"""Weights out of files: safetensors by its specification, ONNX by what operators compute."""

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.formats import format_named
from perfmodel.search import accuracy
from perfmodel.search.accuracy import LayerOption
from perfmodel.search.accuracy.layer_weights import read_weights
from perfmodel.workload.importers.safetensors.header import read_header

DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I8": np.int8,
    "U16": np.uint16,
}


def _file(path: Path, header: dict[str, Any] | bytes, data: bytes) -> Path:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)
    return path


def test_every_type_of_safetensors_is_read_as_written(tmp_path: Path) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data, exact = b"", {}
    for name, kind in DTYPES.items():
        values = np.random.default_rng(0).normal(scale=40, size=(3, 5)).astype(kind)
        if name == "F8_E4M3":
            values = np.arange(256, dtype=np.uint8).view(kind)  # every code there is
        header[name] = {
            "dtype": name,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + values.nbytes],
        }
        data += values.tobytes()
        exact[name] = values.astype(np.float64)
    found = read_header(_file(tmp_path / "w.safetensors", header, data))
    assert list(found) == list(DTYPES)
    for name, values in exact.items():
        np.testing.assert_array_equal(found[name].read(), values)


def test_layers_are_the_matrices_and_go_by_their_short_names(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    header = {
        "norm.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "fc.weight": {"dtype": "F32", "shape": [4, 6], "data_offsets": [16, 112]},
    }
    path = _file(tmp_path / "w.safetensors", header, bytes(16) + weights.tobytes())
    model = accuracy.sqnr(path)
    assert model.layers == ("fc.weight",)
    option = LayerOption(format_named("int4"))
    error, power = accuracy.noise(weights, format_named("int4"), 0)
    for name in ("fc", "fc.weight"):
        assert model.table([name], [[option]]).unary[0][0] == pytest.approx(error / power)
    index = tmp_path / "w.safetensors.index.json"
    index.write_text(
        '{"weight_map": {"fc.weight": "w.safetensors", "norm.weight": "w.safetensors"}}'
    )
    assert accuracy.sqnr(index).layers == ("fc.weight",)
    index.write_text('{"weight_map": {"a": "../w.safetensors", "b": "lost.safetensors"}}')
    with pytest.raises(InputError) as caught:
        accuracy.sqnr(index)
    assert len(caught.value.faults) == 2


def _entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"[]", b"", "truncated or not a safetensors"),
        (b"{", b"", "header is not JSON"),
        (
            b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": 1}',
            bytes(4),
            "twice",
        ),
        ({"a": _entry([2], 0, 4)}, bytes(4), "do not hold"),
        ({"a": 3}, b"", "is not a tensor"),
        ({"a": _entry([1], 0, 4), "b": _entry([1], 8, 12)}, bytes(12), "b: follows a hole"),
        ({"a": _entry([2], 0, 8), "b": _entry([1], 4, 8)}, bytes(8), "b: begins before"),
        ({"a": _entry([1], 0, 4)}, b"", "do not hold"),
        ({"a": _entry([1], 0, 4, "F31")}, bytes(4), "'F3"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4), "whole numbers"),
    ],
)
def test_an_unsound_header_is_refused(
    header: dict[str, Any] | bytes, data: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_header(_file(tmp_path / "w.safetensors", header, data))


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    for name in ("lost.safetensors", "lost.onnx"):
        with pytest.raises(InputError, match="no such file"):
            read_weights(tmp_path / name)
    (tmp_path / "w.bin").write_bytes(b"")
    with pytest.raises(InputError, match="is no file of weights"):
        read_weights(tmp_path / "w.bin")
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff")
    with pytest.raises(InputError, match="not ONNX"):
        read_weights(tmp_path / "bad.onnx")
    (tmp_path / "s.safetensors").write_bytes(bytes(4))
    with pytest.raises(InputError, match="truncated"):
        read_weights(tmp_path / "s.safetensors")
    with pytest.raises(InputError, match="has no channels"):
        read_weights({"a": np.array(1.0)})


def build(
    nodes: list[Any], held: dict[str, np.ndarray], feeds: dict[str, list[Any]], outputs: list[str]
) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in feeds.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(w, n) for n, w in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _network() -> tuple[Any, dict[str, np.ndarray]]:
    from onnx import helper

    draw = np.random.default_rng(2)
    held = {
        "conv": draw.normal(size=(6, 3, 3, 3)),
        "turned": draw.normal(size=(6, 5, 2, 2)),
        "gemm": draw.normal(size=(7, 4)),
        "matmul": draw.normal(size=(7, 8)),
        "stored": draw.normal(size=(9, 8)),
        "einsum": draw.normal(size=(9, 2, 4)),
    }
    held = {name: w.astype(np.float32) for name, w in held.items()}
    codes = draw.integers(-127, 127, size=(8, 3)).astype(np.int8)
    held |= {"codes": codes, "scales": np.float32([0.1, 0.2, 0.4])}
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "conv"], ["c"], name="first"),
        node("ConvTranspose", ["c", "turned"], ["out_image"], name="second"),
        node("Gemm", ["x", "gemm"], ["g"], name="third", transB=1),
        node("MatMul", ["g", "matmul"], ["m"], name="fourth"),
        node("Transpose", ["stored"], ["stored_t"], perm=[1, 0]),
        node("MatMul", ["m", "stored_t"], ["n"], name="fifth"),
        node("Einsum", ["n", "einsum"], ["e"], name="sixth", equation="bi,ihk->bhk"),
        node("DequantizeLinear", ["codes", "scales"], ["w"], axis=1),
        node("MatMul", ["m", "w"], ["q"], name="seventh"),
    ]
    feeds: dict[str, list[Any]] = {"image": [1, 3, 8, 8], "x": [2, 4]}
    return build(nodes, held, feeds, ["out_image", "e", "q"]), held


def test_operators_have_their_weights_and_output_channels(tmp_path: Path) -> None:
    import onnx

    model, held = _network()
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    found = read_weights(path)
    axes = {"conv": 0, "turned": 1, "gemm": 0, "matmul": 1, "stored": 1, "einsum": 2, "codes": 1}
    assert {name: layer.weights[0].axis for name, layer in found.layers.items()} == axes
    np.testing.assert_array_equal(found.layers["stored"].weights[0].read(), held["stored"].T)
    np.testing.assert_allclose(
        found.layers["codes"].weights[0].read(), held["codes"] * held["scales"], rtol=1e-6
    )
    for name, tensor, reads in (
        ("first", "conv", "image"),
        ("m", "matmul", "g"),
        ("seventh", "codes", "m"),
    ):
        layer = found.find(name)
        assert layer is not None
        assert layer.weights[0].name == tensor
        assert layer.inputs == (reads,)


def test_the_axis_is_that_of_the_output_when_the_network_runs(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    import onnx

    model, _ = _network()
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    write = accuracy.Rewriter(path)
    draw = np.random.default_rng(3)
    feed = {"image": draw.normal(size=(1, 3, 8, 8)), "x": draw.normal(size=(2, 4))}
    feed = {name: values.astype(np.float32) for name, values in feed.items()}

    def run(content: bytes) -> list[np.ndarray]:
        runner = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return runner.run(["out_image", "e", "q"], feed)

    exact = run(model.SerializeToString())
    for plain, again in zip(exact, run(write({})), strict=True):
        np.testing.assert_array_equal(plain, again)
    # With half the output channels gone, half the outputs along their axis are zero.
    half = LayerOption(channels=0.5)
    image, e, q = run(
        write({"second": half, "einsum": half, "seventh": LayerOption(channels=1 / 3)})
    )
    assert sum(not image[:, c].any() for c in range(5)) == 3  # round(2.5) = 2 stay
    assert sum(not e[..., k].any() for k in range(4)) == 2
    assert sum(not q[:, k].any() for k in range(3)) == 2
    with pytest.raises(InputError, match=r"no layer 'secund'.*did you mean 'second'"):
        write({"secund": half})


def test_weights_in_another_file_that_is_not_there_are_told(tmp_path: Path) -> None:
    import onnx

    model, _ = _network()
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert "conv" in read_weights(path).layers
    (tmp_path / "net.data").unlink()
    with pytest.raises(InputError, match="weights in another file"):
        read_weights(path)
