"""Random small networks: every group cut alone runs in onnxruntime with the shapes that are said.

And a proper part of a group does not run: a group is no larger than it must be.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx import load_onnx
from perfmodel.workload.rewrite import ChannelGroup, channel_groups
from perfmodel.workload.rewrite.channels import with_channels

node = helper.make_node
SIZE = 8


class Network:
    """A random network of convolutions, sums, concatenations, gates, splits and a flattened end."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: dict[str, list[int]] = {}
        self.values: dict[str, int] = {"x": 3}
        x = self.conv("x", int(self.rng.integers(8, 13)))
        for _ in range(int(self.rng.integers(4, 9))):
            x = self.step(x)
        self.end(x)

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}"

    def add(self, kind: str, inputs: list[str], channels: int, **said: Any) -> str:
        name = self.name(kind.lower())
        out = f"{name}.y"
        self.nodes.append(node(kind, inputs, [out], name=name, **said))
        self.values[out] = channels
        return out

    def conv(self, x: str, channels: int, groups: int = 1, kernel: int = 3) -> str:
        name = self.name("conv")
        w, b = f"{name}.w", f"{name}.b"
        self.weights[w] = [channels, self.values[x] // groups, kernel, kernel]
        self.weights[b] = [channels]
        pads = [kernel // 2] * 4
        return self.add("Conv", [x, w, b], channels, group=groups, pads=pads)

    def normalised(self, x: str) -> str:
        name, c = self.name("norm"), self.values[x]
        names = [f"{name}.{part}" for part in ("scale", "shift", "mean", "variance")]
        self.weights |= {n: [c] for n in names}
        return self.add("BatchNormalization", [x, *names], c)

    def step(self, x: str) -> str:
        c = self.values[x]
        match int(self.rng.integers(0, 8)):
            case 0:
                return self.add("Add", [self.conv(x, c), x], c)
            case 1:
                made = [self.conv(x, int(n)) for n in self.rng.integers(4, 9, size=2)]
                parts = [*made, x] if c < 20 else made
                return self.add("Concat", parts, sum(self.values[p] for p in parts), axis=1)
            case 2:
                return self.conv(x, c, groups=c)
            case 3:
                pooled = self.add("GlobalAveragePool", [x], c)
                hidden = self.conv(pooled, 4, kernel=1)
                gate = self.add("Sigmoid", [self.conv(hidden, c, kernel=1)], c)
                return self.add("Mul", [x, gate], c)
            case 4:
                wide = self.conv(x, int(self.rng.integers(8, 13)))
                return self.add("Relu", [self.normalised(wide)], self.values[wide])
            case 5:
                a, b = (self.conv(x, n) for n in (5, 7))
                whole = self.conv(x, 12)
                return self.add("Add", [self.add("Concat", [a, b], 12, axis=1), whole], 12)
            case 6:
                even = self.conv(x, 12)
                return self.conv(even, 12, groups=2)
            case _:
                return self.add("MaxPool", [self.conv(x, 9)], 9, kernel_shape=[3, 3], pads=[1] * 4)

    def end(self, x: str) -> None:
        flat = self.add("Flatten", [x], self.values[x] * SIZE * SIZE)
        self.weights["fc1"] = [self.values[flat], 11]
        self.weights["fc2"] = [11, 5]
        hidden = self.add("MatMul", [flat, "fc1"], 11)
        self.nodes.append(node("MatMul", [hidden, "fc2"], ["y"], name="last"))

    def model(self, shapes: dict[str, tuple[int, ...]] | None = None) -> ModelProto:
        """Return the model, with other shapes of some weights; depthwise groups follow."""
        found = {n: tuple((shapes or {}).get(n, s)) for n, s in self.weights.items()}
        stored = [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in found.items()]
        nodes: list[Any] = []
        for each in self.nodes:
            copy = type(each)()
            copy.CopyFrom(each)
            for attribute in copy.attribute:
                if attribute.name == "group" and attribute.i > 2:
                    attribute.i = found[copy.input[1]][0]
            nodes.append(copy)
        infos = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, None)
            for n in self.values
            if n != "x"
        ]
        infos.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
        first = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
        graph = helper.make_graph(nodes, "random", [first], infos, stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def shapes_when_run(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes of every value, from running the model."""
    ort: Any = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    values = session.run(None, {"x": np.ones((1, 3, SIZE, SIZE), np.float32)})
    return {n: tuple(v.shape) for n, v in zip(names, values, strict=True)}


def stored(graph: Graph) -> dict[str, tuple[Any, ...]]:
    return {n: t.shape for n, t in graph.tensors.items() if t.role == "weight"}


def read(network: Network, folder: Path) -> Graph:
    """The graph of a network; its inner values are no outputs."""
    model = network.model()
    last = next(o for o in model.graph.output if o.name == "y")
    del model.graph.output[:]
    model.graph.output.append(last)
    path = folder / "random.onnx"
    path.write_bytes(model.SerializeToString())
    return load_onnx(path).graph()


def narrower(group: ChannelGroup) -> int:
    return group.size - 2 * group.step if group.size > 2 * group.step else group.size + group.step


@pytest.mark.parametrize("seed", range(12))
def test_every_group_cut_alone_runs_and_a_part_of_it_does_not(seed: int, tmp_path: Path) -> None:
    network = Network(seed)
    graph = read(network, tmp_path)
    groups = [g for g in channel_groups(graph) if g.prunable]
    assert groups
    covered: set[str] = set()
    for group in groups:
        made = with_channels(graph, {group.name: narrower(group)})
        shapes = stored(made)
        found = shapes_when_run(network.model(shapes))
        said = {n: made.tensors[n].shape for n in found if n in made.tensors}
        assert {n: found[n] for n in said} == said
        assert found["y"] == (1, 5)
        changed = [n for n in shapes if shapes[n] != tuple(network.weights[n])]
        covered |= set(changed)
        assert len(changed) > 1
        for left_out in changed:
            part = {**shapes, left_out: tuple(network.weights[left_out])}
            with pytest.raises(Exception, match=r"\S"):
                shapes_when_run(network.model(part))
    # Everything but the vocabulary of the end and the three channels of the image can be cut.
    assert covered == set(network.weights)


@pytest.mark.parametrize("seed", range(12))
def test_groups_are_cut_together_as_one_after_the_other(seed: int, tmp_path: Path) -> None:
    graph = read(network := Network(100 + seed), tmp_path)
    widths = {g.name: narrower(g) for g in channel_groups(graph) if g.prunable}
    together = with_channels(graph, widths)
    assert shapes_when_run(network.model(stored(together)))["y"] == (1, 5)
    apart = graph
    for name, width in widths.items():
        apart = with_channels(apart, {name: width})
    assert stored(apart) == stored(together)
    assert [op.macs for _, op in apart.walk()] == [op.macs for _, op in together.walk()]
    ops = ([op.vector_ops for _, op in g.walk()] for g in (apart, together))
    assert next(ops) == pytest.approx(next(ops), rel=1e-12)
