"""Explanation of an infeasible search in terms of its constraints.

The exact solver explains infeasibility by limits on sums of tables
(`perfmodel.search.exact.conflicting_limits`). This module restates its answer for the user: in the
constraints of the search, in their units, and over all combinations of hardware.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.search.accuracy_loss import LOSSES
from perfmodel.search.constraints import RATES, Constraint
from perfmodel.search.exact import ChoiceInfeasibility, Opening

if TYPE_CHECKING:
    from perfmodel.search.fixed_hardware import FixedHardwareProblem
    from perfmodel.search.search_query import SearchQuery


def explain_infeasibility(
    query: SearchQuery,
    inner: FixedHardwareProblem,
    infeasibility: ChoiceInfeasibility,
) -> ChoiceInfeasibility:
    """Return openings of table limits as openings of constraints, in units of the whole space.

    Limits of a problem are its constraints, then its memories. If tables are only bounds, `least`
    is a lower bound on the opening, and that it suffices is not proved.
    """
    openings: list[Opening] = []
    for i, opening in enumerate(infeasibility.openings):
        choice = opening.choice
        if choice is not None:
            full = inner.full_choices(np.array([choice], dtype=np.intp))[0]
            choice = tuple(int(option) for option in full)
        restated = replace(opening, choice=choice, proved=opening.proved and inner.tables.exact)
        if i < len(query.constraints):
            restated = _in_units(query, query.constraints[i], restated)
        openings.append(restated)
    return replace(infeasibility, openings=tuple(openings))


def _in_units(query: SearchQuery, constraint: Constraint, opening: Opening) -> Opening:
    """Return an opening with its least bound in the unit of the constraint."""
    least = opening.least
    out = replace(opening, limit=constraint.text, bound=constraint.bound)
    if least is None:
        return out
    if constraint.metric in LOSSES:
        least = query.loss.mapped(least if constraint.at_most else -least)
    elif constraint.metric in RATES:
        assert opening.choice is not None
        rows = np.array([opening.choice], dtype=np.intp)
        # If the batch is a decision, the rate of the opening choice need not be the nearest.
        proved = opening.proved and not query.sized
        seconds = float(query.columns(rows)["latency_s"][0])
        return replace(out, least=float(query.items(rows)[0]) / seconds, proved=proved)
    elif not constraint.at_most:
        least = -least
    return replace(out, least=least)


def combine_infeasibilities(
    constraints: Sequence[Constraint], reasons: Sequence[ChoiceInfeasibility | None]
) -> ChoiceInfeasibility | None:
    """Return the joint infeasibility of several problems, one per combination of hardware.

    An opening of any problem opens the search. The limits that cannot be satisfied together are
    the union over all problems.
    """
    known = [each for each in reasons if each is not None]
    if len(known) < len(reasons) or not known:
        return None
    if len(known) == 1:
        return known[0]
    together = dict.fromkeys(name for each in known for name in each.together)
    same = all(set(each.together) == set(together) for each in known)
    up = {c.text: 1.0 if c.at_most else -1.0 for c in constraints}
    openings: list[Opening] = []
    for name in dict.fromkeys(o.limit for each in known for o in each.openings):
        mine = [o for each in known for o in each.openings if o.limit == name]
        sign = up.get(name, 1.0)
        best = min(mine, key=lambda o: math.inf if o.least is None else sign * (o.least - o.bound))
        openings.append(replace(best, proved=all(o.proved for o in mine)))
    return ChoiceInfeasibility(
        tuple(together), tuple(openings), same and all(e.proved for e in known)
    )
