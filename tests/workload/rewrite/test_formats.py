"""Graphs with formats of their own against precisions, hand counts, and the grammar of slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perfmodel.ask import hardware, workload
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError
from perfmodel.formats import Sparsity, fixed_format, parse_precision
from perfmodel.kinds.rates import sparse_speedup
from perfmodel.predict import predict
from perfmodel.resolve import usual_runtime
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules, fused_kernels
from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite import format_groups, layers, with_formats
from perfmodel.workload.sequence_builder import SequenceBuilder
from perfmodel.workload.workload import Workload

METRICS = (
    "latency_s",
    "energy_j",
    "peak_memory_bytes",
    "weight_bytes",
    "kv_bytes",
    "activation_bytes",
    "bit_operations",
    "offchip_bytes",
)


def rewritten(base: Workload, change: Callable[[Graph], Graph]) -> Workload:
    """The workload with another graph."""

    def build(semantics: ExecutionSemantics) -> Graph:
        return graphs.setdefault(semantics, change(base.graph(semantics)))

    graphs: dict[ExecutionSemantics, Graph] = {}
    return Workload(base.name, build, base.parameters, (base.unit, base.items()))


def uniform(weights: str, activations: str, kv: str) -> Callable[[Graph], Graph]:
    """Every tensor that a precision decides, vectors apart, in one format a role."""

    def change(graph: Graph) -> Graph:
        stored = {
            name: weights
            for name, t in graph.tensors.items()
            if t.role == "weight" and t.tag != "vector" and not t.format
        }
        groups = {g.name: activations for g in format_groups(graph) if not g.fixed}
        return with_formats(graph, stored, groups, kv)

    return change


def values(prediction: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in METRICS:
        value = getattr(prediction, name, None)
        if isinstance(value, float | int):
            found[name] = float(value)
    return found | {f"traffic {k}": float(v) for k, v in prediction.traffic_bytes.items()}


@pytest.mark.parametrize(
    ("network", "device"),
    [
        ("resnet18", "gemmini_16x16"),
        ("resnet18", "raspberry_pi_5"),
        ("resnet18", "eyeriss"),
        ("mobilenet_v3_small", "scale_sim_32x32"),
        ("llama_3_8b", "cambricon_llm_s"),
        ("mixtral_8x7b", "a100"),
        ("mamba_130m", "rtx_4090"),
        ("bert_base", "zen4_core"),
        # Kernels that count what weights of a format take; products of two activations run apart.
        ("tinyllama", "zen4_core"),
        ("tinyllama", "raspberry_pi_5"),
        ("resnet18", "cim_jia_65nm"),
        ("bert_base", "hailo8"),
    ],
)
@pytest.mark.parametrize(
    ("precision", "base"),
    [
        # Elementwise arithmetic and biases follow the activations of the precision itself.
        ("w=int4,a=int8,kv=int8", "w=int8,a=int8,kv=int8"),
        ("w=int4g128,a=fp16,kv=int8", "w=fp16,a=fp16,kv=fp16"),
        ("w=mxfp4,a=bf16,kv=fp8", "w=bf16,a=bf16,kv=bf16"),
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"model": "roofline"}, {"flash_attention": False, "fuse": False}]
)
def test_uniform_formats_are_the_precision(
    network: str, device: str, precision: str, base: str, options: dict[str, Any]
) -> None:
    roles = dict(part.split("=") for part in precision.split(","))
    plain, machine = workload(network), hardware(device)
    # Which runtime is usual depends on the precision that is named.
    options = {**options, "runtime": usual_runtime(machine, plain, precision)}
    fixed = rewritten(plain, uniform(roles["w"], roles["a"], roles["kv"]))
    expected = values(predict(plain, machine, precision=precision, **options))
    assert values(predict(fixed, machine, precision=base, **options)) == pytest.approx(
        expected, rel=1e-12, nan_ok=True
    )
    others = values(predict(plain, machine, precision=base, **options))
    assert others["weight_bytes"] != expected["weight_bytes"]


def test_activations_of_their_own_formats_follow_without_biases() -> None:
    """No biases, no vector units of its own: the base precision decides nothing then."""
    g = SequenceBuilder("mlp")
    x = g.input("x", (8, 64))
    for i in range(3):
        x = g.linear(x, 96, bias=False, name=f"fc{i}")
    g.output(x)
    graph = g.build()
    plain = Workload("mlp", lambda _: graph, {})
    fixed = rewritten(plain, uniform("int8", "int8", "int8"))
    device = hardware("tpu_v1")
    expected = values(predict(plain, device, precision="w8a8"))
    assert values(predict(fixed, device, precision="w16a16")) == pytest.approx(
        expected, rel=1e-12, nan_ok=True
    )


def chain() -> Graph:
    g = GraphBuilder("chain")
    x = g.input("x", (1, 4, 8, 8))
    a = g.conv(x, 8, 3, padding=1, name="a")
    a = g.elementwise("relu", a, name="a.relu")
    b = g.conv(a, 8, 3, padding=1, bias=False, name="b")
    b = g.elementwise("add", b, a, name="sum")
    g.output(g.conv(b, 2, 1, bias=False, name="c"))
    return g.build()


def test_groups_of_a_chain_with_a_residual_sum() -> None:
    groups = format_groups(chain())
    assert [g.tensors for g in groups] == [
        ("x",),
        ("a.out", "a.relu.out", "b.out", "sum.out"),
        ("c.out",),
    ]
    assert groups[0].inputs == ("x",)
    assert groups[2].outputs == ("c.out",)


def test_a_boundary_costs_a_conversion_and_every_byte_is_counted() -> None:
    graph = with_formats(
        chain(),
        {"a.weight": "int4", "b.weight": "int8+2:4"},
        {"x": "int8", "a.out": "int4", "c.out": "int4"},
    )
    extra = [op for _, op in graph.walk() if op.kind == "quantise"]
    assert [(op.name, op.vector_ops) for op in extra] == [("a.quantise", 3 * 8 * 64)]
    assert graph.tensors["a.out.raw"].format == "int8"
    assert graph.tensors["sum.out"].format == "int4"
    pairs = {op.name: op.pair for _, op in graph.walk() if op.nests}
    assert pairs == {
        "a": ("weight=int4", "=int8"),
        "b": ("weight=int8+2:4", "=int4"),
        "c": ("weight", "=int4"),
    }
    made = Workload("chain", lambda _: graph, {})
    p = predict(made, hardware("a100"), precision="w8a8")
    # a: 288 weights of 4 bits; b: half of 576, each 8 + 2 bits; c: 16 of 8; biases of 32 bits.
    assert p.weight_bytes == 288 * 4 / 8 + 576 * 0.5 * 10 / 8 + 16 + 8 * 4
    # Bare: x in 8 bits, the rest in 4; b adds its input again.
    roof = predict(made, hardware("a100"), precision="w8a8", model="roofline")
    inner, out = 8 * 64 / 2, 2 * 64 / 2
    moved = (4 * 64 + inner) + (inner + inner) + (inner + out)
    assert sum(roof.traffic_bytes.values()) == pytest.approx(p.weight_bytes + moved, rel=1e-12)
    # Where nothing fuses, the conversion writes and reads what the convolution left in 8 bits,
    # ReLU reads and writes as well, and the sum reads two and writes one.
    apart = predict(made, hardware("a100"), precision="w8a8", model="roofline", fuse=False)
    moved += 2 * 8 * 64 + 2 * inner + 3 * inner
    assert sum(apart.traffic_bytes.values()) == pytest.approx(p.weight_bytes + moved, rel=1e-12)


def test_a_conversion_rides_on_its_kernel_and_keeps_the_normalisation_folded() -> None:
    g = GraphBuilder("one")
    x = g.input("x", (1, 4, 8, 8))
    y = g.norm(g.conv(x, 8, 1, bias=False, name="a"), "batch_norm")
    g.output(g.elementwise("relu", y))
    plain = g.build()
    mixed = with_formats(plain, {}, {"x": "int8", "a.out": "int4"})
    (before,), (after,) = (fused_kernels(graph, FusionRules()) for graph in (plain, mixed))
    assert after.vector_ops - before.vector_ops == 3 * 8 * 64
    without = with_formats(plain, {}, {"x": "int8", "a.out": "int4"}, conversion=False)
    assert all(op.kind != "quantise" for _, op in without.walk())


def test_unnamed_tensors_are_what_the_precision_says() -> None:
    made = with_formats(chain(), {}, {"a.out": "int8"}, precision="w8a8")
    assert all(op.kind != "quantise" for _, op in made.walk())
    made = with_formats(chain(), {}, {"a.out": "int8"}, precision="fp16")
    names = [op.name for _, op in made.walk() if op.kind == "quantise"]
    assert names == ["a.quantise", "c.dequantise"]


def test_nothing_named_is_the_same_graph() -> None:
    graph = chain()
    assert with_formats(graph) is graph
    once = with_formats(graph, {"a.weight": "int4"})
    assert with_formats(once, {"a.weight": "int4"}) is once
    assert with_formats(once, {"a.weight": ""}) == graph


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as caught:
        with_formats(
            chain(),
            {"a.weigth": "int8", "b.weight": "int99+3"},
            {"a.out": "int8", "sum.out": "int4", "x": "int8+2:4"},
            {"cache": "int8"},
        )
    found = [(f.path, f.suggestion) for f in caught.value.faults]
    assert [path for path, _ in found] == [
        "weights.a.weigth",
        "weights.b.weight",
        "weights.b.weight",
        "kv.cache",
        "activations.sum.out",
        "activations.x",
    ]
    assert found[0][1] == "a.weight"


def test_layers_count_tied_weights_once_and_repetitions_all() -> None:
    made = workload("gemma_2_2b")
    graph = made.graph()
    found = layers(graph)
    head = next(layer for layer in found if layer.name == "head")
    assert head.weight == "embedding.weight"
    assert len({layer.weights for layer in found}) == len(found)
    assert sum(made.number(layer.macs) for layer in found) == pytest.approx(
        sum(
            made.number(b.count * op.macs)
            for b, op in graph.walk()
            if op.kind in {"gemm", "moe", "conv", "depthwise"}
        )
    )
    vectors = sum(
        made.number(times * graph.tensors[name].elements)
        for name, times in graph.stored_weights().items()
        if graph.tensors[name].tag == "vector"
    )
    assert sum(made.number(layer.weight_elements) for layer in found) + vectors == made.weights


def test_unrolled_layers_choose_apart() -> None:
    graph = workload("bert_base").graph().unroll({"batch": 1})
    first, second = "layer.q_proj.weight@0", "layer.q_proj.weight@1"
    made = with_formats(graph, {first: "int4"}, {"layer.attention.out@1": "int8"})
    assert (made.tensors[first].format, made.tensors[second].format) == ("int4", "")
    scores = [name for name in made.tensors if name.endswith(".scores")]
    assert scores == ["layer.attention@1.scores"]


@pytest.mark.parametrize(
    ("slot", "bits"),
    [
        ("=int8+2:4", 0.5 * (8 + 2)),
        # The bitmap: half of 16 bits and one bit each.
        ("=fp16+s0.5", 9.0),
        ("weight=fp16+s0.5", 9.0),
        ("=int4", 4.0),
        ("kv=int8", 8.0),
        # Nothing to gain from leaving 1 % out: stored dense.
        ("=int4+s0.01", 4.0),
    ],
)
def test_bits_of_fixed_slots(slot: str, bits: float) -> None:
    assert parse_precision("w16a16").bits(slot) == pytest.approx(bits, rel=1e-12)
    assert parse_precision("int8+2:4").bits(slot) == pytest.approx(bits, rel=1e-12)


def test_fixed_sparse_slots_compute_in_the_format_and_gain_what_the_engine_states() -> None:
    chosen = parse_precision("fp16")
    assert chosen.format_of("=int8+2:4").name == "int8"
    assert chosen.sparsity_of("=int8+2:4") == Sparsity("2:4", 0.5)
    assert chosen.sparsity_of("weight") is None
    assert fixed_format("int8") == (chosen.format_of("=int8"), None)
    facts = {"engines.e.sparse_speedup.2:4": 2.0}
    setting = Setting(facts, "e", ("m",), "m", chosen)
    assert sparse_speedup(setting, ("=int8+2:4", "activation")) == 2.0
    assert sparse_speedup(setting, ("=int8+s0.5", "activation")) == 1.0
    assert sparse_speedup(setting, ("=int8", "activation")) == 1.0
    everywhere = Setting(facts, "e", ("m",), "m", parse_precision("int8+2:4"))
    assert sparse_speedup(everywhere, ("weight", "activation")) == 2.0
    assert sparse_speedup(everywhere, ("=int8", "activation")) == 1.0


def test_uniform_sparsity_is_the_precision() -> None:
    plain, machine = workload("resnet18"), hardware("a100")
    for pattern in ("2:4", "s0.8"):
        fixed = rewritten(plain, uniform(f"int8+{pattern}", "int8", "int8"))
        expected = values(predict(plain, machine, precision=f"int8+{pattern}"))
        assert values(predict(fixed, machine, precision="int8")) == pytest.approx(
            expected, rel=1e-12, nan_ok=True
        )


@pytest.mark.parametrize("slot", ["=int99", "=int8+3:2", "=nosuch+s2"])
def test_bad_fixed_slots_are_refused(slot: str) -> None:
    with pytest.raises(InputError):
        parse_precision("fp16").bits(slot)
