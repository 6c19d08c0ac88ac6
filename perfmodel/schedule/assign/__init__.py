"""Assignment of operators to engines and devices: contiguous or free, serial or parallel."""

from perfmodel.schedule.assign.problem import AssignmentProblem
from perfmodel.schedule.assign.report import DeviceAssignment
from perfmodel.schedule.assign.result import Assignment
from perfmodel.schedule.assign.run import assign
from perfmodel.schedule.assign.solve import solve

__all__ = [
    "Assignment",
    "AssignmentProblem",
    "DeviceAssignment",
    "assign",
    "solve",
]
