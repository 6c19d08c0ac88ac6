"""Backward graphs against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perfmodel.errors import InputError
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import lower
from perfmodel.workload.sequence_builder import SequenceBuilder
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.training_step import backward
from perfmodel.workload.workload import Workload


def number(graph: Graph, dim: object) -> float:
    return float(evaluate(dim, graph.defaults))  # type: ignore[arg-type]


def phase_macs(graph: Graph, phase: str) -> float:
    return sum(number(graph, op.macs) for block, op in graph.walk() if block.phase == phase)


def chain(layers: int = 4, batch: int = 8, width: int = 16, activation: str = "") -> Graph:
    g = GraphBuilder("chain")
    x = g.input("x", (batch, width))
    for i in range(layers):
        x = g.linear(x, width, name=f"fc{i}", bias=False)
        if activation:
            x = g.elementwise(activation, x, name=f"act{i}")
    return g.build()


def test_backward_is_twice_forward_where_every_input_needs_a_gradient() -> None:
    graph = chain()
    step = backward(graph, inputs=True)
    assert phase_macs(step, "forward") == 4 * 8 * 16 * 16
    assert phase_macs(step, "backward") == 2 * phase_macs(step, "forward")
    assert step.inputs == ("x", "fc3.out.grad")
    assert set(step.outputs) == {"fc3.out", "x.grad", *(f"fc{i}.weight.grad" for i in range(4))}


def test_the_first_layer_needs_no_gradient_of_its_input() -> None:
    step = backward(chain())
    one = 8 * 16 * 16
    assert phase_macs(step, "backward") == (2 * 4 - 1) * one
    names = [op.name for block, op in step.walk() if block.phase == "backward"]
    assert "fc0.backward.weight" in names
    assert "fc0.backward.input" not in names


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mlperf_tiny_kws"])
def test_convolutional_networks(name: str, load: Callable[..., Workload]) -> None:
    graph = load(name).graph()
    step = backward(graph)
    forward = number(graph, graph.macs)
    first = next(number(graph, op.macs) for _, op in graph.walk() if op.macs != 0)
    assert phase_macs(step, "forward") == forward
    assert phase_macs(step, "backward") == 2 * forward - first
    gradients = [n for n in step.outputs if n.endswith((".grad", ".sum"))]
    weights = sum(number(step, step.tensors[n].elements) for n in gradients)
    assert weights == number(graph, graph.weight_elements)


def test_gradient_nests_index_their_own_tensors(load: Callable[..., Workload]) -> None:
    step = backward(load("mobilenet_v2").graph())
    checked = 0
    for block, operator in step.walk():
        if block.phase != "backward" or not operator.nests:
            continue
        (nest,) = operator.nests
        output = next(o for o in nest.operands if o.role == "output")
        assert output.tensor in operator.writes
        for operand in nest.operands:
            assert operand.tensor in (*operator.reads, *operator.writes)
            if operand.role != "output" or ".weight" in output.tensor:
                elements = number(step, nest.elements(operand))
                assert elements <= number(step, step.tensors[operand.tensor].elements)
        checked += 1
    assert checked == 2 * 53 - 1


def test_only_what_leads_to_trainable_weights_is_computed() -> None:
    graph = chain()
    head = backward(graph, "fc3.*")
    assert phase_macs(head, "backward") == 8 * 16 * 16
    middle = backward(graph, ["fc1.weight"])
    # dX of layers 3 and 2, dW of layer 1.
    assert phase_macs(middle, "backward") == 3 * 8 * 16 * 16
    assert middle.outputs == ("fc3.out", "fc1.weight.grad")


def test_training_biases_keeps_no_inputs() -> None:
    # TinyTL (Cai et al. 2020): the gradient of a bias needs no activation.
    g = GraphBuilder("net")
    x = g.input("x", (8, 16))
    for i in range(4):
        x = g.linear(x, 16, name=f"fc{i}")
    graph = g.build()
    made = {n for _, op in graph.walk() for n in op.writes}

    def kept(step: Graph) -> set[str]:
        backwards = [op for block, op in step.walk() if block.phase == "backward"]
        return made.intersection(*[{n for op in backwards for n in op.reads}])

    assert kept(backward(graph, "*.bias")) == set()
    assert kept(backward(graph)) == {"fc0.out", "fc1.out", "fc2.out"}


def test_shared_inputs_add_their_gradients() -> None:
    g = GraphBuilder("residual")
    x = g.linear(g.input("x", (4, 8)), 8, name="in", bias=False)
    y = g.linear(x, 8, name="branch", bias=False)
    g.elementwise("add", x, y)
    step = backward(g.build())
    backwards = [op for block, op in step.walk() if block.phase == "backward"]
    sums = [op for op in backwards if op.name.endswith("accumulate")]
    assert len(sums) == 1
    assert set(sums[0].reads) == {"in.out.grad", "in.out.grad.2"}
    last = backwards[-1]
    assert last.name == "in.backward.weight"
    assert sums[0].writes[0] in last.reads


def test_tied_weights_have_one_gradient() -> None:
    g = SequenceBuilder("tied")
    ids = g.input("ids", (2, 5), format="int64")
    table = g.weight("table", (50, 8))
    x = g.embedding(ids, 50, 8, weight=table)
    g.linear(x, 50, weight=table, bias=False, name="head")
    step = backward(g.build(), inputs=True)
    # The head and the rows that were read both contribute; indices have no gradient.
    gradients = [n for n in step.outputs if "table" in n]
    assert len(gradients) == 1
    assert not any(n.startswith("ids.grad") for n in step.tensors)
    scatter = next(op for _, op in step.walk() if op.name == "embedding.backward")
    assert {a.elements for a in scatter.accesses if a.mode == "write"} == {2 * 5 * 8}


def test_attention_multiplies_five_times() -> None:
    g = SequenceBuilder("attention")
    x = g.input("x", (2, 6, 8))
    parts = {n: g.linear(x, 8, name=n, bias=False) for n in "qkv"}
    g.attention(
        parts["q"],
        batch=2,
        queries=6,
        keys=6,
        heads=2,
        head_dim=4,
        causal=True,
        key_value=(parts["k"], parts["v"]),
        write_cache=False,
    )
    graph = g.build()
    step = backward(graph)
    once = 2 * 2 * 6 * 6 * 4
    made = next(op for _, op in step.walk() if op.name == "attention.backward")
    assert made.macs == 5 * once
    assert set(made.writes) == {"q.out.grad", "k.out.grad", "v.out.grad"}
    forward = next(op for _, op in step.walk() if op.name == "attention")
    assert made.masked_macs / made.macs == forward.masked_macs / forward.macs
    # x itself is an input: three dW and no dX.
    assert phase_macs(step, "backward") == 5 * once + 3 * 2 * 6 * 8 * 8


def live(graph: Graph) -> list[float]:
    table = lower(graph, FusionRules(elementwise=False)).bind(graph.defaults)
    return list(sum(column[:, 0] for column in table.live.values()))


@pytest.mark.parametrize("layers", [1, 4, 20])
def test_activations_stay_until_their_backward_operator(layers: int) -> None:
    batch, width = 64, 16
    graph = chain(layers, batch, width)
    assert max(live(graph)) == 2 * batch * width
    # At the last layer's backward pass: what every layer read, the output, its gradient, that of
    # the layer's input (none for a single layer), and that of its weight.
    held = layers + 2 + (layers > 1)
    assert max(live(backward(graph))) == held * batch * width + width * width


def test_relu_reads_its_output_and_gelu_its_input() -> None:
    for activation, kept in (("relu", "act1.out"), ("gelu", "fc1.out")):
        step = backward(chain(activation=activation))
        made = next(op for _, op in step.walk() if op.name == "act1.backward")
        assert set(made.reads) == {"act1.out.grad", kept}


def test_a_step_is_a_graph_like_any_other(load: Callable[..., Workload]) -> None:
    step = backward(load("efficientformer_l1").graph())
    made = set(step.inputs)
    for _, operator in step.walk():
        for name in operator.reads:
            assert name in step.tensors
            assert step.tensors[name].role == "weight" or name in made
        assert not made & set(operator.writes)
        made |= set(operator.writes)
    assert set(step.outputs) <= made
    names = [operator.name for _, operator in step.walk()]
    assert len(set(names)) == len(names)
    assert lower(step).bind(step.defaults).macs.sum() > 0
    assert step.unroll().content_hash() == step.content_hash()


def test_a_pattern_that_names_nothing_is_a_fault() -> None:
    with pytest.raises(InputError, match="did you mean 'fc3") as caught:
        backward(chain(), ["fc3.wieght", "bn*"])
    assert len(caught.value.faults) == 2
