"""HELP: 5,000 networks of FBNet on GPUs, server CPUs and phones (Lee et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult

from perfmodel_studies.readers.help_latency.evaluate import evaluate_space
from perfmodel_studies.readers.help_latency.refits import fbnet_refits
from perfmodel_studies.readers.help_latency.spaces import SPACES

NAME: Final = "help_fbnet"
TITLE: Final = "5,000 networks of FBNet on GPUs, server CPUs and phones"
PLACES: Final = ("measured/help_fbnet_latency.csv.gz", "help_fbnet_latency.csv.gz")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every network, as `evaluate_space` does."""
    return evaluate_space(folder, NAME, PLACES, SPACES["fbnet"], devices)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how constants of CPUs were fitted on this file, so that a device can be left out."""
    return fbnet_refits(folder, NAME, PLACES, devices)
