"""Choice problem: one option for every decision, under limits, as tables of numbers.

Minimise a sum of tables, subject to upper bounds on the maximum of other sums. Bits per layer under
a latency limit, channels under a memory peak and engines under an area limit have this form. The
case in which every table belongs to one decision is the multiple-choice knapsack (Kellerer,
Pferschy and Pisinger, Knapsack Problems, 2004, chapter 11).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perfmodel.errors import Fault, InputError, input_error, nearest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Term(NamedTuple):
    """A table over the options of zero or more decisions.

    Attributes
    ----------
    decisions
        Indices of distinct decisions, ascending; may be empty.
    values : ndarray
        One axis per decision, with one entry per option. ``+inf`` forbids the combination, in the
        objective as well as in limits.
    """

    decisions: tuple[int, ...]
    values: Floats


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum of a constant and tables.

    Attributes
    ----------
    constant
        Term that is independent of the choice.
    terms
        Tables; several may depend on the same decisions.
    """

    constant: float = 0.0
    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, tables: Sequence[ArrayLike], constant: float = 0.0) -> Sum:
        """Return the sum with one table per decision, ``tables[i][option of i]``."""
        return cls(
            constant,
            tuple(Term((i,), np.asarray(t, dtype=np.float64)) for i, t in enumerate(tables)),
        )


@dataclass(frozen=True, eq=False)
class Limit:
    """An upper bound on the maximum of some sums.

    Attributes
    ----------
    name
        Unique name, for messages and for `front`.
    sums
        A single sum for an additive quantity (latency, bytes); one per step for a peak.
    bound
        Bound in the unit of the sums; infinite for no limit.
    """

    name: str
    sums: tuple[Sum, ...]
    bound: float


class PackedSum:
    """A sum as arrays: all single-decision tables in one block, the others separately."""

    def __init__(self, tables: Sum, options: Sequence[int]) -> None:
        self.constant = float(tables.constant)
        single: list[Term] = []
        shared: dict[tuple[int, ...], Floats] = {}
        for term in tables.terms:
            if len(term.decisions) == 1:
                single.append(term)
            elif not term.decisions:
                self.constant += float(term.values)
            else:
                earlier = shared.get(term.decisions)
                shared[term.decisions] = term.values if earlier is None else earlier + term.values
        self.shared = shared
        places = [term.decisions[0] for term in single]
        width = max([options[i] for i in places], default=0)
        owner: Ints = np.array(places, dtype=np.int64)
        block: Floats = np.full((len(single), width), np.inf)
        for row, term in enumerate(single):
            block[row, : len(term.values)] = term.values
        if len(places) != len(set(places)):
            unique, inverse = np.unique(owner, return_inverse=True)
            merged: Floats = np.zeros((len(unique), width))
            np.add.at(merged, inverse, block)
            owner, block = unique.astype(np.int64), merged
        self.owner = owner
        self.block: Floats = block

    def at(self, choices: Ints) -> Floats:
        """Return the sum for each row of choices."""
        out: Floats = np.full(len(choices), self.constant)
        if len(self.owner):
            out += self.block[np.arange(len(self.owner)), choices[:, self.owner]].sum(axis=1)
        for scope, values in self.shared.items():
            out += values[tuple(choices[:, i] for i in scope)]
        return out

    @cached_property
    def size(self) -> float:
        """Magnitude of the sum, as the reference of rounding errors."""
        total = abs(self.constant)
        for values in (self.block, *self.shared.values()):
            finite = np.where(np.isfinite(values), np.abs(values), 0.0)
            if finite.size:
                total += float(finite.max(axis=-1).sum() if values is self.block else finite.max())
        return total


