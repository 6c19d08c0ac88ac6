"""Keras and QKeras models: JSON, ``.keras`` archives and TensorFlow.js layers models."""

from perfmodel.workload.importers.keras.load import load_keras

__all__ = ["load_keras"]
