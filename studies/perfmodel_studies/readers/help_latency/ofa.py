"""HELP: 5,000 once-for-all networks on GPUs (Lee et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.result import ValidationResult

from perfmodel_studies.readers.help_latency.evaluate import evaluate_space
from perfmodel_studies.readers.help_latency.spaces import SPACES

NAME: Final = "help_ofa"
TITLE: Final = "5,000 once-for-all networks on GPUs"
PLACES: Final = ("measured/help_ofa_latency.csv.gz", "help_ofa_latency.csv.gz")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every network, as `evaluate_space` does."""
    return evaluate_space(folder, NAME, PLACES, SPACES["ofa_mobilenet_v3"], devices)
