"""Reader of TensorFlow Lite files."""

from perfmodel.workload.importers.tflite.load import load_tflite

__all__ = ["load_tflite"]
