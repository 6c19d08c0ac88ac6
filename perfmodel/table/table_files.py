"""Tables to and from CSV and Parquet files, in pieces: a file need not fit in memory."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedWriter, BytesIO, RawIOBase, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from perfmodel.catalog import need
from perfmodel.columns import TEXT, TRUTH
from perfmodel.errors import input_error
from perfmodel.table.column_arrays import is_repeated

if TYPE_CHECKING:
    from perfmodel.table.columnar import Table


@contextmanager
def writer(path: Path, like: Table) -> Generator[Callable[[Table], None]]:
    """Yield a function that appends tables with the columns of `like` to a file.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` or ``.parquet``.
    like : Table
        Defines names, types and units; its rows are not written.
    """
    if path.name.endswith(".csv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(csv_line(like.columns))

            def append(table: Table) -> None:
                file.write(csv_text(table))

            yield append
        return
    need_arrow()
    schema = _schema(like)
    with _parquet_writer(path, schema) as parquet:

        def write(table: Table) -> None:
            parquet.write_table(arrow_table(table, schema))

        yield write


def _parquet_writer(file: Path | BinaryIO, schema: Any) -> Any:
    """Return a writer of a Parquet file.

    Only texts are encoded by dictionaries: numbers repeat too rarely for them, and files with them
    are larger and take three times as long.
    """
    parquet, text = need("pyarrow.parquet"), need_arrow().string()
    texts = [field.name for field in schema if field.type == text]
    return parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=texts)


def encoded(table: Table, suffix: str) -> bytes:
    """Return rows as a part of a file: an Arrow file for Parquet, or CSV without its header.

    Arrow files are written and read twice as fast as Parquet, and read once only.
    """
    if suffix == ".csv":
        return csv_text(table).encode()
    need_arrow()
    ipc, rows, buffer = need("pyarrow.ipc"), arrow_table(table), BytesIO()
    options = ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with ipc.new_file(buffer, rows.schema, options=options) as file:
        file.write_table(rows)
    return buffer.getvalue()


def _read_part(path: Path) -> Any:
    """Return the pyarrow table of a part of a Parquet file."""
    need_arrow()
    with need("pyarrow.ipc").open_file(path.read_bytes()) as file:
        return file.read_all()


def part_columns(path: Path) -> dict[str, Any]:
    """Return the columns of a part of a Parquet file."""
    return {field.name: column.to_numpy() for field, column in _fields(_read_part(path))}


class PartJoiner:
    """A CSV or Parquet file that is written from parts, and the hash of its bytes.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` or ``.parquet``.
    like : Table
        Defines names, types and units.
    """

    def __init__(self, path: Path, like: Table) -> None:
        self.path = path
        self._file = _HashedFile(path.open("wb", buffering=0))
        self._schema: Any = None
        if path.suffix == ".csv":
            self._file.write(csv_line(like.columns).encode())
        else:
            self._schema = _schema(like)
            self._parquet = _parquet_writer(self._file, self._schema)

    def append(self, parts: Sequence[Path], lacking: Sequence[bool]) -> None:
        """Append parts, as one row group of a Parquet file; some may lack the last column."""
        if self._schema is None:
            for part, lacks in zip(parts, lacking, strict=True):
                data = part.read_bytes()
                self._file.write(with_empty_column(data) if lacks else data)
            return
        arrow = need_arrow()
        rows = arrow.concat_tables([_with_columns(_read_part(p), self._schema) for p in parts])
        self._parquet.write_table(rows, row_group_size=max(1, len(rows)))

    def close(self) -> str:
        """Complete the file; return the SHA-256 of its bytes."""
        if self._schema is not None:
            self._parquet.close()
        self._file.close()
        return self._file.sha256.hexdigest()


class _HashedFile(BufferedWriter):
    """A file that is written once from its beginning, with the hash of what was written."""

    def __init__(self, raw: RawIOBase) -> None:
        super().__init__(raw)
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        """Write bytes, and hash them."""
        self.sha256.update(data)
        return super().write(data)


def _with_columns(table: Any, schema: Any) -> Any:
    """Return a pyarrow table with the columns of a schema; missing texts are empty."""
    if table.schema.equals(schema):
        return table
    arrow = need_arrow()
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, arrow.repeat(arrow.scalar(""), len(table)))
    return table.cast(schema)


def need_arrow() -> Any:
    """Return the module pyarrow, or raise with the package to install."""
    return need("pyarrow", "a file that ends in .csv")


def csv_line(names: Sequence[str]) -> str:
    """Return the CSV header line."""
    return _lines([[_as_text(name) for name in names]])


def _lines(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of cells as CSV text."""
    rows = list(rows)
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    text = out.getvalue()
    if "\r" not in text:
        return text
    # Before Python 3.13 a carriage return is not quoted, which ends the row on reading.
    return "".join(",".join(_quoted(cell) for cell in row) + "\n" for row in rows)


def _quoted(cell: str) -> str:
    special = not cell or any(mark in cell for mark in ',"\r\n')
    return '"' + cell.replace('"', '""') + '"' if special else cell


