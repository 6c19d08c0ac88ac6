"""The latency objective of the MLSys 2026 graph scheduling contest: rules, checker and solver."""

from perfmodel.schedule.contest.evaluate import Evaluation, check, evaluate
from perfmodel.schedule.contest.instance import Instance, Operation, read_instance
from perfmodel.schedule.contest.naive import naive
from perfmodel.schedule.contest.run import ContestSchedule, contest
from perfmodel.schedule.contest.solution import Part, Solution, read_solution

__all__ = [
    "ContestSchedule", "Evaluation", "Instance", "Operation", "Part", "Solution", "check",
    "contest", "evaluate", "naive", "read_instance", "read_solution",
]  # fmt: skip
