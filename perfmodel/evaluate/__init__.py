"""Evaluation of predictions against measured rows and published claims."""

from perfmodel.evaluate.claims import Reproduction, Reproductions, names, published, reproduce
from perfmodel.evaluate.datasets import dataset_names, datasets
from perfmodel.evaluate.evidence import evidence_of
from perfmodel.evaluate.files import data_folder
from perfmodel.evaluate.result import ValidationResult, Validations, errors
from perfmodel.evaluate.validate import validate

__all__ = [
    "Reproduction",
    "Reproductions",
    "ValidationResult",
    "Validations",
    "data_folder",
    "dataset_names",
    "datasets",
    "errors",
    "evidence_of",
    "names",
    "published",
    "reproduce",
    "validate",
]
