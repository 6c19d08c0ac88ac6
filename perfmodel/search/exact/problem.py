"""One option for every decision, under limits: the problem as tables of numbers.

Minimise a sum of tables while the largest of some other sums stays below a bound. Bits a layer
under a latency, channels under a peak of memory, engines under an area are all of this form; a
multiple-choice knapsack (Kellerer, Pferschy and Pisinger, Knapsack Problems, 2004, chapter 11) is
the case in which every table belongs to one decision.
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
    """A table over the options of some decisions.

    Attributes
    ----------
    decisions
        0, 1, 2 or more different decisions, ascending.
    values : ndarray
        An axis a decision, as long as it has options. ``+inf`` forbids the combination, wherever
        the table stands.
    """

    decisions: tuple[int, ...]
    values: Floats


@dataclass(frozen=True, eq=False)
class Sum:
    """A constant and tables that are added up.

    Attributes
    ----------
    constant
        Added whatever is chosen.
    terms
        Several may be over the same decisions.
    """

    constant: float = 0.0
    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, tables: Sequence[ArrayLike], constant: float = 0.0) -> Sum:
        """Return the sum with one table a decision: ``tables[i][option of i]``."""
        return cls(
            constant,
            tuple(Term((i,), np.asarray(t, dtype=np.float64)) for i, t in enumerate(tables)),
        )


@dataclass(frozen=True, eq=False)
class Limit:
    """The largest of some sums must not exceed a bound.

    Attributes
    ----------
    name
        For messages and for `front`; no two limits share one.
    sums
        One for what adds up (latency, bytes); one per step for a peak.
    bound
        In the unit of the sums; infinite for no limit.
    """

    name: str
    sums: tuple[Sum, ...]
    bound: float


class PackedSum:
    """A sum as arrays: the tables of single decisions in one block, the others one by one."""

    def __init__(self, whole: Sum, options: Sequence[int]) -> None:
        self.constant = float(whole.constant)
        single: list[Term] = []
        shared: dict[tuple[int, ...], Floats] = {}
        for term in whole.terms:
            if len(term.decisions) == 1:
                single.append(term)
            elif not term.decisions:
                self.constant += float(term.values)
            else:
                held = shared.get(term.decisions)
                shared[term.decisions] = term.values if held is None else held + term.values
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
        """Magnitude that rounding errors of the sum are relative to."""
        total = abs(self.constant)
        for values in (self.block, *self.shared.values()):
            finite = np.where(np.isfinite(values), np.abs(values), 0.0)
            if finite.size:
                total += float(finite.max(axis=-1).sum() if values is self.block else finite.max())
        return total


@dataclass(frozen=True, eq=False)
class ChoiceProblem:
    """Choose one option for every decision.

    Attributes
    ----------
    options
        How many options each decision has, 1 at least.
    objective
        To be small.
    limits
        What must hold besides.
    names
        Of the decisions, for messages; empty for none.

    Raises
    ------
    InputError
        Every table, bound and name that does not fit, at once.

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
        """Return what messages call a decision."""
        return self.names[decision] if self.names else f"decision {decision}"

    def limit(self, name: str) -> int:
        """Return the place of a limit.

        Raises
        ------
        InputError
            There is none of that name.
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
            An option that a decision does not have, or another shape.
        """
        return self.packed.at(self._choices(choices))

    def usages(self, choices: ArrayLike) -> Floats:
        """Return what many choices use of each limit: the largest of its sums.

        Parameters
        ----------
        choices : array_like of int, shape (n, decisions)

        Returns
        -------
        ndarray, shape (n, limits)
        """
        held = self._choices(choices)
        out: Floats = np.zeros((len(held), len(self.limits)))
        for i, sums in enumerate(self.packed_limits):
            out[:, i] = np.max([s.at(held) for s in sums], axis=0)
        return out

    def value(self, choice: Sequence[int]) -> float:
        """Return the objective of one choice."""
        return float(self.values([tuple(choice)])[0])

    def usage(self, choice: Sequence[int]) -> tuple[float, ...]:
        """Return what one choice uses of each limit."""
        return tuple(self.usages([tuple(choice)])[0].tolist())

    def slack(self, tolerance: float = 1e-9) -> Floats:
        """Return how far over each bound still counts as kept, shape (limits,).

        `tolerance` of the bound, or of the rounding of the sums where that is larger.
        """
        out: Floats = np.zeros(len(self.limits))
        for i, (limit, sums) in enumerate(zip(self.limits, self.packed_limits, strict=True)):
            bound = abs(limit.bound) if math.isfinite(limit.bound) else 0.0
            out[i] = max(tolerance * bound, 4e-16 * max(s.size for s in sums))
        return out

    def feasibles(self, choices: ArrayLike, tolerance: float = 1e-9) -> NDArray[np.bool_]:
        """Tell which of many choices are allowed and keep every limit, shape (n,)."""
        held = self._choices(choices)
        good: NDArray[np.bool_] = np.isfinite(self.packed.at(held))
        if self.limits:
            used = self.usages(held)
            bounds = np.array([limit.bound for limit in self.limits]) + self.slack(tolerance)
            good &= np.all(np.isfinite(used) & (used <= bounds), axis=1)
        return good

    def feasible(self, choice: Sequence[int], tolerance: float = 1e-9) -> bool:
        """Tell whether one choice is allowed and keeps every limit.

        Parameters
        ----------
        tolerance
            Relative to the bound; see `slack`.
        """
        return bool(self.feasibles([tuple(choice)], tolerance)[0])

    def _choices(self, choices: ArrayLike) -> Ints:
        held = np.asarray(choices)
        n = len(self.options)
        if held.size == 0:
            held = held.reshape(len(held), n).astype(np.int64)
        if held.ndim != 2 or held.shape[1] != n or held.dtype.kind not in "iu":
            raise input_error(
                f"choices of shape {held.shape} and type {held.dtype}",
                expected=f"integers of shape (n, {n})",
            )
        out: Ints = held.astype(np.int64)
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
    found: list[Fault] = []
    options = problem.options
    for i, count in enumerate(options):
        if count < 1:
            found.append(Fault(f"{count} options", f"options.{i}", expected="1 at least"))
    if problem.names and len(problem.names) != len(options):
        found.append(
            Fault(f"{len(problem.names)} names", "names", expected=f"{len(options)}, or none")
        )
    found += _sum_faults(problem.objective, options, "objective")
    seen: set[str] = set()
    for limit in problem.limits:
        path = f"limits.{limit.name}"
        if limit.name in seen:
            found.append(Fault("a second limit of that name", path))
        seen.add(limit.name)
        if math.isnan(limit.bound):
            found.append(Fault("the bound is not a number", path))
        if not limit.sums:
            found.append(Fault("no sum to limit", path, expected="one sum at least"))
        for k, part in enumerate(limit.sums):
            found += _sum_faults(part, options, f"{path}.sums.{k}")
    return found


