"""Evaluation of closed forms point by point over arrays: broadcasting, flattening and chunking.

A point is one combination of dimensions, widths and capacity of a sweep. The same code serves
numbers, NumPy arrays and tracers of other array libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from perfmodel.arrays import Value, namespace

#: Dataclass whose fields are columns of equal length.
Record = TypeVar("Record", bound=Any)


def columns_of(record: Any) -> list[Value]:
    """Return the field values of a dataclass, in order."""
    return [getattr(record, name) for name in record.__dataclass_fields__]


def map_columns(function: Callable[[Value], Value], record: Record) -> Record:
    """Apply a function to each column of a dataclass and return a new one."""
    return type(record)(*map(function, columns_of(record)))


def where(condition: Value, yes: Value, no: Value) -> Value:
    """Return `yes` or `no` by a scalar condition, or element by element."""
    if np.ndim(condition):
        return namespace(condition).where(condition, yes, no)
    return yes if condition else no


def flat(xp: Any, arguments: Sequence[Value]) -> tuple[list[Value], tuple[int, ...]]:
    """Broadcast arguments to a common shape; return them flattened as floats, and the shape."""
    arrays = [xp.asarray(argument) * 1.0 for argument in arguments]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return [xp.broadcast_to(array, shape).reshape(-1) for array in arrays], shape


def fill_unknown(
    xp: Any,
    known: Value,
    answer: Sequence[Value],
    arguments: Sequence[Value],
    function: Callable[..., tuple[Value, ...]],
    size: int,
) -> list[Value]:
    """Return `answer` at the points where `known` is true, and `function` elsewhere.

    With NumPy only the remaining points are evaluated, `size` at a time; other namespaces (tracers)
    evaluate all points.
    """
    if xp is not np:
        computed = function(*arguments)
        return [xp.where(known, a, c) for a, c in zip(answer, computed, strict=True)]
    out = [np.array(np.broadcast_to(a, known.shape)) for a in answer]
    unknown = np.flatnonzero(~known)
    for start in range(0, len(unknown), size):
        points: Any = unknown[start : start + size]
        if len(unknown) == len(known):
            points = slice(start, start + size)
        with np.errstate(all="ignore"):  # infeasible points; the results mark them as such
            computed = function(*(argument[points] for argument in arguments))
        for column, values in zip(out, computed, strict=True):
            column[points] = values
    return out


def tile_count(extent: Value, tile: Value, relaxed: bool = False) -> Value:
    """Return the number of tiles along a dimension; a real number, at least 1, if relaxed."""
    xp, count = namespace(extent, tile), extent / tile
    return xp.maximum(1.0, count) if relaxed else xp.ceil(count)


def floor_unless_relaxed(value: Value, relaxed: bool = False) -> Value:
    """Return the value rounded down, or unchanged if relaxed."""
    return value if relaxed else namespace(value).floor(value)
