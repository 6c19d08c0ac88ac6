"""Workloads under a choice: cached, picklable, arrays as widths, quantised files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from perfmodel.ask import hardware, schedule, workload
from perfmodel.errors import InputError
from perfmodel.predict import predict
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.importers.onnx import load_onnx
from perfmodel.workload.rewrite import compressed, format_groups, layers, with_formats

Write = Callable[..., Path]
node = helper.make_node


def test_the_same_choice_is_the_same_graph() -> None:
    plain = workload("resnet18")
    choice: dict[str, Any] = {"weights": {"conv1.weight": "int4"}, "widths": {"conv1": 48}}
    first, second = compressed(plain, **choice), compressed(workload("resnet18"), **choice)
    assert first.graph() is second.graph()
    assert (first.name, first.parameters) == (plain.name, plain.parameters)
    assert compressed(plain).graph() is plain.graph()


def test_a_choice_survives_pickling_and_another_width_array() -> None:
    plain = workload("mobilenet_v3_small")
    several = np.array([20.0, 40.0, 64.0])
    made = compressed(
        plain,
        weights={"stem.weight": "int8+2:4"},
        activations={"image": "int8"},
        widths={"stage4.0.expand": several, "stem": 12},
        precision="w8a8",
    )
    assert made.shape == (3,)
    device = hardware("raspberry_pi_5")
    there = pickle.loads(pickle.dumps(made))
    found = np.asarray(predict(made, device, precision="w8a8").latency_s)
    assert np.asarray(predict(there, device, precision="w8a8").latency_s) == pytest.approx(found)
    for width, seconds in zip(several, found, strict=True):
        one = compressed(
            plain,
            weights={"stem.weight": "int8+2:4"},
            activations={"image": "int8"},
            widths={"stage4.0.expand": int(width), "stem": 12},
            precision="w8a8",
        )
        assert seconds == pytest.approx(predict(one, device, precision="w8a8").latency_s, rel=1e-12)


def test_free_widths_are_parameters_with_their_defaults() -> None:
    plain = workload("tiny_cnn")
    made = compressed(plain, free=True)
    assert made.parameters == {
        **plain.parameters,
        "width_stem": 16,
        "width_block_conv1": 16,
        "width_expand": 64,
    }
    assert made.macs == plain.macs
    half = made.bind({"width_stem": 8, "width_block_conv1": 8, "width_expand": 32})
    assert half.macs == plain.bind({"channels": 8}).macs


def test_unrolled_layers_choose_for_themselves() -> None:
    plain = workload("tinyllama_1_1b")
    made = compressed(
        plain,
        unroll=True,
        weights={"layer.q_proj.weight@3": "int4"},
        widths={"layer.ffn_up@0": 1000},
    )
    shapes = {n: t.shape for n, t in made.graph().tensors.items()}
    assert shapes["layer.ffn_down.weight@0"] == (2048, 1000)
    assert shapes["layer.ffn_down.weight@1"] == (2048, 5632)
    assert plain.weights - made.weights == 3 * 2048 * (5632 - 1000)
    assert len(layers(made.graph())) == 22 * 7 + 1


def test_layers_that_a_runtime_repeats_keep_their_names_under_its_semantics() -> None:
    plain = workload("tinyllama_1_1b", phase="prefill")
    made = compressed(plain, widths={"layer.ffn_up": 1000})
    every = ExecutionSemantics(head_on_every_token=True)
    assert made.graph(every) is not made.graph()
    assert made.graph(every).tensors["layer.ffn_up.weight"].shape == (1000, 2048)


def test_faults_of_widths_and_formats_come_together() -> None:
    with pytest.raises(InputError) as caught:
        compressed(workload("resnet18"), weights={"conv1": "int8"}, widths={"fc": 3, "conv2": 4})
    assert [f.path for f in caught.value.faults] == ["widths.fc", "widths.conv2", "weights.conv1"]


def test_free_groups_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        compressed(workload("resnet18"), free=["conv11"], widths={"conv1": np.array([0.0, 8.0])})
    assert {f.path for f in caught.value.faults} == {"widths.conv11", "widths.conv1"}


def quantised(onnx_file: Write) -> Any:
    """Two convolutions of 8 bits and a product in floating point."""

    def pair(x: str, to: str) -> list[Any]:
        return [
            node("QuantizeLinear", [x, "s", "z"], [f"{to}_q"], name=f"{to}.quantise"),
            node("DequantizeLinear", [f"{to}_q", "s", "z"], [to], name=f"{to}.dequantise"),
        ]

    nodes = [
        *pair("x", "xd"),
        node("DequantizeLinear", ["w", "s", "zw"], ["wd"], name="w.dequantise"),
        node("Conv", ["xd", "wd"], ["c"], name="conv"),
        *pair("c", "cd"),
        node("DequantizeLinear", ["v", "s", "zw"], ["vd"], name="v.dequantise"),
        node("Conv", ["cd", "vd"], ["e"], name="conv2"),
        *pair("e", "ed"),
        node("GlobalAveragePool", ["ed"], ["p"], name="pool"),
        node("Conv", ["p", "u"], ["y"], name="last"),
    ]
    weights = {
        "w": ("INT8", [8, 3, 1, 1]),
        "v": ("INT8", [8, 8, 1, 1]),
        "u": [4, 8, 1, 1],
        "s": np.asarray(np.float32(0.1)),
        "z": np.asarray(np.uint8(128)),
        "zw": np.asarray(np.int8(0)),
    }
    return load_onnx(onnx_file(nodes, {"x": [1, 3, 8, 8]}, ["y"], weights))


def test_a_quantised_file_keeps_its_formats_unless_they_are_named(onnx_file: Write) -> None:
    plain = quantised(onnx_file)
    graph = plain.graph()
    fixed = {n: t.format for n, t in graph.tensors.items() if t.format}
    assert len(fixed) >= 5
    made = with_formats(graph, {"u": "int4"})
    assert {n: made.tensors[n].format for n in fixed} == fixed
    # Named, a tensor of the file changes; boundaries that the file has cost what it says.
    named = with_formats(graph, {"w": "int4", "u": "int4"})
    assert named.tensors["w"].format == "int4"
    count = sum(op.kind == "quantise" for _, op in graph.walk())
    assert sum(op.kind == "quantise" for _, op in named.walk()) == count
    pairs = {op.name: op.pair for _, op in named.walk() if op.nests}
    assert (pairs["conv"], pairs["conv2"]) == (("weight=int4", "=uint8"), ("weight=int8", "=uint8"))
    # Between the two convolutions a boundary is new.
    written = next(op.writes[0] for _, op in graph.walk() if op.name == "conv")
    inner = next(g for g in format_groups(graph) if written in g.tensors)
    mixed = with_formats(graph, {}, {inner.name: "int4"})
    extra = [op.name for _, op in mixed.walk() if op.kind == "quantise"]
    assert extra.count("conv.quantise") == 1
    device = hardware("zen4_core")
    before = predict(plain, device)
    after = predict(compressed(plain, weights={"w": "int4"}), device)
    assert before.weight_bytes - after.weight_bytes == 24 * 4 / 8


def test_a_schedule_counts_each_buffer_in_its_own_format() -> None:
    """32x32 images: 16 x 16 x 16 values a map, 4 bits in one group, 8 in the others."""
    made = compressed(
        workload("tiny_cnn"), activations={"image": "int8", "stem.out": "int4"}, precision="w8a8"
    )
    found: Any = schedule(made, "gemmini_16x16", capacity="64 KiB", precision="w8a8", fuse=False)
    sizes = dict(zip(found.residency["tensor"], found.residency["size_bytes"], strict=True))
    maps = 16 * 16 * 16
    assert sizes["image"] == 3 * 32 * 32
    assert (sizes["stem.out.raw"], sizes["stem.out"]) == (maps, maps // 2)
    # The residual sum of every repetition is in the stem's group; what is inside is not.
    assert (sizes["block.add.out@1"], sizes["block.relu1.out@1"]) == (maps // 2, maps)