def _sum_faults(whole: Sum, options: tuple[int, ...], path: str) -> list[Fault]:
    found: list[Fault] = []
    if not math.isfinite(whole.constant):
        found.append(Fault("the constant is not finite", path))
    n = len(options)
    for k, (decisions, values) in enumerate(whole.terms):
        place = f"{path}.terms.{k}"
        rising = all(a < b for a, b in itertools.pairwise(decisions))
        if not rising or (decisions and not 0 <= decisions[0] <= decisions[-1] < n):
            found.append(
                Fault(f"decisions {decisions}", place, expected=f"ascending, of 0 to {n - 1}")
            )
        elif values.shape != tuple(options[i] for i in decisions):
            shape = tuple(options[i] for i in decisions)
            found.append(Fault(f"a table of shape {values.shape}", place, expected=f"{shape}"))
    if not found and whole.terms:
        # All tables at once: one look at each would take longer than to solve a large problem.
        flat = np.concatenate([t.values.reshape(-1) for t in whole.terms])
        if np.any(np.isnan(flat) | (flat == -np.inf)):
            found += [
                Fault("a table holds NaN or -inf", f"{path}.terms.{k}", expected="numbers or +inf")
                for k, t in enumerate(whole.terms)
                if np.any(np.isnan(t.values) | (t.values == -np.inf))
            ]
    return found
