"""The kind `npu` on networks: conformance, closed forms and the policies of weights."""

from __future__ import annotations

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class TestStreamedWeights(KindConformance):
    def device(self) -> Device:
        return hardware("stm32n6")

    def precision(self) -> str:
        return "int8"

    def workloads(self) -> list[Workload]:
        return [find("mobilenet_v1", {}), find("resnet18", {})]
