"""The kind `simd` on devices: conformance, threads, warm weights, measured layers."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.kernel import constants_at
from perfmodel.hardware.library import hardware
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.convolution import VectorCore
from perfmodel.kinds.simd.gemm import conflicts, gemm_clocks
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.testing.results import check_explanation
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

ENGINE = "engines.cpu."

EIGHT = """\
schema_version: 1
name: eight_cores
sources: {{made: up for a test}}
source: made
confidence: estimated
default_runtime: onnxruntime_cpu
overlap: cold_weights_add
engines:
  - name: cpu
    kind: simd
    tags: [cpu]
    units: {units}
    clock: "3 GHz"
    vector: "32 B"
    fma_per_clock: 2
    fma_latency: "4 clocks"
    loads_per_clock: 2
    stores_per_clock: 1
    peaks: {{fp32: "{peak} GFLOP/s"}}
memories:
  - {{name: l1, kind: cache, capacity: "256 KiB", bandwidth: "512 B/clock", unit_bandwidth: "64 B/clock", latency: "1.3 ns", feeds: [cpu]}}
  - {{name: l2, kind: cache, capacity: "4 MiB", bandwidth: "256 B/clock", unit_bandwidth: "32 B/clock", latency: "4 ns", feeds: [l1]}}
  - {{name: l3, kind: cache, capacity: "32 MiB", bandwidth: "200 GB/s", unit_bandwidth: "60 GB/s", latency: "15 ns", ramp_start: "8 MiB", ramp_end: "48 MiB", feeds: [l2]}}
  - {{name: dram, kind: dram, roles: [main], capacity: "32 GB", bandwidth: "60 GB/s", unit_bandwidth: "20 GB/s", latency: "90 ns", feeds: [l3]}}
