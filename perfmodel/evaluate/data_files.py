"""Files of measured data: search in a data folder, with an optional suffix of file names.

`data_folder` locates the folder (``PERFMODEL_DATA``), `DataFolder.find` a file in it, and
`measured_table` reads a CSV file and reports all its faults at once.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.measurement_csv import CsvTable, read_rows


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder of data sets.

    Attributes
    ----------
    root
        Folder with ``measured/``, ``cpu_zen4/`` and ``reference/``.
    suffix
        Text inserted before a file's extension (``_heldout``); files that only exist without it are
        read without it.
    """

    root: Path
    suffix: str = ""

    def find(self, *places: str) -> Path | None:
        """Return the first existing path, trying all with the suffix before those without."""
        with_suffix = [self.root / _suffixed(p, self.suffix) for p in places] if self.suffix else []
        for path in (*with_suffix, *(self.root / p for p in places)):
            if path.exists():
                return path
        return None

    def has_suffix(self, path: Path) -> bool:
        """Return whether the name of a file or folder has the suffix."""
        stem = path.name.partition(".")[0]
        return bool(self.suffix) and stem.endswith(self.suffix)

    def need(self, name: str, *places: str) -> Path:
        """Return the first existing path, as `find`.

        Raises
        ------
        InputError
            None of the paths exists.
        """
        path = self.find(*places)
        if path is None:
            raise input_error(
                f"no data of '{name}'", file=str(self.root), expected=" or ".join(places)
            )
        return path

    def note(self, path: Path) -> tuple[str, ...]:
        """Return a note if a suffix was requested and the file lacks it."""
        if not self.suffix or self.has_suffix(path):
            return ()
        return (f"no file with the suffix '{self.suffix}': {path.name} was read",)


def _suffixed(place: str, suffix: str) -> str:
    """Return a path with a suffix before the extension."""
    head, slash, name = place.rpartition("/")
    stem, dot, extension = name.partition(".")
    return f"{head}{slash}{stem}{suffix}{dot}{extension}"


def data_folder(data: str | Path | None, suffix: str = "") -> DataFolder:
    """Return the folder of measured data: `data`, else `PERFMODEL_DATA`, else ``../shared/data``.

    Raises
    ------
    InputError
        The folder does not exist, or the suffix is not valid in a file name.
    """
    if any(mark in suffix for mark in "/\\\0"):
        raise input_error(
            f"'{suffix}' is not part of a file name", path="suffix", expected="such as _heldout"
        )
    folder = data if data is not None else os.environ.get("PERFMODEL_DATA") or "../shared/data"
    root = Path(folder)
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
        List to which readers add faults of cells.
    note
        Note if a suffix was requested and the file lacks it.
    """

    rows: CsvTable
    faults: list[Fault]
    note: tuple[str, ...]


@contextmanager
def measured_table(
    folder: DataFolder, name: str, places: Sequence[str], columns: Sequence[str]
) -> Generator[MeasuredTable]:
    """Open the first existing file of a data set, and raise all faults at the end of the block.

    Parameters
    ----------
    folder
        Folder of data.
    name
        Name of the data set.
    places
        Candidate paths in the folder.
    columns
        Required columns.

    Raises
    ------
    InputError
        The file or a column is missing; at the end of the block, faults of rows.
    """
    path = folder.need(name, *places)
    rows = read_rows(path)
    faults = list(rows.missing(columns))
    if faults:
        raise InputError(faults)
    yield MeasuredTable(rows, faults, folder.note(path))
    if faults:  # a row that is read as several cases repeats its faults
        raise InputError(list(dict.fromkeys(faults)))
