"""Column arrays of a table: conversion, filling, comparison, grouping, and faults of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from perfmodel.columns import TEXT, TRUTH, dimension_of
from perfmodel.errors import Fault, nearest, no_such, one_of

Column: TypeAlias = npt.NDArray[Any]


def column_array(name: str, value: Any) -> Column:
    """Return a value as a column, or as a scalar for all rows."""
    if value is None:
        return np.asarray(np.nan)
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        array = array.astype(object, copy=False)  # a repeated text stays one object
    if array.ndim > 1:
        raise ValueError(f"column {name} has {array.ndim} dimensions")
    return array


def column_dimension(name: str, array: Column, stated: Mapping[str, str]) -> str:
    """Return the dimension of a column: stated, or derived from its name and values."""
    if array.dtype.kind == "O":
        return TEXT
    if array.dtype.kind == "b":
        return TRUTH
    known = stated.get(name)
    return dimension_of(name) if known is None or known in (TEXT, TRUTH) else known


def filled_column(part: Mapping[str, Column], name: str, dimension: str, rows: int) -> Column:
    """Return a column of a table's part, filled with empty values if it has none."""
    if name in part:
        return part[name]
    if dimension == TEXT:
        return np.full(rows, "", dtype=object)
    return np.full(rows, np.nan)


def missing_column(name: str, known: Iterable[str]) -> str:
    """Return the message for a missing column, with the nearest name."""
    suggestion = nearest(name, known)
    return f"there is no column '{name}'" + (
        f"; did you mean '{suggestion}'?" if suggestion else ""
    )


def sorted_rows(columns: Sequence[Column], descending: bool) -> npt.NDArray[np.intp]:
    """Return the indices that sort rows by one or more columns (stable; NaN last)."""
    order = np.arange(len(columns[0]))
    for column in reversed(columns):
        values = column[order]
        if values.dtype.kind in "fiub":
            numbers = values.astype(np.float64)
            step = np.argsort(-numbers if descending else numbers, kind="stable")
        else:
            step = np.argsort(values.astype(str), kind="stable")
            step = step[::-1] if descending else step
        order = order[step]
    return order


def is_repeated(values: Column) -> bool:
    """Return whether a column is one value that is broadcast to its rows."""
    return len(values) > 0 and values.strides == (0,)


def plain_scalar(value: Any) -> Any:
    """Return a NumPy scalar as a Python number."""
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def same_column(left: Column, right: Column) -> bool:
    """Return whether two columns are equal, where NaN equals NaN."""
    if left.dtype.kind == "f" and right.dtype.kind == "f":
        return bool(np.array_equal(left, right, equal_nan=True))
    return bool(np.array_equal(left, right))


def objective_faults(
    names: Iterable[str], dimensions: Mapping[str, str], option: str = ""
) -> list[Fault]:
    """Return faults of objectives: unknown columns and columns of texts."""
    faults: list[Fault] = []
    for name in names:
        if name not in dimensions:
            numbers = one_of([n for n, dim in dimensions.items() if dim != TEXT])
            faults.append(_no_column(name, dimensions, option, numbers))
        elif dimensions[name] == TEXT:
            message = f"column '{name}' holds texts"
            faults.append(Fault(message, file=option, expected="a column of numbers"))
    return faults


def _no_column(name: str, known: Iterable[str], option: str, expected: str = "") -> Fault:
    message = f"there is no column '{name}'"
    return no_such(message, name, known, file=option, expected=expected)


def group_faults(
    names: Iterable[str], dimensions: Mapping[str, str], option: str = ""
) -> list[Fault]:
    """Return faults of grouping columns: unknown names."""
    return [_no_column(name, dimensions, option) for name in names if name not in dimensions]


def first_of_groups(
    keys: Sequence[npt.NDArray[Any]], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Return the row with the least value in each group, groups in ascending order of keys.

    Parameters
    ----------
    keys : sequence of ndarray, shape (rows,)
        Rows with equal keys form a group, where NaN equals NaN; without keys all rows are one.
    values : ndarray, shape (rows,)
        Rows with NaN are excluded; the first row wins a tie.
    """
    group = np.zeros(len(values), dtype=np.intp)
    for key in keys:
        plain = key.astype(str) if key.dtype.kind == "O" else key
        numbers, of_row = np.unique(plain, return_inverse=True)
        group = group * len(numbers) + of_row
    order = np.lexsort((values, group))
    order = order[~np.isnan(values[order])]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = group[order][1:] != group[order][:-1]
    return order[starts]
