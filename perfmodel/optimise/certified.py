"""Certified answer of a minimisation: the value of the solution and a lower bound.

Every search returns one. The value is proved optimal when it exceeds the bound by at most a
relative tolerance, and infeasibility is proved by an infinite bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, Literal, TypeVar

S_co = TypeVar("S_co", covariant=True)
C = TypeVar("C", bound="Certified[Any]")

#: State of knowledge: optimum, some solution, proof that there is none, or nothing yet.
Standing = Literal["optimal", "feasible", "infeasible", "unknown"]


#: Relative excess of a bound over the value that is tolerated: ten times the tolerance of HiGHS.
_ROUND_OFF: Final = 1e-6


@dataclass(frozen=True)
class Certified(Generic[S_co]):
    """The answer of a minimisation, with its lower bound.

    Attributes
    ----------
    solution
        The best known solution; None if there is none.
    value
        Cost of the solution; infinite without a solution.
    bound
        Lower bound on all solutions: at most the value, and infinite if there is no solution at
        all.
    method
        Method that found the solution.
    work
        Effort of the search, for information: states, nodes, programmes.
    tolerance
        Gap relative to the value up to which the answer counts as proved.
    scale
        Magnitude of the terms of the value: the tolerance is relative to it if the value is
        smaller.

    Raises
    ------
    ValueError
        The bound exceeds the value by more than round-off, so that one of them is wrong.

    Examples
    --------
    >>> answer = Certified("by night", 12.0, 10.0)
    >>> answer.proved, answer.gap, answer.status
    (False, 0.2, 'feasible')
    """

    solution: S_co | None
    value: float
    bound: float
    method: str = ""
    work: Mapping[str, int] = field(default_factory=dict[str, int])
    tolerance: float = 1e-12
    scale: float = 0.0

    def __post_init__(self) -> None:
        if self.bound <= self.value:
            return
        # Relaxations are accurate to the solver's tolerance; a larger excess is an error.
        if self.bound - self.value > _ROUND_OFF * max(1.0, abs(self.value)):
            raise ValueError(f"a bound of {self.bound} above a value of {self.value}")
        object.__setattr__(self, "bound", self.value)

    @property
    def feasible(self) -> bool:
        """Whether there is a solution."""
        return self.solution is not None

    @property
    def proved(self) -> bool:
        """Whether the value is optimal; without a solution, whether none exists."""
        if self.solution is None:
            return self.bound == math.inf
        return self.value - self.bound <= self.tolerance * max(abs(self.value), self.scale)

    @property
    def gap(self) -> float:
        """Excess of the value relative to the bound; infinite if nothing is known."""
        if self.value <= self.bound:
            return 0.0
        known = self.bound and math.isfinite(self.bound)
        return (self.value - self.bound) / abs(self.bound) if known else math.inf

    @property
    def status(self) -> Standing:
        """State of knowledge: whether a solution is known, and whether it is proved."""
        if self.solution is None:
            return "infeasible" if self.proved else "unknown"
        return "optimal" if self.proved else "feasible"

    def or_better(self: C, other: C) -> C:
        """Return the cheaper of two answers to one problem, with the stronger of the two bounds."""
        best = other if other.value < self.value else self
        bound = max(self.bound, other.bound)
        return replace(best, bound=bound, work={**self.work, **other.work})


def nothing(method: str = "", bound: float = 0.0) -> Certified[Any]:
    """Return an answer without a solution; an infinite `bound` proves that none exists."""
    return Certified(None, math.inf, bound, method)
