"""Operators with a meaning specific to TensorFlow Lite: ``workloads/operators/tflite.yaml``."""

from __future__ import annotations

from typing import Final

from perfmodel.workload.importers.onnx.registry import MODULES, operator_groups
from perfmodel.workload.importers.tflite import cells, operators

#: Operators of the domain, which `perfmodel.workload.importers.onnx.domains` imports by this name.
OPERATORS: Final = operator_groups("operators/tflite.yaml", (*MODULES, cells, operators))["own"]
