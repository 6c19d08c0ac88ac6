"""A problem made small before it is solved: what cannot matter is taken out, exactly.

Forbidden and dominated options go, decisions with one option left are folded into the constants,
rows that can never be exceeded or that another row implies are dropped. An option is dominated
where another of the same decision is at least as good in the objective and in every row, whatever
the other decisions do (Kellerer, Pferschy and Pisinger, Knapsack Problems, 2004, section 11.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.problem import ChoiceProblem, Floats, Ints

Mask = NDArray[np.bool_]


class NoChoice(Exception):
    """A reduction found that no choice keeps the limits."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A table over two or more decisions.

    Attributes
    ----------
    scope
        Places of the decisions in `Reduced`, ascending.
    cost : ndarray, an axis a decision
        Infinite where forbidden.
    weights : ndarray, an axis a decision and one over the rows
        0 where forbidden.
    """

    scope: tuple[int, ...]
    cost: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class Reduced:
    """What is left to decide: n decisions of at most K options, R rows.

    Attributes
    ----------
    count : ndarray of int, shape (n,)
        Options of each decision, 2 at least.
    cost : ndarray, shape (n, K)
        Infinite beyond `count`.
    weights : ndarray, shape (n, K, R)
        What an option uses of each row, 0 at least and 0 for some option; scaled.
    factors
        Tables over several decisions.
    room : ndarray, shape (R,)
        Bounds less what is fixed, plus the slack of rounding; scaled.
    scale : ndarray, shape (R,)
        A row's unit in the problem's own.
    limit : ndarray of int, shape (R,)
        Which limit of the problem a row is of.
    constant
        Objective of what is fixed.
    members, leader : ndarray of int, shape (M,)
        Decisions of the problem that are still open, and the place here that decides each.
    option : ndarray of int, shape (M, K)
        Options of the problem that the options here stand for.
    base : ndarray of int, shape (decisions of the problem,)
        A choice of the problem, right where fixed.
    """

    count: Ints
    cost: Floats
    weights: Floats
    factors: tuple[Factor, ...]
    room: Floats
    scale: Floats
    limit: Ints
    constant: float
    members: Ints
    leader: Ints
    option: Ints
    base: Ints

    @property
    def valid(self) -> Mask:
        """Which places of the padded tables are options, shape (n, K)."""
        places: Ints = np.arange(self.cost.shape[1], dtype=np.int64)
        return places < self.count[:, None]

    @property
    def size(self) -> float:
        """Magnitude of the objective, for rounding."""
        finite = np.where(np.isfinite(self.cost), np.abs(self.cost), 0.0)
        total = abs(self.constant) + float(finite.max(axis=1, initial=0.0).sum())
        for f in self.factors:
            total += float(np.abs(f.cost[np.isfinite(f.cost)]).max(initial=0.0))
        return total

    def choices(self, local: Ints) -> Ints:
        """Return choices of the problem for rows of options here, shape (N, n)."""
        out: Ints = np.repeat(self.base[None], len(local), axis=0)
        if len(self.members):
            out[:, self.members] = self.option[np.arange(len(self.members)), local[:, self.leader]]
        return out

    def keeping(self, keep: Mask) -> Reduced:
        """Return the problem with some options only.

        Parameters
        ----------
        keep : ndarray of bool, shape (n, K)

        Raises
        ------
        NoChoice
            A decision loses its last option.
        """
        return _tidy(_restricted(self, keep & self.valid))


def reduce_problem(problem: ChoiceProblem, deadline: Deadline | None = None) -> Reduced:
    """Return what is left of a problem.

    Raises
    ------
    NoChoice
        No choice keeps the limits, as the reductions show.
    OutOfTimeError
        The deadline passed before.
    """
    options = np.array(problem.options, dtype=np.int64)
    n, width = len(options), int(options.max(initial=1))
    rows = [
        (i, s)
        for i, (limit, sums) in enumerate(zip(problem.limits, problem.packed_limits, strict=True))
        for s in sums
        if limit.bound < math.inf
    ]
    every = [(0, problem.packed)] + [
        (r + 1, s) for r, (_, s) in enumerate(rows)
    ]  # what is forbidden in a sum without a bound is forbidden all the same
    every += [
        (-1, s)
        for limit, sums in zip(problem.limits, problem.packed_limits, strict=True)
        if limit.bound == math.inf
        for s in sums
    ]
    block: Floats = np.zeros((n, width, len(rows) + 1))
    block[np.arange(width) >= options[:, None], 0] = np.inf
    shared: dict[tuple[int, ...], Floats] = {}
    constants: Floats = np.zeros(len(rows) + 1)
    for place, packed in every:
        if deadline is not None:
            deadline.check("the problem was being reduced")
        if not math.isfinite(packed.constant):
            raise NoChoice
        if place >= 0:
            constants[place] += packed.constant
        if len(packed.owner):
            wide = packed.block.shape[1]
            _add(block[:, :wide], packed.owner, packed.block, place)
        for scope, values in packed.shared.items():
            held = shared.setdefault(scope, np.zeros((*values.shape, len(rows) + 1)))
            _add(held[None], np.zeros(1, dtype=np.int64), values[None], place)
    slack = problem.slack()
    limit: Ints = np.array([i for i, _ in rows], dtype=np.int64)
    bounds: Floats = np.array([problem.limits[i].bound for i, _ in rows]) + slack[limit]
    start = Reduced(
        count=options,
        cost=block[:, :, 0].copy(),
        weights=block[:, :, 1:].copy(),
        factors=tuple(
            Factor(scope, t[..., 0].copy(), t[..., 1:].copy()) for scope, t in shared.items()
        ),
        room=bounds - constants[1:],
        scale=np.ones(len(rows)),
        limit=limit,
        constant=float(constants[0]),
        members=np.arange(n),
        leader=np.arange(n),
        option=np.tile(np.arange(width), (n, 1)),
        base=np.zeros(n, dtype=np.int64),
    )
    return _scaled(_tidy(_restricted(start, start.valid)))


def _add(block: Floats, owner: Ints, values: Floats, place: int) -> None:
    """Add tables of a sum at a place of the last axis; what is forbidden goes to the objective."""
    allowed = np.isfinite(values)
    at = block[owner]
    if place > 0:
        at[..., place] += np.where(allowed, values, 0.0)
        # Beyond the options of a decision the block is infinite already, so that adds nothing.
        at[..., 0] += np.where(allowed, 0.0, np.inf)
    elif place == 0:
        at[..., 0] += values
    else:
        at[..., 0] += np.where(allowed, 0.0, np.inf)
    block[owner] = at


def _restricted(p: Reduced, keep: Mask) -> Reduced:
    """Keep some options; decisions with one left are folded into the rest."""
    count: Ints = keep.sum(axis=1, dtype=np.int64)
    if np.any(count == 0):
        raise NoChoice
    n = len(count)
    width = int(count.max(initial=1))
    order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    line = np.arange(n)[:, None]
    inside = np.arange(width) < count[:, None]
    cost: Floats = np.where(inside, p.cost[line, order], np.inf)
    weights: Floats = np.where(inside[:, :, None], p.weights[line, order], 0.0)
    option = p.option[np.arange(len(p.members))[:, None], order[p.leader]]
    fixed = count == 1
    gone = np.flatnonzero(fixed)
    constant = p.constant + float(cost[gone, 0].sum())
    room: Floats = p.room - weights[gone, 0].sum(axis=0)
    base = p.base.copy()
    ends = fixed[p.leader]
    base[p.members[ends]] = option[ends, 0]
    place = np.cumsum(~fixed) - 1
    factors: dict[tuple[int, ...], Factor] = {}
    for f in p.factors:
        pick = np.ix_(*(order[i, : count[i]] for i in f.scope))
        table, use = f.cost[pick], f.weights[pick]
        stays = tuple(i for i in f.scope if not fixed[i])
        table = table.reshape([count[i] for i in stays])
        use = use.reshape([*(count[i] for i in stays), len(room)])
        if not stays:
            constant += float(table)
            room = room - use
        elif len(stays) == 1:
            i, k = stays[0], int(count[stays[0]])
            cost[i, :k] += table
            weights[i, :k] += use
        else:
            scope = tuple(int(place[i]) for i in stays)
            held = factors.get(scope)
            if held is not None:
                table, use = table + held.cost, use + held.weights
            factors[scope] = Factor(scope, table, use)
    if not math.isfinite(constant):
        raise NoChoice
    left = ~fixed
    return replace(
        p,
        count=count[left],
        cost=cost[left],
        weights=weights[left],
        constant=constant,
        factors=tuple(factors.values()),
        room=room,
        base=base,
        members=p.members[~ends],
        leader=place[p.leader[~ends]],
        option=option[~ends],
    )


def _tidy(p: Reduced) -> Reduced:
    """Reduce until nothing changes."""
    while True:
        p = _needed_rows(_shifted(p))
        keep = np.isfinite(p.cost)
        for f in p.factors:
            for axis, i in enumerate(f.scope):
                others = tuple(a for a in range(len(f.scope)) if a != axis)
                keep[i, : p.count[i]] &= np.isfinite(f.cost).any(axis=others)
        keep &= ~_dominated(p)
        if not np.array_equal(keep, p.valid) or np.any(p.count == 1):
            p = _restricted(p, keep)
            continue
        same = next((f for f in p.factors if _one_to_one(f)), None)
        if same is None:
            return p
        p = _merged(p, same)


def _one_to_one(f: Factor) -> bool:
    """Tell whether a table over two decisions leaves each option one partner."""
    if len(f.scope) != 2:
        return False
    allowed = np.isfinite(f.cost)
    return bool(np.all(allowed.sum(axis=0) == 1) and np.all(allowed.sum(axis=1) == 1))


def _merged(p: Reduced, same: Factor) -> Reduced:
    """Let the first decision of a one-to-one table decide the second."""
    a, b = same.scope
    k = int(p.count[a])
    partner = np.isfinite(same.cost).argmax(axis=1)
    cost, weights, option = p.cost.copy(), p.weights.copy(), p.option.copy()
    rows = np.arange(k)
    cost[a, :k] += cost[b, partner] + same.cost[rows, partner]
    weights[a, :k] += weights[b, partner] + same.weights[rows, partner]
    follows = p.leader == b
    option[follows, :k] = option[np.ix_(follows, partner)]
    leader = np.where(follows, a, p.leader)
    leader -= leader > b
    factors: dict[tuple[int, ...], Factor] = {}
    for f in p.factors:
        if f is same:
            continue
        if b in f.scope:
            f = _renamed(f, a, b, partner)
        if len(f.scope) == 1:
            cost[a, :k] += f.cost
            weights[a, :k] += f.weights
            continue
        scope = tuple(i - (i > b) for i in f.scope)
        held = factors.get(scope)
        table, use = f.cost, f.weights
        if held is not None:
            table, use = table + held.cost, use + held.weights
        factors[scope] = Factor(scope, table, use)
    left = np.arange(len(p.count)) != b
    return replace(
        p,
        count=p.count[left],
        cost=cost[left],
        weights=weights[left],
        factors=tuple(factors.values()),
        leader=leader,
        option=option,
    )


def _renamed(f: Factor, a: int, b: int, partner: Ints) -> Factor:
    """Return a table with a in the place of b, whose option is that of a's."""
    axis = f.scope.index(b)
    cost, weights = np.take(f.cost, partner, axis), np.take(f.weights, partner, axis)
    if a in f.scope:
        other = f.scope.index(a)
        # The diagonal goes to the end: before the rows in the weights.
        cost = np.diagonal(cost, 0, other, axis)
        weights = np.moveaxis(np.diagonal(weights, 0, other, axis), -1, -2)
        scope = (*(i for i in f.scope if i not in (a, b)), a)
    else:
        scope = tuple(a if i == b else i for i in f.scope)
    order = np.argsort(scope)
    return Factor(
        tuple(sorted(scope)),
        np.ascontiguousarray(cost.transpose(order)),
        np.ascontiguousarray(weights.transpose([*order, len(order)])),
    )


