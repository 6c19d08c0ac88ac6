"""What a runtime adds to a network: conversions, algorithms, host time; against closed forms."""

from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.runtime import EXECUTED_CLASSES, Runtime
from perfmodel.prediction import Prediction
from perfmodel.prediction.engine_model import execution_of
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.convolution_algorithms import WINOGRAD, executed_macs, transform_ops
from perfmodel.workload.execution_policy import ExecutionPolicy, apply_execution_policy
from perfmodel.workload.graph import Graph
from perfmodel.workload.layout_conversions import BlockedChannelLayout, with_conversions
from perfmodel.workload.lower import lower
from perfmodel.workload.vector_functions import VECTOR_OPS
from perfmodel.workload.workload import Workload

BATCH, TOKENS, WIDTH = 2, 16, 64


@pytest.fixture
def core() -> Device:
    return hardware("zen4_core")


def workload(graph: Graph) -> Workload:
    return Workload(graph.name, lambda semantics: graph, {})


def classifier() -> Workload:
    made = GraphBuilder("classifier")
    x = made.input("x", (BATCH, TOKENS, WIDTH))
    y = made.softmax(made.linear(x, WIDTH, name="first", bias=False))
    made.output(made.linear(y, WIDTH, name="second", bias=False))
    return workload(made.build())


def convolution(kernel: int = 3, stride: int = 1, groups: int = 1, side: int = 16) -> Workload:
    made = GraphBuilder("convolution")
    x = made.input("x", (1, 32, side, side))
    made.output(made.conv(x, 64, kernel, stride=stride, padding="same", groups=groups, bias=False))
    return workload(made.build())


def runtime(**said: Any) -> Runtime:
    return Runtime(name="r", fusion={"elementwise": True}, per_operator=1e-6, **said)  # pyright: ignore[reportArgumentType]


def ask(work: Workload, device: Device, precision: str = "int8", **said: Any) -> Prediction:
    return pm.predict(work, device, precision=precision, runtime=runtime(**said))


def test_a_softmax_without_integers_pays_its_conversions(core: Device) -> None:
    plain = ask(classifier(), core)
    wide = ask(classifier(), core, executes={"softmax": ("fp32",)})
    assert len(wide.kernels) == len(plain.kernels) + 2
    # int8 in and fp32 out; fp32 through the softmax, where int8 went; fp32 in and int8 out.
    elements = BATCH * TOKENS * WIDTH
    more = elements * ((1 + 4) + (4 + 4) - (1 + 1) + (4 + 1))
    assert wide.traffic_bytes["l1"] - plain.traffic_bytes["l1"] == more
    assert wide.latency_s > plain.latency_s + 2e-6
    kinds = [k for k in wide.table["kind"].tolist() if k == "quantise"]
    assert len(kinds) == 2, "nothing rides on a conversion, and it rides on nothing"


def test_what_a_runtime_executes_costs_nothing(core: Device) -> None:
    plain = ask(classifier(), core)
    for formats in (("fp32", "int8"), ("int8",)):
        assert ask(classifier(), core, executes={"softmax": formats}).latency_s == pytest.approx(
            plain.latency_s, rel=1e-12
        )
    floats = ask(classifier(), core, "fp32", executes={"softmax": ("fp32",)})
    assert floats.latency_s == pytest.approx(ask(classifier(), core, "fp32").latency_s, rel=1e-12)


def test_neighbours_that_fall_back_share_their_conversions() -> None:
    made = GraphBuilder("chain")
    x = made.input("x", (4, 8))
    made.output(made.elementwise("gelu", made.softmax(x)))
    graph = made.build()
    rules = (("softmax", ("fp32",)), ("gelu", ("fp32",)))
    found = apply_execution_policy(graph, ExecutionPolicy(executes=rules), "int8")
    functions = [dict(op.attributes).get("function", op.kind) for _, op in found.walk()]
    assert functions == ["dequantise", "softmax", "gelu", "quantise"]
    assert apply_execution_policy(graph, ExecutionPolicy(executes=rules), "fp32") is graph


def test_products_that_fall_back_run_in_floats(core: Device) -> None:
    found = ask(classifier(), core, executes={"gemm": ("fp32",)})
    assert set(found.executed) == {"fp32"}
    assert found.weight_bytes == ask(classifier(), core).weight_bytes, "weights stay int8"


