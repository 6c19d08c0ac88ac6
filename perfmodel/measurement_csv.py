"""Reader of CSV files with measured rows, plain or gzipped, that locates every faulty cell.

Validation, calibration and accuracy data all come as such tables. `read_rows` returns a `CsvTable`;
its methods convert cells and report each fault with file, line and column, all of them at once.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.regular_files import open_regular_file

P = ParamSpec("P")
R = TypeVar("R")

_SKIPPED_FAULTS: ContextVar[list[Fault] | None] = ContextVar("_SKIPPED_FAULTS", default=None)

#: Maximum size of a file; files are read into memory completely.
MAX_BYTES: Final = 512 * 1024 * 1024

#: Largest plausible measurement; values above it, or below its reciprocal, are faults.
LARGEST: Final = 1e30


@contextmanager
def bad_cells_left_out() -> Generator[list[Fault]]:
    """Read files with invalid cells treated as empty; yield the list of their faults.

    Rows with too few or too many cells are skipped.
    """
    skipped: list[Fault] = []
    token = _SKIPPED_FAULTS.set(skipped)
    try:
        yield skipped
    finally:
        _SKIPPED_FAULTS.reset(token)


def few_faults(faults: Sequence[Fault]) -> str:
    """Return the first ten faults as text, with the number of further ones."""
    more = f"; and {len(faults) - 10} more" if faults[10:] else ""
    return "; ".join(map(str, faults[:10])) + more


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row: cell texts by column, and its position."""

    cells: dict[str, str]
    line: int

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def get(self, column: str, default: str = "") -> str:
        """Return the stripped text of a cell; `default` if the column or the text is missing."""
        return self.cells.get(column, "").strip() or default


