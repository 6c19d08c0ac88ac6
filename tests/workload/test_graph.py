"""Graphs: repetition written out, networkx, hashes, live tensors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import networkx as nx
import pytest

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.lower import lower
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.sequence_builder import SequenceBuilder
from perfmodel.workload.symbols import evaluate, symbol
from perfmodel.workload.workload import Workload

MODELS = ["resnet18", "resnet50", "mobilenet_v2", "efficientformer_l3", "mlperf_tiny_kws"]


def number(graph: Graph, dim: object) -> float:
    return float(evaluate(dim, graph.defaults))  # type: ignore[arg-type]


def stack(layers: int, phase: int = 1) -> Graph:
    """Layers between an embedding and a head that share one table, `phase` times."""
    g = SequenceBuilder("stack")
    ids = g.input("ids", (1, 4), format="int64")
    table = g.weight("table", (50, 8), tag="embedding")
    with g.phase("step", phase):
        x = g.embedding(ids, 50, 8, weight=table)
        with g.repeat(layers, "layer"):
            kv = g.tensor("kv", (1, 4, 16), role="kv")
            y = g.linear(x, 24, name="qkv")
            y = g.attention(
                y, batch=1, queries=4, keys=4, heads=2, head_dim=4, cache=kv, cached=True
            )
            x = g.elementwise("add", x, g.linear(y, 8, name="out"))
        g.output(g.linear(x, 50, weight=table, bias=False, name="head"))
    return g.build()


@pytest.mark.parametrize("name", MODELS)
def test_unrolling_conserves_work_and_weights(name: str, load: Callable[..., Workload]) -> None:
    graph = load(name).graph()
    flat = graph.unroll()
    assert all(block.count == 1 for block in flat.blocks)
    assert number(flat, flat.macs) == number(graph, graph.macs)
    assert number(flat, flat.weight_elements) == number(graph, graph.weight_elements)
    executed = sum(number(graph, block.count) * len(block.operators) for block in graph.blocks)
    assert len(list(flat.walk())) == executed
    names = [operator.name for _, operator in flat.walk()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", MODELS)
def test_unrolled_activations_are_made_once_and_before_use(
    name: str, load: Callable[..., Workload]
) -> None:
    flat = load(name).graph().unroll()
    made: set[str] = set(flat.inputs)
    read: set[str] = set()
    for _, operator in flat.walk():
        for tensor in operator.reads:
            if flat.tensors[tensor].role == "activation":
                assert tensor in made
                read.add(tensor)
        for tensor in operator.writes:
            assert tensor not in made
            made.add(tensor)
        if operator.inplace:
            assert operator.inplace in operator.reads
        for nest in operator.nests:
            for operand in nest.operands:
                if not operand.tensor.endswith(".scores"):
                    assert operand.tensor in (*operator.reads, *operator.writes)
    # Every repetition feeds the next: nothing but the outputs is left unread.
    assert made - read == set(flat.outputs)


def test_layers_get_their_own_weights_and_share_what_is_tied() -> None:
    graph = stack(3)
    flat = graph.unroll()
    weights = {n for n, t in flat.tensors.items() if t.role == "weight"}
    assert "table" in weights
    assert not any(n.startswith("table@") for n in weights)
    assert {f"layer.qkv.weight@{i}" for i in range(3)} <= weights
    assert flat.weight_elements == graph.weight_elements == 50 * 8 + 3 * (8 * 24 + 24 + 64 + 8)
    readers = [op.name for _, op in flat.walk() if "table" in op.reads]
    assert readers == ["step/embedding", "step/head"]


def test_repetitions_chain_through_the_carried_activation() -> None:
    flat = stack(3).unroll()
    entering = [op.reads[0] for _, op in flat.walk() if ".qkv" in op.name]
    assert entering == ["step/embedding.out", "step/layer.add.out@0", "step/layer.add.out@1"]
    assert next(op for _, op in flat.walk() if op.name == "step/head").reads[0].endswith("out@2")
    assert flat.outputs == ("step/head.out",)


def test_steps_of_a_phase_run_whole_and_reuse_weights_and_caches() -> None:
    graph = stack(2, phase=3)
    flat = graph.unroll()
    order = [op.name for _, op in flat.walk() if "embedding" in op.name or ".qkv" in op.name]
    step = "step/embedding@{0} step/layer.qkv@{1} step/layer.qkv@{2}"
    assert order == " ".join(step.format(i, 2 * i, 2 * i + 1) for i in range(3)).split()
    assert number(flat, flat.macs) == number(graph, graph.macs)
    assert flat.weight_elements == graph.weight_elements
    caches = {n for n, t in flat.tensors.items() if t.role == "kv"}
    assert caches == {"step/layer.kv@0", "step/layer.kv@1"}
    # A step does not read the activations of the one before.
    first = next(op for _, op in flat.walk() if op.name == "step/layer.qkv@2")
    assert first.reads[0] == "step/embedding.out@1"


def test_free_counts_need_a_number() -> None:
    g = GraphBuilder("free")
    x = g.input("x", (2, 4))
    with g.repeat(symbol("depth"), "layer"):
        x = g.linear(x, 4)
    graph = g.build()
    with pytest.raises(ValueError, match="depth"):
        graph.unroll()
    with pytest.raises(ValueError, match="whole"):
        graph.unroll({"depth": 2.5})
    assert graph.unroll({"depth": 4}).macs == 4 * 2 * 4 * 4


def test_layers_do_not_nest() -> None:
    g = GraphBuilder("nested")
    with (
        g.repeat(2, "outer"),
        pytest.raises(ValueError, match="inside layer 'outer'"),
        g.repeat(2, "inner"),
    ):
        pass


def test_networkx_follows_the_data(load: Callable[..., Workload]) -> None:
    flat = load("resnet18").graph().unroll()
    graph = flat.to_networkx()
    assert nx.is_directed_acyclic_graph(graph)
    assert nx.is_weakly_connected(graph)
    assert sum(number(flat, m) for _, m in graph.nodes(data="macs")) == 1_814_073_344
    shortcut = graph.edges["layer1.0.relu", "layer1.1.add"]["tensors"]
    assert shortcut == ("layer1.0.relu.out",)
    order = {op.name: i for i, (_, op) in enumerate(flat.walk())}
    assert all(order[a] < order[b] for a, b in graph.edges)


def test_hash_is_of_the_content(load: Callable[..., Workload]) -> None:
    graph = load("mobilenet_v2").graph()
    assert graph.content_hash() == load("mobilenet_v2").graph().content_hash()
    assert graph.content_hash() != load("mobilenet_v2", classes=10).graph().content_hash()
    assert graph.content_hash() != graph.unroll().content_hash()
    other = replace(graph, outputs=graph.inputs)
    assert graph.content_hash() != other.content_hash()


def test_hash_does_not_depend_on_what_a_process_built_before() -> None:
    script = """
