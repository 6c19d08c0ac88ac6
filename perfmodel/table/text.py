"""Tables as text and as HTML: a unit and one prefix a column, so that numbers compare by eye."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.columns import RATE, TEXT, TRUTH
from perfmodel.units import DIMENSIONS, UnitError, parse, show

if TYPE_CHECKING:
    from perfmodel.table.columnar import Table

_ROWS = 20


def as_text(table: Table, rows: int = _ROWS) -> str:
    """The first rows as aligned text: names, units, values."""
    if not table.columns:
        return "Table (empty)"
    names, units, cells = shown_cells(table, rows)
    columns = [
        [name, unit, *column] for name, unit, column in zip(names, units, cells, strict=True)
    ]
    widths = [max(map(len, column)) for column in columns]
    left = [table.dimensions[name] == TEXT for name in names]
    lines = [
        "  ".join(
            text.ljust(width) if flush else text.rjust(width)
            for text, width, flush in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in zip(*columns, strict=True)
    ]
    if not any(units):
        del lines[1]
    if len(table) > rows:
        lines.append(f"... {len(table)} rows")
    return "\n".join(lines)


def as_html(table: Table, rows: int = _ROWS) -> str:
    """The first rows as an HTML table."""
    names, units, cells = shown_cells(table, rows)
    head = "".join(
        f"<th>{escape(name)}{f'<br><small>{escape(unit)}</small>' if unit else ''}</th>"
        for name, unit in zip(names, units, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
        for line in zip(*cells, strict=True)
    )
    more = f"<p>{len(table)} rows</p>" if len(table) > rows else ""
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def shown_cells(table: Table, rows: int) -> tuple[list[str], list[str], list[list[str]]]:
    """Names, units and texts of the first rows, column by column."""
    names = list(table.columns)
    units: list[str] = []
    cells: list[list[str]] = []
    for name in names:
        unit, column = _column(table[name][:rows], table.dimensions[name])
        units.append(unit)
        cells.append(column)
    return names, units, cells


def _column(values: npt.NDArray[Any], dimension: str) -> tuple[str, list[str]]:
    """The unit of a column and its values in it."""
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
    """A unit whose prefix suits the column's middle, and its SI value."""
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
    """Four figures, whole numbers in full."""
    if not math.isfinite(value):
        return str(value)
    if value.is_integer() and abs(value) < 1e9:
        return str(int(value))
    text = f"{value:.4g}"
    return text if "e" not in text or abs(value) >= 1e6 or abs(value) < 1e-4 else f"{value:.0f}"
