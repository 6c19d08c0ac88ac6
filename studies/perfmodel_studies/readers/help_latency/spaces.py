"""The spaces of architectures of the HELP files, and how a file names their members."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from perfmodel.errors import Fault, InputError
from perfmodel.measurement_csv import CsvTable
from perfmodel.workload.nas_spaces import ArchitectureSpace, Choices, space
from perfmodel.workload.nas_spaces.nas_bench_201 import NasBench201

__all__ = ["SPACES", "Space", "choices_of", "connected"]


@dataclass(frozen=True, slots=True)
class Space:
    """A file and its space.

    Attributes
    ----------
    name
        Space of the library.
    column
        Column that names the architecture.
    settings
        Of the space.
    forms
        Further settings by how a network runs: ``eager`` as its modules are written, ``compiled``
        with batch normalisation folded.
    read
        A cell of the column -> what the space's `encode` takes.
    """

    name: str
    column: str
    settings: Mapping[str, Any]
    forms: Mapping[str, Mapping[str, Any]]
    read: Callable[[str], Any] = str

    def build(self, form: str) -> ArchitectureSpace:
        """Return the space as networks of a form run."""
        return space(self.name, **self.settings, **self.forms[form])


_NORMS: Final = {"eager": {"batch_norm": "separate"}, "compiled": {"batch_norm": "folded"}}

SPACES: Final[Mapping[str, Space]] = {
    "nas_bench_201": Space(
        "nas_bench_201",
        "arch_str",
        {"dataset": "cifar10"},
        {
            "eager": {**_NORMS["eager"], "zeros": "eager"},
            "compiled": {**_NORMS["compiled"], "zeros": "folded"},
        },
    ),
    "fbnet": Space("fbnet", "arch_ops", {"dataset": "cifar100"}, _NORMS),
    "ofa_mobilenet_v3": Space("ofa_mobilenet_v3", "arch", {}, _NORMS, json.loads),
}


def choices_of(rows: CsvTable, kind: Space, faults: list[Fault]) -> Choices:
    """Return the choices of a file's rows, ``(rows, decisions)``.

    Parameters
    ----------
    faults
        Gets every row that names no architecture of the space.
    """
    missing = rows.missing([kind.column])
    faults += missing
    there = kind.build("eager")
    choices: list[tuple[int, ...]] = []
    for row in () if missing else rows:
        try:
            choices.append(there.encode(kind.read(row.get(kind.column))))
        except InputError as error:
            faults += [rows.fault(row, kind.column, f.message, f.expected) for f in error.faults]
        except ValueError as error:
            faults.append(rows.fault(row, kind.column, f"no architecture: {error}", "JSON"))
    return np.array(choices, dtype=np.int64)


def connected(there: ArchitectureSpace, choices: Choices) -> npt.NDArray[np.bool_]:
    """Return which networks read their input: all, but cells of NAS-Bench-201 without a path."""
    if not isinstance(there, NasBench201):
        return np.ones(len(choices), dtype=np.bool_)
    return np.array([there.connected(row) for row in choices.tolist()])