def _shifted(p: Reduced) -> Reduced:
    """Take the least use of every decision out of the rows."""
    if not len(p.count):
        return p
    outside = ~p.valid
    least: Floats = np.where(outside[:, :, None], np.inf, p.weights).min(axis=1)
    weights: Floats = np.where(outside[:, :, None], 0.0, p.weights - least[:, None, :])
    return replace(p, weights=weights, room=p.room - least.sum(axis=0))


def _needed_rows(p: Reduced) -> Reduced:
    """Drop rows that nothing exceeds, and those that another row of the same limit implies."""
    if not len(p.room):
        return p
    most: Floats = p.weights.max(axis=1, initial=0.0).sum(axis=0)
    least: Floats = np.zeros(len(p.room))
    for f in p.factors:
        axes = tuple(range(len(f.scope)))
        most = most + f.weights.max(axis=axes)
        least = least + f.weights.min(axis=axes)
    tiny = 1e-13 * np.maximum(most - least, np.abs(p.room))
    if np.any(least > p.room + tiny):
        raise NoChoice
    keep = most > p.room
    for s in np.flatnonzero(keep).tolist():
        if not keep[s]:
            continue
        others = np.flatnonzero(keep & (p.limit == p.limit[s]))
        others = others[others != s]
        if not len(others):
            continue
        apart: Floats = (p.weights[:, :, others] - p.weights[:, :, [s]]).max(axis=1)
        over: Floats = apart.sum(axis=0)
        for f in p.factors:
            gap = f.weights[..., others] - f.weights[..., [s]]
            over = over + gap.max(axis=tuple(range(len(f.scope))))
        keep[others[over <= p.room[others] - p.room[s]]] = False
    if np.all(keep):
        return p
    return replace(
        p,
        weights=p.weights[:, :, keep],
        room=p.room[keep],
        scale=p.scale[keep],
        limit=p.limit[keep],
        factors=tuple(replace(f, weights=f.weights[..., keep]) for f in p.factors),
    )


