"""Keras and QKeras: models as JSON, in ``.keras`` archives, and of TensorFlow.js layers."""

from perfmodel.workload.importers.keras.load import load_keras

__all__ = ["load_keras"]
