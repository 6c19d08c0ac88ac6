"""Validation: measured rows, and what the model says of them."""

from perfmodel.validate.datasets import DATASETS, datasets
from perfmodel.validate.metrics import errors
from perfmodel.validate.result import ValidationResult
from perfmodel.validate.validate import run_validate, validate

__all__ = ["DATASETS", "ValidationResult", "datasets", "errors", "run_validate", "validate"]
