"""Rows of kernels: hardware, what ran, its shape as ``name=number`` words, a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.measurements import CsvTable, read_rows

from perfmodel_studies.readers.gpu_kernels.devices import Finder

__all__ = ["KernelRow", "kernel_cases", "kernel_rows", "table"]

COLUMNS: Final = ("hardware", "model_or_op", "shape", "dtype")

_WORD: Final = re.compile(r"(\w+)=(\S+)")
_SECONDS: Final[Mapping[str, float]] = {"ms": 1e-3, "us": 1e-6, "s": 1.0}


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One measured kernel.

    Attributes
    ----------
    hardware, operation, dtype
        As the file has them.
    shape
        Word -> number.
    words
        Word -> text, for those that are no numbers (``dist=balanced``).
    seconds
        Measured.
    """

    hardware: str
    operation: str
    dtype: str
    shape: Mapping[str, float]
    words: Mapping[str, str]
    seconds: float

    def lacks(self, *words: str) -> str:
        """Return why the row cannot be predicted where its shape lacks words; else nothing."""
        missing = [word for word in words if word not in self.shape]
        return f"a shape without {', '.join(missing)}" if missing else ""

    @property
    def name(self) -> str:
        """How reports name the row."""
        shape = " ".join(f"{k}={v:g}" for k, v in self.shape.items())
        return f"{self.hardware} {self.operation} {self.dtype} {shape}".replace("  ", " ")


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


def kernel_rows(path: Path, *, value: str = "value", unit: str = "") -> Iterator[KernelRow]:
    """Yield the rows of a file whose value is a time.

    Parameters
    ----------
    path
        CSV, or gzipped CSV.
    value
        Column of the time.
    unit
        Its unit; by default the one that the column ``unit`` names.

    Raises
    ------
    InputError
        Columns that are missing, values that are no numbers: all at once.
    """
    with table(path, (*COLUMNS, value, *(() if unit else ("unit",)))) as (rows, faults):
        for row in rows:
            scale = _SECONDS.get(unit or row.get("unit"))
            if scale is None:  # tokens a second of whole models
                continue
            seconds = rows.number(row, value, faults, scale=scale)
            if seconds is None:
                continue
            shape: dict[str, float] = {}
            words: dict[str, str] = {}
            for name, text in _WORD.findall(row.get("shape")):
                try:
                    shape[name] = float(text)
                except ValueError:
                    words[name] = text
            yield KernelRow(
                row.get("hardware"), row.get("model_or_op"), row.get("dtype"), shape, words, seconds
            )


def kernel_cases(
    folder: DataFolder,
    name: str,
    places: Sequence[str],
    case: Callable[[KernelRow, Finder], ValidationCase],
    devices: Sequence[str | Path] = (),
    *,
    notes: Sequence[str] = (),
    value: str = "value",
    unit: str = "",
) -> Cases:
    """Return the cases of a table of kernels, one a row.

    Parameters
    ----------
    folder, name, places
        Where the table lies, of which data set.
    case
        What a row asks, given what finds its device.
    devices
        Folders with more specs.
    notes
        What a reader of the errors must know.
    value, unit
        As of `kernel_rows`.
    """
    path = folder.need(name, *places)
    find = Finder(devices)
    cases = [case(row, find) for row in kernel_rows(path, value=value, unit=unit)]
    return Cases(name, cases, notes=(*folder.note(path), *notes))
