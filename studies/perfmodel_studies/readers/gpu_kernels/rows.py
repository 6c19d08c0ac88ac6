"""Tables of kernels, opened with what is wrong with their cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from perfmodel.errors import Fault, InputError
from perfmodel.measurements import CsvTable, read_rows

__all__ = ["table"]


@contextmanager
def table(path: Path, columns: Sequence[str]) -> Generator[tuple[CsvTable, list[Fault]]]:
    """Open a table of measurements, and a list for the faults of its cells.

    Raises
    ------
    InputError
        Columns that are missing, at once; what the list has got, when all rows are read.
    """
    rows = read_rows(path)
    faults = rows.missing(columns)
    if faults:
        raise InputError(faults)
    yield rows, faults
    if faults:
        raise InputError(faults)
