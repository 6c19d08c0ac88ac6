"""What a solver of choices answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfmodel.former import former_attributes
from perfmodel.optimise.certified import Certified


@dataclass(frozen=True)
class Opening:
    """The least bound of one limit that opens an infeasible problem, all others kept.

    Attributes
    ----------
    limit
        Name.
    bound
        As it stands.
    least
        The least that opens the problem; None where no bound of this limit does, or where none was
        found in time.
    proved
        Whether that is proved: that no smaller bound will do, or that none does.
    choice
        A choice that `least` allows.
    """

    limit: str
    bound: float
    least: float | None
    proved: bool
    choice: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ChoiceInfeasibility:
    """Why a problem has no choice.

    Attributes
    ----------
    together
        Names of limits that cannot be kept together, while any of them left out lets the others be
        kept (a smallest set in that sense, not the one with the fewest); empty where combinations
        are forbidden so that nothing is left even without limits.
    openings
        For each limit, how far it would have to be relaxed alone.
    proved
        Whether `together` is proved to be infeasible and without a limit too many.
    """

    together: tuple[str, ...]
    openings: tuple[Opening, ...]
    proved: bool


@dataclass(frozen=True)
class ChoiceSolution(Certified[tuple[int, ...]]):
    """An option for every decision, as `Certified`, and what is known about it.

    Proved is what meets its bound within rounding: 1e-9 of the value, 1e-7 where HiGHS gave the
    bound.

    Attributes
    ----------
    work
        ``nodes`` looked at; ``decisions`` and ``options`` left after reduction.
    usage
        What the choice uses of each limit.
    prices
        For each limit the objective that one unit less of its bound costs, in the relaxation that
        gave the bound (linear or Lagrangian) and near its present bounds; the true problem moves in
        steps. 0 for a limit that does not bind; NaN where no relaxation was solved.
    infeasibility
        Why there is no choice, where that is proved and asked for.
    """

    usage: tuple[float, ...] = ()
    prices: tuple[float, ...] = ()
    infeasibility: ChoiceInfeasibility | None = None

    if not TYPE_CHECKING:
        __getattr__ = former_attributes(choice="solution", counts="work")