def _dominated(p: Reduced) -> Mask:
    """Tell which options others make superfluous, shape (n, K); of equals the first stays."""
    n, width = p.cost.shape
    out: Mask = np.zeros((n, width), dtype=np.bool_)
    rows = len(p.room)
    shared = {i for f in p.factors for i in f.scope}
    worse: dict[int, Floats] = {}
    for f in p.factors:
        for axis, i in enumerate(f.scope):
            gain = _advantage(f, axis)
            worse[i] = worse[i] + gain if i in worse else gain
    single = np.array([i not in shared for i in range(n)], dtype=np.bool_)
    for a in range(width):
        for b in range(width):
            if a == b:
                continue
            # Does a make b superfluous?
            better: Mask = single & (p.cost[:, a] <= p.cost[:, b]) & np.isfinite(p.cost[:, b])
            for r in range(rows):
                better &= p.weights[:, a, r] <= p.weights[:, b, r]
            if a > b:
                equal = (p.cost[:, a] == p.cost[:, b]) & np.all(
                    p.weights[:, a] == p.weights[:, b], axis=1
                )
                better &= ~equal
            out[:, b] |= better
    for i, gain in worse.items():
        k = int(p.count[i])
        with np.errstate(invalid="ignore"):
            own: Floats = p.cost[i, :k, None] - p.cost[i, None, :k]
        total = gain.copy()
        total[:, :, 0] += np.where(np.isnan(own), 0.0, own)
        total[:, :, 1:] += p.weights[i, :k, None] - p.weights[i, None, :k]
        better = np.all(total <= 0.0, axis=2)
        np.fill_diagonal(better, False)
        mutual = better & better.T & (np.arange(k)[:, None] > np.arange(k))
        out[i, :k] |= (better & ~mutual).any(axis=0)
    return out


