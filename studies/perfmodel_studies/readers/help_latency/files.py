"""HELP (Lee et al., NeurIPS 2021): latencies of three spaces on GPUs, server CPUs and phones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult

from perfmodel_studies.readers.help_latency.evaluate import evaluate_space, latencies_of
from perfmodel_studies.readers.help_latency.refits import refits_of
from perfmodel_studies.readers.help_latency.spaces import SPACES

__all__ = ["FBNET", "NAS_BENCH_201", "OFA"]


@dataclass(frozen=True, slots=True)
class HelpFile:
    """A file of HELP, which has a row per network and a column per device.

    Attributes
    ----------
    NAME, TITLE
        Of the data set.
    space
        Key of `SPACES`.
    """

    NAME: str
    TITLE: str
    space: str

    @property
    def PLACES(self) -> tuple[str, ...]:
        """Paths of its file."""
        name = f"{self.NAME}_latency.csv.gz"
        return f"measured/{name}", name

    def load(self, folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
        """Predict every network, as `evaluate_space` does."""
        return evaluate_space(folder, self.NAME, self.PLACES, SPACES[self.space], devices)

    def refits(self, folder: DataFolder, devices: Sequence[str | Path] = ()) -> list[Refit]:
        """Return how the constants were fitted on this file, so that a device can be left out."""
        kind = SPACES[self.space]
        return refits_of(latencies_of(folder, self.NAME, self.PLACES, kind, devices)[0], kind)


NAS_BENCH_201: Final = HelpFile(
    "help_nasbench201",
    "15,625 cells of NAS-Bench-201 on GPUs, server CPUs and phones",
    "nas_bench_201",
)
FBNET: Final = HelpFile(
    "help_fbnet", "5,000 networks of FBNet on GPUs, server CPUs and phones", "fbnet"
)
OFA: Final = HelpFile("help_ofa", "5,000 once-for-all networks on GPUs", "ofa_mobilenet_v3")
