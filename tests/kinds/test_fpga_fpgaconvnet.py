"""The style `fpgaconvnet`: its passage against a simulation, its boards against measurements.

Latencies: MLPerf Tiny v1.1, closed division, fpgaconvnet; designs: create_config.py of the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.fpga.pipeline import chain_completion
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload
from tests.draws import draws


class TestFpgaConvNet(KindConformance):
    def device(self) -> Device:
        return hardware("fpgaconvnet_zedboard_ic")

    def precision(self) -> str:
        return "int8"

    def workloads(self) -> Sequence[Workload]:
        return [find("mlperf_tiny_ic", {}), find("mlperf_tiny_kws", {})]


def simulated(held: Sequence[float], lags: Sequence[int], pixels: int) -> list[float]:
    """Return when each layer makes its last pixel: a pixel at a time, each after its input."""
    ready = np.zeros(pixels)
    ends: list[float] = []
    for own, lag in zip(held, lags, strict=True):
        each, done = own / pixels, 0.0
        made = np.empty(pixels)
        for i in range(pixels):
            done = max(done, ready[min(i + lag, pixels - 1)]) + each
            made[i] = done
        ends.append(done)
        ready = made
    return ends


@settings(max_examples=draws(60), deadline=None)
@given(st.lists(st.tuples(st.floats(1.0, 100.0), st.integers(0, 40)), min_size=1, max_size=6))
def test_passage_is_the_longest_path(layers: list[tuple[float, int]]) -> None:
    """As a simulation of 400 pixels says it, but for the pixels that it cuts a frame into."""
    pixels = 400
    held, lags = [h for h, _ in layers], [lag for _, lag in layers]
    given_held = [np.array([h]) for h in held]
    found = chain_completion(given_held, [np.array([lag / pixels]) for lag in lags], np)
    wanted = simulated(held, lags, pixels)
    slack = 2.0 * max(held) * len(held) / pixels
    for end, want in zip(found, wanted, strict=True):
        assert abs(float(end[0]) - want) <= slack


def test_passage_of_equal_layers_by_hand() -> None:
    """Two lags of a tenth behind each other: a frame and two tenths."""
    found = chain_completion([np.array([10.0])] * 3, [np.array([0.1])] * 3, np)
    assert float(found[-1][0]) == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("design", "measured_ms", "low", "high"),
    [
        ("zedboard_kws", 0.323846, 0.84, 0.90),
        ("zedboard_ic", 0.41128, 1.15, 1.25),
        ("zedboard_vww", 9.486586, 1.05, 1.15),
        ("cora_z7_kws", 4.211218, 0.97, 1.05),
    ],
)
def test_latency_of_boards(design: str, measured_ms: float, low: float, high: float) -> None:
    """Nothing is fitted; how far each is off is written down."""
    net = design.rsplit("_", 1)[1]
    found = predict(
        find(f"mlperf_tiny_{net}", {}), hardware(f"fpgaconvnet_{design}"), precision="int8"
    )
    assert low < 1e3 * found.latency_s / measured_ms < high
    assert found.feasible


@pytest.mark.parametrize(
    ("design", "net"),
    [("zybo_ic", "ic"), ("zybo_kws", "kws"), ("zc706_ic", "ic"), ("zc706_vww", "vww")],
)
def test_designs_fit_their_boards(design: str, net: str) -> None:
    """What was submitted ran: its multipliers and memories are on the part."""
    found = predict(
        find(f"mlperf_tiny_{net}", {}), hardware(f"fpgaconvnet_{design}"), precision="int8"
    )
    assert found.feasible
    assert found.resources["dsp"]["share"] > 0.2


def test_clocks_of_layers_by_hand() -> None:
    """DS-CNN on a Zedboard: 64 x 64 products of a pixel on 4 x 4 streams, 125 pixels."""
    found = predict(
        find("mlperf_tiny_kws", {}), hardware("fpgaconvnet_zedboard_kws"), precision="int8"
    )
    held = dict(zip(found.table["name"], found.table["interval"], strict=True))
    assert held["block.pointwise"] == 64 / 4 * 64 / 4 * 125
    assert held["block.depthwise"] == 64 / 4 * (25 + 2) * (5 + 2)
    assert held["stem"] == 40 / 20 * 64 * 125


def test_a_repeated_block_is_as_many_layers() -> None:
    """The same network with its blocks written out takes as long and as much."""
    machine = hardware("fpgaconvnet_cora_z7_kws").machine()
    net = find("mlperf_tiny_kws", {})
    graph = net.graph().unroll(dict(net.parameters))
    long = Workload("kws_unrolled", lambda _: graph, dict(net.parameters))
    path = "engines.fabric.design.layers."
    # Layers of the second to fourth block are the sixth to eleventh ones.
    spread = {f"{path}{i}.fine": 9.0 for i in (4, 6, 8)}
    short, written = (
        predict(net, machine, precision="int8"),
        predict(long, machine.vary(spread), precision="int8"),
    )
    assert written.latency_s == pytest.approx(short.latency_s, rel=1e-9)
    assert written.resources["dsp"]["used"] == short.resources["dsp"]["used"]


def test_frames_a_second_are_the_slowest_layer_s() -> None:
    machine = hardware("fpgaconvnet_zedboard_kws").machine().vary({"memories.ddr.bandwidth": 1e15})
    few, many = (
        predict(find("mlperf_tiny_kws", {"batch": n}), machine, precision="int8").latency_s
        for n in (1, 1001)
    )
    assert (many - few) / 1000 == pytest.approx(32000 / 143e6, rel=1e-9)


@settings(max_examples=draws(20), deadline=None)
@given(st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([1, 2, 4, 8, 16]))
def test_more_streams_are_never_slower(few: int, many: int) -> None:
    few, many = sorted((few, many))
    machine = hardware("fpgaconvnet_zybo_ic").machine()
    slow, fast = (
        predict(
            find("mlperf_tiny_ic", {}),
            machine.vary({"engines.fabric.design.coarse_out": n}),
            precision="int8",
        ).latency_s
        for n in (few, many)
    )
    assert fast <= slow * (1 + 1e-12)