def _advantage(f: Factor, axis: int) -> Floats:
    """Return how much worse a is than b at most, shape (a, b, 1 + rows)."""
    cost = np.moveaxis(f.cost, axis, 0).reshape(f.cost.shape[axis], -1)
    use = np.moveaxis(f.weights, axis, 0).reshape(*cost.shape, f.weights.shape[-1])
    forbidden = np.isinf(cost)
    with np.errstate(invalid="ignore"):
        gap: Floats = cost[:, None] - cost[None]
    free = forbidden[None] | np.zeros_like(gap, dtype=np.bool_)
    gap = np.where(free, -np.inf, gap)
    over: Floats = np.where(free[..., None], -np.inf, use[:, None] - use[None])
    return np.concatenate((gap.max(axis=2)[..., None], over.max(axis=2)), axis=2)


def _scaled(p: Reduced) -> Reduced:
    """Give every row a size near one, so that a solver's absolute tolerances mean the same."""
    size: Floats = p.weights.max(axis=(0, 1), initial=0.0)
    for f in p.factors:
        size = np.maximum(size, np.abs(f.weights).max(axis=tuple(range(len(f.scope)))))
    size = np.where(size > 0.0, size, 1.0)
    return replace(
        p,
        weights=p.weights / size,
        room=p.room / size,
        scale=p.scale * size,
        factors=tuple(replace(f, weights=f.weights / size) for f in p.factors),
    )
