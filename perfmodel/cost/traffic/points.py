"""Points in pieces: arguments broadcast, laid flat, and evaluated in chunks that fit the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from perfmodel.arrays import Value, namespace

#: A dataclass whose fields are columns.
Record = TypeVar("Record", bound=Any)


def columns_of(record: Any) -> list[Value]:
    """Return the fields of a dataclass with slots, in order."""
    return [getattr(record, name) for name in record.__slots__]


def each(function: Callable[[Value], Value], record: Record) -> Record:
    """Return a dataclass with a function of each of its columns."""
    return type(record)(*map(function, columns_of(record)))


def where(condition: Value, yes: Value, no: Value) -> Value:
    """Return one of two values: by a plain condition, or at each point of an array."""
    if np.ndim(condition):
        return namespace(condition).where(condition, yes, no)
    return yes if condition else no


def flat(xp: Any, arguments: Sequence[Value]) -> tuple[list[Value], tuple[int, ...]]:
    """Return the arguments as float arrays of one flat shape, and the shape they broadcast to."""
    arrays = [xp.asarray(argument) * 1.0 for argument in arguments]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return [xp.broadcast_to(array, shape).reshape(-1) for array in arrays], shape


def where_not(
    xp: Any,
    known: Value,
    answer: Sequence[Value],
    arguments: Sequence[Value],
    function: Callable[..., tuple[Value, ...]],
    size: int,
) -> list[Value]:
    """Return `answer` at the points where it is known, and the values of `function` elsewhere.

    NumPy points are evaluated only where needed, `size` at a time; other namespaces (tracers)
    evaluate all.
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
        with np.errstate(all="ignore"):  # points where nothing fits; they are marked as such
            computed = function(*(argument[points] for argument in arguments))
        for column, values in zip(out, computed, strict=True):
            column[points] = values
    return out


def pieces(extent: Value, tile: Value, relaxed: bool = False) -> Value:
    """Return how many tiles cover a dimension."""
    xp, count = namespace(extent, tile), extent / tile
    return xp.maximum(1.0, count) if relaxed else xp.ceil(count)


def rounded_down(value: Value, relaxed: bool = False) -> Value:
    """Return the value rounded down, or as it is in the relaxed form."""
    return value if relaxed else namespace(value).floor(value)
