"""Lower envelope of lines: which line is minimal in each interval, with exact breakpoints.

The latency of a cut is a line in ``1 / rate``, so that the best cut over all rates is an envelope.
It is computed from all lines (`envelope`), or by calling a solver at the breakpoints only
(`parametric`; Eisner and Severance, "Mathematical techniques for efficient record segmentation in
large shared databases", JACM 23(4), 1976).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Line, and the interval of x in which it is minimal.
Segment = tuple[int, float, float]


def envelope(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> list[Segment]:
    """Return the segments of ``min_k a[k] + b[k] x`` over ``x >= 0``, from 0 to infinity.

    Of equal lines the first is used. Hull of the lines by slope ("convex hull trick"): each line
    leaves the stack at most once, so that the time is that of sorting.

    Parameters
    ----------
    a, b
        Values at 0 and slopes, both of shape ``(lines,)``; lines with infinite `a` are ignored.

    Returns
    -------
    list of (line, from, to)
        Contiguous, the first from 0 and the last to infinity; empty without a finite line.
    """
    at = np.asarray(a, dtype=np.float64)
    slope = np.asarray(b, dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(at) & np.isfinite(slope))
    # The flattest line is minimal at infinity, the lowest near 0: slopes decrease with x.
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
            # In plain floats: lines of nearly equal slopes intersect at infinity.
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
    """Call a solver at every x that determines the lower envelope on an interval.

    Method of Eisner and Severance (Journal of the ACM 23(4), 1976): at the intersection of the
    lines that are minimal at both ends, either no line is lower, or a third line is found. The
    number of calls is about twice the number of lines of the envelope.

    Parameters
    ----------
    solve
        x -> (a, b) of a line that is minimal there.
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
        # Equal to both lines there, up to round-off: no line is lower.
        value = one[0] + one[1] * x
        if between[0] + between[1] * x < value * (1 - 1e-12):
            todo += [(one, between), (between, two)]


def least_of_maxima(constants: Floats, slopes: Floats) -> list[Segment]:
    """Return the function with the least value ``max(constant, slope * x)`` at every x >= 0.

    Two of them can only change order where the slope of one meets the constant of another.

    Parameters
    ----------
    constants, slopes
        Shape ``(functions,)``; a function with an infinite constant is left out.
    """
    fits = np.isfinite(constants)
    finite, sent = np.unique(constants[fits]), np.unique(slopes[fits & (slopes > 0)])
    points = np.unique((finite[:, None] / sent).reshape(-1)) if sent.size else np.zeros(0)
    edges = np.concatenate([[0.0], points, [2.0 * points[-1] if points.size else 1.0]])
    middles = 0.5 * (edges[1:] + edges[:-1])
    segments: list[Segment] = []
    for begin, end, x in zip(edges[:-1], edges[1:], middles, strict=True):
        least = int(np.argmin(np.maximum(constants, slopes * x)))
        if segments and segments[-1][0] == least:
            segments[-1] = (least, segments[-1][1], float(end))
        else:
            segments.append((least, float(begin), float(end)))
    last, begin, _ = segments[-1]
    return [*segments[:-1], (last, begin, np.inf)]
