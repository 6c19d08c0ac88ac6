"""Networks read as layers over maps: windows, shortcuts, what cannot run on a patch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork, Window, network
from perfmodel.schedule.tiling.patch_evaluation import run_stage
from perfmodel.schedule.tiling.patch_parameters import Patches
from perfmodel.schedule.tiling.patch_plan_search import patch_plan
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.importers.onnx import load_onnx

MODELS = (
    "mobilenet_v2",
    "resnet50",
    "vgg16",
    "efficientnet_b0",
    "densenet121",
    "vit_b_16",
    "mlperf_tiny_kws",
    "s3d",
    "embbert",
    "mamba_130m",
)


@pytest.mark.parametrize("name", MODELS)
def test_work_and_maps_are_those_of_the_graph(name: str) -> None:
    workload = pm.workload(name)
    net = network(workload, "w8a8")
    assert net.macs == pytest.approx(float(workload.macs), rel=1e-4)
    members = [m for layer in net.layers for m in layer.members]
    walked = [
        op.name
        for _, op in workload.graph().unroll(workload.parameters).walk()
        if op.kind != "view"
    ]
    assert sorted(members) == sorted(walked)
    for layer in net.layers:
        for t, windows in zip(layer.reads, layer.windows, strict=True):
            for window, have, made in zip(
                windows, net.maps[t].extents, net.maps[layer.writes].extents, strict=True
            ):
                if window.every:
                    continue
                # The last window begins inside its map, the first does not begin past its end.
                assert 0 <= window.before < window.dilation * (window.kernel - 1) + 1
                assert (made - 1) * window.stride - window.before < have


def test_cuts_are_where_one_map_is_live() -> None:
    net = network(pm.workload("mobilenet_v2"))
    for k in net.cuts[1:-1]:
        (live,) = net.live(k)
        assert net.maker[live] == k - 1
    inside = [k for k in range(len(net.layers)) if k not in net.cuts]
    assert inside
    assert all(len(net.live(k)) > 1 for k in inside)


def test_a_residual_addition_runs_on_its_operand() -> None:
    workload = pm.workload("mobilenet_v2")
    fused, apart = network(workload), network(workload, fuse_adds=False)
    assert len(apart.layers) == len(fused.layers) + 10
    plain = [run_stage(n, Patches(0, len(n.layers), (1, 1))) for n in (fused, apart)]
    assert plain[0].peak_bytes == plain[1].peak_bytes  # the first block decides
    cut = [
        next(i for i, x in enumerate(n.layers) if x.name == "stage3.1.expand@0")
        for n in (fused, apart)
    ]
    block = [
        run_stage(n, Patches(c, len(n.layers), (1, 1)), in_place_depthwise=True).peak_bytes
        for n, c in zip((fused, apart), cut, strict=True)
    ]
    # 28 x 28 x 192 and 32 channels; with the addition apart the block's input stays beside.
    assert block == [28 * 28 * (192 + 32 + 1), 28 * 28 * (192 + 32 + 32)]


def test_what_reads_whole_maps_says_so() -> None:
    g = GraphBuilder("mixed")
    x = g.input("x", (1, 8, 16, 16))
    a = g.conv(x, 8, 3, padding=1, name="conv")
    up = g.conv(a, 8, 2, stride=2, transposed=True, name="up")
    pooled = g.global_pool(up, keep=True, name="global")
    scaled = g.elementwise("mul", up, pooled, name="scale")
    both = g.copy([up, scaled], (1, 16, 32, 32), name="concat")
    tall = g.copy([both, both], (1, 16, 64, 32), name="stack")
    g.output(g.pool(tall, 2, name="pool"))
    net = network(g.build())
    whole = {layer.name: [all(w.every for w in ws) for ws in layer.windows] for layer in net.layers}
    assert whole == {
        "conv": [False],
        "up": [True],
        "global": [True],
        "scale": [False, True],
        "concat": [False, False],
        "stack": [True],
        "pool": [False],
    }


def test_a_view_between_hides_the_axes() -> None:
    """A convolution over time of a tensor (batch, tokens, features), seen transposed."""
    net = network(pm.workload("embbert"))
    conv = next(layer for layer in net.layers if layer.kind == "depthwise")
    assert all(w.every for ws in conv.windows for w in ws)


def test_a_file_is_read_as_the_network_that_it_is(tmp_path: Path) -> None:
    """Pads as ONNX has them, left to the operator (SAME), and of a pool."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "a"], ["1"], pads=[1, 1, 1, 1], strides=[2, 2], name="first"),
        node("Relu", ["1"], ["2"], name="relu"),
        node(
            "MaxPool",
            ["2"],
            ["3"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            name="pool",
        ),
        node("Conv", ["3", "b"], ["y"], auto_pad="SAME_UPPER", dilations=[2, 2], name="second"),
    ]
    weights = [
        helper.make_tensor(n, TensorProto.FLOAT, s, np.zeros(s).ravel().tolist())
        for n, s in (("a", (4, 3, 3, 3)), ("b", (4, 4, 3, 3)))
    ]
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 32, 32))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    path = tmp_path / "small.onnx"
    path.write_bytes(made.SerializeToString())
    net = network(load_onnx(path), "w8a8")
    windows = [layer.windows[0][0] for layer in net.layers]
    assert windows == [Window(3, 2, 1, 1), Window(3, 2, 1, 1), Window(3, 1, 2, 2)]
    assert [net.maps[x.writes].extents for x in net.layers] == [(16, 16), (8, 8), (8, 8)]
    assert isinstance(net, FeatureMapNetwork)


def test_what_leaves_the_network_on_the_way_stays_whole() -> None:
    g = GraphBuilder("heads")
    x = g.input("x", (1, 4, 16, 16))
    a = g.conv(x, 8, 3, padding=1, name="a")
    b = g.conv(a, 8, 3, padding=1, name="b")
    g.output(a, g.conv(b, 2, 3, padding=1, name="c"))
    net = network(g.build())
    assert net.cuts == (0, 1, 3)
    stage = run_stage(net, Patches(0, 3, (1, 1)))
    assert stage.held_bytes == (12 * 256, 16 * 256, 18 * 256)
    with pytest.raises(ValueError, match="network output"):
        run_stage(net, Patches(0, 3, (2, 2)))
    assert run_stage(net, Patches(0, 1, (2, 2))).extra_macs == 0
    # From a on, it stays beside b and c.
    assert run_stage(net, Patches(1, 3, (1, 1))).held_bytes == (16 * 256, 18 * 256)
    plan = patch_plan(net, "peak")
    assert plan is not None
    assert all(s.patches.count == 1 or s.patches.end - s.patches.start < 3 for s in plan.stages)


def test_arrays_of_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="arrays"):
        network(pm.workload("mobilenet_v2", height=np.array([96, 224])))
