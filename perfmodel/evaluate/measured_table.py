"""A data set's file opened: its rows, what is wrong with them, and what to note of the file."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.files import DataFolder
from perfmodel.measurements import CsvTable, read_rows


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
