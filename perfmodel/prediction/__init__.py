"""Predictions: results of `predict`, and the modules that explain and audit their numbers."""

from perfmodel.prediction.basis import Interval
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.presentation import METRICS

__all__ = ["METRICS", "Interval", "Prediction"]
