"""The laws of a kind on devices whose facts differ from those of the kinds' own tests.

Spec files bring combinations that no kind's test has: a runtime of other terms, a memory less,
several engines on one port.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

VISION, TINY = ("mobilenet_v2", "resnet18"), ("mlperf_tiny_vww", "mlperf_tiny_ic")


@dataclass(frozen=True)
class _Laws(KindConformance):
    """The laws on one device under one of its runtimes."""

    name: str
    runtime: str | None
    form: str
    networks: tuple[str, ...]
    warm: bool = False

    def device(self) -> Device:
        return hardware(self.name)

    def precision(self) -> str:
        return self.form

    def workloads(self) -> Sequence[Workload]:
        return [find(network, {}) for network in self.networks]

    def _machine(self) -> Machine:
        return self.device().machine(self.runtime)

    def _predict(self, workload: Workload, machine: Device | Machine | None = None) -> Prediction:
        where = machine or self._machine()
        return predict(workload, where, precision=self.form, warm=self.warm)


DEVICES = [
    _Laws("hailo15l", None, "int8", VISION, warm=True),
    _Laws("edge_tpu_usb", None, "int8", VISION, warm=True),
    _Laws("rk3576", "rknn", "int8", ("yolov5n",), warm=True),
    _Laws("qcs9075", "qnn_htp", "int8", VISION),
    _Laws("gap9", "gap_flow_ne16", "int8", TINY),
    _Laws("stm32mp157", None, "int8", TINY),
    _Laws("ndp9120", None, "int8", TINY),
    _Laws("zcu104", "vitis_ai_threads", "int8", VISION),
    _Laws("u55c_dpu", "vitis_ai_alveo_threads", "int8", VISION),
    _Laws("vck5000_dpu", None, "int8", VISION),
    _Laws("u250", None, "int8", ("jet_tagger", "mlperf_tiny_ad")),
    _Laws("cim_jia_65nm", None, "int8", TINY),
    _Laws("olive", None, "w=int4,a=fp16", ("mobilenet_v2",)),
]
LAWS = [
    name
    for name in dir(KindConformance)
    if name.startswith("test_") and name != "test_units_are_si"
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("device", DEVICES, ids=lambda laws: f"{laws.name}-{laws.runtime}")
def test_law(device: _Laws, law: str) -> None:
    getattr(device, law)()
