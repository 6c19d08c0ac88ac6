"""TensorFlow Lite files: what is read, and what it is priced as."""

import json
import pickle
import sys
from math import prod
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.errors import InputError
from perfmodel.workload.importers.tflite import load_tflite
from perfmodel.workload.importers.tflite.parser import read_tflite
from perfmodel.workload.workload import Workload
from tests.workload.tflite_file import FP16, INT8, Writer, example

#: An example's network, and the library's of the same layers.
PAIRS = {"kws": "mlperf_tiny_kws", "vww": "mlperf_tiny_vww", "mobilenet_v1": "mobilenet_v1"}


@pytest.fixture(scope="module", params=list(PAIRS))
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workload, str]:
    path = tmp_path_factory.mktemp("tflite") / f"{request.param}.tflite"
    path.write_bytes(example.NETWORKS[request.param]())
    return pm.workload(str(path)), PAIRS[request.param]


def test_counts_are_those_of_the_published_networks(pair: tuple[Workload, str]) -> None:
    workload, name = pair
    library = pm.workload(name)
    assert workload.graph().not_priced == ()
    assert workload.macs == library.macs
    # Keras' MobileNetV1 counts 4 numbers a channel of its 10,944 normalised ones; folded, a bias.
    folded = 4_253_864 - 3 * 10_944
    assert workload.weights == (folded if name == "mobilenet_v1" else library.weights)


