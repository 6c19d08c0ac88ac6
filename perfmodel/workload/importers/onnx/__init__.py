"""ONNX files: parsed without their weights, shapes inferred, operators priced."""

from perfmodel.workload.importers.onnx.load import load_onnx

__all__ = ["load_onnx"]
