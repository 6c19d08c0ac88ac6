"""Exact choices under limits: one option for every decision, proved best of the tables given."""

from perfmodel.search.exact.front import Front, FrontPoint, front
from perfmodel.search.exact.hawq import hawq_example, hawq_problem
from perfmodel.search.exact.problem import ChoiceProblem, Limit, Sum, Term
from perfmodel.search.exact.result import ChoiceSolution, Infeasible, Opening
from perfmodel.search.exact.solve import solve

__all__ = [
    "ChoiceProblem",
    "ChoiceSolution",
    "Front",
    "FrontPoint",
    "Infeasible",
    "Limit",
    "Opening",
    "Sum",
    "Term",
    "front",
    "hawq_example",
    "hawq_problem",
    "solve",
]