@pytest.mark.parametrize("device", ["stm32h743", "stm32f746", "nrf5340", "stm32l4r5"])
@pytest.mark.parametrize("name", ["kws", "vww"])
def test_a_file_is_predicted_as_the_same_network_of_the_library(
    name: str, device: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(example.NETWORKS[name]())
    found = pm.predict(str(path), device)
    library = pm.predict(PAIRS[name], device, precision="int8")
    # Repeated blocks are summed in another order: one unit in the last place.
    for metric in ("latency_s", "energy_j", "weight_bytes", "activation_bytes", "macs"):
        one = pytest.approx(getattr(library, metric), rel=4e-16, nan_ok=metric == "energy_j")
        assert getattr(found, metric) == one
    assert found.placement == library.placement


def test_a_large_network_does_not_fit_and_says_by_how_much(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    path.write_bytes(example.NETWORKS["mobilenet_v1"]())
    found = pm.predict(str(path), "stm32f746")
    assert not found.feasible
    sram, flash = found.placement["sram"], found.placement["flash"]
    # Two neighbouring layers of 112 x 112: 32 channels and 64.
    assert sram["demand_bytes"] == 112 * 112 * (32 + 64)
    assert sram["capacity_bytes"] == 320 * 1024
    assert flash["demand_bytes"] == found.weight_bytes > flash["capacity_bytes"]
    assert [(v.limit, v.gap) for v in found.violations] == [
        (f"memories.{m}.capacity", p["demand_bytes"] - p["capacity_bytes"])
        for m, p in (("sram", sram), ("flash", flash))
    ]


def test_the_command_answers_with_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.tflite"
    for name, device, code in (
        ("kws", "stm32h743", 0),
        ("vww", "nrf5340", 0),
        ("mobilenet_v1", "stm32l4r5", 1),
    ):
        path.write_bytes(example.NETWORKS[name]())
        assert main(["predict", str(path), device, "--json"]) == code
        data = json.loads(capsys.readouterr().out)
        assert data["feasible"] == (code == 0)
        held = pm.predict(str(path), device).placement
        assert data["placement"]["flash"]["demand_bytes"] == held["flash"]["demand_bytes"]
        assert data["energy_j"] > 0
    path.write_bytes(b"TFL3" * 8)
    assert main(["predict", str(path), "stm32l4r5"]) == 2
    assert "model" in capsys.readouterr().err


def test_formats_stay_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(example.NETWORKS["kws"]())
    workload = load_tflite(path)
    tensors = workload.graph().tensors.values()
    assert {t.format for t in tensors} == {"int8", "int32"}
    assert workload.precision == "int8"
    same = pm.predict(workload, "stm32h743", precision="fp32").latency_s
    assert same == pytest.approx(pm.predict(workload, "stm32h743").latency_s, rel=1e-12)


def test_half_weights_are_unpacked_once(tmp_path: Path) -> None:
    """DEQUANTIZE of a constant runs when the network is loaded, so it is no operator of a run."""
    w = Writer()
    x = w.input(1, 8, 8, 3)
    stored = w.weight(16, 3, 3, 3, kind=FP16)
    unpacked = w.op(6, 0, [stored], [(16, 3, 3, 3)])
    bias = w.weight(16)
    y = w.op(3, 1, [x, unpacked, bias], [(1, 8, 8, 16)], {1: ("i", 1), 2: ("i", 1)})
    workload = load_tflite(w.write(tmp_path / "half.tflite", y))
    graph = workload.graph()
    assert [o.kind for _, o in graph.walk()] == ["conv"]
    assert graph.tensors[f"weight_{stored}"].format == "fp16"
    assert pm.predict(workload, "pixel_6a_core").weight_bytes == 16 * 27 * 2 + 16 * 4
    assert any("fp16" in note for note in workload.notes)


def test_free_extents_have_names_and_take_arrays(tmp_path: Path) -> None:
    w = Writer()
    x = w.input(-1, -1, -1, 3)
    y = w.op(
        3, 1, [x, w.weight(8, 3, 3, 3), w.weight(8)], [(1, 1, 1, 8)], {1: ("i", 2), 2: ("i", 2)}
    )
    path = w.write(tmp_path / "free.tflite", y)
    workload = load_tflite(path, {"height": 64})
    assert workload.parameters == {"batch": 1, "height": 64, "width": 224}
    sizes = np.array([32, 65])
    macs = workload.bind({"width": sizes}).macs
    assert list(macs) == [32 * -(-n // 2) * 8 * 27 for n in sizes]
    again = pickle.loads(pickle.dumps(workload))
    assert again.macs == workload.macs
    with pytest.raises(InputError, match=r"heigth.*did you mean 'height'"):
        load_tflite(path, {"heigth": 64})


def test_tensors_that_share_a_buffer_are_stored_once(tmp_path: Path) -> None:
    w = Writer()
    x = w.input(1, 16)
    one = w.weight(16, 16)
    two = w.weight(16, 16)
    w.net.tensors[two].fields[2] = w.net.tensors[one].fields[2]
    y = w.op(9, 8, [x, one], [(1, 16)])
    z = w.op(9, 8, [y, two], [(1, 16)])
    workload = load_tflite(w.write(tmp_path / "shared.tflite", z))
    assert workload.macs == 2 * 256
    assert workload.weights == 256


def test_what_has_no_price_is_named(tmp_path: Path) -> None:
    w = Writer()
    x = w.input(1, 10, 4)
    y = w.op(119, 93, [x], [(1, 10, 4)], {0: ("i", 0), 1: ("i", 0)})
    z = w.op(125, 100, [y], [(3, 4)])
    workload = load_tflite(w.write(tmp_path / "unknown.tflite", z))
    assert workload.graph().not_priced == (
        "WHILE at WHILE_0: it runs the subgraphs 'main' and 'main'",
        "SEGMENT_SUM at SEGMENT_SUM_1: has no price",
    )
    assert workload.macs == 0


def test_a_reader_sees_versions_and_quantisation(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(example.NETWORKS["kws"]())
    model = read_tflite(path)
    assert model.description.startswith("DS-CNN")
    (graph,) = model.subgraphs
    assert [o.op for o in graph.operators][:3] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert {o.version for o in graph.operators} == {1, 2, 3, 4}
    stem = graph.tensors[graph.operators[0].inputs[1]]
    assert (stem.scales, stem.shape, stem.format) == (64, (64, 10, 4, 1), "int8")
    stored = sum(t.stored_bytes for t in graph.tensors)
    assert stored == sum(model.buffer_bytes)
    # The target of the reshape is the only constant that is no weight.
    assert stored - 8 == pm.predict(str(path), "stm32h743").weight_bytes


def test_dynamic_range_files_multiply_int8_weights_with_floats(tmp_path: Path) -> None:
    w = Writer()
    x = w.input(1, 64)
    y = w.op(9, 8, [x, w.weight(32, 64, kind=INT8)], [(1, 32)])
    workload = load_tflite(w.write(tmp_path / "hybrid.tflite", y))
    assert workload.precision == "w=int8,a=fp32"
    assert pm.predict(workload, "raspberry_pi_5").weight_bytes == prod((32, 64))


def test_images_have_their_channels_second_in_a_graph(tmp_path: Path) -> None:
    """As a network of the library has them, so that what cuts images into patches can."""
    w = Writer()
    x = w.input(1, 6, 8, 3)
    y = w.op(
        3, 1, [x, w.weight(16, 3, 5, 3), w.weight(16)], [(1, 6, 8, 16)], {1: ("i", 1), 2: ("i", 1)}
    )
    z = w.op(39, 26, [y, w.constant(0, 2, 1, 3)], [(1, 8, 6, 16)])
    workload = load_tflite(w.write(tmp_path / "turned.tflite", z))
    graph = workload.graph()
    conv, turned = (o for _, o in graph.walk())
    shapes = [graph.tensors[a.tensor].shape for a in conv.accesses]
    assert shapes == [(1, 3, 6, 8), (16, 3, 3, 5), (16,), (1, 16, 6, 8)]
    assert dict(conv.attributes)["padding"] == (1, 2, 1, 2)
    assert graph.tensors[turned.writes[0]].shape == (1, 16, 8, 6)
    assert dict(turned.attributes)["order"] == (0, 1, 3, 2)


def test_a_file_of_gigabytes_is_not_read_whole(tmp_path: Path) -> None:
    """Beyond 2 GiB weights lie behind the tables, by offset and size; this file is all holes."""
    w = Writer()
    x = w.input(1, 32_768)
    y = w.op(9, 8, [x, w.weight(32_768, 32_768, kind=INT8)], [(1, 32_768)])
    w.net.buffers[-1] = example.Table({1: ("Q", 2**32), 2: ("Q", 2**30)})
    path = w.write(tmp_path / "huge.tflite", y)
    with pytest.raises(InputError, match="lie outside the file"):
        load_tflite(path)
    with path.open("r+b") as stream:
        stream.truncate(2**32 + 2**30)
    workload = load_tflite(path)
    assert workload.macs == workload.weights == 2**30
    path.unlink()


def test_onnx_is_not_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    path = tmp_path / "net.tflite"
    path.write_bytes(example.NETWORKS["kws"]())
    assert load_tflite(path).macs == 2_656_768
