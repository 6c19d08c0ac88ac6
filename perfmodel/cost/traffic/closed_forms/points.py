"""Points in pieces: arguments broadcast, laid flat, and evaluated in chunks that fit the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from perfmodel.arrays import Value


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
    """Return `answer` at the points where it is known, and what `function` finds elsewhere.

    NumPy points are evaluated only where needed, `size` at a time; other namespaces (tracers)
    evaluate all.
    """
    if xp is not np:
        found = function(*arguments)
        return [xp.where(known, a, f) for a, f in zip(answer, found, strict=True)]
    out = [np.array(np.broadcast_to(a, known.shape)) for a in answer]
    ask = np.flatnonzero(~known)
    for start in range(0, len(ask), size):
        at: Any = ask[start : start + size]
        if len(ask) == len(known):
            at = slice(start, start + size)
        with np.errstate(all="ignore"):  # points where nothing fits; they are marked as such
            found = function(*(argument[at] for argument in arguments))
        for column, values in zip(out, found, strict=True):
            column[at] = values
    return out


def pieces(xp: Any, extent: Value, tile: Value, relaxed: bool) -> Value:
    """Return how many tiles cover a dimension."""
    count = extent / tile
    return xp.maximum(1.0, count) if relaxed else xp.ceil(count)


def whole(xp: Any, value: Value, relaxed: bool) -> Value:
    """Return the value rounded down, or as it is in the relaxed form."""
    return value if relaxed else xp.floor(value)
