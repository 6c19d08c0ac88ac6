"""Coupling groups against lists made by hand, and faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from perfmodel.ask import workload
from perfmodel.errors import InputError
from perfmodel.workload.families import family
from perfmodel.workload.graph import Graph
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.importers.onnx import load_onnx
from perfmodel.workload.rewrite import channel_groups
from perfmodel.workload.rewrite.channels import with_channels
from perfmodel.workload.sequence_builder import SequenceBuilder
from perfmodel.workload.workload import from_family

Write = Callable[..., Path]
node = helper.make_node


def weights_of(graph: Graph) -> dict[str, set[tuple[str, int, int]]]:
    """Group -> axes of the weights of its convolutions and products, vectors left out."""
    return {
        group.name: {
            m
            for m in group.members
            if graph.tensors[m[0]].role == "weight" and graph.tensors[m[0]].tag != "vector"
        }
        for group in channel_groups(graph)
    }


def test_resnet18_has_one_group_a_stage_and_one_inside_each_block() -> None:
    """The group of `conv1` is the one that Torch-Pruning prints for it (its README, section 1)."""
    graph = workload("resnet18").graph()
    found = weights_of(graph)
    expected = {
        "conv1": {
            ("conv1", 0),
            ("layer1.0.conv1", 1),
            ("layer1.0.conv2", 0),
            ("layer1.1.conv1", 1),
            ("layer1.1.conv2", 0),
            ("layer2.0.conv1", 1),
            ("layer2.0.downsample", 1),
        },
        "layer1.0.conv1": {("layer1.0.conv1", 0), ("layer1.0.conv2", 1)},
        "layer1.1.conv1": {("layer1.1.conv1", 0), ("layer1.1.conv2", 1)},
        "image": {("conv1", 1)},
    }
    for stage in (2, 3, 4):
        head = f"layer{stage}"
        inner = {
            f"{head}.{i}.conv1": {(f"{head}.{i}.conv1", 0), (f"{head}.{i}.conv2", 1)}
            for i in (0, 1)
        }
        after = (
            {(f"layer{stage + 1}.0.conv1", 1), (f"layer{stage + 1}.0.downsample", 1)}
            if stage < 4
            else {("fc", 1)}
        )
        expected |= inner | {
            f"{head}.0.conv2": {
                (f"{head}.0.conv2", 0),
                (f"{head}.0.downsample", 0),
                (f"{head}.1.conv1", 1),
                (f"{head}.1.conv2", 0),
            }
            | after
        }
    expected["fc"] = {("fc", 0)}
    assert found == {
        name: {(f"{op}.weight", axis, 1) for op, axis in members}
        for name, members in expected.items()
    }
    fixed = {g.name: g.reason for g in channel_groups(graph) if not g.prunable}
    assert fixed == {"fc": "network output", "image": "network input"}


def test_densenet_concatenates_groups() -> None:
    kind = family("densenet")
    made = kind.structure.model_validate({"depths": (2, 1), "growth": 8, "stem": 16})
    graph = from_family("dense", kind, made, {}).graph()
    found = {
        name: {(t.removesuffix(".weight"), axis) for t, axis, _ in members}
        for name, members in weights_of(graph).items()
    }
    assert found == {
        "conv0": {
            ("conv0", 0),
            ("block1.1.conv1", 1),
            ("block1.2.conv1", 1),
            ("transition1.conv", 1),
        },
        "block1.1.conv1": {("block1.1.conv1", 0), ("block1.1.conv2", 1)},
        "block1.1.conv2": {("block1.1.conv2", 0), ("block1.2.conv1", 1), ("transition1.conv", 1)},
        "block1.2.conv1": {("block1.2.conv1", 0), ("block1.2.conv2", 1)},
        "block1.2.conv2": {("block1.2.conv2", 0), ("transition1.conv", 1)},
        "transition1.conv": {("transition1.conv", 0), ("block2.1.conv1", 1), ("classifier", 1)},
        "block2.1.conv1": {("block2.1.conv1", 0), ("block2.1.conv2", 1)},
        "block2.1.conv2": {("block2.1.conv2", 0), ("classifier", 1)},
        "classifier": {("classifier", 0)},
        "image": {("conv0", 1)},
    }
    cut = with_channels(graph, {"block1.1.conv2": 5, "conv0": 10})
    assert cut.tensors["transition1.conv.weight"].shape == (16, 10 + 5 + 8, 1, 1)


def test_inception_branches_are_groups_of_their_own() -> None:
    graph = workload("inception_v3").graph()
    readers = {
        name: {t.removesuffix(".weight") for t, axis, _ in members if axis == 1}
        for name, members in weights_of(graph).items()
    }
    following = {f"mixed5c.{branch}" for branch in ("b1", "b2.1", "b3.1", "pooled")}
    for branch in ("b1", "b2.2", "b3.3", "pooled"):
        assert readers[f"mixed5b.{branch}"] == following
    # Pooled branches of a reduction pass the whole concatenation on.
    passed = {f"mixed6b.{b}" for b in ("b1", "b2.1", "b3.1", "pooled")}
    assert readers["mixed5d.b1"] == {"mixed6a.b1", "mixed6a.b2.1"} | passed


def test_squeeze_and_excite_follows_the_expanded_channels() -> None:
    graph = workload("mobilenet_v3_small").graph()
    found = weights_of(graph)
    name = "stage4.0"
    assert found[f"{name}.expand"] == {
        (f"{name}.expand.weight", 0, 1),
        (f"{name}.depthwise.weight", 0, 1),
        (f"{name}.se.reduce.weight", 1, 1),
        (f"{name}.se.expand.weight", 0, 1),
        (f"{name}.project.weight", 1, 1),
    }
    assert found[f"{name}.se.reduce"] == {
        (f"{name}.se.reduce.weight", 0, 1),
        (f"{name}.se.expand.weight", 1, 1),
    }
    made = with_channels(graph, {f"{name}.expand": 50})
    depthwise = next(op for _, op in made.walk() if op.name == f"{name}.depthwise")
    assert dict(depthwise.attributes)["groups"] == 50
    assert made.tensors[f"{name}.depthwise.weight"].shape == (50, 1, 5, 5)


def test_a_transformer_has_a_stream_heads_and_feed_forward_widths() -> None:
    graph = workload("llama_3_8b").graph()
    found = weights_of(graph)
    layer = {
        n: f"layer.{n}.weight"
        for n in ("q_proj", "k_proj", "v_proj", "o_proj", "ffn_up", "ffn_gate", "ffn_down")
    }
    # 8 key heads, each with 4 query heads of 128.
    assert found["layer.q_proj"] == {
        (layer["q_proj"], 0, 4 * 128),
        (layer["k_proj"], 0, 128),
        (layer["v_proj"], 0, 128),
        (layer["o_proj"], 1, 4 * 128),
    }
    assert found["layer.ffn_up"] == {
        (layer["ffn_up"], 0, 1),
        (layer["ffn_gate"], 0, 1),
        (layer["ffn_down"], 1, 1),
    }
    reading = ("q_proj", "k_proj", "v_proj", "ffn_up", "ffn_gate")
    assert found["embedding"] == {
        ("embedding.weight", 1, 1),
        ("head.weight", 1, 1),
        (layer["o_proj"], 0, 1),
        (layer["ffn_down"], 0, 1),
        *((layer[n], 1, 1) for n in reading),
    }
    groups = {g.name: g for g in channel_groups(graph)}
    assert {n: (g.size, g.prunable) for n, g in groups.items()} == {
        "embedding": (4096, True),
        "layer.q_proj": (8, True),
        "layer.ffn_up": (14336, True),
        "head": (128256, False),
    }
    assert ("layer.attention.kv", 2, 256) in groups["layer.q_proj"].members


def test_vit_couples_the_patch_embedding_with_the_stream() -> None:
    groups = {g.name: g for g in channel_groups(workload("vit_b_16").graph())}
    assert set(groups) == {"patch_embedding", "layer.q_proj", "layer.ffn_up", "head", "image"}
    stream = {(t, axis) for t, axis, _ in groups["patch_embedding"].members}
    assert {("class_token", 0), ("positions.weight", 1), ("head.weight", 1)} <= stream


def test_cross_attention_ties_its_keys_to_its_queries() -> None:
    graph = workload("whisper_tiny").graph()
    found = weights_of(graph)["prefill/decoder_layer.cross_q_proj"]
    layer = "decoder_layer.cross_"
    assert found == {
        (f"{layer}{n}_proj.weight", axis, 64)
        for n, axis in (("q", 0), ("k", 0), ("v", 0), ("o", 1))
    }


def test_unrolled_layers_are_groups_of_their_own() -> None:
    graph = workload("bert_base").graph().unroll({})
    groups = [g.name for g in channel_groups(graph) if g.prunable]
    inner = [f"layer.{n}@{i}" for i in range(12) for n in ("q_proj", "ffn_up")]
    assert groups == ["embedding", *inner]


def shuffle(onnx_file: Write, channels: int = 16) -> Graph:
    """A unit of ShuffleNetV2: split in halves, work on one, concatenate, shuffle; twice."""
    half = channels // 2
    nodes = [node("Conv", ["x", "w0"], ["a0"], name="stem")]
    weights: dict[str, Any] = {
        "w0": [channels, 3, 1, 1],
        "parts": np.array([half, half], dtype=np.int64),
        "apart": np.array([0, 2, half, 8, 8], dtype=np.int64),
        "whole": np.array([0, channels, 8, 8], dtype=np.int64),
    }
    before = "a0"
    for i in (1, 2):
        nodes += [
            node("Split", [before, "parts"], [f"l{i}", f"r{i}"], name=f"split{i}", axis=1),
            node("Conv", [f"r{i}", f"p{i}"], [f"b{i}"], name=f"up{i}"),
            node("Relu", [f"b{i}"], [f"c{i}"], name=f"relu{i}"),
            node("Conv", [f"c{i}", f"d{i}"], [f"e{i}"], name=f"dw{i}", group=half, pads=[1] * 4),
            node("Conv", [f"e{i}", f"q{i}"], [f"f{i}"], name=f"down{i}"),
            node("Concat", [f"l{i}", f"f{i}"], [f"g{i}"], name=f"cat{i}", axis=1),
            node("Reshape", [f"g{i}", "apart"], [f"h{i}"], name=f"apart{i}"),
            node("Transpose", [f"h{i}"], [f"j{i}"], name=f"turn{i}", perm=[0, 2, 1, 3, 4]),
            node("Reshape", [f"j{i}", "whole"], [f"k{i}"], name=f"whole{i}"),
        ]
        weights |= {
            f"p{i}": [half, half, 1, 1],
            f"d{i}": [half, 1, 3, 3],
            f"q{i}": [half, half, 1, 1],
        }
        before = f"k{i}"
    nodes.append(node("GlobalAveragePool", [before], ["m"], name="pool"))
    nodes.append(node("Conv", ["m", "w9"], ["y"], name="last"))
    weights["w9"] = [5, channels, 1, 1]
    return load_onnx(onnx_file(nodes, {"x": [1, 3, 8, 8]}, ["y"], weights)).graph()


def test_a_channel_shuffle_ties_its_halves(onnx_file: Write) -> None:
    graph = shuffle(onnx_file)
    groups = {g.name: g for g in channel_groups(graph)}
    # What passes by must be as wide as what is made beside it, or the halves do not interleave;
    # then both halves are that wide. What the first unit works on is a part of the stem of its own.
    assert {n: (g.size, g.step, g.prunable) for n, g in groups.items()} == {
        "stem": (8, 1, True),
        "stem.2": (8, 1, True),
        "up1": (8, 1, True),
        "up2": (8, 1, True),
        "last": (5, 1, False),
        "x": (3, 1, False),
    }
    stored = {
        name: {m for m in groups[name].members if graph.tensors[m[0]].role == "weight"}
        for name in ("stem", "stem.2")
    }
    assert stored == {
        "stem": {("w0", 0, 1), ("w9", 1, 2), ("q1", 0, 1), ("p2", 1, 1), ("q2", 0, 1)},
        "stem.2": {("w0", 0, 1), ("p1", 1, 1)},
    }
    made = with_channels(graph, {"stem": 6, "up1": 3, "stem.2": 7})
    small = {n: t.shape for n, t in made.tensors.items() if t.role == "weight"}
    assert small == {
        "w0": (13, 3, 1, 1),
        "p1": (3, 7, 1, 1),
        "d1": (3, 1, 3, 3),
        "q1": (6, 3, 1, 1),
        "p2": (8, 6, 1, 1),
        "d2": (8, 1, 3, 3),
        "q2": (6, 8, 1, 1),
        "w9": (5, 12, 1, 1),
    }


def test_attention_written_out_in_onnx_has_groups_of_heads(onnx_file: Write) -> None:
    heads, size, width, tokens = 4, 8, 32, 6
    weights: dict[str, Any] = {
        "shape": np.array([1, tokens, heads, size], dtype=np.int64),
        "flat": np.array([1, tokens, heads * size], dtype=np.int64),
        "wi": [width, width],
        "wo": [width, width],
        "wy": [width, 3],
    }
    nodes = [node("MatMul", ["x", "wi"], ["s"], name="embed")]
    for n, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        weights[f"w{n}"] = [width, width]
        nodes += [
            node("MatMul", ["s", f"w{n}"], [n], name=n),
            node("Reshape", [n, "shape"], [f"{n}h"], name=f"{n}.heads"),
            node("Transpose", [f"{n}h"], [f"{n}t"], name=f"{n}.turn", perm=perm),
        ]
    nodes += [
        node("MatMul", ["qt", "kt"], ["a"], name="scores"),
        node("Softmax", ["a"], ["p"], name="softmax", axis=-1),
        node("MatMul", ["p", "vt"], ["o"], name="mix"),
        node("Transpose", ["o"], ["ot"], name="back", perm=[0, 2, 1, 3]),
        node("Reshape", ["ot", "flat"], ["of"], name="join"),
        node("MatMul", ["of", "wo"], ["z"], name="proj"),
        node("Add", ["z", "s"], ["r"], name="sum"),
        node("MatMul", ["r", "wy"], ["y"], name="out"),
    ]
    graph = load_onnx(onnx_file(nodes, {"x": [1, tokens, width]}, ["y"], weights)).graph()
    groups = {g.name: g for g in channel_groups(graph) if g.prunable}
    assert {n: g.size for n, g in groups.items()} == {"embed": width, "q": heads}
    made = with_channels(graph, {"q": 3, "embed": 20})
    shapes = {n: made.tensors[n].shape for n in ("wi", "wq", "wk", "wv", "wo", "wy", "ot", "a")}
    assert shapes == {
        "wi": (32, 20),
        "wq": (20, 24),
        "wk": (20, 24),
        "wv": (20, 24),
        "wo": (24, 20),
        "wy": (20, 3),
        "ot": (1, tokens, 3, 8),
        "a": (1, 3, tokens, tokens),
    }


def test_grouped_convolutions_keep_their_groups() -> None:
    groups = {g.name: g for g in channel_groups(workload("resnext50_32x4d").graph())}
    inner = groups["layer1.0.conv2"]
    assert (inner.size, inner.step) == (128, 32)
    # One group reads as many channels as a group of the layer before makes.
    assert ("layer1.0.conv2.weight", 1, 1) in groups["layer1.0.conv1"].members


def test_sums_of_concatenations_cut_a_width_in_two() -> None:
    """A convolution whose output is added to a concatenation has the widths of its parts."""
    g = ImageBuilder("joined")
    x = g.input("x", (1, 3, 8, 8))
    a, b = (g.conv(x, n, 1, name=name) for name, n in (("a", 6), ("b", 10)))
    whole = g.conv(x, 16, 1, name="whole")
    y = g.elementwise("add", g.copy([a, b], whole.shape, name="cat"), whole)
    g.output(g.conv(y, 2, 1, name="last"))
    graph = g.build()
    assert {n.name: n.size for n in channel_groups(graph) if n.prunable} == {"a": 6, "b": 10}
    made = with_channels(graph, {"a": 4})
    assert made.tensors["whole.weight"].shape == (14, 3, 1, 1)
    assert made.tensors["last.weight"].shape == (2, 14, 1, 1)


def test_a_repeated_layer_feeds_itself() -> None:
    g = SequenceBuilder("loop")
    x = g.linear(g.input("x", (4, 10)), 24, name="first")
    with g.repeat(3, "layer"):
        y = g.linear(x, 40, name="up")
        x = g.linear(y, 24, name="down")
    g.output(g.linear(x, 2, name="last"))
    groups = {n.name: n for n in channel_groups(g.build()) if n.prunable}
    assert set(groups) == {"first", "layer.up"}
    assert ("layer.down.weight", 0, 1) in groups["first"].members


def test_every_fault_at_once() -> None:
    graph = workload("resnext50_32x4d").graph()
    with pytest.raises(InputError) as caught:
        with_channels(
            graph,
            {
                "conv": 32,
                "fc": 10,
                "layer1.0.conv2": 100,
                "layer1.0.conv3": 0,
                "layer2.0.conv3": 2.5,
            },
        )
    found = [(f.path, f.suggestion, f.expected) for f in caught.value.faults]
    assert found == [
        ("widths.conv", "conv1", "the name of a channel group"),
        ("widths.fc", "", "its width of 1000"),
        ("widths.layer1.0.conv2", "", "a multiple of 32"),
        ("widths.layer1.0.conv3", "", "1 or more"),
        ("widths.layer2.0.conv3", "", "1 or more"),
    ]
