"""Columns of a table: read, filled, compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from perfmodel.columns import TEXT, TRUTH, dimension_of
from perfmodel.errors import nearest

Column: TypeAlias = npt.NDArray[Any]


def column_array(name: str, value: Any) -> Column:
    """Return a value as a column, or as the one value of all rows."""
    if value is None:
        return np.asarray(np.nan)
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        array = array.astype(object, copy=False)  # a repeated text stays one object
    if array.ndim > 1:
        raise ValueError(f"column {name} has {array.ndim} dimensions")
    return array


def column_dimension(name: str, array: Column, given: Mapping[str, str]) -> str:
    """Return the dimension of a column: stated, or what its name and values say."""
    if array.dtype.kind == "O":
        return TEXT
    if array.dtype.kind == "b":
        return TRUTH
    known = given.get(name)
    return dimension_of(name) if known is None or known in (TEXT, TRUTH) else known


def filled_column(part: Mapping[str, Column], name: str, dimension: str, rows: int) -> Column:
    """Return a column of a part, or one of empty values where it has none."""
    if name in part:
        return part[name]
    if dimension == TEXT:
        return np.full(rows, "", dtype=object)
    return np.full(rows, np.nan)


def missing_column(name: str, known: Iterable[str]) -> str:
    """Say that a table has no such column, with the nearest name."""
    meant = nearest(name, known)
    return f"there is no column '{name}'" + (f"; did you mean '{meant}'?" if meant else "")


def plain_scalar(value: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def same_column(left: Column, right: Column) -> bool:
    """Whether two columns are equal, numbers that are missing too."""
    if left.dtype.kind == "f" and right.dtype.kind == "f":
        return bool(np.array_equal(left, right, equal_nan=True))
    return bool(np.array_equal(left, right))
