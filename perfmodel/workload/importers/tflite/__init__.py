"""TensorFlow Lite files: flatbuffers whose operators become nodes of the ONNX walk."""

from perfmodel.workload.importers.tflite.load import load_tflite

__all__ = ["load_tflite"]
