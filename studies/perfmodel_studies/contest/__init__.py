"""The latency objective of the MLSys 2026 graph scheduling contest: rules, checker and solver."""

from perfmodel_studies.contest.evaluate import Evaluation, check, evaluate
from perfmodel_studies.contest.instance import ContestOperation, Instance, read_instance
from perfmodel_studies.contest.naive import naive
from perfmodel_studies.contest.run import ContestSchedule, contest
from perfmodel_studies.contest.solution import ContestSolution, SolutionSubgraph, read_solution

__all__ = [
    "ContestOperation",
    "ContestSchedule",
    "ContestSolution",
    "Evaluation",
    "Instance",
    "SolutionSubgraph",
    "check",
    "contest",
    "evaluate",
    "naive",
    "read_instance",
    "read_solution",
]
