"""How good decisions are that predictions took, scored on measurements.

A search reads costs (seconds, joules: the lower the better) and qualities (accuracy: the higher the
better) of alternatives. It takes predicted costs; what it finds is looked up among the measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from perfmodel import pareto
from perfmodel.errors import Fault, InputError

__all__ = [
    "PERCENTILES",
    "FrontScore",
    "LimitScore",
    "ReferencePoints",
    "factor",
    "front_score",
    "limit_score",
    "limits",
    "random_front",
    "random_limit",
    "reference_points",
    "top_recall",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = npt.NDArray[np.int64]

#: Where the limits of a cost lie among the measured ones.
PERCENTILES: Final = (10, 25, 50, 75, 90)


class ReferencePoints(NamedTuple):
    """Corners that a hypervolume is counted to, as (cost, negative quality).

    Attributes
    ----------
    worst
        The highest cost and the lowest quality of all alternatives.
    nadir
        The highest cost and the lowest quality on the measured front: nothing that everybody finds
        counts.
    """

    worst: tuple[float, float]
    nadir: tuple[float, float]


@dataclass(frozen=True, slots=True)
class FrontScore:
    """A front that was found with predicted costs.

    Attributes
    ----------
    size, measured_size
        Alternatives on the found front, and on the measured one.
    hypervolume
        Of the found front at its measured costs, as a share of the measured front's; counted to
        `ReferencePoints.worst`.
    hypervolume_nadir
        The same, counted to `ReferencePoints.nadir`; 1 where the measured front is a single point.
    recall
        Share of the measured front that was found.
    """

    size: int
    measured_size: int
    hypervolume: float
    hypervolume_nadir: float
    recall: float


@dataclass(frozen=True, slots=True)
class LimitScore:
    """The best alternative under a limit, chosen with predicted costs.

    Attributes
    ----------
    limit
        Of the cost.
    index
        Its index; -1 where no prediction meets the limit.
    regret
        Quality of the best alternative whose measured cost meets the limit, less that of the chosen
        one; negative where the chosen one breaks the limit and is better for it.
    broken
        Its measured cost is above the limit.
    excess
        By which fraction; 0 where it is not.
    regret_met
        Regret of the first in the search's own order whose measured cost meets the limit.
    tried
        Measurements that it took to find that one.
    """

    limit: float
    index: int
    regret: float
    broken: bool
    excess: float
    regret_met: float
    tried: int


def reference_points(measured: npt.ArrayLike, quality: npt.ArrayLike) -> ReferencePoints:
    """Return the corners of alternatives of shape ``(n,)``."""
    cost, good = _columns(measured, quality)
    on = pareto.front(np.column_stack([cost, -good]))
    return ReferencePoints(
        (float(cost.max()), float(-good.min())), (float(cost[on].max()), float(-good[on].min()))
    )


def front_score(
    predicted: npt.ArrayLike, measured: npt.ArrayLike, quality: npt.ArrayLike
) -> FrontScore:
    """Score the front of predicted costs against that of measured ones; arrays of shape ``(n,)``.

    Raises
    ------
    InputError
        Arrays that differ in length, or that hold no finite number.
    """
    guess, cost, good = _columns(predicted, measured, quality)
    on_front = pareto.front(np.column_stack([guess, -good]))
    points = np.column_stack([cost, -good])
    best = pareto.front(points)
    return FrontScore(
        int(on_front.sum()),
        int(best.sum()),
        *_shares(points, [on_front], reference_points(cost, good))[0],
        float((on_front & best).sum() / best.sum()),
    )


def limit_score(
    predicted: npt.ArrayLike, measured: npt.ArrayLike, quality: npt.ArrayLike, limit: float
) -> LimitScore:
    """Score the best alternative whose predicted cost meets a limit; arrays of shape ``(n,)``.

    The search's order: quality from the highest, equal ones by predicted cost from the lowest;
    after those that the predictions allow, the others by predicted cost.

    Raises
    ------
    InputError
        Arrays that differ in length or hold no finite number; a limit that no alternative meets.
    """
    guess, cost, good = _columns(predicted, measured, quality)
    meets = cost <= limit
    if not meets.any():
        raise InputError(
            Fault(
                "no alternative meets the limit",
                path="limit",
                expected=f"at least {float(cost.min()):g}",
            )
        )
    best = float(good[meets].max())
    allowed = np.flatnonzero(guess <= limit)
    order = allowed[np.lexsort((guess[allowed], -good[allowed]))]
    if not meets[order].any():
        by_guess = np.argsort(guess, kind="stable")
        order = np.concatenate([order, by_guess[guess[by_guess] > limit]])
    tried = int(np.argmax(meets[order])) + 1
    first = int(order[0])
    return LimitScore(
        limit,
        first if len(allowed) else -1,
        best - float(good[first]),
        bool(cost[first] > limit),
        max(0.0, float(cost[first]) / limit - 1.0),
        best - float(good[order[tried - 1]]),
        tried,
    )


def limits(measured: npt.ArrayLike) -> Floats:
    """Return the costs at `PERCENTILES` of the measured ones."""
    return np.percentile(np.asarray(measured, dtype=np.float64), PERCENTILES)


def factor(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> float:
    """Return the one factor from predictions to measurements: the median of their ratios."""
    guess, cost = _columns(predicted, measured)
    return float(np.median(cost / guess))


def top_recall(predicted: npt.ArrayLike, measured: npt.ArrayLike, k: int) -> float:
    """Return the share of the `k` lowest measurements among the `k` lowest predictions.

    Raises
    ------
    InputError
        `k` is not from 1 to the number of alternatives.
    """
    guess, cost = _columns(predicted, measured)
    if not 1 <= k <= len(cost):
        raise InputError(Fault(f"{k} of {len(cost)}", path="k", expected=f"1 to {len(cost)}"))
    tops = [set(np.argsort(c, kind="stable")[:k].tolist()) for c in (guess, cost)]
    return len(tops[0] & tops[1]) / k


def random_front(
    measured: npt.ArrayLike, quality: npt.ArrayLike, size: int, *, draws: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Return median shares of hypervolume (worst, nadir) of `size` alternatives drawn at random."""
    cost, good = _columns(measured, quality)

    def one(drawn: Index) -> npt.NDArray[np.bool_]:
        on = np.zeros(len(cost), dtype=np.bool_)
        on[drawn] = True
        return on

    subsets = _drawn(one, len(cost), size, draws, seed)
    shares = _shares(np.column_stack([cost, -good]), subsets, reference_points(cost, good))
    worst, nadir = np.median(shares, axis=0).tolist()
    return worst, nadir


