"""Tables in transit between processes: constant columns are sent as one value.

A worker packs the rows of a chunk, and `perfmodel.sweep.run` unpacks them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from perfmodel.table import Table
from perfmodel.table.column_arrays import is_repeated


class PackedTable(NamedTuple):
    """A table with constant columns as scalars.

    Attributes
    ----------
    columns : dict
        Array by name; zero-dimensional if all rows have that value.
    rows : int
    dimensions : dict
    axes : tuple of str
    """

    columns: dict[str, Any]
    rows: int
    dimensions: dict[str, str]
    axes: tuple[str, ...]


def pack(table: Table) -> PackedTable:
    """Return a table in its form for transfer."""
    columns = {name: _constant_as_scalar(table[name]) for name in table}
    return PackedTable(columns, len(table), dict(table.dimensions), table.axes)


def _constant_as_scalar(values: Any) -> Any:
    """Return a column without dimensions if all its rows are one broadcast value."""
    if is_repeated(values):
        return np.array(values[0], dtype=values.dtype)
    return np.ascontiguousarray(values)


def unpack(packed: PackedTable) -> Table:
    """Return the table from its form for transfer."""
    columns = {n: np.broadcast_to(v, (packed.rows,)) for n, v in packed.columns.items()}
    return Table(columns, packed.dimensions, packed.axes)
