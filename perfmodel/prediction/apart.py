"""Isolation of invalid points in arrays of predictions by bisection.

Points are predicted as arrays, and one invalid point makes the whole array fail. The array is then
bisected until invalid points are isolated, so that all others have predictions.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.errors import InputError

Points: TypeAlias = npt.NDArray[np.intp]

#: Maximum number of predictions per array, both for isolating valid points among invalid ones and
#: for confirming invalid ones.
_MOST: Final = 2_000
_HOPELESS: Final = 48


class Fate(NamedTuple):
    """Points of an array with a common outcome.

    Attributes
    ----------
    points : ndarray of int
        Indices of the points.
    columns : dict or None
        Predicted columns; ``None`` for invalid points.
    reason : str
        Error message of invalid points.
    """

    points: Points
    columns: dict[str, Any] | None
    reason: str = ""


def told_apart(
    steps: Sequence[Points], predicted: Callable[[Points], dict[str, Any]], refusal: InputError
) -> Iterator[Fate]:
    """Yield the points of a failed array in pieces that are either predicted or invalid.

    Parameters
    ----------
    steps : sequence of ndarray of int
        Index of each point on each varying axis: an array is bisected along the longest axis.
    predicted : callable
        Function that returns the columns of some points or raises `InputError`.
    refusal : InputError
        Error of all points together.

    Notes
    -----
    No two points have the same index on all axes. Invalid points are reported one by one with
    separate reasons until the budget is exhausted. The remaining points failed together and at
    every point that was tested, and their reason says so.
    """
    everything: Points = np.arange(len(steps[0]) if steps else 1)
    # Pieces with a valid point first, then the larger ones.
    queue: list[tuple[bool, int, int, Points, str]] = []
    spent, hopeless, count = 0, 0, 0

    def refused(points: Points, error: InputError) -> Iterator[Fate]:
        nonlocal count, spent
        reason = reason_of(error)
        if len(points) == 1:
            yield Fate(points, None, reason)
            return
        mixed = False
        for probe in (points[:1], points[-1:]) if len(points) > 2 else ():
            spent += 1
            mixed = mixed or isinstance(_tried(predicted, probe), dict)
        count += 1
        heapq.heappush(queue, (not mixed, -len(points), count, points, reason))

    yield from refused(everything, refusal)
    while queue:
        dark, _, _, points, reason = heapq.heappop(queue)
        hopeless += dark
        if spent > _MOST or (dark and hopeless > _HOPELESS):
            together = f"one of {len(points)} points that are refused together: {reason}"
            yield Fate(points, None, together)
            continue
        best: list[tuple[Points, dict[str, Any] | InputError]] = []
        for halves in _splits(points, steps, every_axis=not dark):
            spent += 2
            best = [(half, _tried(predicted, half)) for half in halves]
            if any(isinstance(result, dict) for _, result in best):
                hopeless = 0
                break
        for half, result in best:
            if isinstance(result, dict):
                yield Fate(half, result)
            else:
                yield from refused(half, result)


def reason_of(error: InputError) -> str:
    """Return the faults of an error on one line."""
    return " / ".join(map(str, error.faults))


def _tried(
    predicted: Callable[[Points], dict[str, Any]], points: Points
) -> dict[str, Any] | InputError:
    try:
        return predicted(points)
    except InputError as error:
        return error


def _splits(
    points: Points, steps: Sequence[Points], every_axis: bool
) -> Iterator[tuple[Points, Points]]:
    """Yield bisections of points along each axis, or only along the longest, which is last.

    A bound on one axis (a minimum image size) is located by bisecting that axis.
    """
    distinct = [np.unique(axis[points]) for axis in steps]
    order = sorted(range(len(steps)), key=lambda i: len(distinct[i]))
    for i in order if every_axis else order[-1:]:
        if len(distinct[i]) > 1:
            low = steps[i][points] < distinct[i][len(distinct[i]) // 2]
            yield points[low], points[~low]