class CsvTable:
    """Rows of a CSV file.

    Parameters
    ----------
    file : str
        File name in faults.
    text : str
        Content; the first line is the header.
    noun : str
        Description of a row, for the messages.
    faults : list of Fault, optional
        List that receives the faults of rows, which are then skipped; faults of the header are
        raised nevertheless.

    Attributes
    ----------
    columns : tuple of str
        Stripped column names of the header.
    rows : list of CsvRow
        Valid rows.

    Raises
    ------
    InputError
        Rows with too few or too many cells, and duplicate or unnamed columns.
    """

    __slots__ = ("_lines", "columns", "file", "rows")

    def __init__(
        self,
        file: str,
        text: str,
        *,
        noun: str = "measurement",
        faults: list[Fault] | None = None,
    ) -> None:
        self.file = file
        self._lines = text.splitlines()
        reader = csv.reader(io.StringIO(text), strict=True)
        collected = _SKIPPED_FAULTS.get() if faults is None else faults
        header, faults = list[Fault](), list[Fault]()
        self.columns: tuple[str, ...] = ()
        self.rows: list[CsvRow] = []
        start = 1

        def add(message: str, expected: str, line: int = 1) -> None:
            faults.append(Fault(message, file=file, line=line, column=1, expected=expected))

        try:
            for cells in reader:
                line, start = start, reader.line_num + 1
                if not any(cell.strip() for cell in cells):
                    continue  # a blank line
                if not self.columns:
                    self.columns = tuple(cell.strip() for cell in cells)
                    header += self._header_faults(line)
                elif len(cells) != len(self.columns):
                    add(
                        f"{len(cells)} cells", f"{len(self.columns)} cells, as the header has", line
                    )
                else:
                    self.rows.append(CsvRow(dict(zip(self.columns, cells, strict=True)), line))
        except csv.Error as error:
            add(f"not CSV: {error}", "quotes that close, or none", start)
        if not self.columns:
            add("empty file", "a header line with names of columns")
        elif not self.rows and not faults and not header:
            add("a header and no rows", f"one row per {noun}")
            collected = None
        if header or not self.columns or (faults and collected is None):
            raise InputError([*header, *faults])
        if collected is not None:
            collected += faults

    def _header_faults(self, line: int) -> Iterator[Fault]:
        for i, name in enumerate(self.columns):
            if not name or name in self.columns[:i]:
                message = f"column '{name}' occurs twice" if name else "column without a name"
                yield Fault(
                    message,
                    file=self.file,
                    line=line,
                    column=self._column(line, i),
                    expected="a different name for each column",
                )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[CsvRow]:
        return iter(self.rows)

    def _column(self, line: int, index: int) -> int:
        """Return the 1-based column of a cell in its line; 1 if the cell starts on a later line."""
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        cell, at, quoted = 0, 0, False
        for i, letter in enumerate(text):
            if cell == index:
                break
            if letter == '"':
                quoted = not quoted
            elif letter == "," and not quoted:
                cell, at = cell + 1, i + 1
        return at + 1 if cell == index else 1

    def fault(
        self,
        row: CsvRow | None,
        column: str,
        message: str,
        expected: str = "",
        suggestion: str = "",
    ) -> Fault:
        """Return a fault at a cell, or at the header cell if no row is specified."""
        line = 1 if row is None else row.line
        place = self._column(line, self.columns.index(column)) if column in self.columns else 1
        return Fault(message, column, self.file, line, place, expected, suggestion)

    def missing(self, required: Sequence[str]) -> list[Fault]:
        """Return a fault for each missing column."""
        out: list[Fault] = []
        only_column = self.columns[0] if len(self.columns) == 1 else ""
        mark = next((m for m in ("\t", ";", "|") if m in only_column), "")
        if mark:  # one fault, not one for each column that this hides
            name = "a tab" if mark == "\t" else f"'{mark}'"
            return [
                Fault(
                    f"columns are separated by {name}",
                    "",
                    self.file,
                    1,
                    only_column.index(mark) + 1,
                    expected="commas",
                )
            ]
        for name in required:
            if name not in self.columns:
                meant = nearest(name, self.columns)
                note = f"column '{meant}' renamed" if meant else "columns " + ", ".join(required)
                out.append(Fault(f"no column '{name}'", name, self.file, 1, 1, expected=note))
        return out

    def unknown(self, known: Sequence[str]) -> list[Fault]:
        """Return a fault for each unknown column."""
        expected = one_of(known)
        return [
            self.fault(None, name, f"unknown column '{name}'", expected, nearest(name, known))
            for name in self.columns
            if name not in known
        ]

    def number(
        self,
        row: CsvRow,
        column: str,
        faults: list[Fault],
        *,
        scale: float = 1.0,
        above_zero: bool = True,
    ) -> float | None:
        """Return a cell as a number times `scale`; ``None`` if it is empty or invalid.

        Parameters
        ----------
        faults : list of Fault
            List that receives a fault if the text is not a finite number, or not positive where
            required.
        """
        text = row.get(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        is_valid = abs(value) <= LARGEST and (value >= 1 / LARGEST or not above_zero)
        if not is_valid:
            wanted = "a number above zero" if above_zero else "a finite number"
            skipped = _SKIPPED_FAULTS.get()
            (faults if skipped is None else skipped).append(
                self.fault(row, column, f"'{text}' is not a measurement", wanted)
            )
            return None
        return value * scale

    def required(self, row: CsvRow, column: str, faults: list[Fault]) -> float | None:
        """Return a cell as a finite number; ``None``, with a fault, if it is invalid or empty."""
        if not row.get(column):
            faults.append(self.fault(row, column, "an empty cell", "a finite number"))
        return self.number(row, column, faults, above_zero=False)

    def trying(
        self,
        row: CsvRow | None,
        column: str,
        faults: list[Fault],
        work: Callable[P, R],
        /,
        *arguments: P.args,
        **named: P.kwargs,
    ) -> R | None:
        """Return the result of a call; ``None`` if it raises, with its faults located at a cell."""
        try:
            return work(*arguments, **named)
        except InputError as error:
            for fault in error.faults:
                message = ": ".join(filter(None, (fault.path, fault.message)))
                faults.append(self.fault(row, column, message, fault.expected, fault.suggestion))
            return None

    def select(self, keep: Callable[[CsvRow], bool]) -> list[CsvRow]:
        """Return the rows that satisfy a condition."""
        return [row for row in self.rows if keep(row)]


def read_columns(
    path: str | Path,
    noun: str,
    required: Sequence[str],
    optional: Sequence[str],
    faults: list[Fault],
) -> CsvTable:
    """Read a CSV file with known columns; other parameters are those of `read_rows`.

    Raises
    ------
    InputError
        Missing or unknown columns, and faults of rows.
    """
    rows = read_rows(path, noun=noun, faults=faults)
    header = [*rows.missing(required), *rows.unknown((*required, *optional))]
    if header:
        raise InputError([*header, *faults])
    return rows


def read_rows(
    path: str | Path, *, noun: str = "measurement", faults: list[Fault] | None = None
) -> CsvTable:
    """Read a CSV file, gzipped if its name ends in ``.gz``.

    Parameters
    ----------
    path
        File in UTF-8, comma-separated, with a header; a byte order mark is allowed.
    noun, faults
        The same as for `CsvTable`.

    Raises
    ------
    InputError
        The file cannot be read, or has formal faults, all of which are reported.
    """
    path, shown = Path(path), str(path)
    try:
        with open_regular_file(path) as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file) as stream:
                    data = stream.read(MAX_BYTES + 1)
            else:
                data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise input_error(
            f"cannot be read: {reason}", file=shown, expected="a readable file"
        ) from None
    if len(data) > MAX_BYTES:
        raise input_error("is too large", file=shown, expected="at most 512 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise input_error(
            "not UTF-8 text", file=shown, line=line, column=column, expected="a text file in UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise input_error(
            "holds NUL, so it is not text",
            file=shown,
            line=line,
            column=1,
            expected="a text file in UTF-8",
        )
    return CsvTable(shown, text, noun=noun, faults=faults)