def test_the_softmax_of_an_unfused_attention_falls_back(core: Device) -> None:
    bert = pm.workload("bert_base")
    said = {"fusion": {"attention": "unfused"}}
    plain = pm.predict(bert, core, precision="int8", runtime=Runtime(name="r", **said))  # pyright: ignore[reportArgumentType]
    wide = pm.predict(
        bert,
        core,
        precision="int8",
        runtime=Runtime(name="r", executes={"softmax": ("fp32",)}, **said),  # pyright: ignore[reportArgumentType]
    )
    scores = 12 * 128 * 128
    more = wide.traffic_bytes["dram"] - plain.traffic_bytes["dram"]
    assert more == 12 * scores * 4 * 4, "four passes of fp32 a layer"
    launched = [
        pm.predict(
            bert,
            core,
            precision="int8",
            runtime=Runtime(name="r", per_operator=1e-6, executes=rules, **said),  # pyright: ignore[reportArgumentType]
        ).latency_s
        for rules in ({}, {"softmax": ("fp32",)})
    ]
    waited = wide.latency_s - plain.latency_s
    assert launched[1] - launched[0] - waited == pytest.approx(24e-6), "two more kernels a layer"
    ops = {p: np.sum(p.table["count"] * p.table["vector_ops"]) for p in (plain, wide)}
    each = VECTOR_OPS["dequantise"] + VECTOR_OPS["quantise"]
    assert ops[wide] - ops[plain] == 12 * scores * each


def test_conversions_of_layout_come_last_in_what_is_added() -> None:
    made = GraphBuilder("net")
    x = made.conv(made.input("x", (1, 3, 8, 8)), 32, 3, bias=False)
    made.output(made.conv(made.elementwise("gelu", x), 32, 1, bias=False))
    graph, layout = made.build(), BlockedChannelLayout(16)
    rules = (("gelu", ("fp32",)),)
    found = apply_execution_policy(graph, ExecutionPolicy(executes=rules, layout=layout), "int8")
    assert found is with_conversions(
        apply_execution_policy(graph, ExecutionPolicy(executes=rules), "int8"), layout
    )
    assert [op.kind for _, op in found.walk()] == [
        "conv",
        "copy",
        "quantise",
        "elementwise",
        "quantise",
        "copy",
        "conv",
    ]
    alone = ExecutionPolicy(layout=layout)
    assert not alone.rewrites
    assert apply_execution_policy(graph, alone, "int8") is apply_execution_policy(
        graph, alone, "fp32"
    ), "of any format"


def test_what_a_runtime_adds_is_one_object() -> None:
    assert execution_of(runtime()) is None
    assert execution_of(runtime(blocks={"functions": ("add",)})) is None, "nothing in blocks"
    found = execution_of(runtime(blocks={"channels": 8, "joins": True}))
    assert found == ExecutionPolicy(layout=BlockedChannelLayout(8, joins=True))


@pytest.mark.parametrize(
    ("device", "precision", "share"),
    [
        ("cortex_a76", "fp16", 1 / 4),
        ("cortex_a76", "int8", 1.0),
        ("cortex_a72", "int8", 1 / 4),
    ],
)
def test_dot_products_take_integers_directly(device: str, precision: str, share: float) -> None:
    """An A76 has dot products of 8-bit integers, an A72 has not."""
    work = convolution()
    said = {"algorithms": ("winograd_4x4",), "dot_product_algorithms": ("direct",)}
    found = ask(work, hardware(device), precision, kernels={"conv": said})
    plain = ask(work, hardware(device), precision)
    assert float(found.table["matrix_s"][0]) == pytest.approx(
        share * float(plain.table["matrix_s"][0])
    )


