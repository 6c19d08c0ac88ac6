"""Separable choice problems by meeting in the middle, over choices near the Lagrangian bound.

At prices ``w`` a choice costs the Lagrangian bound ``L`` plus two terms that are never negative,

    value = L + sum over i of penalty[i, option of i] + w . (room - use),

so a choice below ``L + reach`` has penalties and priced slack that sum to less than `reach`. The
decisions are split into two halves; the options whose penalties stay below `reach` are combined
within each half, and pairs of combinations are matched by sorted use, since their slack must lie
between 0 and ``reach / w`` in every row (Horowitz and Sahni, "Computing partitions with
applications to the knapsack problem", JACM 21(2), 1974; the undecided options are the core of Balas
and Zemel, "An algorithm for large zero-one knapsack problems", Operations Research 28(5), 1980).

Over all decisions this is exhaustive: it proves that no better choice exists. Where penalties are
all alike (strongly correlated costs), there are too many combinations, and the same search over a
few random decisions of the incumbent is a neighbourhood search (Shaw, CP 1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import expanded_ranges
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.linear_relaxation import Relaxation
from perfmodel.search.exact.presolve import ReducedProblem

#: Combinations of a half beyond which the search is given up, and pairs compared at once.
MAX_COMBINATIONS, BLOCK = 2_000_000, 1_000_000
#: First reach as a fraction of the gap, and factor from one reach to the next.
FIRST, GROWTH = 1 / 8, 1.15
#: Choices that a search returns at most.
SHOWN = 64
#: Combinations of a half in the neighbourhoods that are searched one after the other.
NEIGHBOURHOODS: Final = (3e3, 1e4, 3e4, 1e5, *(3e5,) * 16)
#: Tolerance of the slack in scaled rows; what is offered is checked by the problem itself.
_TOLERANCE = 1e-9


class Combinations(NamedTuple):
    """Combinations of options of some decisions, as changes of a base choice; N of them, R rows."""

    penalty: Floats  # (N,)
    use: Floats  # (N, R), in addition to that of the base
    parent: Ints  # (N,), the combination with one change less; -1 for the base itself
    decision: Ints  # (N,), the last change
    option: Ints  # (N,)

    def applied(self, which: int, choice: Ints) -> None:
        """Change a choice to one of the combinations."""
        while self.parent[which] >= 0:
            choice[self.decision[which]] = self.option[which]
            which = int(self.parent[which])


@dataclass(eq=False)
class _Halves:
    """Decisions in two halves, around a base choice; the penalties of the base's options are 0."""

    p: ReducedProblem
    prices: Floats  # (R,)
    penalties: Floats  # (n, K)
    base: Ints  # (n,)
    room: Floats  # (R,), beside the use of the base
    decisions: Ints  # in the order in which they are combined
    deadline: Deadline

    def best_pairs(
        self, reach: float, most: int, most_pairs: float = np.inf
    ) -> tuple[Floats, Ints] | None:
        """Return the best choices within reach, ascending in value; all if fewer than `SHOWN`.

        ``None`` if a half has more than `most` combinations, more than `most_pairs` of them would
        be compared, or the deadline has passed.

        Returns
        -------
        values : ndarray, shape (N,)
            Above the bound of the base.
        choices : ndarray of int, shape (N, n)
            Reduced options.
        """
        left = self._combined(self.decisions[0::2], reach, most)
        right = None if left is None else self._combined(self.decisions[1::2], reach, most)
        if left is None or right is None:
            return None
        order, windows = self._windows(left, right, reach)
        if sum(int(count.sum()) for _, count in windows) > most_pairs:
            return None
        blocks = list(self._matched(left, right, order, windows, reach))
        values = np.concatenate([np.zeros(0), *(value for value, _, _ in blocks)])
        if self.deadline.passed():
            return None
        best = np.argsort(values, kind="stable")[:SHOWN]
        pairs = np.concatenate([np.zeros((0, 2), np.int64), *(np.c_[a, b] for _, a, b in blocks)])
        choices = np.repeat(self.base[None], len(best), axis=0)
        for choice, (a, b) in zip(choices, pairs[best].tolist(), strict=True):
            left.applied(a, choice)
            right.applied(b, choice)
        return values[best], choices

    def _combined(self, decisions: Ints, reach: float, most: int) -> Combinations | None:
        """Return all combinations of options with penalties below `reach`; ``None`` if too many."""
        rows = len(self.room)
        none = np.full(1, -1, dtype=np.int64)
        all_ = Combinations(np.zeros(1), np.zeros((1, rows)), none, none, none)
        for i in decisions.tolist():
            own = int(self.base[i])
            options: list[int] = np.flatnonzero(self.penalties[i] < reach).tolist()
            sums = {o: all_.penalty + self.penalties[i, o] for o in options if o != own}
            parents = {o: np.flatnonzero(penalty < reach) for o, penalty in sums.items()}
            if len(all_.penalty) + sum(map(len, parents.values())) > most or self.deadline.passed():
                return None
            added = [all_]
            for option, within in parents.items():
                use = all_.use[within] + (self.p.weights[i, option] - self.p.weights[i, own])
                change = np.full(len(within), i), np.full(len(within), option)
                added.append(Combinations(sums[option][within], use, within, *change))
            all_ = Combinations(*(np.concatenate(each) for each in zip(*added, strict=True)))
        return all_

    def _windows(
        self, left: Combinations, right: Combinations, reach: float
    ) -> tuple[Ints, list[tuple[Ints, Ints]]]:
        """Return an order of the right half, and where in it the partners of the left half lie.

        The right half is sorted into strips of the most expensive row, as wide as the slack may
        be, and within a strip by the second most expensive row.

        Returns
        -------
        order
            Indices of the right half.
        windows
            First place in this order and number of places for each combination of the left half,
            in one strip and in the one before it.
        """
        first, *others = np.argsort(-self.prices, kind="stable").tolist()
        second = others[0] if others and self.prices[others[0]] > 0.0 else None
        width = reach / self.prices[first]
        along = right.use[:, first]
        across = np.zeros(len(along)) if second is None else right.use[:, second]
        origin, low = along.min(), across.min()
        span = float(across.max() - low)
        stride = 2.0 * span + 4.0
        key: Floats = np.floor((along - origin) / width) * stride + (across - low)
        order: Ints = np.argsort(key, kind="stable")
        key = key[order]
        windows: list[tuple[Ints, Ints]] = []
        need = self.room - left.use
        top, bottom = np.full(len(need), span + 1.0), np.full(len(need), -1.0)
        if second is not None:
            slack = (reach - left.penalty) / self.prices[second]
            beside = need[:, second] - low
            top = np.clip(beside + _TOLERANCE, -1.0, span + 1.0)
            bottom = np.clip(beside - slack - _TOLERANCE, -1.0, span + 1.0)
        strip = np.floor((need[:, first] + _TOLERANCE - origin) / width)
        for back in (0.0, 1.0):
            strip_key: Floats = (strip - back) * stride
            start: Any = np.searchsorted(key, strip_key + bottom, side="left")
            stop: Any = np.searchsorted(key, strip_key + top, side="right")
            windows.append((start, np.where(strip >= back, np.maximum(stop - start, 0), 0)))
        return order, windows

    def _matched(
        self,
        left: Combinations,
        right: Combinations,
        order: Ints,
        windows: list[tuple[Ints, Ints]],
        reach: float,
    ) -> Iterator[tuple[Floats, Ints, Ints]]:
        """Yield values and both indices of pairs that fit the rooms with a value below `reach`."""
        need = self.room - left.use
        for start, count in windows:
            for block in _blocks(count):
                if self.deadline.passed():
                    return
                a, place = expanded_ranges(np.arange(len(count))[block], start[block], count[block])
                b = order[place]
                free = need[a] - right.use[b]
                value = left.penalty[a] + right.penalty[b] + free @ self.prices
                good = (value < reach) & np.all(free >= -_TOLERANCE, axis=1)
                yield value[good], a[good], b[good]


