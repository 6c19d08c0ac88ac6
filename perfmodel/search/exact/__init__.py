"""Exact choice of one option per decision under limits, with a proof of optimality over tables."""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.search.exact.choice_problem import ChoiceProblem, Limit
from perfmodel.search.exact.choice_solution import ChoiceInfeasibility, Opening
from perfmodel.search.exact.choice_sums import Sum, Term
from perfmodel.search.exact.solve import solve

__all__ = ["ChoiceInfeasibility", "ChoiceProblem", "Limit", "Opening", "Sum", "Term", "solve"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Infeasible="ChoiceInfeasibility")
