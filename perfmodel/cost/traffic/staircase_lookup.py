"""Many staircases at many capacities at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.staircase import OperandTraffic, Staircase
from perfmodel.cost.traffic.staircase_axes import Floats, Ints


def batched(staircases: Sequence[Staircase], capacities: npt.ArrayLike) -> Floats:
    """Return the traffic of many nests at many capacities.

    Parameters
    ----------
    staircases
        One a nest.
    capacities
        Bytes: a number or shape (points,) for all nests, or (nests, points).

    Returns
    -------
    array
        Bytes, shape (nests, points); infinite below the smallest tile.

    Raises
    ------
    ValueError
        Rows of capacities that are not one a nest.
    """
    return _gathered(staircases, capacities, [[s.padded for s in staircases]])[0]


def batched_parts(staircases: Sequence[Staircase], capacities: npt.ArrayLike) -> OperandTraffic:
    """Return the traffic of each operand of many nests at many capacities.

    Parameters
    ----------
    staircases, capacities
        As of `batched`.

    Returns
    -------
    Parts
        Of arrays of shape (nests, points).
    """
    columns = [
        [np.concatenate([[np.inf], column[i]]) for column in map(_columns, staircases)]
        for i in range(4)
    ]
    return OperandTraffic(*_gathered(staircases, capacities, columns))


def _columns(stairs: Staircase) -> tuple[Floats, Floats, Floats, Floats]:
    return (
        stairs.input_bytes, stairs.weight_bytes, stairs.output_bytes, stairs.partial_read_bytes,
    )  # fmt: skip


def _gathered(
    staircases: Sequence[Staircase], capacities: npt.ArrayLike, columns: list[list[Floats]]
) -> list[Floats]:
    """Return columns of steps at capacities; each column has an entry before its first step."""
    at = np.atleast_1d(np.asarray(capacities, dtype=float))
    out = [np.empty((len(staircases), at.shape[-1])) for _ in columns]
    if at.ndim == 2:
        if len(at) != len(staircases):
            raise ValueError(f"{len(staircases)} staircases, but capacities of {len(at)}")
        for i, stairs in enumerate(staircases):
            points: Floats = at[i]
            step: Ints = stairs.index(points) + 1
            for values, column in zip(out, columns, strict=True):
                np.take(column[i], step, out=values[i])
        return out
    # In ascending order the steps cut the points into runs: no search for each point.
    ascending = at
    order = None if np.all(at[1:] >= at[:-1]) else np.argsort(at)
    if order is not None:
        ascending = at[order]
    for i, stairs in enumerate(staircases):
        cuts = ascending.searchsorted(stairs.capacity_bytes, side="left")
        ends = np.concatenate([[0], cuts, [len(at)]])
        for values, column in zip(out, columns, strict=True):
            run = np.repeat(column[i], np.diff(ends))
            if order is None:
                values[i] = run
            else:
                values[i, order] = run
    return out
