"""ONNX networks that others made, counted against what onnxruntime executed."""

import json
import warnings
from collections import Counter
from importlib.metadata import PackageNotFoundError, distribution
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.workload.importers.onnx import load_onnx

pytestmark = pytest.mark.packages


def _file(package: str, inside: str) -> Path:
    try:
        path = Path(str(distribution(package).locate_file(inside)))
    except PackageNotFoundError:
        pytest.skip(f"{package} is absent: pip install --no-deps -r tests/requirements-models.txt")
    return path


OCR, VAD = "rapidocr_onnxruntime/models", "silero_vad/data"


def _image(*shape: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(0).random(shape, dtype=np.float32)}


def _sound(samples: int, rate: int | None) -> dict[str, Any]:
    feeds: dict[str, Any] = {
        "input": np.random.default_rng(0).random((1, samples), dtype=np.float32),
        "state": np.zeros((2, 1, 128), np.float32),
    }
    return feeds if rate is None else feeds | {"sr": np.array(rate, np.int64)}


def _reader_version() -> int:
    """Generation of the readers in the rapidocr that this Python gets: 3 or 4."""
    try:
        folder = Path(str(distribution("rapidocr-onnxruntime").locate_file(OCR)))
    except PackageNotFoundError:
        return 4
    (found,) = folder.glob("ch_PP-OCRv?_rec_infer.onnx")
    return int(found.name.removeprefix("ch_PP-OCRv")[0])


_V = _reader_version()
#: How the files of each generation call the free dimensions of their input.
_DIMENSIONS: dict[int, dict[str, dict[str, int]]] = {
    3: {
        "det": {"dim_x_2": 320, "dim_x_3": 256},
        "rec": {"dim_x_0": 2, "dim_x_2": 48, "dim_x_3": 320},
    },
    4: {
        "det": {"p2o.DynamicDimension.1": 320, "p2o.DynamicDimension.2": 256},
        "rec": {"p2o.DynamicDimension.0": 2, "dim_x_2": 48, "p2o.DynamicDimension.1": 320},
    },
}

CASES: list[tuple[str, str, dict[str, Any], dict[str, int]]] = [
    (
        "rapidocr-onnxruntime",
        f"{OCR}/ch_PP-OCRv{_V}_det_infer.onnx",
        _image(1, 3, 320, 256),
        _DIMENSIONS[_V]["det"],
    ),
    (
        "rapidocr-onnxruntime",
        f"{OCR}/ch_PP-OCRv{_V}_rec_infer.onnx",
        _image(2, 3, 48, 320),
        _DIMENSIONS[_V]["rec"],
    ),
    (
        "rapidocr-onnxruntime",
        f"{OCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        _image(1, 3, 48, 192),
        {"dim_x_2": 48, "dim_x_3": 192},
    ),
    (
        "magika",
        "magika/models/standard_v3_3/model.onnx",
        {"bytes": np.ones((3, 2048), np.int32)},
        {"unk__214": 3},
    ),
    ("silero-vad", f"{VAD}/silero_vad.onnx", _sound(576, 16000), {"dim_input_1": 576, "sr": 16000}),
    ("silero-vad", f"{VAD}/silero_vad.onnx", _sound(288, 8000), {"dim_input_1": 288, "sr": 8000}),
    (
        "silero-vad",
        f"{VAD}/silero_vad_16k_op15.onnx",
        _sound(576, 16000),
        {"sequence": 576, "sr": 16000},
    ),
    (
        "silero-vad",
        f"{VAD}/silero_vad_op18_ifless.onnx",
        _sound(288, 8000),
        {"sequence": 288, "sr": 8000},
    ),
    ("silero-vad", f"{VAD}/silero_vad_half.onnx", _sound(576, None), {"sequence": 576}),
]


def _weight_shapes(path: Path) -> dict[tuple[str, int], tuple[int, ...]]:
    """(node, input) -> shape of every stored operand: onnxruntime repacks some out of its trace."""
    import onnx

    found: dict[tuple[str, int], tuple[int, ...]] = {}

    def walk(graph: Any, outer: dict[str, tuple[int, ...]]) -> None:
        stored = outer | {t.name: tuple(t.dims) for t in graph.initializer}
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    stored[node.output[0]] = tuple(attribute.t.dims)
                if attribute.HasField("g"):
                    walk(attribute.g, stored)
            for i, name in enumerate(node.input):
                if name in stored:
                    found[node.name, i] = stored[name]

    walk(onnx.load(path).graph, {})
    return found


