"""Where data sets lie: a folder laid out as the project's data; a suffix, optional a file.

A file that is opened has rows, faults, and what to note of it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.measurements import CsvTable, read_rows


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder of data sets.

    Attributes
    ----------
    root
        Holds ``measured/``, ``cpu_zen4/`` and ``reference/``.
    suffix
        Inserted before a file's extension (``_heldout``); files that exist without it alone are
        taken without it.
    """

    root: Path
    suffix: str = ""

    def find(self, *places: str) -> Path | None:
        """Return the first that exists of some places, each tried with the suffix first."""
        with_suffix = [self.root / _suffixed(p, self.suffix) for p in places] if self.suffix else []
        for path in (*with_suffix, *(self.root / p for p in places)):
            if path.exists():
                return path
        return None

    def has_suffix(self, path: Path) -> bool:
        """Tell whether a file or folder is the one with the suffix."""
        stem = path.name.partition(".")[0]
        return bool(self.suffix) and stem.endswith(self.suffix)

    def need(self, name: str, *places: str) -> Path:
        """Return the first place that exists.

        Raises
        ------
        InputError
            None does.
        """
        found = self.find(*places)
        if found is None:
            raise input_error(
                f"no data of '{name}'", file=str(self.root), expected=" or ".join(places)
            )
        return found

    def note(self, path: Path) -> tuple[str, ...]:
        """Say when a suffix was asked for and the file has none."""
        if not self.suffix or self.has_suffix(path):
            return ()
        return (f"no file with the suffix '{self.suffix}': {path.name} was read",)


def _suffixed(place: str, suffix: str) -> str:
    head, slash, name = place.rpartition("/")
    stem, dot, extension = name.partition(".")
    return f"{head}{slash}{stem}{suffix}{dot}{extension}"


def data_folder(data: str | Path | None, suffix: str = "") -> DataFolder:
    """Return the folder of measured data: the one given, `PERFMODEL_DATA`, or ``../shared/data``.

    Raises
    ------
    InputError
        There is none, or the suffix is no part of a file name.
    """
    if any(mark in suffix for mark in "/\\\0"):
        raise input_error(
            f"'{suffix}' is no part of a file name", path="suffix", expected="such as _heldout"
        )
    given = data if data is not None else os.environ.get("PERFMODEL_DATA") or "../shared/data"
    root = Path(given)
    if not root.is_dir():
        raise input_error(
            "no folder of measured data",
            file=str(root),
            expected="--data DIR or the environment variable PERFMODEL_DATA, a folder with "
            "measured/ and cpu_zen4/",
        )
    return DataFolder(root, suffix)


class MeasuredTable(NamedTuple):
    """A file of measured rows.

    Attributes
    ----------
    rows
        Its rows.
    faults
        Where readers of rows put what is wrong with a number.
    note
        Says when a suffix was asked for and the file has none.
    """

    rows: CsvTable
    faults: list[Fault]
    note: tuple[str, ...]


@contextmanager
def measured_table(
    folder: DataFolder, name: str, places: Sequence[str], columns: Sequence[str]
) -> Generator[MeasuredTable]:
    """Open the first file that exists of a data set's places; all faults are told at once.

    Parameters
    ----------
    folder
        Holds the file.
    name
        Of the data set.
    places
        Where the file may lie.
    columns
        That it must have.

    Raises
    ------
    InputError
        There is no file or it lacks a column; or, when the block ends, rows had faults.
    """
    path = folder.need(name, *places)
    rows = read_rows(path)
    faults = list(rows.missing(columns))
    if faults:
        raise InputError(faults)
    yield MeasuredTable(rows, faults, folder.note(path))
    if faults:  # a row that is read as several cases names its own each time
        raise InputError(list(dict.fromkeys(faults)))
