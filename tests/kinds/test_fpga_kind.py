"""The kind `fpga`, style `dataflow`: what every kind must hold, and what a design takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.testing import KindConformance
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.library import find
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload


def mlp(shapes: Sequence[int] = (16, 64, 32, 32, 5)) -> Workload:
    """A perceptron with a free batch."""
    g = GraphBuilder("mlp")
    x = g.input("features", (symbol("batch"), shapes[0]))
    for i, outputs in enumerate(shapes[1:], start=1):
        x = g.linear(x, outputs, name=f"fc{i}")
        last = i == len(shapes) - 1
        x = g.softmax(x) if last else g.elementwise("relu", x, name=f"relu{i}")
    g.output(x)
    graph = g.build({"batch": 1.0})
    return Workload("mlp", lambda _: graph, {"batch": 1.0})


def with_design(name: str, **changes: Any) -> Device:
    """A part of the library with another design in it."""
    device = hardware(name)
    engine = device.engines[0]
    design = engine.design.model_copy(update=changes)
    made = engine.model_copy(update={"design": design})
    return device.model_copy(update={"engines": (made,)})


class TestDataflow(KindConformance):
    def device(self) -> Device:
        return hardware("xc7z020")

    def precision(self) -> str:
        return "int8"

    def workloads(self) -> Sequence[Workload]:
        return [mlp(), find("mlperf_tiny_ad", {})]

    def test_units_are_si(self) -> None:
        """Every rate tenfold: ten times faster; reuse factors are no unit."""
        machine = self._machine()
        rates = [p for p in machine.facts if p.endswith((".bandwidth", ".clock"))]
        delays = [p for p in machine.facts if p.endswith(".latency") or p.startswith("runtime.per")]
        changes = {p: machine.facts[p] * 10 for p in rates}
        changes |= {p: machine.facts[p] / 10 for p in delays}
        for workload in self.workloads():
            slow = self._predict(workload).latency_s
            fast = self._predict(workload, machine.vary(changes)).latency_s
            np.testing.assert_allclose(fast * 10, slow, rtol=1e-9)


class TestStream(TestDataflow):
    def device(self) -> Device:
        return with_design("xc7z045", io="stream", strategy="resource")

    def workloads(self) -> Sequence[Workload]:
        return [find("mlperf_tiny_ic", {}), mlp()]
