"""Predictions: what `predict` gives back, and everything that opens a number of it."""

from perfmodel.prediction.basis import Interval
from perfmodel.prediction.prediction import METRICS, Prediction

__all__ = ["METRICS", "Interval", "Prediction"]
