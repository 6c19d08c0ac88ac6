"""Exact presolve of a choice problem: removal of options, decisions and rows without effect.

Forbidden and dominated options are removed, decisions with a single option are folded into the
constants, and rows that cannot be exceeded or are implied by another row are dropped. An option is
dominated if another option of the same decision is at least as good in the objective and in every
row, for all choices of the other decisions (Kellerer, Pferschy and Pisinger, Knapsack Problems,
2004, section 11.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.choice_problem import ChoiceProblem
from perfmodel.search.exact.choice_sums import Floats, Ints

Mask = NDArray[np.bool_]


class NoChoice(Exception):
    """Raised when a reduction proves that no choice satisfies the limits."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A table over two or more decisions.

    Attributes
    ----------
    scope
        Indices of the decisions in `ReducedProblem`, ascending.
    cost : ndarray, one axis per decision
        Infinite where forbidden.
    weights : ndarray, one axis per decision and one over the rows
        0 where forbidden.
    """

    scope: tuple[int, ...]
    cost: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class ReducedProblem:
    """A reduced problem: n decisions of at most K options, R rows.

    Minimise the sum of costs, subject to sum of weights <= room in every row.

    Attributes
    ----------
    count : ndarray of int, shape (n,)
        Number of options of each decision, at least 2.
    cost : ndarray, shape (n, K)
        Infinite beyond `count`.
    weights : ndarray, shape (n, K, R)
        Scaled use of each row by an option, at least 0, and 0 for some option of each decision.
    factors
        Tables over several decisions.
    room : ndarray, shape (R,)
        Bounds minus the use of fixed options, plus the rounding tolerance; scaled.
    scale : ndarray, shape (R,)
        Unit of each scaled row, in the unit of the problem.
    limit : ndarray of int, shape (R,)
        Index of the problem's limit that a row belongs to.
    constant
        Objective of the fixed options.
    members, leader : ndarray of int, shape (M,)
        Open decisions of the problem, and the reduced decision that determines each.
    option : ndarray of int, shape (M, K)
        Options of the problem for each reduced option.
    base : ndarray of int, shape (decisions of the problem,)
        Choice of the problem, valid for the fixed decisions.
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
        """Mask of the valid options in the padded tables, shape (n, K)."""
        places: Ints = np.arange(self.cost.shape[1], dtype=np.int64)
        return places < self.count[:, None]

    @property
    def size(self) -> float:
        """Magnitude of the objective, as the reference of rounding errors."""
        finite = np.where(np.isfinite(self.cost), np.abs(self.cost), 0.0)
        total = abs(self.constant) + float(finite.max(axis=1, initial=0.0).sum())
        for factor in self.factors:
            total += float(np.abs(factor.cost[np.isfinite(factor.cost)]).max(initial=0.0))
        return total

    def choices(self, local: Ints) -> Ints:
        """Return choices of the problem for rows of reduced options, shape (N, n)."""
        out: Ints = np.repeat(self.base[None], len(local), axis=0)
        if len(self.members):
            out[:, self.members] = self.option[np.arange(len(self.members)), local[:, self.leader]]
        return out

    def local(self, choice: Ints) -> Ints:
        """Return the reduced options of a choice of the problem, shape (n,); inverse of `choices`.

        A decision whose option was removed has its first one.
        """
        out: Ints = np.zeros(len(self.count), dtype=np.int64)
        out[self.leader] = (self.option == choice[self.members, None]).argmax(axis=1)
        return out

    def keeping(self, keep: Mask) -> ReducedProblem:
        """Return the problem restricted to a subset of options.

        Parameters
        ----------
        keep : ndarray of bool, shape (n, K)

        Raises
        ------
        NoChoice
            A decision has no option left.
        """
        return _tidy(_restricted(self, keep & self.valid))


