"""The roofline kind: the conformance kit on real devices, and closed forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.library import find
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload


class TestRooflineOnGpu(KindConformance):
    def device(self) -> Device:
        return hardware("a100")


class TestRooflineOnCpu(KindConformance):
    def device(self) -> Device:
        return hardware("zen4_core")


class TestRooflineOnPhone(KindConformance):
    def device(self) -> Device:
        return hardware("apple_m2_max")


def gemm_workload(m: object, n: int, k: int) -> Workload:
    def build(semantics: ExecutionSemantics) -> Graph:
        g = GraphBuilder("gemm")
        x = g.input("x", (symbol("m"), k))
        g.output(g.linear(x, n, bias=False))
        return g.build()

    return Workload("gemm", build, {"m": m})


@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096))
def test_a_gemm_is_the_larger_of_work_and_bytes(m: int, n: int, k: int) -> None:
    device = hardware("a100")
    facts = device.machine("ideal").facts
    found = predict(
        gemm_workload(float(m), n, k), device, precision="fp16", model="roofline", runtime="ideal"
    )
    work = 2 * m * n * k / facts["engines.gpu.peaks.fp16"]
    moved = 2 * (m * k + k * n + m * n)
    time = moved / facts["memories.hbm.bandwidth"]
    assert found.latency_s == pytest.approx(max(work, time), rel=1e-12)
    assert found.traffic_bytes == {"hbm": pytest.approx(moved, rel=1e-12)}
    assert found.macs == m * n * k
    assert found.bottleneck == ("hbm" if time > work else "matrix")
    assert found.utilization == pytest.approx(work / max(work, time), rel=1e-12)


#: Designs that are folded for the layers of one network: others are refused.
FOLDED = ("finn_kws_w3a3", "finn_kws_w3a3_arty")


@pytest.mark.parametrize("name", FOLDED)
def test_a_design_of_one_network_refuses_others(name: str) -> None:
    with pytest.raises(InputError, match="to fold, not a multiple of"):
        predict(find("mobilenet_v2", {}), hardware(name))
    assert predict(find("kws_mlp_w3a3", {}), hardware(name)).latency_s > 0


def test_infeasible_is_data_with_levers() -> None:
    model = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 2048})
    found = predict(model, hardware("rtx_4090"), precision="fp32")
    assert not found.feasible
    (violation,) = found.violations
    assert violation.gap == pytest.approx(violation.demand - violation.bound)
    assert violation.gap > 0
    bits = float(violation.levers[0].split("at most ")[1].split()[0])
    assert predict(model, hardware("rtx_4090"), precision="w=int4,a=fp32,kv=fp32").feasible
    assert 4 < bits < 32


def test_sparsity_saves_storage_everywhere_and_time_only_where_the_engine_says() -> None:
    prefill = find("llama_3_8b", {"phase": "prefill", "batch": 8, "prompt": 2048})
    device = hardware("a100")
    dense = predict(prefill, device, precision="fp16", runtime="ideal")
    zeros = predict(prefill, device, precision="fp16+s0.9", runtime="ideal")
    structured = predict(prefill, device, precision="fp16+2:4", runtime="ideal")
    assert zeros.weight_bytes < 0.2 * dense.weight_bytes
    assert zeros.latency_s == pytest.approx(dense.latency_s, rel=1e-3)
    speedup = device.machine("ideal").facts["engines.gpu.sparse_speedup.2:4"]
    assert dense.latency_s / speedup <= structured.latency_s < 0.75 * dense.latency_s


def test_active_parameters_of_experts_are_those_a_token_touches() -> None:
    """DeepSeek-V3's model card: 671 B parameters, 37 B active a token."""
    found = predict(
        find("deepseek_v3", {"phase": "decode", "batch": 1, "context": 1}),
        hardware("h100"),
        precision="w8a16",
    )
    assert found.active_parameters == pytest.approx(37e9, rel=0.02)
    assert found.parameters == pytest.approx(671e9, rel=5e-3)


def test_bit_operations_go_by_the_operands_of_each_product() -> None:
    """Weights of 4 bits x activations of 16 in the projections, 8 x 16 in attention."""
    decode = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 2048})
    found = predict(decode, hardware("h100"), precision="w4a16kv8")
    attention = 32 * 2048 * 32 * 128 * 2
    expected = attention * 8 * 16 + (found.macs - attention) * 4 * 16
    assert found.bit_operations == pytest.approx(expected, rel=1e-12)


def test_no_interval_passes_the_bare_roofline_of_a_data_sheet() -> None:
    decode = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 64})
    bare = predict(decode, hardware("h100"), runtime="ideal", model="roofline")
    for runtime in ("ideal", "generic", "vllm"):
        found = predict(decode, hardware("h100"), runtime=runtime).interval()
        assert bare.latency_s * (1 - 1e-9) <= found.low < found.high
