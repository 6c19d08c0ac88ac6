"""Reader of buffers from CSV files in the format of MiniMalloc.

Moffitt, "MiniMalloc: a lightweight memory allocator for hardware-accelerated machine learning",
ASPLOS 2023; its files have the columns ``id,lower,upper,size``, and optionally ``alignment``,
``offset``, ``hint``.
"""

from __future__ import annotations

import re
from pathlib import Path

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.measurements import CsvRow, CsvTable, read_rows
from perfmodel.schedule.allocate.lifetime import Lifetime, number_faults

#: Alternative column names in MiniMalloc.
_SAME = {"buffer": "id", "buffer_id": "id", "start": "lower", "end": "upper"}
_NEEDED = ("id", "lower", "upper", "size")
_OTHERS = ("alignment", "offset", "hint")
_COLUMN = {"size_bytes": "size"}


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
    short: list[Fault] = []
    rows = read_rows(path, noun="buffer", faults=short)
    named = {_SAME.get(name, name): name for name in rows.columns}
    faults: list[Fault] = []
    if len(named) < len(rows.columns):
        twice = [c for c in rows.columns if named[_SAME.get(c, c)] != c]
        for column in twice:
            message = f"columns '{column}' and '{named[_SAME.get(column, column)]}' mean the same"
            faults.append(rows.fault(None, column, message, "one of them"))
    missing = [name for name in _NEEDED if name not in named]
    if missing:
        faults += rows.missing(missing)
    for name in rows.columns:
        if _SAME.get(name, name) not in (*_NEEDED, *_OTHERS):
            faults.append(_stranger(rows, name))
    if faults:
        raise InputError([*faults, *short])
    reader = _LifetimeReader(rows, named)
    lifetimes = [reader.lifetime(row) for row in rows]
    if reader.faults or short:
        raise InputError(sorted([*reader.faults, *short], key=_line))
    return [b for b in lifetimes if b is not None]


def _line(fault: Fault) -> int:
    return fault.line


def _stranger(rows: CsvTable, name: str) -> Fault:
    if name == "gaps":
        # A lifetime read as unlimited would fit less often; one read as empty would be wrong.
        return rows.fault(
            None,
            name,
            "lifetimes with gaps are not supported",
            "a buffer of its own for each stretch of time",
        )
    known = (*_NEEDED, *_OTHERS)
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
                f"'{name}' is the name of line {self.lines[name]} as well",
                "a name of its own for each buffer",
            )
        else:
            self.lines[name] = row.line
        lower, upper, size = (self._number(row, column) for column in _NEEDED[1:])
        alignment, offset, hint = (self._number(row, column) for column in _OTHERS)
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
            self._fault(row, _COLUMN.get(field, field), message, expected)
        return lifetime if len(self.faults) == before else None

    def _fault(self, row: CsvRow, column: str, message: str, expected: str) -> None:
        self.faults.append(self.rows.fault(row, self.named[column], message, expected))

    def _number(self, row: CsvRow, column: str) -> int | None:
        if column not in self.named:
            return None
        text = row.get(self.named[column])
        if not text and column in _OTHERS:
            return None
        if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
            message = f"'{text}' is no whole number" if text else "an empty cell"
            self._fault(row, column, message, "a whole number of at most 18 digits")
            return None
        return int(text)