def reduce_problem(problem: ChoiceProblem, deadline: Deadline | None = None) -> ReducedProblem:
    """Return the reduced form of a problem.

    Every sum of a limit with a bound is a row. Tables have the objective and the rows on their
    last axis, in this order.

    Raises
    ------
    NoChoice
        The reductions prove that no choice satisfies the limits.
    OutOfTimeError
        The deadline passed before the reduction was complete.
    """
    options = np.array(problem.options, dtype=np.int64)
    n, width = len(options), int(options.max(initial=1))
    sums = [(i, packed) for i, each in enumerate(problem.packed_limits) for packed in each]
    rows = [(i, packed) for i, packed in sums if problem.limits[i].bound < math.inf]
    placed = [(0, problem.packed), *((r, packed) for r, (_, packed) in enumerate(rows, start=1))]
    # A forbidden entry applies even in a sum without a bound, which has no position.
    placed += [(-1, packed) for i, packed in sums if problem.limits[i].bound == math.inf]
    block: Floats = np.zeros((n, width, len(rows) + 1))
    block[np.arange(width) >= options[:, None], 0] = np.inf
    shared: dict[tuple[int, ...], Floats] = {}
    constants: Floats = np.zeros(len(rows) + 1)
    for position, packed in placed:
        if deadline is not None:
            deadline.check("the problem was being reduced")
        if not math.isfinite(packed.constant):
            raise NoChoice
        if position >= 0:
            constants[position] += packed.constant
        if len(packed.owner):
            _add(block[:, : packed.block.shape[1]], packed.owner, packed.block, position)
        for scope, values in packed.shared.items():
            merged = shared.setdefault(scope, np.zeros((*values.shape, len(rows) + 1)))
            _add(merged[None], np.zeros(1, dtype=np.int64), values[None], position)
    limit: Ints = np.array([i for i, _ in rows], dtype=np.int64)
    slack = problem.slack()[limit]
    bounds: Floats = np.array([problem.limits[i].bound for i, _ in rows]) + slack
    # A sum of whole numbers is at most the whole part of its bound.
    integral = np.array([packed.is_integral for _, packed in rows], dtype=np.bool_)
    bounds = np.where(integral, np.minimum(bounds, np.floor(bounds) + slack), bounds)
    start = ReducedProblem(
        count=options,
        cost=block[:, :, 0].copy(),
        weights=block[:, :, 1:].copy(),
        factors=tuple(
            Factor(scope, table[..., 0].copy(), table[..., 1:].copy())
            for scope, table in shared.items()
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


def _add(block: Floats, owner: Ints, values: Floats, position: int) -> None:
    """Add tables to one position of the last axis; forbidden entries go to the objective."""
    allowed = np.isfinite(values)
    sums = block[owner]
    # Beyond the options of a decision the block is already infinite, so adding has no effect.
    sums[..., 0] += values if position == 0 else np.where(allowed, 0.0, np.inf)
    if position > 0:
        sums[..., position] += np.where(allowed, values, 0.0)
    block[owner] = sums


class _TableSums:
    """Accumulator of tables: those over one decision are added to its costs and weights.

    Parameters
    ----------
    place
        New index of each remaining decision.
    """

    def __init__(self, cost: Floats, weights: Floats, place: Ints) -> None:
        self.cost, self.weights, self.place = cost, weights, place
        self.factors: dict[tuple[int, ...], Factor] = {}

    def add(self, factor: Factor) -> None:
        """Add a table over one decision or several."""
        cost, weights = factor.cost, factor.weights
        if len(factor.scope) == 1:
            (decision,) = factor.scope
            self.cost[decision, : len(cost)] += cost
            self.weights[decision, : len(cost)] += weights
            return
        scope = tuple(self.place[list(factor.scope)].tolist())
        earlier = self.factors.get(scope)
        if earlier is not None:
            cost, weights = cost + earlier.cost, weights + earlier.weights
        self.factors[scope] = Factor(scope, cost, weights)


def _restricted(reduced: ReducedProblem, keep: Mask) -> ReducedProblem:
    """Restrict the options, and fold decisions with a single option into the constants."""
    count: Ints = keep.sum(axis=1, dtype=np.int64)
    if np.any(count == 0):
        raise NoChoice
    width = int(count.max(initial=1))
    # The remaining options of each decision come first, in their order.
    order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    line = np.arange(len(count))[:, None]
    inside = np.arange(width) < count[:, None]
    cost: Floats = np.where(inside, reduced.cost[line, order], np.inf)
    weights: Floats = np.where(inside[:, :, None], reduced.weights[line, order], 0.0)
    fixed, remaining = count == 1, count > 1
    constant = reduced.constant + float(cost[fixed, 0].sum())
    room: Floats = reduced.room - weights[fixed, 0].sum(axis=0)
    place = np.cumsum(remaining) - 1
    tables = _TableSums(cost, weights, place)
    for factor in reduced.factors:
        table = _without_fixed(factor, order, count)
        if table.scope:
            tables.add(table)
        else:
            constant += float(table.cost)
            room = room - table.weights
    if not math.isfinite(constant):
        raise NoChoice
    members, leader = reduced.members, reduced.leader
    option = reduced.option[np.arange(len(members))[:, None], order[leader]]
    closed, undecided = fixed[leader], remaining[leader]
    base = reduced.base.copy()
    base[members[closed]] = option[closed, 0]
    return replace(
        reduced,
        count=count[remaining],
        cost=cost[remaining],
        weights=weights[remaining],
        constant=constant,
        factors=tuple(tables.factors.values()),
        room=room,
        base=base,
        members=members[undecided],
        leader=place[leader[undecided]],
        option=option[undecided],
    )


def _without_fixed(factor: Factor, order: Ints, count: Ints) -> Factor:
    """Return a table over the remaining options, without the axes of fixed decisions."""
    entries = np.ix_(*(order[i, : count[i]] for i in factor.scope))
    scope = tuple(i for i in factor.scope if count[i] > 1)
    shape = [count[i] for i in scope]
    weights = factor.weights[entries].reshape([*shape, factor.weights.shape[-1]])
    return Factor(scope, factor.cost[entries].reshape(shape), weights)


def _tidy(reduced: ReducedProblem) -> ReducedProblem:
    """Apply the reductions until a fixed point."""
    while True:
        reduced = _needed_rows(_shifted(reduced))
        keep = np.isfinite(reduced.cost)
        for factor in reduced.factors:
            for axis, i in enumerate(factor.scope):
                others = tuple(a for a in range(len(factor.scope)) if a != axis)
                keep[i, : reduced.count[i]] &= np.isfinite(factor.cost).any(axis=others)
        keep &= ~_dominated(reduced)
        if not np.array_equal(keep, reduced.valid) or np.any(reduced.count == 1):
            reduced = _restricted(reduced, keep)
            continue
        same = next((factor for factor in reduced.factors if _one_to_one(factor)), None)
        if same is None:
            return reduced
        reduced = _merged(reduced, same)


def _one_to_one(factor: Factor) -> bool:
    """Return whether a table over two decisions allows each option exactly one partner."""
    if len(factor.scope) != 2:
        return False
    allowed = np.isfinite(factor.cost)
    return bool(np.all(allowed.sum(axis=0) == 1) and np.all(allowed.sum(axis=1) == 1))


def _merged(reduced: ReducedProblem, same: Factor) -> ReducedProblem:
    """Merge the second decision of a one-to-one table into the first."""
    first, second = same.scope
    k = int(reduced.count[first])
    # Option of the second decision that each option of the first allows.
    partner = np.isfinite(same.cost).argmax(axis=1)
    cost, weights, option = reduced.cost.copy(), reduced.weights.copy(), reduced.option.copy()
    rows = np.arange(k)
    cost[first, :k] += cost[second, partner] + same.cost[rows, partner]
    weights[first, :k] += weights[second, partner] + same.weights[rows, partner]
    follows = reduced.leader == second
    option[follows, :k] = option[np.ix_(follows, partner)]
    leader = np.where(follows, first, reduced.leader)
    leader -= leader > second
    numbers = np.arange(len(reduced.count))
    remaining = numbers != second
    tables = _TableSums(cost, weights, numbers - (numbers > second))
    for factor in reduced.factors:
        if factor is not same:
            concerned = second in factor.scope
            tables.add(_substituted(factor, first, second, partner) if concerned else factor)
    return replace(
        reduced,
        count=reduced.count[remaining],
        cost=cost[remaining],
        weights=weights[remaining],
        factors=tuple(tables.factors.values()),
        leader=leader,
        option=option,
    )


def _substituted(factor: Factor, first: int, second: int, partner: Ints) -> Factor:
    """Return a table over `first` instead of `second`, whose option is the first's partner."""
    axis = factor.scope.index(second)
    cost, weights = np.take(factor.cost, partner, axis), np.take(factor.weights, partner, axis)
    if first in factor.scope:
        other = factor.scope.index(first)
        # np.diagonal appends its axis, in the weights after the rows axis.
        cost = np.diagonal(cost, 0, other, axis)
        weights = np.moveaxis(np.diagonal(weights, 0, other, axis), -1, -2)
        scope = (*(i for i in factor.scope if i not in (first, second)), first)
    else:
        scope = tuple(first if i == second else i for i in factor.scope)
    order = np.argsort(scope)
    return Factor(
        tuple(sorted(scope)),
        np.ascontiguousarray(cost.transpose(order)),
        np.ascontiguousarray(weights.transpose([*order, len(order)])),
    )


def _shifted(reduced: ReducedProblem) -> ReducedProblem:
    """Move the minimum use of every decision from the weights to the rooms."""
    if not len(reduced.count):
        return reduced
    outside = ~reduced.valid
    least: Floats = np.where(outside[:, :, None], np.inf, reduced.weights).min(axis=1)
    weights: Floats = np.where(outside[:, :, None], 0.0, reduced.weights - least[:, None, :])
    return replace(reduced, weights=weights, room=reduced.room - least.sum(axis=0))


def _needed_rows(reduced: ReducedProblem) -> ReducedProblem:
    """Drop rows that cannot be exceeded, and those that another row of the same limit implies.

    Bounds on the use of a row are the sums of the extremes of its tables.
    """
    if not len(reduced.room):
        return reduced
    most: Floats = reduced.weights.max(axis=1, initial=0.0).sum(axis=0)
    least: Floats = np.zeros(len(reduced.room))
    for factor in reduced.factors:
        axes = tuple(range(len(factor.scope)))
        most = most + factor.weights.max(axis=axes)
        least = least + factor.weights.min(axis=axes)
    tiny = 1e-13 * np.maximum(most - least, np.abs(reduced.room))
    if np.any(least > reduced.room + tiny):
        raise NoChoice
    keep = most > reduced.room
    for row in np.flatnonzero(keep).tolist():
        if keep[row]:
            others = np.flatnonzero(keep & (reduced.limit == reduced.limit[row]))
            others = others[others != row]
            if len(others):
                keep[others[_implied(reduced, row, others)]] = False
    if np.all(keep):
        return reduced
    return replace(
        reduced,
        weights=reduced.weights[:, :, keep],
        room=reduced.room[keep],
        scale=reduced.scale[keep],
        limit=reduced.limit[keep],
        factors=tuple(replace(f, weights=f.weights[..., keep]) for f in reduced.factors),
    )


def _implied(reduced: ReducedProblem, row: int, others: Ints) -> Mask:
    """Return which other rows one row implies.

    It implies another if ``max(use_other - use_row) <= room_other - room_row`` over all choices,
    where the sum of the maxima of the tables bounds the maximum.
    """
    gap: Floats = reduced.weights[:, :, others] - reduced.weights[:, :, [row]]
    excess: Floats = gap.max(axis=1).sum(axis=0)
    for factor in reduced.factors:
        table_gap = factor.weights[..., others] - factor.weights[..., [row]]
        excess = excess + table_gap.max(axis=tuple(range(len(factor.scope))))
    return excess <= reduced.room[others] - reduced.room[row]


def _dominated(reduced: ReducedProblem) -> Mask:
    """Return the mask of dominated options, shape (n, K); of equal options the first remains.

    Option a dominates option b of the same decision if, in the objective and in every row,
    ``own_a - own_b + sum over tables of max(table_a - table_b) <= 0``, where the maximum is over
    the options of the table's other decisions.
    """
    excess: dict[int, Floats] = {}
    for factor in reduced.factors:
        for axis, i in enumerate(factor.scope):
            excess[i] = excess.get(i, 0.0) + _excess(factor, axis)
    # Axes (n, a, b): whether a dominates b.
    cost, weights = reduced.cost, reduced.weights
    better: Mask = (cost[:, :, None] <= cost[:, None]) & np.isfinite(cost)[:, None]
    for use in np.moveaxis(weights, 2, 0):
        better &= use[:, :, None] <= use[:, None]
    for i, in_tables in excess.items():
        k = int(reduced.count[i])
        with np.errstate(invalid="ignore"):
            own: Floats = cost[i, :k, None] - cost[i, None, :k]
        total = in_tables.copy()
        total[:, :, 0] += np.where(np.isnan(own), 0.0, own)
        total[:, :, 1:] += weights[i, :k, None] - weights[i, None, :k]
        better[i] = False
        better[i, :k, :k] = np.all(total <= 0.0, axis=2)
    # Of two equal options only the first dominates, and none dominates itself.
    alike = better & better.transpose(0, 2, 1)
    better &= ~(alike & np.tri(better.shape[1], dtype=np.bool_))
    return np.logical_or.reduce(better, axis=1)


def _excess(factor: Factor, axis: int) -> Floats:
    """Return the maximum excess of option a over option b, shape (a, b, 1 + rows).

    The maximum is over the options of the other decisions that are allowed with option b.
    """
    cost = np.moveaxis(factor.cost, axis, 0).reshape(factor.cost.shape[axis], -1)
    use = np.moveaxis(factor.weights, axis, 0).reshape(*cost.shape, factor.weights.shape[-1])
    forbidden = np.isinf(cost)
    with np.errstate(invalid="ignore"):
        gap: Floats = cost[:, None] - cost[None]
    gap = np.where(forbidden, -np.inf, gap)
    use_gap: Floats = np.where(forbidden[..., None], -np.inf, use[:, None] - use[None])
    return np.concatenate((gap.max(axis=2)[..., None], use_gap.max(axis=2)), axis=2)


def _scaled(reduced: ReducedProblem) -> ReducedProblem:
    """Scale every row to a maximum weight of 1, as the solver's tolerances are absolute."""
    size: Floats = reduced.weights.max(axis=(0, 1), initial=0.0)
    for factor in reduced.factors:
        size = np.maximum(size, np.abs(factor.weights).max(axis=tuple(range(len(factor.scope)))))
    size = np.where(size > 0.0, size, 1.0)
    return replace(
        reduced,
        weights=reduced.weights / size,
        room=reduced.room / size,
        scale=reduced.scale * size,
        factors=tuple(replace(factor, weights=factor.weights / size) for factor in reduced.factors),
    )
