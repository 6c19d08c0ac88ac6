"""HELP (Lee et al., NeurIPS 2021): 15,625 cells of NAS-Bench-201 on GPUs, CPUs and phones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult

from perfmodel_studies.readers.help_latency.evaluate import evaluate_space
from perfmodel_studies.readers.help_latency.refits import refits_of
from perfmodel_studies.readers.help_latency.spaces import SPACES

NAME: Final = "help_nasbench201"
TITLE: Final = "15,625 cells of NAS-Bench-201 on GPUs, server CPUs and phones"
PLACES: Final = ("measured/help_nasbench201_latency.csv.gz", "help_nasbench201_latency.csv.gz")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every network, as `evaluate_space` does."""
    return evaluate_space(folder, NAME, PLACES, SPACES["nas_bench_201"], devices)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants were fitted on this file, so that a device can be left out."""
    return refits_of(folder, NAME, PLACES, devices)