import sys
from perfmodel.workload.symbols import symbol
for name in sys.argv[1:]:
    symbol(name)
from perfmodel.workload.families import family
F = family("mobilenet")
s = F.structure(variant="v2", stages=({"channels": 16}, {"channels": 24, "stride": 2}))
from perfmodel.workload.families import ExecutionSemantics
print(F.build(s, ExecutionSemantics()).content_hash())
"""
    orders = (["batch", "height"], ["width_multiplier", "width", "height", "batch"])
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script, *order], check=True, capture_output=True, text=True
        ).stdout
        for order in orders
    }
    assert len(hashes) == 1


def peak(graph: Graph) -> float:
    table = lower(graph).bind(graph.defaults)
    return max(sum(column[:, 0] for column in table.live.values()))


def test_peak_of_live_activations_is_the_widest_residual(load: Callable[..., Workload]) -> None:
    # ResNet-50's add holds two inputs and one output of 256 x 56 x 56.
    graph = load("resnet50", batch_norm="folded").graph()
    unfused = lower(graph, FusionRules(elementwise=False)).bind(graph.defaults)
    live = sum(column[:, 0] for column in unfused.live.values())
    assert live.max() == 3 * 256 * 56 * 56


@pytest.mark.parametrize("name", MODELS)
def test_repetition_does_not_change_the_peak(name: str, load: Callable[..., Workload]) -> None:
    graph = load(name).graph()
    assert peak(graph) == peak(graph.unroll())


def test_a_repetition_reads_in_place_what_the_one_before_wrote() -> None:
    """Where an operator reads and writes one tensor, only the written name is new."""
    access = Access("x", "read", 4), Access("w", "read", 4), Access("x", "write", 4)
    nest = LoopNest(
        (("m", 4),),
        (
            Operand("x", "input", ((("m", 1),),)),
            Operand("w", "weight", ((("m", 1),),)),
            Operand("x", "output", ((("m", 1),),)),
        ),
    )
    operator = Operator("scale", "gemm", access, (nest,), inplace="x")
    tensors = {"x": Tensor("x", (4,)), "w": Tensor("w", (4,), "weight")}
    block = Block("layer", 3, (operator,), layer=True, stored=3)
    unrolled = Graph("g", tensors, (block,), ("x",), ("x",)).unroll()
    operators = [op for _, op in unrolled.walk()]
    assert [op.name for op in operators] == ["scale@0", "scale@1", "scale@2"]
    assert [op.reads for op in operators] == [("x", "w@0"), ("x@0", "w@1"), ("x@1", "w@2")]
    assert [op.writes for op in operators] == [("x@0",), ("x@1",), ("x@2",)]
    assert [op.inplace for op in operators] == ["x", "x@0", "x@1"]
    for op in operators:
        assert [o.tensor for o in op.nests[0].operands] == [*op.reads, *op.writes]
    assert unrolled.outputs == ("x@2",)
    assert set(unrolled.tensors) == {"x", "x@0", "x@1", "x@2", "w@0", "w@1", "w@2"}
