"""Isolation of invalid points in arrays of predictions by bisection (group testing).

Sweeps and `solve` predict many points as one array, and one invalid point makes the whole array
fail. `isolate_faults` then bisects the array along its axes until the invalid points are isolated,
each with its error message, so that all others have predictions. The number of predictions is
bounded; points that the budget does not separate share the message of their common failure.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.errors import InputError

Points: TypeAlias = npt.NDArray[np.intp]

#: Maximum number of predictions per array.
_BUDGET: Final = 2_000
#: Maximum number of consecutive bisections of arrays without any valid point at hand.
_MAX_FRUITLESS: Final = 48


class PointOutcome(NamedTuple):
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


def isolate_faults(
    steps: Sequence[Points], predicted: Callable[[Points], dict[str, Any]], refusal: InputError
) -> Iterator[PointOutcome]:
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
    all_points: Points = np.arange(len(steps[0]) if steps else 1)
    # Pieces with a known valid point first, then the larger ones; the serial number breaks ties.
    queue: list[tuple[bool, int, int, Points, str]] = []
    predictions, fruitless, serial = 0, 0, 0

    def enqueue_failed(points: Points, error: InputError) -> Iterator[PointOutcome]:
        nonlocal serial, predictions
        reason = reason_of(error)
        if len(points) == 1:
            yield PointOutcome(points, None, reason)
            return
        has_valid = False
        for probe in (points[:1], points[-1:]) if len(points) > 2 else ():
            predictions += 1
            has_valid = has_valid or isinstance(_predicted_or_error(predicted, probe), dict)
        serial += 1
        heapq.heappush(queue, (not has_valid, -len(points), serial, points, reason))

    yield from enqueue_failed(all_points, refusal)
    while queue:
        no_valid_known, _, _, points, reason = heapq.heappop(queue)
        fruitless += no_valid_known
        if predictions > _BUDGET or (no_valid_known and fruitless > _MAX_FRUITLESS):
            together = f"one of {len(points)} points that are refused together: {reason}"
            yield PointOutcome(points, None, together)
            continue
        halves: list[tuple[Points, dict[str, Any] | InputError]] = []
        for bisection in _bisections(points, steps, every_axis=not no_valid_known):
            predictions += 2
            halves = [(half, _predicted_or_error(predicted, half)) for half in bisection]
            if any(isinstance(result, dict) for _, result in halves):
                fruitless = 0
                break
        for half, result in halves:
            if isinstance(result, dict):
                yield PointOutcome(half, result)
            else:
                yield from enqueue_failed(half, result)


def reason_of(error: InputError) -> str:
    """Return the faults of an error on one line."""
    return " / ".join(map(str, error.faults))


def _predicted_or_error(
    predicted: Callable[[Points], dict[str, Any]], points: Points
) -> dict[str, Any] | InputError:
    """Return the predicted columns of some points, or the error that they raise."""
    try:
        return predicted(points)
    except InputError as error:
        return error


def _bisections(
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
