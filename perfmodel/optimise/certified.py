"""An answer and its certificate: what it costs, and what nothing else goes below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, Literal, TypeVar

S_co = TypeVar("S_co", covariant=True)
C = TypeVar("C", bound="Certified[Any]")

#: What is known: the best there is, something, that there is nothing, or nothing yet.
Standing = Literal["optimal", "feasible", "infeasible", "unknown"]


#: Part of a value by which a bound may exceed it: ten times the tolerance of HiGHS.
_ROUND_OFF: Final = 1e-6


@dataclass(frozen=True)
class Certified(Generic[S_co]):
    """What a search for the least came back with.

    Attributes
    ----------
    solution
        The best that was reached; None where nothing was.
    value
        What it costs; infinite without a solution.
    bound
        No solution costs less: at most the value, and infinite where there is none at all.
    method
        What reached it.
    work
        What the search did, for the curious: states, nodes, programmes.
    tolerance
        Part of the value by which the bound may fall short and the answer still count as proved.
    scale
        Size of what the value is a sum of: where the value is smaller, the tolerance is part of it.

    Raises
    ------
    ValueError
        The bound is above the value by more than round-off: one of the two is wrong.

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
        # A relaxation ends within its solver's tolerance; further above, one of the two is wrong.
        if self.bound - self.value > _ROUND_OFF * max(1.0, abs(self.value)):
            raise ValueError(f"a bound of {self.bound} above a value of {self.value}")
        object.__setattr__(self, "bound", self.value)

    @property
    def feasible(self) -> bool:
        """Whether there is a solution."""
        return self.solution is not None

    @property
    def proved(self) -> bool:
        """Whether nothing costs less; without a solution, whether there is none."""
        if self.solution is None:
            return self.bound == math.inf
        return self.value - self.bound <= self.tolerance * max(abs(self.value), self.scale)

    @property
    def gap(self) -> float:
        """Part of the bound by which the value exceeds it; infinite where nothing is known."""
        if self.value <= self.bound:
            return 0.0
        known = self.bound and math.isfinite(self.bound)
        return (self.value - self.bound) / abs(self.bound) if known else math.inf

    @property
    def status(self) -> Standing:
        """What is known of the question."""
        if self.solution is None:
            return "infeasible" if self.proved else "unknown"
        return "optimal" if self.proved else "feasible"

    def or_better(self: C, other: C) -> C:
        """Return the cheaper of two answers to one question, with all that both have proved."""
        best = other if other.value < self.value else self
        bound = max(self.bound, other.bound)
        return replace(best, bound=bound, work={**self.work, **other.work})


def nothing(method: str = "", bound: float = 0.0) -> Certified[Any]:
    """Return the answer without a solution; its `bound` is infinite where none exists for sure."""
    return Certified(None, math.inf, bound, method)
