"""Operators with a meaning specific to TensorFlow Lite: ``workloads/operators/tflite.yaml``."""

from __future__ import annotations

from typing import Final

from perfmodel.workload.importers.onnx.registry import operator_groups

#: Operators of domain ``tflite``; `onnx.operator_domains` imports them by this name.
OPERATORS: Final = operator_groups("operators/tflite.yaml")["own"]
