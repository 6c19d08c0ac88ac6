"""Conversions of layouts, counted against those that onnxruntime executed."""

import csv
import gzip
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.hardware.runtime import Runtime
from perfmodel.prediction.engine_model import execution_of
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.operator_graph.load import load_operator_graph
from perfmodel.workload.layout_conversions import BlockedChannelLayout, with_conversions
from perfmodel.workload.workload import Workload

LAYOUT = BlockedChannelLayout(16, ("add", "mul", "relu"), ("clip",))


def _converted(graph: Graph, layout: BlockedChannelLayout = LAYOUT) -> list[str]:
    """``-> blocked`` and ``-> plain`` for every conversion, and the operators between, by kind."""
    names: list[str] = []
    for _, operator in with_conversions(graph, layout).walk():
        into = operator.name.rpartition(" to ")[2] if operator.kind == "copy" else ""
        names.append(f"-> {into}" if into in ("blocked", "plain") else operator.kind)
    return names


def _builder() -> GraphBuilder:
    return GraphBuilder("net")


def test_convolutions_in_a_row_convert_nothing() -> None:
    b = _builder()
    x = b.input("x", (1, 3, 8, 8))
    x = b.conv(x, 32, 3, padding=1)
    y = b.elementwise("add", b.conv(b.elementwise("relu", x), 32, 3, padding=1), x)
    b.conv(b.elementwise("add", y, y), 16, 1)
    graph = b.build()
    assert with_conversions(graph, LAYOUT) is graph


def test_a_function_without_blocks_stands_between_two_conversions() -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 3)
    b.conv(b.elementwise("div", x), 32, 1)
    assert _converted(b.build()) == ["conv", "-> plain", "elementwise", "-> blocked", "conv"]


def test_a_tensor_is_converted_once_for_all_its_readers() -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 3)
    one = b.elementwise("div", x)
    b.elementwise("exp", x)
    b.conv(one, 32, 1)
    b.conv(one, 32, 1)
    assert _converted(b.build()).count("-> plain") == 1
    assert _converted(b.build()).count("-> blocked") == 1


def test_a_function_that_is_stored_with_needs_to_be_alone() -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 3)
    b.conv(b.elementwise("clip", x), 32, 1)
    assert "-> plain" not in _converted(b.build())
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 3)
    b.elementwise("add", b.conv(b.elementwise("clip", x), 32, 1, padding=0), x)
    assert _converted(b.build()) == [
        "conv",
        "-> plain",
        "elementwise",
        "-> blocked",
        "conv",
        "elementwise",
    ]


@pytest.mark.parametrize("channels", [8, 15])
def test_a_convolution_reads_fewer_channels_than_a_block_as_they_are(channels: int) -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), channels, 3)
    b.conv(b.elementwise("div", x), 32, 3)
    assert _converted(b.build()) == ["conv", "-> plain", "elementwise", "conv"]


@pytest.mark.parametrize(("channels", "kinds"), [(4, 0), (8, 1)])
def test_an_image_between_layers_enters_in_blocks(channels: int, kinds: int) -> None:
    b = _builder()
    x = b.input("x", (1, channels, 8, 8))
    b.elementwise("div", x)
    b.conv(x, 32, 3)
    assert _converted(b.build()).count("-> plain") == kinds


def test_one_pixel_and_sequences_are_left_alone() -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 8)
    b.elementwise("div", x)
    y = b.conv(b.input("y", (1, 32, 50)), 32, 3)
    b.elementwise("div", y)
    graph = b.build()
    assert with_conversions(graph, LAYOUT) is graph


def test_without_blocks_nothing_changes_and_with_them_nothing_gets_faster() -> None:
    workload = pm.workload("mobilenet_v3_small")
    graph = workload.graph()
    assert with_conversions(graph, BlockedChannelLayout()) is graph
    device = pm.hardware("zen4_core")
    runtime = device.machine("onnxruntime_cpu_blocks").runtime
    assert runtime.blocks.channels
    plain = runtime.model_copy(update={"blocks": type(runtime.blocks)()})
    with_blocks, without = (pm.predict(workload, device, runtime=used) for used in (runtime, plain))
    assert with_blocks.latency_s > without.latency_s
    assert len(with_blocks.table["name"]) > len(without.table["name"])


