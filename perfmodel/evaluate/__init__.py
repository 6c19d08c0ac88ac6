"""Evaluation of predictions against measured rows and published claims.

`validate` compares predictions with data sets and users' measurements, `reproduce` with published
numbers, `calibrate` fits multipliers of a device. All use public functions of the package only.
"""

from perfmodel.evaluate.claims import Reproduction, Reproductions, names, published, reproduce
from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.datasets import dataset_names, datasets
from perfmodel.evaluate.evidence import evidence_of
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