"""  # noqa: E501


class TestZen4(KindConformance):
    def device(self) -> Device:
        return hardware("zen4_core")

    def workloads(self) -> Sequence[Workload]:
        return [
            find("resnet18", {}),
            find("mobilenet_v2", {}),
            find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 512}),
        ]

    def rates(self) -> Sequence[str]:
        own = ("fma_per_clock", "loads_per_clock", "stores_per_clock")
        return [ENGINE + name for name in own]

    def delays(self) -> Sequence[str]:
        return [ENGINE + "fma_latency", "runtime.lines_per_operator"]

    def test_units_are_si(self) -> None:
        """Clocks are neither seconds nor rates: ten times the clock is ten times the rates."""
        machine = self._machine()
        changes = {}
        for path, value in machine.facts.items():
            if (
                (path.startswith("memories.") and path.endswith(".bandwidth"))
                or ".peaks." in path
                or ".vector_peaks." in path
                or path.endswith(".clock")
            ):
                changes[path] = value * 10
            elif path.endswith((".latency", ".per_run", ".per_operator")):
                changes[path] = value / 10
        for workload in self.workloads():
            slow = self._predict(workload).latency_s
            fast = self._predict(workload, machine.vary(changes)).latency_s
            np.testing.assert_allclose(fast * 10, slow, rtol=1e-9)


@pytest.fixture(scope="module")
def cores(tmp_path_factory: pytest.TempPathFactory) -> Device:
    path = tmp_path_factory.mktemp("simd") / "eight_cores.yaml"
    path.write_text(EIGHT.format(units=8, peak=768))
    return hardware(path)


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2", "bert_base"])
def test_threads_help_less_and_less(cores: Device, model: str) -> None:
    """Never slower, never beyond their number, and memory saturates (Amdahl)."""
    units = np.arange(1.0, 9.0)
    work = find(model, {})
    seconds = predict(work, cores.vary({ENGINE + "units": units})).latency_s
    assert np.all(np.diff(seconds) <= 1e-15)
    speedup = seconds[0] / seconds
    assert np.all(speedup <= units * (1 + 1e-12))
    assert speedup[-1] < 8
    assert speedup[-1] > 1.5


def test_a_bound_stream_stops_at_the_shared_bandwidth(cores: Device) -> None:
    work = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 64})
    units = np.array([1.0, 2.0, 3.0, 4.0, 8.0])
    varied = cores.machine(cores.default_runtime).vary({ENGINE + "units": units})
    seconds = predict(work, varied, precision="fp32").latency_s
    speedup = seconds[0] / seconds
    # 20 GB/s a core, 60 GB/s together: three cores draw all there is.
    assert speedup[2] == pytest.approx(3.0, rel=0.1)
    assert speedup[-1] < speedup[2] * 1.1


@given(st.floats(1e6, 1e9), st.floats(1e6, 1e9))
def test_a_longer_ramp_never_slows_a_warm_run(start: float, length: float) -> None:
    machine = hardware("zen4_core").machine()
    work = find("mobilenet_v2", {})

    def seconds(at: float) -> float:
        ends = {"memories.l3.ramp_start": at, "memories.l3.ramp_end": at + length}
        return float(predict(work, machine.vary(ends), warm=True).latency_s)

    assert seconds(2 * start) <= seconds(start) * (1 + 1e-12)
    cold = float(predict(work, machine).latency_s)
    assert seconds(start) <= cold * (1 + 1e-12)


def test_one_end_of_a_ramp_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "half.yaml"
    path.write_text(EIGHT.format(units=8, peak=768).replace(', ramp_end: "48 MiB"', ""))
    with pytest.raises(InputError, match="without ramp_end"):
        hardware(path)


def test_a_peak_that_ports_and_clock_do_not_make_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(EIGHT.format(units=4, peak=768))
    with pytest.raises(InputError, match="fma_per_clock x vector make 384 GOP/s"):
        hardware(path)


def test_without_kernels_it_is_a_roofline(cores: Device) -> None:
    work = find("resnet18", {})
    plain = predict(work, cores, runtime=Runtime(name="plain"))
    arithmetic = 2 * float(plain.macs) / 768e9
    assert arithmetic < plain.latency_s < 2 * arithmetic


def test_explanations_of_warm_and_calibrated_runs_evaluate(cores: Device) -> None:
    from perfmodel.hardware.machine import Machine

    machine = Machine(cores, None, {"runtime.scale.conv": 1.2, "runtime.scale.memory": 0.8})
    for subject in (cores, machine):
        found = predict(find("mobilenet_v2", {}), subject, warm=True)
        check_explanation(found.explain(), found.latency_s)


def one(build: str, *shape: int, **options: int) -> Workload:
    def graph(semantics: ExecutionSemantics) -> Graph:
        g = GraphBuilder("net")
        x = g.input("x", shape[:4])
        g.output(g.conv(x, shape[4], shape[5], padding=shape[5] // 2, **options))
        return g.build()

    return Workload(build, graph, {}, precision="fp32")


def test_channels_that_fill_no_block_take_the_slow_path() -> None:
    """Measured: 58 channels of 3 x 3 at 28 x 28 take 93 us, 64 (six more) 14."""

    def clocks(channels: int) -> float:
        work = one("layer", 1, channels, 28, 28, channels, 3, groups=channels)
        return float(predict(work, hardware("zen4_core")).table["matrix_s"][0])

    assert clocks(58) == pytest.approx(93e-6, rel=0.1)
    assert clocks(64) < 93e-6 / 5
    assert clocks(60) == clocks(64)


@pytest.mark.data
def test_products_take_what_was_measured(data: Path) -> None:
    """Single GEMMs with weights that stay in a cache, 12 rows and more; 6 us are dispatch."""
    facts = hardware("zen4_core").machine("onnxruntime_cpu").facts
    near, clock = facts["memories.l1.capacity"], facts[ENGINE + "clock"]
    core = VectorCore(
        facts[ENGINE + "vector"] / 4,
        facts[ENGINE + "fma_per_clock"],
        facts[ENGINE + "loads_per_clock"],
        facts[ENGINE + "stores_per_clock"],
        facts[ENGINE + "fma_latency"],
        near,
        facts["memories.l2.bandwidth"] / clock,
    )
    kernel = constants_at(facts, "gemm", SimdKernel)
    left, way = facts["runtime.kernels.gemm.conflict_share"], facts["memories.l1.way"]
    ratios = []
    for row in json.loads((data / "cpu_zen4/gemm_peak.json").read_text()):
        if row["name"] not in ("ort_gemm", "ort_matmul_constB"):
            continue
        m, n, k = (float(row.get(key, row.get("n", 0))) for key in "MNK")
        if m < 12 or m * n * k < 1e6:
            continue
        clocks = float(gemm_clocks(m, n, k, core, kernel))
        clash = float(conflicts(m, k, 4.0, kernel.tile_rows, near, way))
        clocks *= 1.0 + clash * (1.0 / left - 1.0)
        ratios.append(clocks / clock * 1e6 / (row["us_cpu_min"] - 5.7))
    assert len(ratios) >= 14
    assert np.abs(np.array(ratios) - 1).mean() < 0.03
    assert np.abs(np.array(ratios) - 1).max() < 0.08


@pytest.mark.data
def test_dense_layers_take_what_was_measured(data: Path) -> None:
    """Every dense 3 x 3 node of the sampled cells, whose weights stay in a cache."""
    device = hardware("zen4_core")
    rows: dict[tuple[int, ...], list[float]] = {}
    with gzip.open(data / "cpu_zen4/nodes.csv.gz", "rt") as file:
        for node in csv.DictReader(file):
            if not node["model"].startswith("nb201") or node["op"] != "Conv":
                continue
            said, shapes = json.loads(node["attrs"]), json.loads(node["in_shapes"])
            kernel = said.get("kernel_shape", [1, 1])[0]
            if kernel == 3 and said.get("group", 1) == 1 and len(shapes) == 3:
                key = (*shapes[0], shapes[1][0], 3, said["strides"][0])
                rows.setdefault(key, []).append(float(node["t_us_low25mean"]) - 1.2)
    off = []
    for (*shape, stride), times in rows.items():
        if shape[1] < 16:
            continue
        found = predict(one("layer", *shape, stride=stride), device, warm=True)
        per_run = device.machine().facts["runtime.per_run"]
        off.append((float(found.latency_s) - per_run) / (np.median(times) * 1e-6) - 1)
    assert len(off) >= 5
    assert np.abs(off).mean() < 0.05
    assert np.abs(off).max() < 0.1


@pytest.mark.parametrize("model", ["resnet50", "mobilenet_v2"])
def test_an_image_of_a_pixel_has_a_time(model: str) -> None:
    """Strides leave no more than one pixel of it; less than one is no image."""
    extents = np.array([1.0, 1.5, 7.0])
    work = find(model, {"height": extents, "width": extents})
    found = np.asarray(predict(work, hardware("zen4_core"), precision="fp32").latency_s)
    assert np.all(np.isfinite(found))
    assert found[-1] > found[0] > 0
    with pytest.raises(InputError, match="at least 1"):
        predict(work.bind({"height": 0.25}), hardware("zen4_core"), precision="fp32")
