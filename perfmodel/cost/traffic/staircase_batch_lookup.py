"""Vectorised lookup of many staircases at many capacities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.convolution_axis import Floats, Ints
from perfmodel.cost.traffic.staircase import Staircase


def batched(staircases: Sequence[Staircase], capacities: npt.ArrayLike) -> Floats:
    """Return the traffic of many nests at many capacities.

    Parameters
    ----------
    staircases
        One staircase per nest.
    capacities
        Bytes; a number or shape (points,) common to all nests, or shape (nests, points).

    Returns
    -------
    array
        Bytes, shape (nests, points); infinite below the smallest tile.

    Raises
    ------
    ValueError
        The number of rows of the capacities differs from the number of nests.
    """
    at = np.atleast_1d(np.asarray(capacities, dtype=float))
    out = np.empty((len(staircases), at.shape[-1]))
    if at.ndim == 2:
        if len(at) != len(staircases):
            raise ValueError(f"{len(staircases)} staircases, but capacities of {len(at)}")
        for i, stairs in enumerate(staircases):
            points: Floats = at[i]
            step: Ints = stairs.index(points) + 1
            np.take(stairs.padded, step, out=out[i])
        return out
    # In ascending order the steps divide the points into runs, without a search per point.
    ascending = at
    order = None if np.all(at[1:] >= at[:-1]) else np.argsort(at)
    if order is not None:
        ascending = at[order]
    for i, stairs in enumerate(staircases):
        cuts = ascending.searchsorted(stairs.capacity_bytes, side="left")
        ends = np.concatenate([[0], cuts, [len(at)]])
        run = np.repeat(stairs.padded, np.diff(ends))
        if order is None:
            out[i] = run
        else:
            out[i, order] = run
    return out
