"""Cold weights that add, classes of efficiency, and what elementwise operators may ride on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cost.compose import compose
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Fusion, Runtime
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing.results import check_explanation
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload

seconds = st.floats(0.0, 1.0)


@given(seconds, seconds, seconds, seconds, seconds)
def test_cold_weights_lie_between_overlap_and_sum(
    work: float, cache: float, weights: float, rest: float, launch: float
) -> None:
    def time(overlap: str, cold: float | None = None) -> float:
        memory = {"l2": cache, "dram": weights + rest}
        return float(compose({"matrix": work}, memory, {"launch": launch}, overlap, cold))

    cold = time("cold_weights_add", weights)
    assert time("full") <= cold + 1e-15
    assert cold <= time("none") + 1e-15
    assert cold == pytest.approx(max(work + weights, cache + weights, weights + rest) + launch)
    assert time("cold_weights_add", 0.0) == pytest.approx(time("full"))


def workload(build: Callable[[GraphBuilder], None]) -> Workload:
    def graph(semantics: ExecutionSemantics) -> Graph:
        g = GraphBuilder("net")
        build(g)
        return g.build()

    return Workload("net", graph, {}, precision="fp32")


def run(work: Workload, runtime: Runtime, device: Device | None = None) -> Prediction:
    return predict(work, device or hardware("zen4_core"), runtime=runtime)


def test_a_layer_with_cold_weights_takes_arithmetic_and_weights() -> None:
    def layer(g: GraphBuilder) -> None:
        g.output(g.conv(g.input("x", (1, 512, 7, 7)), 512, 3, padding=1, bias=False))

    work, device = workload(layer), hardware("zen4_core")
    plain = Runtime(name="plain")
    facts = device.machine(plain).facts
    arithmetic = 2 * 512 * 512 * 9 * 49 / facts["engines.cpu.peaks.fp32"]
    weights = 4 * 512 * 512 * 9 / facts["memories.dram.bandwidth"]
    cold = run(work, plain)
    assert cold.latency_s == pytest.approx(arithmetic + weights, rel=1e-9)
    check_explanation(cold.explain(), cold.latency_s)
    warm = predict(work, device.vary({"memories.l3.reserved": 0.0}), runtime=plain, warm=True)
    assert warm.latency_s == pytest.approx(arithmetic, rel=0.02)
    # The measured layer: 1917 us with its weights in L3, 2350 us inside a network.
    assert cold.latency_s == pytest.approx(2350e-6, rel=0.05)
    assert warm.latency_s == pytest.approx(1917e-6, rel=0.05)
    check_explanation(warm.explain(), warm.latency_s)


def test_more_bandwidth_never_slows_cold_weights() -> None:
    def layer(g: GraphBuilder) -> None:
        x = g.input("x", (1, 64, 28, 28))
        g.output(g.conv(x, 64, 3, padding=1))

    rates = np.geomspace(1e9, 1e12, 30)
    machine = hardware("zen4_core").vary({"memories.dram.bandwidth": rates})
    found = predict(workload(layer), machine).latency_s
    assert (np.diff(found) <= 1e-18).all()


def test_a_class_of_its_own_efficiency_else_the_wider_one() -> None:
    def norm(g: GraphBuilder) -> None:
        g.output(g.norm(g.input("x", (1, 64, 1024))))

    def bound(**share: float) -> float:
        found = run(workload(norm), Runtime(name="r", efficiency=share))  # pyright: ignore[reportArgumentType]
        return float(found.table["vector_s"][0])

    whole = bound()
    assert bound(vector=0.5) == pytest.approx(2 * whole)
    assert bound(vector=0.5, norm=0.25) == pytest.approx(4 * whole)
    assert bound(softmax=0.1) == pytest.approx(whole)


def test_fused_elementwise_work_goes_at_the_peak() -> None:
    def conv(g: GraphBuilder) -> None:
        y = g.conv(g.input("x", (1, 64, 14, 14)), 64, 1, bias=False)
        g.output(g.elementwise("relu", y))

    def seconds_of(**share: float) -> float:
        found = run(workload(conv), Runtime(name="r", efficiency=share))  # pyright: ignore[reportArgumentType]
        assert len(found.table["name"]) == 1
        return float(found.table["vector_s"][0])

    assert seconds_of() == seconds_of(vector=0.1, elementwise=0.1) > 0


def test_grouped_convolutions_have_a_class() -> None:
    def conv(g: GraphBuilder) -> None:
        g.output(g.conv(g.input("x", (1, 64, 14, 14)), 64, 3, padding=1, groups=4, bias=False))

    def matrix(**share: float) -> float:
        found = run(workload(conv), Runtime(name="r", efficiency=share))  # pyright: ignore[reportArgumentType]
        assert list(found.table["kind"]) == ["grouped"]
        return float(found.table["matrix_s"][0])

    assert matrix(conv=0.5) == pytest.approx(2 * matrix())
    assert matrix(conv=0.5, grouped=0.2) == pytest.approx(5 * matrix())


def test_copies_reach_a_share_of_every_bandwidth() -> None:
    def concat(g: GraphBuilder) -> None:
        x = g.input("x", (1, 64, 56, 56))
        g.output(g.copy([x], (1, 56, 64, 56)))

    slow = run(workload(concat), Runtime(name="r", efficiency={"copy": 0.5}))  # pyright: ignore[reportArgumentType]
    fast = run(workload(concat), Runtime(name="r"))
    latency = fast.machine["memories.dram.latency"]
    assert slow.latency_s - latency == pytest.approx(2 * (fast.latency_s - latency))
    assert slow.traffic_bytes == fast.traffic_bytes
    check_explanation(slow.explain(), slow.latency_s)


def test_elementwise_operators_ride_only_where_the_runtime_lets_them() -> None:
    def net(g: GraphBuilder) -> None:
        x = g.input("x", (1, 16, 32, 32))
        y = g.elementwise("relu", g.conv(x, 16, 3, padding=1))
        g.output(g.elementwise("add", g.pool(y, 3, stride=1, padding=1), x))

    def kernels(into: tuple[str, ...]) -> int:
        runtime = Runtime(name="r", fusion=Fusion(elementwise_into=into))  # pyright: ignore[reportArgumentType]
        return len(run(workload(net), runtime).table["name"])

    assert kernels(()) == 2
    assert kernels(("conv",)) == 3
    assert kernels(("norm",)) == 4


def test_functions_that_a_runtime_does_not_fuse_run_at_a_rate_of_their_own() -> None:
    def net(g: GraphBuilder) -> None:
        x = g.elementwise("relu", g.conv(g.input("x", (1, 16, 32, 32)), 16, 3, padding=1))
        g.output(g.elementwise("gelu", g.conv(x, 16, 3, padding=1)))

    def vector_s(efficiency: dict[str, float], precision: str = "fp32") -> float:
        stated = {name: Quantity(value=share) for name, share in efficiency.items()}
        runtime = Runtime(name="r", efficiency=stated, fusion=Fusion(functions=("relu",)))
        table = predict(workload(net), "a100", runtime=runtime, precision=precision).table
        assert [str(kind) for kind in table["kind"]] == ["conv", "conv", "elementwise"]
        return float(table["vector_s"][-1])

    plain = vector_s({})
    assert vector_s({"elementwise": 0.5}) == pytest.approx(2 * plain)
    assert vector_s({"elementwise": 0.5, "elementwise.gelu": 0.1}) == pytest.approx(10 * plain)
    by_format = {"elementwise.gelu": 0.1, "elementwise.gelu.int8": 0.25, "elementwise.int8": 0.5}
    assert vector_s(by_format) == pytest.approx(10 * plain)
    assert vector_s(by_format, "int8") == pytest.approx(4 * vector_s({}, "int8"))
    assert vector_s({"vector": 0.2, "elementwise.tanh": 0.5}) == pytest.approx(5 * plain)


def test_a_gate_does_not_carry_what_it_is_broadcast_to() -> None:
    def net(g: GraphBuilder) -> None:
        x = g.input("x", (1, 64, 28, 28))
        gate = g.conv(g.global_pool(x, keep=True), 64, 1)
        g.output(g.elementwise("mul", x, gate))

    found = run(workload(net), Runtime(name="r"))
    assert [str(k) for k in found.table["kind"]] == ["pool", "conv", "elementwise"]
