"""Sums of a cost over a growing context, without evaluating every context.

The cost of a decode step is piecewise linear in its context: attention reads one more token, a
window fills up, another term becomes the maximum. A range of contexts is bisected until the cost is
linear on each piece, whose sum is that of an arithmetic series, ``n (first + last) / 2``; where it
is not, every context is evaluated. `perfmodel.system.request.request` sums the steps of a request
this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
#: Contexts, shape ``(n,)`` -> costs, shape ``(quantities, n)``.
Costs: TypeAlias = Callable[[Floats], Floats]

#: Contexts evaluated per call, and range length up to which every context is evaluated.
_AT_ONCE: Final = 2**15
_EVERY: Final = 64
#: Relative positions inside a range at which linearity is tested: fractions that coincide with no
#: tile boundary.
_INSIDE: Final = (0.0371, 0.1459, 0.2361, 0.3820, 0.5279, 0.6180, 0.7639, 0.8541, 0.9629)
#: Tolerance of the linearity test for round-off, relative to the largest value of the range.
_ROUNDING: Final = 2e-13


class ContextSums:
    """Sums of costs over ranges of contexts.

    Parameters
    ----------
    costs
        Cost function of contexts, ``(n,) -> (quantities, n)``.
    ranges
        First and last context of every range to be queried; no first exceeds its last.
    every
        Evaluate every context, regardless of their number.

    Attributes
    ----------
    evaluated
        Number of evaluated contexts.
    """

    def __init__(
        self, costs: Costs, ranges: Sequence[tuple[int, int]], *, every: bool = False
    ) -> None:
        self._costs = costs
        self.evaluated = 0
        starts: list[int] = []
        lengths: list[int] = []
        ends: list[tuple[Floats, Floats]] = []
        cuts = sorted({edge for first, last in ranges for edge in (first, last + 1)})
        for first, last in merged(ranges):
            inside = [c for c in cuts if first < c <= last]
            for low, high in zip((first, *inside), (*inside, last + 1), strict=True):
                pieces = self._pieces(low, high - 1, every=every)
                for at, count, left, right in pieces:
                    starts.append(at)
                    lengths.append(count)
                    ends.append((left, right))
        self._starts = np.array(starts)
        counts = np.array(lengths, dtype=float)
        left = np.array([e[0] for e in ends]).T
        right = np.array([e[1] for e in ends]).T
        sums = counts * (left + right) / 2.0
        self._before = np.concatenate([np.zeros((len(sums), 1)), np.cumsum(sums, axis=1)], axis=1)

    def between(self, first: int, last: int) -> Floats:
        """Return the sums over a declared range, both ends included, ``(quantities,)``."""
        low = int(np.searchsorted(self._starts, first))
        high = int(np.searchsorted(self._starts, last, side="right"))
        return self._before[:, high] - self._before[:, low]

    def _evaluate(self, contexts: Integers) -> Floats:
        """Return the costs at some contexts, ``(quantities, contexts)``, in batches."""
        self.evaluated += len(contexts)
        parts = [
            self._costs(contexts[i : i + _AT_ONCE].astype(float))
            for i in range(0, len(contexts), _AT_ONCE)
        ]
        return np.concatenate(parts, axis=1)

    def _pieces(
        self, first: int, last: int, *, every: bool
    ) -> list[tuple[int, int, Floats, Floats]]:
        """Return subranges with linear costs: start, length, first and last cost."""
        done: list[tuple[int, int, Floats, Floats]] = []
        open_: list[tuple[int, int]] = [(first, last)]
        while open_:
            short = [(a, b) for a, b in open_ if every or b - a < _EVERY]
            long = [(a, b) for a, b in open_ if not (every or b - a < _EVERY)]
            if short:
                single = np.concatenate([np.arange(a, b + 1) for a, b in short])
                values = self._evaluate(single)
                done += [(int(c), 1, values[:, i], values[:, i]) for i, c in enumerate(single)]
            open_ = []
            if not long:
                continue
            points = np.array([_inside(a, b) for a, b in long])
            values = self._evaluate(points.reshape(-1)).reshape(-1, *points.shape)
            for i, (a, b) in enumerate(long):
                here = values[:, i, :]
                share = (points[i] - a) / (b - a)
                line = here[:, :1] + (here[:, -1:] - here[:, :1]) * share
                most = np.max(np.abs(here), axis=1, keepdims=True)
                if bool(np.all(np.abs(here - line) <= _ROUNDING * most)):
                    done.append((a, b - a + 1, here[:, 0], here[:, -1]))
                else:
                    middle = (a + b) // 2
                    open_ += [(a, middle), (middle + 1, b)]
        return sorted(done, key=lambda piece: piece[0])


def _inside(first: int, last: int) -> list[int]:
    """Return the contexts at which a range is tested: ends, their neighbours, interior points."""
    between = [first + round(share * (last - first)) for share in _INSIDE]
    return [first, first + 1, *between, last - 1, last]


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return disjoint, non-adjacent ranges that cover the same contexts."""
    separate: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if separate and first <= separate[-1][1] + 1:
            separate[-1] = separate[-1][0], max(separate[-1][1], last)
        else:
            separate.append((first, last))
    return separate
