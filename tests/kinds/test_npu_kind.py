"""The kind `npu`: conformance, closed forms, and the policies of weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.npu import loaded_share
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing import KindConformance
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class _Vision(KindConformance):
    def precision(self) -> str:
        return "int8"

    def workloads(self) -> list[Workload]:
        return [find("mobilenet_v1", {}), find("resnet18", {})]


class TestStreamedWeights(_Vision):
    def device(self) -> Device:
        return hardware("stm32n6")


class TestContexts(_Vision):
    def device(self) -> Device:
        return hardware("hailo8")

    def rates(self) -> tuple[str, ...]:
        return ("runtime.kernels.conv.peak_share", "runtime.kernels.depthwise.peak_share")

    def delays(self) -> tuple[str, ...]:
        return ("engines.npu.operator_room", "engines.npu.host_slowdown")

    def test_units_are_si(self) -> None:
        """Room and slowdown are no delays in seconds: the kit's scaling holds without them."""
        plain = TestStreamedWeights()
        plain.device = self.device  # type: ignore[method-assign]
        plain.test_units_are_si()


class TestRemainder(_Vision):
    def device(self) -> Device:
        return hardware("edge_tpu")


class TestLanguage(KindConformance):
    def device(self) -> Device:
        return hardware("rk3588")

    def precision(self) -> str:
        return "w8a8kv16"

    def workloads(self) -> list[Workload]:
        return [
            find("tinyllama_1_1b", {"phase": "decode", "batch": 1, "context": 160}),
            find("tinyllama_1_1b", {"phase": "prefill", "batch": 1, "prompt": 128}),
        ]
