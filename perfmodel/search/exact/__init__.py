"""Exact choice of one option per decision under limits, with a proof of optimality over tables."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.search.exact.problem import ChoiceProblem, Limit, Sum, Term
from perfmodel.search.exact.result import ChoiceInfeasibility, Opening
from perfmodel.search.exact.solve import solve

__all__ = ["ChoiceInfeasibility", "ChoiceProblem", "Limit", "Opening", "Sum", "Term", "solve"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Infeasible="ChoiceInfeasibility")
