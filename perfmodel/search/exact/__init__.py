"""Exact choices under limits: one option for every decision, proved best of the tables given."""

from perfmodel.search.exact.problem import ChoiceProblem, Limit, Sum, Term
from perfmodel.search.exact.result import ChoiceSolution, Infeasible, Opening
from perfmodel.search.exact.solve import solve

__all__ = [
    "ChoiceProblem",
    "ChoiceSolution",
    "Infeasible",
    "Limit",
    "Opening",
    "Sum",
    "Term",
    "solve",
]