def random_limit(
    measured: npt.ArrayLike,
    quality: npt.ArrayLike,
    limit: float,
    size: int,
    *,
    draws: int = 100,
    seed: int = 0,
) -> float:
    """Return the mean regret of the best of `size` measured at random that meets a limit.

    A draw of which none meets it counts as the worst alternative that does.
    """
    cost, good = _columns(measured, quality)
    meets = cost <= limit

    def one(drawn: Index) -> float:
        meeting = drawn[meets[drawn]]
        return float(good[meeting].max()) if len(meeting) else float(good[meets].min())

    return float(good[meets].max() - np.mean(_drawn(one, len(cost), size, draws, seed)))


def _drawn(one: Callable[[Index], Any], n: int, size: int, draws: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [one(rng.choice(n, min(size, n), replace=False)) for _ in range(draws)]


def _shares(
    points: Floats, subsets: Sequence[npt.NDArray[np.bool_]], corners: ReferencePoints
) -> list[tuple[float, float]]:
    """Return the share of hypervolume of each subset of points (worst, nadir)."""
    volumes = [(corner, pareto.hypervolume(points, corner)) for corner in corners]
    worst, nadir = (
        [pareto.hypervolume(points[on], corner) / volume if volume else 1.0 for on in subsets]
        for corner, volume in volumes
    )
    return list(zip(worst, nadir, strict=True))


def _columns(*arrays: npt.ArrayLike) -> tuple[Floats, ...]:
    columns = tuple(np.asarray(each, dtype=np.float64) for each in arrays)
    faults: list[Fault] = []
    if len({c.shape for c in columns}) > 1 or columns[0].ndim != 1 or not columns[0].size:
        shapes = ", ".join(str(c.shape) for c in columns)
        faults.append(Fault(f"arrays of shape {shapes}", expected="one number an alternative"))
    if not all(np.isfinite(c).all() for c in columns):
        faults.append(Fault("numbers that are not finite", expected="finite costs and qualities"))
    if faults:
        raise InputError(faults)
    return columns
