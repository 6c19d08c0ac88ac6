"""Networks of cells, dense, segmentation, video and encoder-decoder networks.

Counts are those of torchvision, timm and PyTorch (torch.utils.flop_counter on the models
themselves) or of the papers; sizes and structure follow from the published definitions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from perfmodel.ask import predict
from perfmodel.errors import InputError
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

# name, image or clip extents -> parameters, multiply-accumulates of the model itself
COUNTED: dict[str, tuple[dict[str, int], int, int]] = {
    "densenet121": ({}, 7_978_856, 2_834_161_664),
    "inception_v3": ({}, 23_834_568, 5_713_216_096),
    "nasnet_a_large": ({}, 88_753_150, 23_783_414_658),
    "pnasnet5_large": ({}, 86_057_668, 24_937_395_792),
    "darts_imagenet": ({}, 4_718_752, 529_911_552),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_equal_those_of_the_model_itself(name: str, load: Callable[..., Workload]) -> None:
    settings, params, macs = COUNTED[name]
    net = load(name).bind(settings)
    assert net.weights == params
    assert net.macs == macs


@pytest.mark.parametrize(
    ("name", "macs"), [("nasnet_a_large", 10_283_796_000), ("pnasnet5_large", 10_817_985_120)]
)
def test_counts_at_another_image_size(name: str, macs: int, load: Callable[..., Workload]) -> None:
    assert load(name).bind({"height": 224, "width": 224}).macs == macs


@pytest.mark.parametrize(
    ("name", "params", "billions"),
    [
        # torchvision: num_params and _ops (three decimals)
        ("fcn_resnet50", 35_322_218, 152.717),
        ("deeplabv3_resnet50", 42_004_074, 178.722),
        ("lraspp_mobilenet_v3_large", 3_221_538, 2.086),
        ("r2plus1d_18", 31_505_325, 40.519),
        ("s3d", 8_320_048, 17.979),
    ],
)
def test_counts_of_torchvision(
    name: str, params: int, billions: float, load: Callable[..., Workload]
) -> None:
    net = load(name)
    assert net.weights == params
    assert net.macs == pytest.approx(billions * 1e9, abs=0.6e6)


@pytest.mark.parametrize(("width", "millions"), [(208, 81.5), (416, 319.0), (544, 542.7)])
def test_amoebanet_d_has_the_published_sizes(
    width: int, millions: float, load: Callable[..., Workload], entry: Callable[[str], Any]
) -> None:
    stem = width // 4
    stages = entry("amoebanet_d")["structure"]["stages"]
    wider = [{**s, "channels": stem * 2 ** (i + 1)} for i, s in enumerate(stages)]
    net = load("amoebanet_d", stem=[{"channels": stem}], stages=wider)
    assert net.weights / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_base_transformer_has_the_parameters_of_pytorchs(load: Callable[..., Workload]) -> None:
    net = load("transformer_base")
    assert net.weights == 44_140_544
    # Six layers of projections and feed-forward networks, and scores and sums over 128 tokens.
    tokens, width, hidden = 128, 512, 2048
    attention = 4 * tokens * width**2 + 2 * tokens * tokens * width
    feed_forward = 2 * tokens * width * hidden
    assert net.macs == 6 * (3 * attention + 2 * feed_forward)


def test_the_auxiliary_classifier_is_a_choice(load: Callable[..., Workload]) -> None:
    with_it, without = load("fcn_resnet50"), load("fcn_resnet50", auxiliary=False)
    # 3x3 from 1024 to 256, two vectors of its normalisation, 1x1 to 21 classes with a bias.
    assert with_it.weights - without.weights == 1024 * 256 * 9 + 512 + 256 * 21 + 21
    assert with_it.macs - without.macs == 65 * 65 * (1024 * 256 * 9 + 256 * 21)


# structure

# What torchvision's, timm's and the papers' own PyTorch models come to when they are traced with
# torch.fx (`benchmarks/traced_graphs.py`) and every operator is named by its kind, the shape of its
# output and the digests of its inputs: equal digests are equal graphs. NASNet-A and PNASNet-5 at
# 224 x 224.
TRACED = {
    "nasnet_a_large": "daab0fbdfc3a854d",
    "pnasnet5_large": "42436fdf4ee231e6",
    "densenet121": "7321708b0fb2b6a4",
    "inception_v3": "80474331debde319",
    "resnext50_32x4d": "b6b5ec06e1d0daae",
    "resnet50": "2dab08f38d2c64f9",
    "r2plus1d_18": "1306ff2415bdc84b",
    "s3d": "013b5574cbdbb949",
    "fcn_resnet50": "28befe14e48600b1",
    "deeplabv3_resnet50": "ad91754e7d8b3d27",
    "darts_imagenet": "de100be0afa04fb3",
    "amoebanet_d": "0dbecc9171f9bb7c",
    "lraspp_mobilenet_v3_large": "b5d58752a38fbffa",
    "mobilenet_v3_large": "ea1a6c16d071b83c",
    "resnet18": "10d860801580c915",
    "mobilenet_v2": "b557c64fd0defa77",
    "mobilenet_v3_small": "3f3559b99c7ba13d",
    "efficientnet_b0": "0da9b6476af989a9",
}


def digest(net: Workload) -> str:
    """Name a graph by what it computes; parts of a sum, product or concatenation have no order."""
    graph = net.graph().unroll(net.parameters)
    found = {name: named("input", shape_of(net, graph.tensors[name]), []) for name in graph.inputs}
    kinds = {"depthwise": "conv", "gemm": "linear", "copy": "concat"}
    for _, op in graph.walk():
        function = dict(op.attributes).get("function", "")
        kind = kinds.get(op.kind, op.kind)
        if op.kind == "elementwise":
            kind = "bn" if function == "batch_norm" else function
        read = [found[n] for n in op.reads if graph.tensors[n].role == "activation"]
        (made,) = op.writes
        found[made] = named(kind, shape_of(net, graph.tensors[made]), read)
    return short(sorted(found[name] for name in graph.outputs))


def named(kind: str, extents: list[int], read: list[str]) -> str:
    while extents and extents[-1] == 1:
        extents = extents[:-1]
    return short((kind, extents, sorted(read) if kind in {"add", "concat", "mul"} else read))


def short(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def shape_of(net: Workload, tensor: Tensor) -> list[int]:
    return [int(net.number(d)) for d in tensor.shape]


@pytest.mark.parametrize("name", TRACED)
def test_the_graph_is_that_of_the_traced_model(name: str, load: Callable[..., Workload]) -> None:
    net = load(name)
    if name in {"nasnet_a_large", "pnasnet5_large"}:
        net = net.bind({"height": 224, "width": 224})
    assert digest(net) == TRACED[name]


def test_the_digest_sees_an_edge(load: Callable[..., Workload]) -> None:
    straight = load("nasnet_a_large", skip_reduction_input=False)
    assert straight.macs == load("nasnet_a_large").macs
    assert digest(straight) != digest(load("nasnet_a_large"))


def producers(graph: Graph) -> dict[str, str]:
    return {name: op.name for _, op in graph.walk() for name in op.writes}


def sources(graph: Graph, operator: str) -> list[str]:
    made = producers(graph)
    op = next(op for _, op in graph.walk() if op.name == operator)
    return [made.get(n, n) for n in op.reads if graph.tensors[n].role == "activation"]


def shape(net: Workload, operator: str) -> tuple[int, ...]:
    graph = net.graph()
    op = next(op for _, op in graph.walk() if op.name == operator)
    return tuple(int(net.number(d)) for d in graph.tensors[op.writes[0]].shape)


def test_a_dense_layer_reads_all_that_came_before_it(load: Callable[..., Workload]) -> None:
    net = load("densenet121")
    graph = net.graph()
    assert len(sources(graph, "block3.24.concat")) == 24
    assert shape(net, "block3.24.concat") == (1, 256 + 23 * 32, 14, 14)
    assert shape(net, "block4.concat") == (1, 1024, 7, 7)
    readers = [op.name for _, op in graph.walk() if "pool0.out" in op.reads]
    # The first layer reads it alone; five concatenate it, and so does the end of the block.
    assert len(readers) == 7


def test_mixed_blocks_have_the_channels_of_the_paper(load: Callable[..., Workload]) -> None:
    net = load("inception_v3")
    found = {name: shape(net, name)[1:] for name in ("mixed5b", "mixed6a", "mixed7a", "mixed7c")}
    assert found == {
        "mixed5b": (256, 35, 35),
        "mixed6a": (768, 17, 17),
        "mixed7a": (1280, 8, 8),
        "mixed7c": (2048, 8, 8),
    }


def test_the_backbone_keeps_an_eighth_of_the_image(load: Callable[..., Workload]) -> None:
    net = load("deeplabv3_resnet50").bind({"height": 512, "width": 384})
    assert shape(net, "aspp.concat") == (1, 1280, 64, 48)
    assert shape(net, "upsample") == (1, 21, 512, 384)
    convolutions = [op for _, op in net.graph().walk() if op.kind == "conv"]
    dilations = {op.name: dict(op.attributes)["dilation"] for op in convolutions}
    assert [
        dilations[f"layer{i}"] for i in ("3.0.conv2", "3.1.conv2", "4.0.conv2", "4.1.conv2")
    ] == [(1, 1), (2, 2), (2, 2), (4, 4)]


def test_clips_shrink_in_time_where_they_shrink_in_space(load: Callable[..., Workload]) -> None:
    net = load("r2plus1d_18").bind({"height": 224, "width": 224})
    assert shape(net, "stem.time") == (1, 64, 16, 112, 112)
    assert shape(net, "layer2.0.conv1.space") == (1, 230, 16, 56, 56)
    assert shape(net, "layer4.1.relu") == (1, 512, 2, 14, 14)
    assert shape(load("s3d"), "mixed5.1") == (1, 1024, 2, 7, 7)


def test_cells_read_the_two_before_them(load: Callable[..., Workload]) -> None:
    net = load("nasnet_a_mobile")
    graph = net.graph()
    # The third cell's left input comes from the first, of twice its size: it is halved.
    assert sources(graph, "cell2.left.relu") == ["cell0.concat"]
    assert sources(graph, "cell2.right.relu") == ["cell1.concat"]
    assert shape(net, "cell2.left.concat") == shape(net, "cell2.right") == (1, 44, 28, 28)
    assert len(sources(graph, "cell3.concat")) == 6
    assert shape(net, "cell15.concat") == (1, 1056, 7, 7)


def test_skips_are_edges_and_no_operators(load: Callable[..., Workload]) -> None:
    graph = load("darts_imagenet").graph()
    # The third node of a normal cell adds a separable convolution and the left input as it is.
    assert "cell1.left.norm" in sources(graph, "cell1.node3")
    # A skip over an earlier node in a reduction cell does not shrink it again.
    assert "cell4.node1" in sources(graph, "cell4.node2")


def test_heads_apart_do_the_work_of_fused_attention(load: Callable[..., Workload]) -> None:
    fused, apart = load("transformer_base"), load("transformer_base", attention="heads")
    assert apart.weights == fused.weights
    assert apart.macs == fused.macs
    lengths = {"source": np.array([16.0, 50.0]), "target": np.array([7.0, 20.0])}
    np.testing.assert_array_equal(apart.bind(lengths).macs, fused.bind(lengths).macs)
    graph = apart.graph().unroll()
    memory = "encoder_norm.out"
    # Keys and values of eight heads in six layers read the encoder's output.
    assert sum(memory in op.reads for _, op in graph.walk()) == 96


def test_tied_tables_are_stored_once(load: Callable[..., Workload]) -> None:
    net = load("transformer_base", vocabulary=37_000)
    assert net.weights == 44_140_544 + 37_000 * 512


@pytest.mark.parametrize("name", ["darts_imagenet", "densenet121", "r2plus1d_18"])
def test_folding_leaves_products_alone(name: str, load: Callable[..., Workload]) -> None:
    net, folded = load(name), load(name, batch_norm="folded")
    assert folded.macs == net.macs
    assert folded.weights < net.weights


@pytest.mark.parametrize(
    ("name", "extents"),
    [
        ("lraspp_mobilenet_v3_large", {"width_multiplier": [0.5, 1.0, 1.4]}),
        ("nasnet_a_mobile", {"height": [224, 160, 97]}),
        ("densenet121", {"width": [224, 160, 250]}),
        ("s3d", {"frames": [16, 32, 64]}),
        ("deeplabv3_resnet50", {"height": [520, 224, 300]}),
    ],
)
def test_many_sizes_equal_one_at_a_time(
    name: str, extents: dict[str, list[int]], load: Callable[..., Workload]
) -> None:
    ((field, values),) = extents.items()
    many = load(name).bind({field: np.array(values, float)}).macs
    for i, value in enumerate(values):
        assert many[i] == load(name).bind({field: value}).macs


def test_a_cell_that_reads_ahead_is_told(entry: Callable[[str], Any]) -> None:
    cell = dict(entry("darts_imagenet")["structure"]["normal"])
    cell["nodes"] = [["skip", 0, "skip", 2], *cell["nodes"][1:]]
    cell["concat"] = [2, 9]
    with pytest.raises(InputError) as caught:
        find("darts_imagenet", {"normal": cell})
    told = " ".join(str(f) for f in caught.value.faults)
    assert "node 0 reads state 2, which comes later" in told
    assert "there is no state 9" in told


def test_an_output_of_two_sizes_is_told(entry: Callable[[str], Any]) -> None:
    cell = {**entry("darts_imagenet")["structure"]["reduction"], "concat": [1, 2, 3]}
    with pytest.raises(InputError, match="state 1 is an input, which is twice as high and wide"):
        find("darts_imagenet", {"reduction": cell})


def test_a_cell_of_one_node_puts_nothing_together(entry: Callable[[str], Any]) -> None:
    cell = {**entry("darts_imagenet")["structure"]["normal"], "concat": [2]}
    names = {op.name for _, op in find("darts_imagenet", {"normal": cell}).graph().walk()}
    assert "cell1.concat" not in names
    assert {"cell1.node1", "cell4.concat"} <= names  # the fifth is a reduction cell


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("fcn_resnet50", {"rates": [6]}, "an FCN head has no 'rates'"),
        ("lraspp_mobilenet_v3_large", {"low_stages": 16}, "there are 15 stages"),
        ("s3d", {"depths": [1]}, "S3D's blocks are fixed"),
        ("transformer_base", {"heads": 7}, "a width of 512 does not divide by 7 heads"),
    ],
)
def test_fields_that_do_not_fit_are_told(name: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        find(name, settings)
    assert any(text in str(f) for f in caught.value.faults)


@pytest.mark.parametrize(
    ("name", "device", "precision"),
    [
        ("densenet121", "rk3588", "int8"),
        ("inception_v3", "edge_tpu", "int8"),
        ("fcn_resnet50", "jetson_agx_orin", "fp16"),
        ("deeplabv3_resnet50", "apple_m2", "fp16"),
        ("r2plus1d_18", "a100", "fp16"),
        ("s3d", "zen4_core", "fp32"),
        ("transformer_base", "h100", "bf16"),
        ("nasnet_a_mobile", "raspberry_pi_5", "fp32"),
        ("nasnet_a_large", "tpu_v1", "int8"),
        ("pnasnet5_large", "gemmini_16x16", "int8"),
        ("lraspp_mobilenet_v3_large", "apple_m1", "fp16"),
        ("amoebanet_d", "rtx_4090", "fp16"),
        ("darts_imagenet", "eyeriss", "int16"),
    ],
)
def test_each_is_predicted_on_a_device(name: str, device: str, precision: str) -> None:
    net = find(name)
    # vLLM computes the head of the last token alone.
    runtime = "generic" if name == "transformer_base" else None
    p = predict(net, device, precision=precision, runtime=runtime)
    assert p.macs == net.macs
    assert 0 < float(p.utilization) <= 1
    assert float(p.weight_bytes) >= net.weights * 1