def test_a_conversion_is_a_kernel_that_reads_and_writes_once() -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 4, 8, 8)), 32, 3, padding=1, bias=False)
    b.output(b.linear(b.view(x, (1, 2048)), 10, bias=False))
    workload = Workload("net", lambda semantics: b.build(), {})
    core = pm.hardware("zen4_core")
    found, plain = (
        pm.predict(workload, core, precision="fp32", runtime=Runtime(name="r", **said))  # pyright: ignore[reportArgumentType]
        for said in ({"blocks": {"channels": 4}}, {})
    )
    assert len(found.kernels) == len(plain.kernels) + 2, "in and out of blocks"
    more = found.traffic_bytes["l1"] - plain.traffic_bytes["l1"]
    assert more == 2 * 4 * (4 * 8 * 8 + 32 * 8 * 8)


@pytest.mark.parametrize(("groups", "copies"), [(2, 0), (4, 2)])
def test_groups_of_whole_blocks_stay_in_blocks(groups: int, copies: int) -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 3)
    b.conv(b.conv(x, 32, 3, groups=groups), 32, 1)
    assert _converted(b.build()).count("conv") == 3
    assert len(_converted(b.build(), BlockedChannelLayout(16, grouped=True))) == 3 + copies
    assert len(_converted(b.build(), BlockedChannelLayout(16))) == 5


def test_a_pixel_is_broadcast_over_blocks_where_the_runtime_can() -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 3)
    gate = b.conv(b.global_pool(x, keep=True), 32, 1)
    b.conv(b.elementwise("mul", x, gate), 32, 1)
    graph = b.build()
    assert _converted(graph).count("-> plain") == _converted(graph).count("-> blocked") == 1
    broadcasts = LAYOUT._replace(broadcasts=True)
    assert with_conversions(graph, broadcasts) is graph


@pytest.mark.parametrize(("channels", "copies"), [((6, 10), 0), ((6, 8), 2), ((16, 16), 0)])
def test_joins_pass_blocks_on_where_they_fill_them(channels: tuple[int, int], copies: int) -> None:
    b = _builder()
    x = b.conv(b.input("x", (1, 3, 8, 8)), 32, 3)
    parts = [b.conv(x, c, 1, name=f"part{c}") for c in channels]
    joined = b.copy(parts, (1, sum(channels), 6, 6))
    b.conv(joined, 32, 1)
    found = _converted(b.build(), BlockedChannelLayout(16, joins=True))
    assert found.count("-> plain") == copies


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_large", "resnet50", "resnext50_32x4d", "densenet121", "inception_v3"]
)
def test_ncnn_keeps_whole_networks_in_fours(name: str) -> None:
    """Every layer of these networks between convolutions sets `support_packing` in its source."""
    execution = execution_of(pm.hardware("zen4_core").machine("ncnn").runtime)
    assert execution is not None
    assert execution.layout.block == 4
    graph = pm.workload(name).graph()
    assert with_conversions(graph, execution.layout) is graph


@pytest.mark.data
def test_onnxruntime_converted_as_often(data: Path) -> None:
    """81 networks on a Zen 4 core: ReorderInput and ReorderOutput of their profiles.

    Those of a single pixel, and the one of what leaves a network, are not counted.
    """
    execution = execution_of(pm.hardware("zen4_core").machine("onnxruntime_cpu_blocks").runtime)
    assert execution is not None
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    with gzip.open(data / "cpu_zen4" / "nodes.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            pixel = row["out_shapes"].endswith(", 1, 1]]")
            counted[row["model"]][row["op"]] += 1 - (pixel and row["op"] == "ReorderOutput")
    assert len(counted) >= 80
    off: list[int] = []
    for model, measured in counted.items():
        graph = load_operator_graph(data / "cpu_zen4" / "graphs" / f"{model}.json").graph()
        found = Counter(_converted(graph, execution.layout))
        into = found["-> blocked"] - measured["ReorderInput"]
        out = found["-> plain"] - measured["ReorderOutput"]
        assert -3 <= into <= 0, model
        assert -1 <= out <= 1, model
        off.append(abs(into) + abs(out))
    assert sum(n <= 1 for n in off) >= 0.9 * len(off)
