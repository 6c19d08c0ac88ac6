"""Reader of buffers with lifetimes from CSV files, in the format of MiniMalloc.

Moffitt, "MiniMalloc: a lightweight memory allocator for hardware-accelerated machine learning",
ASPLOS 2023; its files have the columns ``id,lower,upper,size``, and optionally ``alignment``,
``offset``, ``hint``.
"""

from __future__ import annotations

import re
from pathlib import Path

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.measurement_csv import CsvRow, CsvTable, read_rows
from perfmodel.schedule.allocate.lifetime import Lifetime, number_faults

#: Other names of columns in files of MiniMalloc.
_SYNONYMS = {"buffer": "id", "buffer_id": "id", "start": "lower", "end": "upper"}
_REQUIRED = ("id", "lower", "upper", "size")
_OPTIONAL = ("alignment", "offset", "hint")
#: Columns whose name differs from that of their field.
_COLUMN_OF_FIELD = {"size_bytes": "size"}


def read_lifetimes(path: str | Path) -> list[Lifetime]:
    """Read buffers from a CSV file.

    Parameters
    ----------
    path
        Columns ``id``, ``lower``, ``upper`` (half-open) and ``size``; optionally ``alignment``,
        ``offset`` (fixed) and ``hint`` (earlier offset), each empty for buffers without one.
        ``start``, ``end``, ``buffer`` and ``buffer_id`` are accepted as in MiniMalloc.

    Raises
    ------
    InputError
        All faults of the file together.
    """
    row_faults: list[Fault] = []
    rows = read_rows(path, noun="buffer", faults=row_faults)
    named = {_SYNONYMS.get(name, name): name for name in rows.columns}
    faults: list[Fault] = []
    if len(named) < len(rows.columns):
        twice = [c for c in rows.columns if named[_SYNONYMS.get(c, c)] != c]
        for column in twice:
            message = (
                f"columns '{column}' and '{named[_SYNONYMS.get(column, column)]}' mean the same"
            )
            faults.append(rows.fault(None, column, message, "one of them"))
    missing = [name for name in _REQUIRED if name not in named]
    if missing:
        faults += rows.missing(missing)
    for name in rows.columns:
        if _SYNONYMS.get(name, name) not in (*_REQUIRED, *_OPTIONAL):
            faults.append(_unknown_column(rows, name))
    if faults:
        raise InputError([*faults, *row_faults])
    reader = _LifetimeReader(rows, named)
    lifetimes = [reader.lifetime(row) for row in rows]
    if reader.faults or row_faults:
        raise InputError(sorted([*reader.faults, *row_faults], key=_line))
    return [b for b in lifetimes if b is not None]


def _line(fault: Fault) -> int:
    return fault.line


def _unknown_column(rows: CsvTable, name: str) -> Fault:
    """Return the fault of an unknown column, with the likely one."""
    if name == "gaps":
        # A lifetime read as unlimited would fit less often; one read as empty would be wrong.
        return rows.fault(
            None,
            name,
            "lifetimes with gaps are not supported",
            "a separate buffer for each stretch of time",
        )
    known = (*_REQUIRED, *_OPTIONAL)
    meant = nearest(name, known)
    expected = "" if meant else "columns " + ", ".join(known)
    return rows.fault(None, name, f"unknown column '{name}'", expected, meant)


class _LifetimeReader:
    """Conversion of cells to numbers, collecting the faults."""

    def __init__(self, rows: CsvTable, named: dict[str, str]) -> None:
        self.rows, self.named = rows, named
        self.faults: list[Fault] = []
        self.lines: dict[str, int] = {}

    def lifetime(self, row: CsvRow) -> Lifetime | None:
        """Return the buffer of a row; None if the row has a fault."""
        before = len(self.faults)
        name = row.get(self.named["id"])
        if not name:
            self._fault(row, "id", "a buffer without a name", "a name")
        elif name in self.lines:
            self._fault(
                row,
                "id",
                f"'{name}' is also the name of line {self.lines[name]}",
                "a different name for each buffer",
            )
        else:
            self.lines[name] = row.line
        lower, upper, size = (self._number(row, column) for column in _REQUIRED[1:])
        alignment, offset, hint = (self._number(row, column) for column in _OPTIONAL)
        # Invalid numbers are already reported; a consistent substitute avoids follow-up faults.
        first = (upper or 1) - 1 if lower is None else lower
        lifetime = Lifetime(
            name,
            first,
            first + 1 if upper is None else upper,
            size or 0,
            1 if alignment is None else alignment,
            offset,
            hint,
        )
        for field, message, expected in number_faults(lifetime):
            self._fault(row, _COLUMN_OF_FIELD.get(field, field), message, expected)
        return lifetime if len(self.faults) == before else None

    def _fault(self, row: CsvRow, column: str, message: str, expected: str) -> None:
        self.faults.append(self.rows.fault(row, self.named[column], message, expected))

    def _number(self, row: CsvRow, column: str) -> int | None:
        """Return the number in a cell; None if it is optional and empty, or has a fault."""
        if column not in self.named:
            return None
        text = row.get(self.named[column])
        if not text and column in _OPTIONAL:
            return None
        if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
            message = f"'{text}' is not a whole number" if text else "an empty cell"
            self._fault(row, column, message, "a whole number of at most 18 digits")
            return None
        return int(text)
