"""Measured accuracies of architectures from a file, as percentage points below the best one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from perfmodel.errors import Fault, InputError
from perfmodel.measurement_csv import CsvRow, CsvTable, read_rows
from perfmodel.search.accuracy.accuracy_table import Floats

#: Accepted names of the architecture column.
_NAMED: Final = ("architecture", "arch", "arch_str", "genotype", "cell")


class _Space(Protocol):
    """Interface of a space of architectures."""

    @property
    def name(self) -> str: ...

    @property
    def decisions(self) -> Sequence[Any]: ...

    def encode(self, native: Any) -> tuple[int, ...]: ...

    def canonical(self, choice: Sequence[int]) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class ArchitectureLosses:
    """Losses of the architectures in a file: see `architectures`.

    Attributes
    ----------
    best
        Highest accuracy in the file, per cent.
    losses
        Canonical choice -> percentage points below the best.
    """

    name: str
    space: _Space
    best: float
    losses: dict[tuple[int, ...], float] = field(repr=False)
    unit: str = "points of accuracy"

    def __call__(self, choices: Any) -> Floats:
        """Return the loss of choices ``(n, decisions)``; infinite for those not in the file."""
        rows = np.asarray(choices)
        return np.array(
            [self.losses.get(self.space.canonical(row), math.inf) for row in rows.tolist()],
            dtype=float,
        )


def architectures(
    path: str | Path, space: _Space, *, accuracy: str = "accuracy", architecture: str = ""
) -> ArchitectureLosses:
    """Return a loss model from measured accuracies of architectures.

    Parameters
    ----------
    path
        CSV, plain or ``.gz``, with one row per architecture. Rows that describe the same network
        (under different strings) are averaged.
    space
        Space of the architectures.
    accuracy
        Column of accuracies in per cent; read as fractions if none is above 1.
    architecture
        Column of architectures in the space's own notation; by default the first column present of
        ``architecture``, ``arch``, ``arch_str``, ``genotype``, ``cell``.

    Notes
    -----
    Architectures that are not in the file have infinite loss, so a search never selects them.

    Raises
    ------
    InputError
        For all faults of the file, each with its line and column.
    """
    faults: list[Fault] = []
    rows = read_rows(path, noun="architecture", faults=faults)
    named = architecture or next((c for c in _NAMED if c in rows.columns), _NAMED[0])
    missing = rows.missing([named, accuracy])
    if missing:
        raise InputError([*missing, *faults])
    figures: dict[tuple[int, ...], list[float]] = {}
    for row in rows:
        value = _accuracy(rows, row, accuracy, faults)
        choice = rows.trying(row, named, faults, space.encode, row.get(named))
        if value is not None and choice is not None:
            figures.setdefault(space.canonical(choice), []).append(value)
    if faults:
        raise InputError(sorted(faults, key=attrgetter("line", "column")))
    means = {choice: math.fsum(values) / len(values) for choice, values in figures.items()}
    best = max(means.values())
    scale = 1.0 if max(map(max, figures.values())) > 1.0 else 100.0
    losses = {choice: scale * (best - value) for choice, value in means.items()}
    return ArchitectureLosses(f"{Path(path).name}, column {accuracy}", space, scale * best, losses)


def _accuracy(rows: CsvTable, row: CsvRow, column: str, faults: list[Fault]) -> float | None:
    value = rows.required(row, column, faults)
    if value is not None and not 0.0 <= value <= 100.0:
        message = f"{row.get(column)} is not an accuracy"
        faults.append(rows.fault(row, column, message, "a number from 0 to 100"))
        return None
    return value
