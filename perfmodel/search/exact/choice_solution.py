"""Results of the exact choice solver: solution, certificate, and explanation of infeasibility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_attributes
from perfmodel.optimise.certified import Certified


@dataclass(frozen=True)
class Opening:
    """Smallest bound of one limit that makes an infeasible problem feasible, others unchanged.

    Attributes
    ----------
    limit
        Name of the limit.
    bound
        Current bound.
    least
        Smallest bound that makes the problem feasible; None if no bound of this limit does, or none
        was found in time.
    proved
        Whether it is proved that no smaller bound suffices, or that none does.
    choice
        A choice that is feasible at `least`.
    """

    limit: str
    bound: float
    least: float | None
    proved: bool
    choice: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ChoiceInfeasibility:
    """Explanation of an infeasible problem.

    Attributes
    ----------
    together
        Names of an irreducible set of conflicting limits: without any one of them, the others can
        be satisfied. The set need not be the smallest. Empty if forbidden combinations alone make
        the problem infeasible.
    openings
        For each limit, the relaxation of this limit alone that would suffice.
    proved
        Whether `together` is proved to be infeasible and irreducible.
    """

    together: tuple[str, ...]
    openings: tuple[Opening, ...]
    proved: bool


@dataclass(frozen=True)
class ChoiceSolution(Certified[tuple[int, ...]]):
    """An option for every decision, with its certificate and further results.

    It counts as proved if value and bound agree within rounding: 1e-9 of the value, or 1e-7 for a
    bound from HiGHS.

    Attributes
    ----------
    work
        Number of explored ``nodes``; ``decisions`` and ``options`` after reduction.
    usage
        Usage of each limit by the choice.
    prices
        Shadow price of each limit: increase of the objective per unit of tightening, in the
        relaxation that provides the bound (linear or Lagrangian), near the current bounds; the
        integer problem changes in steps. 0 for a limit that does not bind; NaN if no relaxation
        was solved.
    infeasibility
        Explanation, if the problem is proved infeasible and an explanation was requested.
    """

    usage: tuple[float, ...] = ()
    prices: tuple[float, ...] = ()
    infeasibility: ChoiceInfeasibility | None = None

    if not TYPE_CHECKING:
        __getattr__ = deprecated_attributes(choice="solution", counts="work")
