"""Stencils on one core of a Zen 4 server: clocks a cache line of results by size of the grid.

The constants of its caches are fitted on streaming kernels alone
(`perfmodel_studies.readers.ecm.streams`) but for the clocks that each row of a grid costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import perfmodel as pm
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import errors_by_group, evaluate
from perfmodel.evaluate.validation_case import Cases

from perfmodel_studies.readers.ecm.fitting import constants, forward, measured_cycles
from perfmodel_studies.readers.ecm.rows import ZEN4, stencil_rows
from perfmodel_studies.readers.ecm.streams import LEVELS, SWEEPS, case_of

NAME: Final = "stencil_zen4"
TITLE: Final = "Jacobi stencils in two and three dimensions on one core of a Zen 4 server"
#: Where its file lies.
PLACES: Final = SWEEPS


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict the sweeps of the file."""
    path = folder.need(NAME, *PLACES)
    faults: list[Fault] = []
    rows = stencil_rows(path, faults)
    if faults:
        raise InputError(faults)
    notes = ("constants of the caches come from streaming kernels; those of a row from here",)
    result = evaluate(
        Cases(NAME, [case_of(r, devices) for r in rows], notes=(*notes, *folder.note(path)))
    )
    by_kernel = errors_by_group([dict(row) for row in result.predictions], _kernel)
    return replace(result, details={**result.details, "by_kernel": by_kernel})


def _kernel(row: Mapping[str, Any]) -> str:
    return row["name"].split()[1]


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the clocks of a row were fitted, with one stencil left out."""
    faults: list[Fault] = []
    rows = stencil_rows(folder.need(NAME, *PLACES), faults)
    if faults:
        raise InputError(faults)
    machine = pm.hardware(ZEN4, devices).machine("ideal")
    clock = machine.facts[f"engines.{machine.engine}.clock"]
    return [
        Refit(
            "stencils",
            measured_cycles(rows, clock),
            [row.kernel for row in rows],
            constants(machine, ("memories.l1.row_start",)),
            forward(rows, machine, LEVELS),
            left_out="kernel",
        )
    ]
