"""A plan: what runs where and when, and what lives where, for one graph.

Schedulers make plans and predictions read them. A plan is a value: frozen, comparable, written to
JSON and read back. `Plan.check` tells whether it fits a graph; one that does not is bad input.
"""

from perfmodel.plan.value import Capacity, Move, Placement, Plan, Residency, Transfer

__all__ = ["Capacity", "Move", "Placement", "Plan", "Residency", "Transfer"]
