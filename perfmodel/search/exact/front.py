"""The whole trade between the objective and one limit.

Either all at once, by lists of choices that none dominates, merged decision by decision (Nemhauser
and Ullmann, Discrete dynamic programming and capital allocation, Management Science 15, 1969); or
point by point, each time below the usage of the last (the epsilon-constraint method: Haimes, Lasdon
and Wismer, 1971).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.errors import Fault, InputError
from perfmodel.schedule.deadline import Deadline
from perfmodel.search.exact.explain import least_usage
from perfmodel.search.exact.problem import ChoiceProblem, Floats, Ints, Limit, PackedSum, Sum
from perfmodel.search.exact.result import ChoiceSolution
from perfmodel.search.exact.solve import solve

#: States above which lists are given up for point by point.
MOST = 200_000


@dataclass(frozen=True)
class FrontPoint:
    """One trade.

    Attributes
    ----------
    value, usage
        The objective and what is traded for it.
    bound
        No choice with this usage or less has a smaller objective.
    proved
        Whether no choice is at least as good in both and better in one.
    """

    choice: tuple[int, ...]
    value: float
    usage: float
    bound: float
    proved: bool

    @property
    def gap(self) -> float:
        """Distance of value and bound, relative to the value."""
        return max(0.0, self.value - self.bound) / max(abs(self.value), 1e-300)


@dataclass(frozen=True)
class Front:
    """Trades between the objective and a usage.

    Attributes
    ----------
    points
        Usage ascending, value descending; one choice a point.
    complete
        Whether these are proved to be all; points whose usages are nearer than 1e-8 of themselves
        count as one.
    against
        Name of what is traded.
    method
        ``lists`` or ``point by point``.
    """

    points: tuple[FrontPoint, ...]
    complete: bool
    against: str
    method: str


def front(
    problem: ChoiceProblem,
    against: str | Sum,
    *,
    points: int | None = None,
    seconds: float | None = None,
    gap: float = 0.0,
    seed: int = 0,
) -> Front:
    """Return the trades between the objective and a limit's usage, all other limits kept.

    Parameters
    ----------
    against
        Name of a limit, whose own bound is the largest usage looked at; or a second sum.
    points
        At most so many, at bounds evenly apart; None for all.
    seconds
        By the clock; then what was found comes back, not complete.
    gap
        Of each point, as in `solve`.

    Raises
    ------
    InputError
        No such limit; less than one point.
    """
    if points is not None and points < 1:
        raise InputError(Fault(f"{points} points", "points", expected="1 at least, or None"))
    if isinstance(against, str):
        place = problem.limit(against)
        traded = problem.limits[place]
        rest = tuple(x for i, x in enumerate(problem.limits) if i != place)
    else:
        taken = {limit.name for limit in problem.limits}
        name = next(n for n in ("second objective", *map(str, range(len(taken) + 1)))
                    if n not in taken)  # fmt: skip
        traded, rest = Limit(name, (against,), math.inf), problem.limits
    deadline = Deadline(seconds)
    whole = replace(problem, limits=(*rest, traded))
    if points is None:
        merged = _lists(whole, deadline)
        if merged is not None:
            return Front(merged, True, traded.name, "lists")
        return _stepped(whole, deadline, gap, seed)
    return _spread(whole, points, deadline, gap, seed)


def _at(problem: ChoiceProblem, bound: float, deadline: Deadline, gap: float, seed: int
        ) -> ChoiceSolution:  # fmt: skip
    limits = (*problem.limits[:-1], replace(problem.limits[-1], bound=bound))
    left = deadline.left()
    return solve(
        replace(problem, limits=limits), gap=gap, seed=seed, explain=False,
        seconds=None if left == math.inf else left,
    )  # fmt: skip


def _point(found: ChoiceSolution) -> FrontPoint:
    return FrontPoint(
        found.choice or (), found.value, found.usage[-1], found.bound, found.status == "optimal"
    )


def _stepped(problem: ChoiceProblem, deadline: Deadline, gap: float, seed: int) -> Front:
    name = problem.limits[-1].name
    tiny = 1e-12 * problem.packed.size
    slack = 1e-15 * max(s.size for s in problem.packed_limits[-1]) + 1e-300
    points: list[FrontPoint] = []
    bound = problem.limits[-1].bound
    complete = True
    while True:
        found = _at(problem, bound, deadline, gap, seed)
        if found.choice is None:
            complete &= found.status == "infeasible"
            break
        point = _point(found)
        complete &= point.proved
        if points and point.value <= points[-1].value + tiny:
            points.pop()
        points.append(point)
        bound = point.usage - 4e-9 * abs(point.usage) - slack
        if deadline.passed():
            complete = False
            break
    return Front(tuple(reversed(points)), complete, name, "point by point")


def _spread(problem: ChoiceProblem, count: int, deadline: Deadline, gap: float, seed: int) -> Front:
    """Points at bounds evenly apart between the least usage and that of the best objective."""
    name = problem.limits[-1].name
    high = _at(problem, problem.limits[-1].bound, deadline, gap, seed)
    if high.choice is None:
        return Front((), high.status == "infeasible", name, "point by point")

    def again(changed: ChoiceProblem, wide: float, until: Deadline) -> ChoiceSolution:
        left = until.left()
        time = None if left == math.inf else left
        return solve(changed, gap=wide, seed=seed, seconds=time, explain=False)

    others = replace(problem, limits=problem.limits[:-1])
    least, _, _ = least_usage(others, problem.limits[-1].sums, deadline, again)
    found = [high]
    if least is not None and count > 1:
        bounds: Floats = np.linspace(least, high.usage[-1], count)[:-1]
        found += [_at(problem, float(b), deadline, gap, seed) for b in bounds[::-1]]
    points: list[FrontPoint] = []
    for point in sorted(
        (_point(f) for f in found if f.choice is not None), key=lambda p: (p.usage, p.value)
    ):
        if not points or point.value < points[-1].value:
            points.append(replace(point, proved=False) if count == 1 else point)
    return Front(tuple(points), False, name, "point by point")


def _lists(problem: ChoiceProblem, deadline: Deadline) -> tuple[FrontPoint, ...] | None:
    """Return the front of a problem with one sum to trade and tables of single decisions."""
    traded = problem.limits[-1]
    if len(traded.sums) != 1 or any(x.bound < math.inf for x in problem.limits[:-1]):
        return None
    parts = [problem.packed, *(s for sums in problem.packed_limits for s in sums)]
    if any(part.shared for part in parts) or not all(math.isfinite(p.constant) for p in parts):
        return None
    n, width = len(problem.options), max(problem.options, default=0)
    cost, use = (_block(part, n, width, problem.options) for part in (parts[0], parts[-1]))
    for part in parts[1:-1]:
        cost = cost + np.where(np.isinf(_block(part, n, width, problem.options)), np.inf, 0.0)
    most = traded.bound + float(problem.slack()[-1])
    least: Floats = use.min(axis=1, initial=np.inf)
    after: Floats = np.append(np.cumsum(least[::-1])[::-1], 0.0)
    values: Floats = np.array([parts[0].constant])
    used: Floats = np.array([parts[-1].constant])
    trail: list[tuple[Ints, Ints]] = []
    for i in range(n):
        options = np.flatnonzero(np.isfinite(cost[i]) & np.isfinite(use[i]))
        value = (values[:, None] + cost[i, options]).ravel()
        taken = (used[:, None] + use[i, options]).ravel()
        fits = np.flatnonzero(taken + after[i + 1] <= most)
        order = fits[np.lexsort((value[fits], taken[fits]))]
        if not len(order):
            return ()
        lowest = np.minimum.accumulate(value[order])
        keep = order[np.concatenate(([True], value[order][1:] < lowest[:-1]))]
        if len(keep) > MOST or deadline.passed():
            return None
        values, used = value[keep], taken[keep]
        trail.append((keep // len(options), options[keep % len(options)]))
    choices: Ints = np.zeros((len(values), n), dtype=np.int64)
    at = np.arange(len(values))
    for i in range(n - 1, -1, -1):
        before, option = trail[i]
        choices[:, i] = option[at]
        at = before[at]
    good = problem.feasibles(choices)
    value, usage = problem.values(choices), problem.usages(choices)[:, -1]
    return tuple(
        FrontPoint(
            tuple(choices[k].tolist()), float(value[k]), float(usage[k]), float(value[k]), True
        )
        for k in np.flatnonzero(good).tolist()
    )


def _block(part: PackedSum, n: int, width: int, options: tuple[int, ...]) -> Floats:
    """Return a sum's tables in one block, 0 where it has none, infinite beyond the options."""
    out: Floats = np.zeros((n, width))
    out[np.arange(width) >= np.array(options, dtype=np.int64)[:, None]] = np.inf
    out[part.owner, : part.block.shape[1]] += part.block
    return out