def _executed(path: Path, feeds: dict[str, Any], folder: Path) -> Counter[str]:
    """Multiply-accumulates by operator type, from the shapes that onnxruntime saw."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, feeds)
    stored = _weight_shapes(path)
    macs: Counter[str] = Counter()
    for event in json.loads(Path(session.end_profiling()).read_text()):
        suffix = "_kernel_time"
        if event.get("cat") != "Node" or not event["name"].endswith(suffix):
            continue
        name, args = event["name"].removesuffix(suffix), event["args"]
        read = [tuple(*entry.values()) for entry in args["input_type_shape"]]
        made = [tuple(*entry.values()) for entry in args["output_type_shape"]]

        def operand(i: int, name: str = name, read: list[Any] = read) -> tuple[int, ...]:
            return stored.get((name, i)) or read[i]

        match args["op_name"]:
            case "Conv":
                macs["Conv"] += prod(made[0]) * prod(operand(1)[1:])
            case "ConvTranspose":
                macs["ConvTranspose"] += prod(read[0]) * prod(operand(1)[1:])
            case "MatMul" | "Gemm" as op:
                macs[op] += prod(made[0]) * read[0][-1]
            case "LSTM":
                steps, batch, features = read[0]
                directions, gates, hidden = operand(2)
                macs["LSTM"] += steps * batch * directions * gates * (features + hidden)
            case _:
                pass
    return macs


@pytest.mark.parametrize(
    ("package", "inside", "feeds", "settings"), CASES, ids=[Path(c[1]).stem for c in CASES]
)
def test_macs_are_those_that_onnxruntime_executes(
    package: str, inside: str, feeds: dict[str, Any], settings: dict[str, int], tmp_path: Path
) -> None:
    path = _file(package, inside)
    workload = load_onnx(path, settings)
    graph = workload.graph()
    assert graph.not_priced == ()
    mine: Counter[str] = Counter()
    for block, operator in graph.walk():
        if operator.nests:
            mine[dict(operator.attributes)["op"]] += workload.number(block.count * operator.macs)
    executed = _executed(path, feeds, tmp_path)
    assert set(mine) == set(executed)
    for op, macs in executed.items():
        assert mine[op] == pytest.approx(macs, rel=1e-9), op
    assert workload.macs == pytest.approx(sum(executed.values()), rel=1e-9)


@pytest.mark.parametrize("package", sorted({c[0] for c in CASES}))
def test_every_model_of_a_package_imports(package: str) -> None:
    folder = {"rapidocr-onnxruntime": OCR, "silero-vad": VAD, "magika": "magika/models"}[package]
    files = sorted(_file(package, folder).rglob("*.onnx"))
    assert files
    for path in files:
        workload = load_onnx(path)
        assert workload.graph().not_priced == (), path.name
        assert workload.macs > 0
        assert workload.weights > 0


def _quantised(path: Path, feeds: dict[str, Any], to: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Once(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [feeds]

        def get_next(self) -> dict[str, Any] | None:
            return self.left.pop() if self.left else None

    with warnings.catch_warnings():
        # The quantiser asks, in its own way, for a preparation that changes no operator here.
        warnings.simplefilter("ignore")
        quantize_static(path, to, Once(), quant_format=QuantFormat.QDQ, per_channel=True)


@pytest.mark.parametrize("case", [CASES[1], CASES[2], CASES[3]], ids=["rec", "cls", "magika"])
def test_a_quantised_version_is_priced_in_integers(case: Any, tmp_path: Path) -> None:
    package, inside, feeds, settings = case
    path = _file(package, inside)
    _quantised(path, feeds, tmp_path / "int8.onnx")
    plain, integer = load_onnx(path, settings), load_onnx(tmp_path / "int8.onnx", settings)
    assert integer.macs == plain.macs
    assert integer.graph().not_priced == ()
    graph = integer.graph()
    products = [o for _, o in graph.walk() if o.kind in {"conv", "depthwise", "gemm"}]
    assert products
    for operator in products:
        read = [graph.tensors[name] for name in operator.reads]
        first = (
            "weight=int8" if any(t.role == "weight" and len(t.shape) > 1 for t in read) else "=int8"
        )
        assert operator.pair == (first, "=int8"), operator.name
    matrices = [t for t in graph.tensors.values() if t.role == "weight" and len(t.shape) > 1]
    stored = sum(float(integer.number(t.elements)) for t in matrices if t.format == "int8")
    assert stored >= 0.99 * sum(float(integer.number(t.elements)) for t in matrices)
    # The file holds several nodes for each of these; most helpers are gone.
    import onnx

    helpers = [o for _, o in graph.walk() if o.kind == "quantise"]
    nodes = onnx.load(tmp_path / "int8.onnx").graph.node
    converting = [n for n in nodes if n.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert len(helpers) < 0.4 * len(converting)
