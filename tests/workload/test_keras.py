"""Models of Keras 2, Keras 3 and QKeras, written by them (tests/data/write_keras.py)."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.workload.importers.onnx.load import OnnxWorkload

HERE = Path(__file__).parent.parent / "data" / "keras"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COUNTS: dict[str, Any] = {
    **json.loads((HERE / "counts_2.json").read_text()),
    **json.loads((HERE / "counts_3.json").read_text()),
}


def _file(name: str) -> Path:
    places = (HERE / f"{name}.keras", HERE / f"{name}.json", EXAMPLES / f"{name}.json")
    return next(path for path in places if path.exists())


@pytest.mark.parametrize("name", [n for n in COUNTS if " " not in n])
def test_as_many_parameters_as_keras_counts(name: str) -> None:
    workload = pm.workload(_file(name))
    assert workload.weights == COUNTS[name]
    unknown = {"Lambda"} if name.startswith("lambda") else set[str]()
    assert {said.partition(" at ")[0] for said in workload.not_priced} == unknown


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("MobileNetV2_2", "mobilenet_v2"),
        ("MobileNetV2_3", "mobilenet_v2"),
        ("MobileNet_2", "mobilenet_v1"),
        ("DenseNet121_3", "densenet121"),
        ("InceptionV3_3", "inception_v3"),
        ("ConvNeXtTiny_3", "convnext_tiny"),
    ],
)
def test_as_much_work_as_the_same_network_of_the_library(name: str, own: str) -> None:
    imported, known = pm.workload(_file(name)), pm.workload(own)
    assert imported.macs == known.macs
    assert imported.unit == known.unit == "frames"
    # Keras keeps a mean and a variance a channel beside what others fold.
    # On a fast L2: what is compared is the work, not how long copies of a DenseNet wait for it.
    machine = pm.hardware("jetson_agx_orin").vary({"memories.gpu_l2.bandwidth": 1.331e12})
    a, b = (pm.predict(w, machine, precision="fp16", runtime="ideal") for w in (imported, known))
    # The library's DenseNet lets convolutions write into one buffer; the file's layers join copies.
    near = 0.2 if own == "densenet121" else 0.005
    assert a.latency_s == pytest.approx(b.latency_s, rel=near)


def test_batch_is_free_and_bound() -> None:
    workload = pm.workload(_file("MobileNetV2_3"), batch=[1, 4])
    assert list(workload.macs) == [300_774_272, 4 * 300_774_272]


def test_shapes_are_those_of_keras() -> None:
    graph = pm.workload(_file("assorted_3")).graph()
    shapes = [[None, *graph.tensors[o].shape[1:]] for o in graph.outputs]
    assert shapes == COUNTS["assorted_3 shapes"]
    kinds = [operator.kind for _, operator in graph.walk()]
    assert "copy" in kinds  # a padding that no convolution reads is one
    orders = [o for _, o in graph.walk() if o.kind == "copy" and "Transpose" in str(o.attributes)]
    assert orders == []  # channels last costs no transpose


def test_work_of_the_sequence_model_by_hand() -> None:
    """Keras's documentation of each layer, ``t`` steps: products with the input and the state."""
    t = 50
    attention = 4 * t * 32 * 32 + 2 * 4 * t * t * 8
    lstm = 2 * t * (32 * 64 + 16 * 64)
    gru = t * (32 * 36 + 12 * 36)
    rest = t * 12 * 7 + t * (7 * 5 + 5 * 5) + 5 * 2
    for version in ("2", "3"):
        workload = pm.workload(_file(f"sequence_{version}"), dim_ids_1=t)
        assert workload.macs == attention + lstm + gru + rest


def test_shared_towers_count_their_weights_once_and_their_work_twice() -> None:
    for version in ("2", "3"):
        workload = pm.workload(_file(f"siamese_{version}"))
        assert workload.macs == 2 * (8 * 4 + 4 * 3) + 3


def test_a_layer_without_a_price_is_listed_and_one_without_a_shape_is_a_fault(
    tmp_path: Path,
) -> None:
    assert "Lambda at doubled" in pm.workload(_file("lambda_3")).not_priced[0]
    data = json.loads(_file("lambda_2").read_text())
    layer = data["config"]["layers"][1]
    layer["config"]["output_shape"] = None
    data["config"]["layers"][2]["config"]["units"] = 0
    path = tmp_path / "model.json"
    path.write_text(json.dumps(data, indent=1))
    with pytest.raises(InputError) as caught:
        pm.workload(path)
    text = str(caught.value)
    assert "model.json:" in text
    assert "config.layers.doubled" in text
    assert "shape of its output is not known" in text


