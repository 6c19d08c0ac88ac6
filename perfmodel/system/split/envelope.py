"""The lower envelope of lines: which is least, and exactly where that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Line, and from where to where (in x) it is the least.
Segment = tuple[int, float, float]


def envelope(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> list[Segment]:
    """Return the lines of ``min_k a[k] + b[k] x`` over ``x >= 0``, from 0 to infinity.

    Of equal lines the first is named. The hull of the lines by slope, as in "convex hull trick":
    each line leaves the stack once, so the time is that of sorting.

    Parameters
    ----------
    a, b
        Values at 0 and slopes, both of shape ``(lines,)``; infinite `a` never takes part.

    Returns
    -------
    list of (line, from, to)
        Contiguous, the first from 0 and the last to infinity; empty where no line takes part.
    """
    at = np.asarray(a, dtype=np.float64)
    slope = np.asarray(b, dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(at) & np.isfinite(slope))
    # Far out the flattest line wins, near 0 the lowest: slopes fall with x.
    order = sorted(usable.tolist(), key=lambda k: (-slope[k], at[k], k))
    stack: list[tuple[int, float]] = []
    for k in order:
        start = 0.0
        while stack:
            top, begin = stack[-1]
            if slope[top] == slope[k]:
                if at[top] <= at[k]:
                    start = np.inf
                    break
                stack.pop()
                continue
            # As plain floats: where slopes differ by next to nothing, lines meet at infinity.
            start = float(at[k] - at[top]) / float(slope[top] - slope[k])
            if start > begin:
                break
            stack.pop()
            start = 0.0
        if np.isfinite(start):
            stack.append((k, max(start, 0.0)))
    ends = [begin for _, begin in stack[1:]] + [np.inf]
    return [(k, begin, end) for (k, begin), end in zip(stack, ends, strict=True)]


def parametric(
    solve: Callable[[float], tuple[float, float]], low: float, high: float
) -> Iterator[float]:
    """Call a solver at every x that the lower envelope between two ends needs.

    The method of Eisner and Severance (Journal of the ACM 23(4), 1976): where the lines that are
    least at both ends meet, either nothing is lower, or a third line is found. As many calls as
    twice the lines of the envelope.

    Parameters
    ----------
    solve
        x -> (a, b) of a line that is least there.
    low, high
        Ends of the interval.

    Yields
    ------
    float
        Each x at which `solve` was called.
    """
    ends = [(low, solve(low)), (high, solve(high))]
    yield low
    yield high
    todo = [(ends[0][1], ends[1][1])]
    while todo:
        one, two = todo.pop()
        if one[1] <= two[1]:
            continue
        x = (two[0] - one[0]) / (one[1] - two[1])
        if not low < x < high:
            continue
        between = solve(x)
        yield x
        # Equal to what both lines have there, up to the dust of sums: nothing is lower.
        value = one[0] + one[1] * x
        if between[0] + between[1] * x < value * (1 - 1e-12):
            todo += [(one, between), (between, two)]