@pytest.mark.parametrize(("name", "share"), [("winograd_2x2", 4 / 9), ("winograd_4x4", 1 / 4)])
def test_winograd_multiplies_less(core: Device, name: str, share: float) -> None:
    work = convolution()
    plain = ask(work, core, "fp32")
    found = ask(work, core, "fp32", kernels={"conv": {"algorithms": (name, "direct")}})
    assert found.macs == plain.macs, "the network's own work"
    assert float(found.table["matrix_s"][0]) == pytest.approx(
        share * float(plain.table["matrix_s"][0])
    )
    operator = work.graph().blocks[0].operators[0]
    assert executed_macs(operator, name) == share * 16 * 16 * 9 * 32 * 64
    m, inputs, outputs = WINOGRAD[name]
    # A filter of 3 x 3 lies in memory, and is read, transformed: (m + 2)^2 numbers.
    grown = ((m + 2) ** 2 - 9) * 32 * 64 * 4
    moved = [float(p.traffic_bytes["dram"]) for p in (found, plain)]
    assert moved[0] == pytest.approx(moved[1] + grown)
    assert transform_ops(operator, name) == (16 / m) ** 2 * (32 * inputs + 64 * outputs)
    for other in (convolution(stride=2), convolution(kernel=1), convolution(groups=2)):
        direct = ask(other, core, "fp32")
        said = {k: {"algorithms": (name,)} for k in ("conv", "grouped")}
        assert ask(other, core, "fp32", kernels=said).latency_s == pytest.approx(
            direct.latency_s, rel=1e-12
        )


