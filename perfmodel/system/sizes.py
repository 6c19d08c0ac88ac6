"""Validation of sizes (tokens, sequences, clients), as numbers or arrays that broadcast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from perfmodel.arrays import Value
from perfmodel.errors import Fault
from perfmodel.settings import FaultList

#: Maximum number of tokens, sequences or clients; larger values are treated as typing errors.
MOST: Final = 2**24
_NOUNS: Final = {"batch": "sequences", "concurrency": "clients"}


def checked_sizes(
    named: Mapping[str, Value], faults: FaultList, *, integers: bool = False, most: int = 0
) -> dict[str, Any]:
    """Return sizes as arrays; 1 for an invalid one.

    Parameters
    ----------
    named
        Values by parameter.
    faults
        Receives faults of non-positive values, and of shapes that do not broadcast.
    integers
        Whether the sizes must be integers.
    most
        Maximum number of configurations, if limited.
    """
    expected = f"a {'whole ' if integers else ''}number from 1 to {MOST:,}, or an array of them"
    sizes: dict[str, Any] = {}
    for name, value in named.items():
        sizes[name] = np.ones(())
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            faults.append(Fault(f"{value!r} is not a number", path=name, expected=expected))
            continue
        good = (array >= 1) & (array <= MOST)
        good &= (np.where(good, array, 0.5) % 1 == 0) | (not integers)
        if array.size and np.all(good):
            sizes[name] = array
            continue
        first = f"{array[~good].flat[0]:,.9g}" if array.size else "an empty array"
        message = f"{first} counts no {_NOUNS.get(name, 'tokens')}"
        faults.append(Fault(message, path=name, expected=expected))
    shapes = [size.shape for size in sizes.values()]
    try:
        points = int(np.prod(np.broadcast_shapes(*shapes)))
    except ValueError:
        message = f"shapes {', '.join(map(str, shapes))} do not go together"
        faults.append(Fault(message, path=next(iter(named)), expected="shapes that broadcast"))
    else:
        if most and points > most:
            message = f"{points:,} questions"
            faults.append(Fault(message, path=next(iter(named)), expected=f"at most {most:,}"))
    return sizes
