"""Evaluation: measured rows and published claims, and what the model says of them."""

from perfmodel.evaluate.claims import names, published, reproduce
from perfmodel.evaluate.datasets import dataset_names, datasets
from perfmodel.evaluate.evidence import evidence_of
from perfmodel.evaluate.files import data_folder
from perfmodel.evaluate.metrics import errors
from perfmodel.evaluate.reproduction import Reproduction, Reproductions, lines
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import validate

__all__ = [
    "Reproduction",
    "Reproductions",
    "ValidationResult",
    "data_folder",
    "dataset_names",
    "datasets",
    "errors",
    "evidence_of",
    "lines",
    "names",
    "published",
    "reproduce",
    "validate",
]