def test_every_fault_of_a_file_at_once(tmp_path: Path) -> None:
    def layer(kind: str, **config: Any) -> dict[str, Any]:
        return {"class_name": kind, "config": config}

    layers = [
        layer("InputLayer", batch_shape=[None, 8, 8, 3], name="image"),
        layer("Conv2D", name="a", filters=4, kernel_size=[3], activation="rellu"),
        layer("Dense", name="b", units="many"),
    ]
    path = tmp_path / "config.json"  # told from a Hugging Face config by its keys
    path.write_text(json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
    with pytest.raises(InputError, match="such as relu"):
        pm.workload(path)
    layers[1]["config"]["activation"] = "relu"
    layers[1]["config"]["kernel_size"] = [3, 3]
    layers[2]["class_name"] = "Dens"
    path.write_text(json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
    with pytest.raises(InputError, match="did you mean 'Dense'"):
        pm.workload(path)


def test_channels_first_and_last_are_the_same_work(tmp_path: Path) -> None:
    found: list[tuple[Any, Any]] = []
    shapes = {"channels_last": [None, 20, 24, 3], "channels_first": [None, 3, 20, 24]}
    for order, shape in shapes.items():
        axis = -1 if order == "channels_last" else 1
        common = {"data_format": order}
        model = {
            "class_name": "Sequential",
            "config": {
                "name": "net",
                "layers": [
                    {"class_name": "InputLayer", "config": {"batch_input_shape": shape}},
                    {
                        "class_name": "Conv2D",
                        "config": {
                            **common,
                            "name": "c",
                            "filters": 6,
                            "kernel_size": [3, 3],
                            "strides": 2,
                            "padding": "same",
                            "activation": "relu",
                        },
                    },
                    {"class_name": "BatchNormalization", "config": {"name": "n", "axis": axis}},
                    {"class_name": "MaxPooling2D", "config": {**common, "name": "p"}},
                    {"class_name": "Flatten", "config": {**common, "name": "f"}},
                    {"class_name": "Dense", "config": {"name": "d", "units": 5}},
                ],
            },
        }
        path = tmp_path / f"{order}.json"
        path.write_text(json.dumps(model))
        p = pm.predict(path, "jetson_agx_orin", precision="fp16")
        found.append((p.latency_s, pm.workload(path).weights))
        assert pm.workload(path).macs == 10 * 12 * 6 * 27 + 5 * 6 * 5 * 6
    assert found[0] == found[1]


# QKeras


def test_qkeras_states_the_format_of_every_tensor() -> None:
    graph = pm.workload(_file("mixed_qkeras")).graph()
    formats = {name: tensor.format for name, tensor in graph.tensors.items()}
    assert formats["conv.kernel"] == "ternary"
    assert formats["conv.bias"] == "int10"
    assert formats["depthwise.kernel"] == "int1"
    assert formats["dense.kernel"] == "int4"
    assert formats["dense.bias"] == ""
    assert formats["relu.quantise"] == "int3"
    assert formats["tanh.quantise"] == "int4"
    pairs = {o.name: o.pair for _, o in graph.walk()}
    assert pairs["depthwise"] == ("weight=int1", "=int3")
    assert pairs["dense"] == ("weight=int4", "=int4")  # what the pool and the view pass on


@pytest.mark.parametrize("device", ["vu9p", "ku115", "u250", "xc7z020"])
def test_the_jet_tagger_of_qkeras_is_that_of_the_library(device: str) -> None:
    """The published perceptron at 6 bits: one circuit, whichever file it comes from."""
    known = pm.predict("jet_tagger", device, precision="w6a6")
    for precision in ("w6a6", None):  # the file states its own
        imported = pm.predict(_file("jet_tagger_qkeras"), device, precision=precision)
        assert imported.latency_s == pytest.approx(known.latency_s, rel=1e-12)
        assert imported.resources == known.resources


# other forms of file


def test_weights_manifest_of_tensorflow_js(tmp_path: Path) -> None:
    with zipfile.ZipFile(_file("MobileNet_2")) as archive:
        topology = json.loads(archive.read("config.json"))
    weights = [
        {
            "name": "all",
            "shape": [4253864],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.1, "min": 0},
        }
    ]
    document = {
        "format": "layers-model",
        "modelTopology": {"model_config": topology},
        "weightsManifest": [{"paths": ["x.bin"], "weights": weights}],
    }
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    workload = pm.workload(path)
    assert workload.macs == pm.workload("mobilenet_v1").macs
    assert any("4,253,864 numbers as uint8" in note for note in workload.notes)
    weights[0]["shape"] = [1]
    path.write_text(json.dumps(document))
    assert any("weights are 1 numbers" in note for note in pm.workload(path).notes)


def test_a_graph_of_tensorflow_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"format": "graph-model", "modelTopology": {"node": []}}))
    with pytest.raises(InputError, match="is a graph of TensorFlow, not of layers"):
        pm.workload(path)


def test_named_and_pickled_as_the_file_calls_it() -> None:
    import pickle

    workload = pm.workload(_file("siamese_3"), batch=2)
    assert isinstance(workload, OnnxWorkload)
    again = pickle.loads(pickle.dumps(workload))
    assert again.name == workload.name
    assert again.macs == workload.macs


def test_a_keras_file_is_read_from_the_archive_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    shutil.copy(_file("MobileNet_2"), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside.txt", "never unpacked")
    pm.workload(path)
    assert not (tmp_path.parent / "outside.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.keras"]


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_is_stored_or_deflated(method: int, tmp_path: Path) -> None:
    """Decoders of other methods allocate what the file's own headers ask for."""
    path = tmp_path / "odd.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Functional"}))
    with pytest.raises(InputError, match="is packed by method"):
        pm.workload(str(path))
