"""Points that cannot be predicted, told apart from those around them.

Points are predicted as arrays, and one that is refused has the whole array refused. The array is
then halved until what is refused is by itself, so that everything else has its numbers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.errors import InputError

Points: TypeAlias = npt.NDArray[np.intp]

#: Predictions that are spent on the points of one array: to find those among refused ones that can
#: be predicted, and on looking where every point that was tried is refused.
_MOST: Final = 2_000
_HOPELESS: Final = 48


class Fate(NamedTuple):
    """Points of an array that share a fate.

    Attributes
    ----------
    points : ndarray of int
    columns : dict or None
        What was predicted; None where they are refused.
    reason : str
        Why they are refused.
    """

    points: Points
    columns: dict[str, Any] | None
    reason: str = ""


def told_apart(
    steps: Sequence[Points], predicted: Callable[[Points], dict[str, Any]], refusal: InputError
) -> Iterator[Fate]:
    """Yield the points of a refused array in pieces that are predicted or refused.

    Parameters
    ----------
    steps : sequence of ndarray of int
        Step of each point on each axis that varies: an array is halved along the longest one.
    predicted : callable
        Columns of some points, or `InputError`.
    refusal : InputError
        Of all points together.

    Notes
    -----
    No two points share all steps. Points are refused one by one, each for its own reason, as long
    as there is a budget. What is left when it is spent was refused together and at every point of
    it that was tried, and says so.
    """
    everything: Points = np.arange(len(steps[0]) if steps else 1)
    # Those first that hold a point which can be predicted, then the larger.
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
    """Return the faults of a refusal on one line."""
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
    """Yield points in halves: along each axis, or the longest alone, which comes last.

    A bound on one axis (images of at least so many pixels) shows when that axis is halved.
    """
    distinct = [np.unique(axis[points]) for axis in steps]
    order = sorted(range(len(steps)), key=lambda i: len(distinct[i]))
    for i in order if every_axis else order[-1:]:
        if len(distinct[i]) > 1:
            low = steps[i][points] < distinct[i][len(distinct[i]) // 2]
            yield points[low], points[~low]
