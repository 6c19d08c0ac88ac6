"""Choice problem: one option for every decision, under limits, with costs as tables of numbers.

    minimise    sum_t f_t(x)
    subject to  max_s sum_t g_st(x) <= b_l    for every limit l

where the choice x selects one option of each decision, and each table f_t or g_st depends on one
decision or on several. Bits per layer under a latency limit, channels under a memory peak (one sum
s per step) and engines under an area limit have this form. The case in which every table depends on
one decision is the multiple-choice knapsack problem (Kellerer, Pferschy and Pisinger, Knapsack
Problems, 2004, chapter 11). `perfmodel.search.exact.solve` solves the problem; `choice_sums` has
the tables, and `choice_faults` the checks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.search.exact.choice_faults import problem_faults
from perfmodel.search.exact.choice_sums import Floats, Ints, PackedSum, Sum

#: Relative rounding error of a sum: two units in the last place of a double.
_SUM_ROUNDING: Final = 4e-16


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
        faults = problem_faults(self)
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

        ``max(tolerance |bound|, rounding error of the largest sum)``; 0 for the first term if the
        bound is infinite.
        """
        out: Floats = np.zeros(len(self.limits))
        for i, (limit, sums) in enumerate(zip(self.limits, self.packed_limits, strict=True)):
            bound = abs(limit.bound) if math.isfinite(limit.bound) else 0.0
            out[i] = max(tolerance * bound, _SUM_ROUNDING * max(s.size for s in sums))
        return out

    def are_feasible(self, choices: ArrayLike, tolerance: float = 1e-9) -> NDArray[np.bool_]:
        """Return which of many choices are allowed and satisfy every limit, shape (n,)."""
        rows = self._choices(choices)
        is_feasible: NDArray[np.bool_] = np.isfinite(self.packed.at(rows))
        if self.limits:
            used = self.usages(rows)
            bounds = np.array([limit.bound for limit in self.limits]) + self.slack(tolerance)
            is_feasible &= np.all(np.isfinite(used) & (used <= bounds), axis=1)
        return is_feasible

    def feasible(self, choice: Sequence[int], tolerance: float = 1e-9) -> bool:
        """Return whether one choice is allowed and satisfies every limit.

        Parameters
        ----------
        tolerance
            Relative to the bound; see `slack`.
        """
        return bool(self.are_feasible([tuple(choice)], tolerance)[0])

    def _choices(self, choices: ArrayLike) -> Ints:
        """Return choices as an integer array, or raise an error if they are invalid."""
        rows = np.asarray(choices)
        n = len(self.options)
        if rows.size == 0:
            rows = rows.reshape(len(rows), n).astype(np.int64)
        if rows.ndim != 2 or rows.shape[1] != n or rows.dtype.kind not in "iu":
            raise input_error(
                f"the choices have shape {rows.shape} and type {rows.dtype}",
                expected=f"integers of shape (n, {n})",
            )
        out: Ints = rows.astype(np.int64)
        invalid = np.flatnonzero(np.any((out < 0) | (out >= np.array(self.options)), axis=0))
        if invalid.size:
            raise InputError(
                Fault(
                    f"some choice has an option that {self.name(int(i))} does not have",
                    path=self.name(int(i)),
                    expected=f"0 to {self.options[int(i)] - 1}",
                )
                for i in invalid
            )
        return out