def _blocks(count: Ints) -> Iterator[slice]:
    """Yield slices of consecutive ranges that have about `BLOCK` members together."""
    ends = np.cumsum(count)
    first = 0
    while first < len(count):
        base = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, base + BLOCK, side="right")))
        yield slice(first, last)
        first = last


def meet_in_the_middle(
    p: ReducedProblem, at: Relaxation, incumbent: ChoiceIncumbent, most_pairs: float = np.inf
) -> float:
    """Improve the incumbent of a separable problem; return a proved lower bound.

    Parameters
    ----------
    at
        Relaxation at the optimal prices.
    most_pairs
        Pairs beyond which the search is given up.

    Returns
    -------
    bound
        The value of the incumbent if it is proved optimal.
    """
    bound = incumbent.rounded_up(at.bound)
    if not len(p.room) or not at.prices.max() > 0.0 or incumbent.solution is None:
        return bound
    n = np.arange(len(p.count))
    base: Ints = at.penalties.argmin(axis=1)
    # Decisions with a close second option last, so that the lists are short for most decisions.
    order = np.argsort(-np.partition(at.penalties, 1, axis=1)[:, 1], kind="stable")
    room = p.room - p.weights[n, base].sum(axis=0)
    halves = _Halves(p, at.prices, at.penalties, base, room, order, incumbent.deadline)
    reach = FIRST * (incumbent.value - bound)
    while bound < incumbent.cut() and not incumbent.deadline.passed():
        reach = min(GROWTH * reach, incumbent.value - at.bound)
        pairs = halves.best_pairs(reach, MAX_COMBINATIONS, most_pairs)
        if pairs is None:
            _neighbourhoods(p, at, incumbent)
            return bound
        incumbent.work["nodes"] += 1
        for choice in pairs[1]:
            if incumbent.offer_all(p.choices(choice[None])):
                return incumbent.value
        if len(pairs[1]) == SHOWN:
            return bound  # there may be others
        bound = max(bound, incumbent.rounded_up(at.bound + reach))
    return min(bound, incumbent.value)


def _neighbourhoods(p: ReducedProblem, at: Relaxation, incumbent: ChoiceIncumbent) -> None:
    """Search random decisions of the incumbent exhaustively, more of them from time to time."""
    random, bound = incumbent.random(), incumbent.rounded_up(at.bound)
    n = np.arange(len(p.count))
    cheapest: Ints = at.penalties.argmin(axis=1)
    for most in NEIGHBOURHOODS:
        if bound >= incumbent.cut() or incumbent.deadline.passed():
            return
        some = random.permutation(len(n))
        size = int((np.cumprod(p.count[some[0::2]].astype(float)) <= most).sum())
        some = some[: 2 * size]
        base = p.local(np.array(incumbent.solution))
        base[some] = cheapest[some]
        room = p.room - p.weights[n, base].sum(axis=0)
        halves = _Halves(p, at.prices, at.penalties, base, room, some, incumbent.deadline)
        fixed = float(at.penalties[n, base].sum())
        pairs = halves.best_pairs(incumbent.value - at.bound - fixed, 2 * int(most))
        for choice in () if pairs is None else pairs[1]:
            if incumbent.offer_all(p.choices(choice[None])):
                break