#: Texts that a spreadsheet would evaluate as a formula, which names in a model file may be.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r].", re.DOTALL)


def _as_text(text: str) -> str:
    """Return a text as a cell, quoted if a spreadsheet would evaluate it."""
    return f"'{text}" if _FORMULA.match(text) else text


def _from_cell(cell: str) -> str:
    """Return the text of a cell, the inverse of `_as_text`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_text(table: Table) -> str:
    """Return rows as CSV without a header: NaN is empty, numbers read back exactly.

    A text that a spreadsheet would evaluate (starting with ``=``, ``+``, ``-`` or ``@``) has an
    apostrophe prepended, which reading removes.
    """
    columns: list[list[str]] = []
    for name in table.columns:
        values = table[name]
        if table.dimensions[name] == TEXT:
            texts = [str(v) for v in values.tolist()]
            cells = {text: _as_text(text) for text in set(texts)}
            columns.append([cells[text] for text in texts])
        elif values.dtype.kind == "f":
            columns.append([_digits(v) for v in values.tolist()])
        else:
            columns.append([str(v).lower() for v in values.tolist()])
    return _lines(zip(*columns, strict=True))


def with_empty_column(data: bytes) -> bytes:
    """Return rows of a CSV written by `csv_text` with an additional empty column."""
    if b'"' not in data:
        return data.replace(b"\n", b",\n")
    lines = csv.reader(StringIO(data.decode(), newline=""))
    return _lines([*line, ""] for line in lines).encode()


def _digits(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _schema(table: Table) -> Any:
    """Return the Arrow schema of a table, with units and dimensions as metadata."""
    arrow = need_arrow()
    kinds, units = {TEXT: arrow.string(), TRUTH: arrow.bool_()}, table.units
    fields = [
        arrow.field(
            name,
            kinds.get(dimension, arrow.float64()),
            metadata={"unit": units[name], "dimension": dimension},
        )
        for name, dimension in table.dimensions.items()
    ]
    return arrow.schema(fields, metadata={"perfmodel": json.dumps({"axes": table.axes})})


def arrow_table(table: Table, schema: Any = None) -> Any:
    """Return a pyarrow Table with units in the metadata of its fields."""
    arrow = need_arrow()
    schema = _schema(table) if schema is None else schema
    arrays: list[Any] = []
    for field in schema:
        values: Any = table[str(field.name)]
        if field.type == arrow.string():
            arrays.append(_texts(arrow, values))
        else:
            target = np.bool_ if field.type == arrow.bool_() else np.float64
            arrays.append(arrow.array(np.ascontiguousarray(values, dtype=target), type=field.type))
    return arrow.Table.from_arrays(arrays, schema=schema)


def _texts(arrow: Any, values: Any) -> Any:
    if is_repeated(values):
        return arrow.repeat(arrow.scalar(str(values[0])), len(values))
    return arrow.array(values.tolist(), type=arrow.string())


def read_table(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the columns and dimensions of a file written by perfmodel."""
    path = Path(path)
    if not path.is_file():
        raise input_error("there is no such file", file=str(path))
    if path.name.endswith(".parquet"):
        return _read_parquet(path)
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if not lines:
        raise input_error("an empty file", file=str(path), expected="a line of column names")
    columns = {
        _from_cell(name): _typed([line[i] for line in lines[1:]]) for i, name in enumerate(lines[0])
    }
    return columns, {}


def _typed(cells: list[str]) -> Any:
    if cells and set(cells) <= {"true", "false"}:
        return np.array([cell == "true" for cell in cells])
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array([_from_cell(cell) for cell in cells], dtype=object)


def _read_parquet(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the columns and dimensions of a Parquet file."""
    need_arrow()
    columns: dict[str, Any] = {}
    dimensions: dict[str, str] = {}
    for field, column in _fields(need("pyarrow.parquet").read_table(path)):
        columns[field.name] = column.to_numpy()
        metadata: dict[bytes, bytes] = field.metadata or {}
        stated = metadata.get(b"dimension")
        if stated:
            dimensions[field.name] = stated.decode()
    return columns, dimensions


def _fields(table: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each field of a pyarrow table with its column."""
    return ((field, table[field.name]) for field in table.schema)


def csv_columns(text: str, dimensions: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a CSV text with a header, with types by their dimension."""
    lines = list(csv.reader(StringIO(text, newline="")))
    columns: dict[str, Any] = {}
    for i, name in enumerate(map(_from_cell, lines[0])):
        cells = [line[i] for line in lines[1:]]
        if dimensions[name] == TEXT:
            columns[name] = np.array([_from_cell(cell) for cell in cells], dtype=object)
        elif dimensions[name] == TRUTH:
            columns[name] = np.array([cell == "true" for cell in cells], dtype=bool)
        else:
            numbers = [float(cell) if cell else np.nan for cell in cells]
            columns[name] = np.array(numbers, dtype=np.float64)
    return columns
