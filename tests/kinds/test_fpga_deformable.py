"""The style `deformable` of the kind `fpga`, against the log of CoDeNet's notebook.

Rows: hqjenny/CoDeNet, sw/codenet.ipynb, the 2x network at 256 x 256 (milliseconds).
"""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.fpga.deformable import Loops, line_clocks, pointwise_clocks
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class TestDeformable(KindConformance):
    def device(self) -> Device:
        return hardware("ultra96_codenet")

    def precision(self) -> str:
        return "w4a8"

    def workloads(self) -> list[Workload]:
        return [find("codenet_a", {"widths": "deployed"}), find("mobilenet_v2", {})]

    def rates(self) -> tuple[str, ...]:
        return (
            "runtime.kernels.copy.host_bandwidth",
            "runtime.kernels.resize.host_bandwidth",
            "runtime.kernels.conv.host_compute",
        )

    def delays(self) -> tuple[str, ...]:
        """Clocks beside the loops are delays; they go with the clock, so that SI does not ask."""
        return ()

    def test_fewer_clocks_are_never_slower(self) -> None:
        machine = self._machine()
        for name in ("loop", "line", "window", "call"):
            path = f"engines.codenet.design.{name}_clocks"
            varied = machine.vary({path: machine.facts[path] * np.array([0.0, 0.5, 1.0, 2.0])})
            for workload in self.workloads():
                seconds = self._predict(workload, varied).latency_s
                assert np.all(np.diff(seconds) >= -1e-12 * seconds[0])


#: Pixels a side, input and output channels, stride; milliseconds of a call of both stages.
CALLS = [
    (64, 32, 32, 2, 1.028),
    (32, 32, 128, 1, 0.609),
    (64, 32, 128, 2, 1.712),
    (32, 128, 128, 1, 0.740),
    (32, 256, 256, 2, 1.858),
    (16, 256, 256, 1, 0.577),
    (16, 512, 512, 2, 1.588),
    (8, 512, 512, 1, 0.556),
    (8, 1024, 512, 1, 0.839),
    (8, 2048, 16, 1, 0.152),
    (8, 2048, 256, 1, 0.800),
    (16, 256, 16, 1, 0.132),
    (16, 256, 128, 1, 0.334),
    (32, 128, 16, 1, 0.374),
    (64, 128, 80, 1, 1.781),
    (64, 128, 16, 1, 1.314),
]


def test_layers_of_the_log() -> None:
    """Sixteen calls within 15 %, on average within 6 %."""
    facts = hardware("ultra96_codenet").machine().facts
    head = "engines.codenet.design."
    loops = Loops(*(facts[f"{head}{n}_clocks"] for n in ("loop", "line", "window")))
    off: list[float] = []
    for side, ins, outs, stride, measured in CALLS:
        point = pointwise_clocks(side**2, ins / 16, outs / 16, ins * outs / 16, loops)
        lines = line_clocks(side**2, (side / stride) ** 2, outs / 16, loops)
        clocks = max(point, lines) + facts[f"{head}call_clocks"]
        off.append(clocks / 250e3 / measured - 1.0)
    assert np.max(np.abs(off)) < 0.15
    assert np.mean(np.abs(off)) < 0.06


#: Milliseconds of an image by the notebook.
TOTALS = {"a": 27.114, "b": 33.242, "c": 94.742, "d": 172.637, "e": 197.293}


@pytest.mark.parametrize("name", list(TOTALS))
def test_configurations(name: str) -> None:
    net = find(f"codenet_{name}", {"widths": "deployed"})
    found = predict(net, hardware("ultra96_codenet"), precision="w4a8")
    assert 1e3 * found.latency_s == pytest.approx(TOTALS[name], rel=0.10)


def test_resources_are_the_shares_that_are_published() -> None:
    """48 % of the look-up tables, 30 % of the flip-flops, all DSP slices and block memory."""
    net = find("codenet_a", {"widths": "deployed"})
    found = predict(net, hardware("ultra96_codenet"), precision="w4a8")
    share = {n: float(np.asarray(part["share"]).item()) for n, part in found.resources.items()}
    assert share["lut"] == pytest.approx(0.48, abs=0.01)
    assert share["ff"] == pytest.approx(0.30, abs=0.01)
    assert share["dsp"] == share["bram"] == 1.0
    assert found.feasible


def test_a_window_stage_hides_behind_the_products_that_feed_it() -> None:
    """Depthwise after pointwise costs nothing where products take longer; alone it is a call."""
    net = find("codenet_a", {"widths": "deployed"})
    table = predict(net, hardware("ultra96_codenet"), precision="w4a8").table
    lines = dict(zip(table["name"], table["lines_s"], strict=True))
    assert lines["stage2.1.b2.depthwise"] == 0.0
    assert lines["stage2.0.b1.depthwise"] > 18000 / 250e6
    assert lines["up1.deformable"] > 18000 / 250e6


@pytest.mark.parametrize("name", ["stream_load", "stream_load4", "stream_copy", "stream_triad"])
def test_what_only_moves_data_takes_the_time_of_its_bytes(name: str) -> None:
    """The design does not run it; its processor is no faster than their memory."""
    made = predict(find(name, {}), hardware("ultra96_codenet"), precision="int8")
    (memory,) = made.traffic_bytes
    assert float(made.traffic_bytes[memory]) > 0
    assert float(made.latency_s) >= float(made.traffic_bytes[memory]) / 8.53e9 * 0.999
    assert "/s" in repr(made)