def test_winograd_transforms_by_brute_force() -> None:
    """F(2 x 2, 3 x 3) gives the convolution, and its transforms take the operations stated."""
    rng = np.random.default_rng(7)
    data, kernel = rng.normal(size=(4, 4)), rng.normal(size=(3, 3))
    b = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    a = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
    products = (g @ kernel @ g.T) * (b @ data @ b.T)
    direct = [[np.sum(data[i : i + 3, j : j + 3] * kernel) for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(a @ products @ a.T, direct)
    adds = [int(np.sum(np.count_nonzero(m, axis=1) - 1)) for m in (b, a)]
    assert WINOGRAD["winograd_2x2"][1:] == (adds[0] * 8, adds[1] * 6)
    assert products.size / 4 == pytest.approx(9 * 4 / 9)


def test_columns_are_written_and_read(core: Device) -> None:
    plain = ask(convolution(), core, "fp32")
    said = {"conv": {"algorithms": ("im2col",)}}
    found = ask(convolution(), core, "fp32", kernels=said)
    assert found.traffic_bytes["dram"] - plain.traffic_bytes["dram"] == 2 * 4 * 9 * 32 * 16 * 16
    alone = ask(convolution(kernel=1), core, "fp32")
    assert ask(convolution(kernel=1), core, "fp32", kernels=said).latency_s == pytest.approx(
        alone.latency_s, rel=1e-12
    )


def test_groups_without_kernels_of_their_own(core: Device) -> None:
    plain = ask(convolution(groups=32), core, "fp32")
    dense = ask(
        convolution(groups=32), core, "fp32", kernels={"depthwise": {"algorithms": ("dense",)}}
    )
    assert float(dense.table["matrix_s"][0]) == pytest.approx(
        32 * float(plain.table["matrix_s"][0]), rel=1e-12
    )
    grouped = ask(convolution(groups=4), core, "fp32")
    split = ask(
        convolution(groups=4), core, "fp32", kernels={"grouped": {"algorithms": ("per_group",)}}
    )
    assert split.latency_s - grouped.latency_s == pytest.approx(3e-6)


def test_every_sequence_takes_the_host_time(core: Device) -> None:
    model, batch = "llama_2_7b", np.array([1.0, 4.0, 32.0])
    step = pm.workload(model, phase="decode", batch=batch, context=64)
    apart = (
        ask(step, core, "w8a16", per_sequence=2e-3).latency_s - ask(step, core, "w8a16").latency_s
    )
    np.testing.assert_allclose(apart, 2e-3 * batch)
    request = pm.workload(model, phase="request", batch=3, prompt=16, generate=10)
    found, plain = ask(request, core, "w8a16", per_sequence=2e-3), ask(request, core, "w8a16")
    assert found.latency_s - plain.latency_s == pytest.approx(3 * 2e-3 * 11)
    assert found.tpot_s - plain.tpot_s == pytest.approx(3 * 2e-3)
    assert found.ttft_s - plain.ttft_s == pytest.approx(3 * 2e-3)


def test_a_prompt_takes_the_time_of_its_shapes_once(core: Device) -> None:
    """`per_prompt` is added to a prefill, once to a request, and never to a decode step."""
    model = "llama_3_2_1b"
    for phase, sizes, times in (
        ("prefill", {"prompt": np.array([16.0, 64.0])}, 1),
        ("decode", {"context": 64}, 0),
        ("request", {"prompt": 16, "generate": 10}, 1),
    ):
        found, plain = (
            ask(pm.workload(model, phase=phase, **sizes), core, "w8a16", **said)
            for said in ({"per_prompt": 0.25}, {})
        )
        np.testing.assert_allclose(found.latency_s - plain.latency_s, 0.25 * times, rtol=1e-9)
        if phase == "request":
            assert found.ttft_s - plain.ttft_s == pytest.approx(0.25)
            assert found.tpot_s == pytest.approx(plain.tpot_s)


def test_points_equal_single_predictions(core: Device) -> None:
    said: dict[str, Any] = {
        "executes": {"softmax": ("fp32",), "gelu": ("fp32",)},
        "per_sequence": 1e-4,
    }
    tokens = np.array([8.0, 64.0, 300.0])
    many = ask(pm.workload("bert_base", tokens=tokens), core, **said).latency_s
    ones = [ask(pm.workload("bert_base", tokens=t), core, **said).latency_s for t in tokens]
    np.testing.assert_allclose(many, ones, rtol=1e-12)
    sides, net = np.array([96.0, 224.0]), "mobilenet_v3_small"
    said = {"blocks": {"channels": 4, "functions": ("add", "batch_norm")}}
    many = ask(pm.workload(net, height=sides, width=sides), core, **said).latency_s
    ones = [ask(pm.workload(net, height=s, width=s), core, **said).latency_s for s in sides]
    np.testing.assert_allclose(many, ones, rtol=1e-12)


def test_an_oracle_under_a_policy_equals_predictions(core: Device) -> None:
    space = pm.space("nas_bench_201")
    for said, method in (
        ({"kernels": {"conv": {"algorithms": ("winograd_2x2",)}}}, "tabled"),
        ({"per_sequence": 1e-3}, "tabled"),
        ({"per_prompt": 1e-3}, "tabled"),
    ):
        oracle = pm.Oracle(core, space, runtime=runtime(**said))
        assert oracle.method == method
        member = next(iter(space))
        seconds = ask(space.workload(member), core, "fp32", **said).latency_s
        assert oracle(member)["latency_s"] == pytest.approx(
            pm.predict(space.workload(member), core, runtime=runtime(**said)).latency_s
        )
        assert seconds > 0


def test_an_oracle_of_a_prefill_takes_the_time_of_its_prompt(core: Device) -> None:
    prefill = pm.workload("llama_3_2_1b", phase="prefill", prompt=16)
    space = pm.space(prefill, {"weight_bits": [4, 8], "batch": [1, 4]}, share="network")
    said = runtime(per_prompt=0.25)
    oracle = pm.Oracle(core, space, runtime=said)
    assert oracle.method == "tabled"
    for member in space.sample(4, seed=1).tolist():
        alone = oracle.predict(member).latency_s
        assert oracle(member)["latency_s"] == pytest.approx(alone, rel=1e-13)


def test_the_plain_graph_is_left_alone() -> None:
    graph = pm.workload("resnet18").graph()
    layout = BlockedChannelLayout(4, ("add", "relu", "batch_norm"))
    assert apply_execution_policy(graph, ExecutionPolicy(layout=layout), "") is graph
    assert lower(graph).rows[0].algorithm == ""


def test_functions_are_those_of_the_builder() -> None:
    assert set(VECTOR_OPS) - {"softmax", "quantise", "dequantise", "cast", "shift"} <= set(
        EXECUTED_CLASSES
    )


def test_a_share_of_the_neurons_reads_a_share_of_their_weights(core: Device) -> None:
    step = pm.workload("opt_6_7b", phase="decode", batch=1, context=64)
    plain = ask(step, core, "fp32")
    found = ask(step, core, "fp32", semantics={"active_neurons": 0.4})
    weights = 32 * 2 * 4096 * 16384
    less = plain.traffic_bytes["dram"] - found.traffic_bytes["dram"]
    assert less == pytest.approx(0.6 * 4 * weights, rel=1e-3)
    assert plain.macs - found.macs == pytest.approx(0.6 * weights, rel=1e-12)
    assert found.weight_bytes == plain.weight_bytes, "all are stored"
    assert ask(step, core, "fp32", semantics={"active_neurons": 1.0}).latency_s == pytest.approx(
        plain.latency_s, rel=1e-12
    )
