"""Text output: tables in aligned columns with one unit per column, labelled lines."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.columns import RATE, TEXT, TRUTH
from perfmodel.units import DIMENSIONS, UnitError, parse, show

if TYPE_CHECKING:
    from perfmodel.table.columnar import Table

_ROWS = 20
#: Largest number of lines in the `repr` of a result.
LONGEST = 15


def align_columns(rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return lines with aligned columns.

    Parameters
    ----------
    rows
        Cells of each line, of equal number; titles count as a line.
    right
        Indices of right-aligned columns.
    """
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def labelled_lines(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line per label and its text, with the texts aligned."""
    return [f"  {line}" for line in align_columns(pairs)]


def shorten(text: str, where: str, most: int = LONGEST) -> str:
    """Return the first lines of a text; a last line counts those cut.

    Parameters
    ----------
    where
        Expression for the remaining lines, such as ``print(result)``.
    most
        Largest number of lines returned.
    """
    lines = text.splitlines()
    if len(lines) <= most:
        return text
    first = lines[: most - 1]
    return "\n".join([*first, f"... {len(lines) - len(first)} more lines: {where}"])


def as_text(table: Table, rows: int = _ROWS) -> str:
    """Return the first rows as aligned text: names, units, values."""
    if not table.columns:
        return "Table (empty)"
    names, units, cells = shown_cells(table, rows)
    right = {i for i, name in enumerate(names) if table.dimensions[name] != TEXT}
    lines = align_columns(
        [names, *([units] if any(units) else ()), *zip(*cells, strict=True)], right
    )
    if len(table) > rows:
        lines.append(f"... {len(table)} rows")
    return "\n".join(lines)


def data_table(table: Table, caption: str = "", *, most: int = 200, sorts: bool = True) -> str:
    """Return the first rows as HTML, each column with its unit; the caption has the total."""
    from perfmodel.table.html import HtmlCell
    from perfmodel.table.html import table as html_table

    names, units, columns = shown_cells(table, most)
    body: list[list[HtmlCell]] = [[] for _ in range(min(len(table), most))]
    for name, texts in zip(names, columns, strict=True):
        number = table.dimensions[name] not in (TEXT, TRUTH)
        for line, text, value in zip(body, texts, table[name][:most].tolist(), strict=True):
            line.append(HtmlCell(text, float(value) if number else math.nan))
    heads = list(zip(names, units, strict=True))
    if len(table) > most:
        caption = f"{caption}{'; ' if caption else ''}the first {most} of {len(table)} rows"
    return html_table(heads, body, caption, sorts=sorts)


def shown_cells(table: Table, rows: int) -> tuple[list[str], list[str], list[list[str]]]:
    """Return names, units and texts of the first rows, column by column."""
    names = list(table.columns)
    units: list[str] = []
    cells: list[list[str]] = []
    for name in names:
        unit, column = _column(table[name][:rows], table.dimensions[name])
        units.append(unit)
        cells.append(column)
    return names, units, cells


def _column(values: npt.NDArray[Any], dimension: str) -> tuple[str, list[str]]:
    """Return the unit of a column and its values in that unit."""
    if dimension == TEXT:
        return "", [str(v) for v in values]
    if dimension == TRUTH:
        return "", ["yes" if v else "no" for v in values]
    numbers = np.asarray(values, dtype=np.float64)
    unit, scale = "", 1.0
    if dimension == RATE:
        unit = "1/s"
    elif dimension in DIMENSIONS:
        unit, scale = _prefixed(numbers, dimension)
    return unit, ["" if math.isnan(v) else _figures(v / scale) for v in numbers.tolist()]


def _prefixed(numbers: npt.NDArray[np.float64], dimension: str) -> tuple[str, float]:
    """Return a unit with a prefix that suits the column's geometric mean, and its SI value."""
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    base = DIMENSIONS[dimension].base
    if not sizes.size or not base:
        return base, 1.0
    middle = float(np.exp(np.mean(np.log(sizes))))
    power = min(max(math.floor(math.log10(middle) / 3) * 3, -18), 18)
    unit = show(10.0**power, dimension, digits=1).split(" ", 1)[-1]
    try:
        return unit, parse(f"1 {unit}", dimension)
    except UnitError:
        return DIMENSIONS[dimension].unit, 1.0


def _figures(value: float) -> str:
    """Return four significant figures, or a whole number in full."""
    if not math.isfinite(value):
        return str(value)
    if value.is_integer() and abs(value) < 1e9:
        return str(int(value))
    text = f"{value:.4g}"
    return text if "e" not in text or abs(value) >= 1e6 or abs(value) < 1e-4 else f"{value:.0f}"
