"""ONNX files: read without their weights, shapes inferred, operators priced."""

from perfmodel.workload.importers.onnx.load import OnnxWorkload, load_onnx

__all__ = ["OnnxWorkload", "load_onnx"]
