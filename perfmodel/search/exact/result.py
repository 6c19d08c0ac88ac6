"""What a solver of choices answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["optimal", "feasible", "infeasible", "unknown"]


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
class ChoiceSolution:
    """A choice, and what is known about it.

    Attributes
    ----------
    choice
        An option for every decision; None without one.
    value
        Its objective; infinite without one.
    bound
        No choice that keeps the limits is better; infinite where there is none at all.
    status
        ``optimal``: value and bound meet within rounding (1e-9 of the value; 1e-7 where HiGHS gave
        the bound). ``feasible``: stopped before that.
        ``infeasible``: proved that there is no choice. ``unknown``: stopped before either.
    method
        What found it.
    usage
        What the choice uses of each limit.
    prices
        For each limit the objective that one unit less of its bound costs, in the relaxation that
        gave the bound (linear or Lagrangian) and near its present bounds; the true problem moves in
        steps. 0 for a limit that does not bind; NaN where no relaxation was solved.
    counts
        ``nodes`` looked at; ``decisions`` and ``options`` left after reduction.
    infeasibility
        Why there is no choice, where that is proved and asked for.
    """

    choice: tuple[int, ...] | None
    value: float
    bound: float
    status: Status
    method: str
    usage: tuple[float, ...] = ()
    prices: tuple[float, ...] = ()
    counts: dict[str, int] = field(default_factory=dict[str, int])
    infeasibility: ChoiceInfeasibility | None = None

    @property
    def proved(self) -> bool:
        """Whether the status is proved of the problem as given."""
        return self.status in ("optimal", "infeasible")

    @property
    def gap(self) -> float:
        """Distance of value and bound, relative to the value."""
        if self.choice is None or math.isinf(self.bound):
            return math.inf
        return max(0.0, self.value - self.bound) / max(abs(self.value), 1e-300)