@dataclass(frozen=True, eq=False)
class ChoiceProblem:
    """Selection of one option for every decision.

    Attributes
    ----------
    options
        Number of options of each decision, at least 1.
    objective
        Sum to minimise.
    limits
        Upper bounds to satisfy.
    names
        Names of the decisions, for messages; may be empty.

    Raises
    ------
    InputError
        For all inconsistent tables, bounds and names at once.

    Examples
    --------
    >>> size = Limit("bytes", (Sum.of([[4, 8], [4, 8]]),), 12)
    >>> problem = ChoiceProblem((2, 2), Sum.of([[3.0, 1.0], [5.0, 0.0]]), (size,))
    >>> problem.value((0, 1)), problem.usage((0, 1)), problem.feasible((1, 1))
    (3.0, (12.0,), False)
    """

    options: tuple[int, ...]
    objective: Sum
    limits: tuple[Limit, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise InputError(faults)

    def name(self, decision: int) -> str:
        """Return the name of a decision in messages."""
        return self.names[decision] if self.names else f"decision {decision}"

    def limit(self, name: str) -> int:
        """Return the index of a limit.

        Raises
        ------
        InputError
            No limit has that name.
        """
        names = [limit.name for limit in self.limits]
        if name in names:
            return names.index(name)
        raise input_error(
            f"no limit is called '{name}'",
            path="limits",
            expected=", ".join(names) or "a problem with limits",
            suggestion=nearest(name, names),
        )

    @cached_property
    def packed(self) -> PackedSum:
        """The objective as arrays."""
        return PackedSum(self.objective, self.options)

    @cached_property
    def packed_limits(self) -> tuple[tuple[PackedSum, ...], ...]:
        """The sums of each limit as arrays."""
        return tuple(tuple(PackedSum(s, self.options) for s in limit.sums) for limit in self.limits)

    def values(self, choices: ArrayLike) -> Floats:
        """Return the objective of many choices.

        Parameters
        ----------
        choices : array_like of int, shape (n, decisions)

        Returns
        -------
        ndarray, shape (n,)
            Infinite where the objective forbids the choice.

        Raises
        ------
        InputError
            An option that a decision does not have, or an array of another shape.
        """
        return self.packed.at(self._choices(choices))

    def usages(self, choices: ArrayLike) -> Floats:
        """Return the usage of each limit by many choices: the maximum of its sums.

        Parameters
        ----------
        choices : array_like of int, shape (n, decisions)

        Returns
        -------
        ndarray, shape (n, limits)
        """
        rows = self._choices(choices)
        out: Floats = np.zeros((len(rows), len(self.limits)))
        for i, sums in enumerate(self.packed_limits):
            out[:, i] = np.max([s.at(rows) for s in sums], axis=0)
        return out

    def value(self, choice: Sequence[int]) -> float:
        """Return the objective of one choice."""
        return float(self.values([tuple(choice)])[0])

    def usage(self, choice: Sequence[int]) -> tuple[float, ...]:
        """Return the usage of each limit by one choice."""
        return tuple(self.usages([tuple(choice)])[0].tolist())

    def slack(self, tolerance: float = 1e-9) -> Floats:
        """Return the tolerated excess over each bound, shape (limits,).

        The maximum of `tolerance` times the bound and of the rounding error of the sums.
        """
        out: Floats = np.zeros(len(self.limits))
        for i, (limit, sums) in enumerate(zip(self.limits, self.packed_limits, strict=True)):
            bound = abs(limit.bound) if math.isfinite(limit.bound) else 0.0
            out[i] = max(tolerance * bound, 4e-16 * max(s.size for s in sums))
        return out

    def feasibles(self, choices: ArrayLike, tolerance: float = 1e-9) -> NDArray[np.bool_]:
        """Return which of many choices are allowed and satisfy every limit, shape (n,)."""
        rows = self._choices(choices)
        good: NDArray[np.bool_] = np.isfinite(self.packed.at(rows))
        if self.limits:
            used = self.usages(rows)
            bounds = np.array([limit.bound for limit in self.limits]) + self.slack(tolerance)
            good &= np.all(np.isfinite(used) & (used <= bounds), axis=1)
        return good

    def feasible(self, choice: Sequence[int], tolerance: float = 1e-9) -> bool:
        """Return whether one choice is allowed and satisfies every limit.

        Parameters
        ----------
        tolerance
            Relative to the bound; see `slack`.
        """
        return bool(self.feasibles([tuple(choice)], tolerance)[0])

    def _choices(self, choices: ArrayLike) -> Ints:
        """Return choices as an integer array, or raise an error if they are invalid."""
        rows = np.asarray(choices)
        n = len(self.options)
        if rows.size == 0:
            rows = rows.reshape(len(rows), n).astype(np.int64)
        if rows.ndim != 2 or rows.shape[1] != n or rows.dtype.kind not in "iu":
            raise input_error(
                f"choices of shape {rows.shape} and type {rows.dtype}",
                expected=f"integers of shape (n, {n})",
            )
        out: Ints = rows.astype(np.int64)
        off = np.flatnonzero(np.any((out < 0) | (out >= np.array(self.options)), axis=0))
        if off.size:
            raise InputError(
                Fault(
                    f"an option that {self.name(int(i))} does not have",
                    path=self.name(int(i)),
                    expected=f"0 to {self.options[int(i)] - 1}",
                )
                for i in off
            )
        return out


def _faults(problem: ChoiceProblem) -> list[Fault]:
    faults: list[Fault] = []
    options = problem.options
    for i, count in enumerate(options):
        if count < 1:
            faults.append(Fault(f"{count} options", f"options.{i}", expected="1 at least"))
    if problem.names and len(problem.names) != len(options):
        faults.append(
            Fault(f"{len(problem.names)} names", "names", expected=f"{len(options)}, or none")
        )
    faults += _sum_faults(problem.objective, options, "objective")
    seen: set[str] = set()
    for limit in problem.limits:
        path = f"limits.{limit.name}"
        if limit.name in seen:
            faults.append(Fault("a second limit of that name", path))
        seen.add(limit.name)
        if math.isnan(limit.bound):
            faults.append(Fault("the bound is not a number", path))
        if not limit.sums:
            faults.append(Fault("no sum to limit", path, expected="one sum at least"))
        for k, part in enumerate(limit.sums):
            faults += _sum_faults(part, options, f"{path}.sums.{k}")
    return faults


def _sum_faults(tables: Sum, options: tuple[int, ...], path: str) -> list[Fault]:
    faults: list[Fault] = []
    if not math.isfinite(tables.constant):
        faults.append(Fault("the constant is not finite", path))
    n = len(options)
    for k, (decisions, values) in enumerate(tables.terms):
        place = f"{path}.terms.{k}"
        rising = all(a < b for a, b in itertools.pairwise(decisions))
        if not rising or (decisions and not 0 <= decisions[0] <= decisions[-1] < n):
            faults.append(
                Fault(f"decisions {decisions}", place, expected=f"ascending, of 0 to {n - 1}")
            )
        elif values.shape != tuple(options[i] for i in decisions):
            shape = tuple(options[i] for i in decisions)
            faults.append(Fault(f"a table of shape {values.shape}", place, expected=f"{shape}"))
    if not faults and tables.terms:
        # All tables at once: separate checks would take longer than solving a large problem.
        flat = np.concatenate([t.values.reshape(-1) for t in tables.terms])
        if np.any(np.isnan(flat) | (flat == -np.inf)):
            faults += [
                Fault("a table holds NaN or -inf", f"{path}.terms.{k}", expected="numbers or +inf")
                for k, t in enumerate(tables.terms)
                if np.any(np.isnan(t.values) | (t.values == -np.inf))
            ]
    return faults
