"""Rows of a table as words: what a cell says, and by which axes of a sweep a row is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perfmodel.charts import ChartAxis, fitted, quantity
from perfmodel.columns import TEXT, more_is_better

if TYPE_CHECKING:
    from perfmodel.table import Table

#: Shares of an axis that are free on its lower and its upper side.
Room = tuple[float, float]


def cell(table: Table, name: str, row: int) -> str:
    """Return a value with its unit."""
    value, dimension = table[name][row], table.dimensions[name]
    return str(value) if dimension == TEXT else quantity(float(value), dimension)


def row_name(table: Table, names: Iterable[str], row: int) -> str:
    """Return a row by its values of some columns, numbers with the name of their column."""
    heads = {n: "" if table.dimensions[n] == TEXT else f"{n.rpartition('.')[2]} " for n in names}
    return ", ".join(f"{head}{cell(table, name, row)}" for name, head in heads.items())


def costs(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column with its sign turned where more is better, so that less always is."""
    values = np.array(table[name], dtype=float)
    return -values if more_is_better(name) else values


def column_axis(
    table: Table, name: str, values: Iterable[float], *, pad: float = 0.08, room: Room = (0.0, 0.0)
) -> ChartAxis:
    """Return an axis around values of a column, which says which way is good; see `fitted`."""
    dimension, unit = table.dimensions[name], table.units[name]
    better = ", more is better" if more_is_better(name) else ", less is better"
    title = f"{name}{f' ({unit})' if unit and dimension == 'rate' else ''}"
    title += "" if name in table.axes else better
    return fitted(title, values, dimension, pad=pad, room=room)
